"""The grammar of captions, from the tables that they are written with: what each wording says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sfumato.data.scenes import wordings as w
from sfumato.data.scenes.colours import BACKGROUNDS, TINTS
from sfumato.data.scenes.concepts import Concept
from sfumato.data.scenes.description import Group, Said
from sfumato.data.scenes.grammar import Grammar, Make, Misfit, Production
from sfumato.data.scenes.relating import WAYS, Fits, can, is_worn

Values = dict[str, Any]

AGREEING = {"is_a": "verb", "is_b": "verb", "it_a": "pronoun", "it_b": "pronoun"}
THINGS = {"a": "thing", "b": "thing", "c": "thing", **AGREEING}
PLACED_THINGS = {"a": "placed", "b": "placed", "c": "placed"}


def grammar(concepts: Sequence[Concept]) -> Grammar:
    """What captions about these concepts can say: the symbol "sentence" means a `Said`."""
    return Grammar(
        Production(symbol, template, holes, make)
        for symbol, templates, holes, make in _rules(concepts)
        for template in dict.fromkeys(templates)
    )


Rule = tuple[str, Iterable[str], Mapping[str, str], Make]


def _rules(concepts: Sequence[Concept]) -> Iterator[Rule]:
    yield from _small_words()
    yield from _names(concepts)
    yield from _looks()
    yield from _counts()
    yield from _contents(concepts)
    yield from _sentences()


def _small_words() -> Iterator[Rule]:
    yield "verb", w.VERBS, {}, _means(None)
    yield "pronoun", w.PRONOUNS, {}, _means(None)
    yield "article", w.ARTICLES, {}, _means(None)
    for count in range(2, len(w.NUMBERS)):
        yield "number", (w.NUMBERS[count], w.DIGITS[count]), {}, _means(count)
    for size, words in w.SIZES.items():
        yield "size", words, {}, _means(size)
    for place, words in w.PLACES.items():
        yield "place", words, {}, _means(place)
    for name, tint in TINTS.items():
        yield "colour", (name, *tint.synonyms), {}, _means(name)
    for name, background in BACKGROUNDS.items():
        if name not in w.SCENERY:
            yield "background", (name, *background.synonyms), {}, _means(name)


def _names(concepts: Sequence[Concept]) -> Iterator[Rule]:
    for number, concept in enumerate(concepts):
        yield "noun of one", concept.names, {}, _means(Group(number))
        yield "noun of several", (concept.plural,), {}, _means(Group(number))


def _looks() -> Iterator[Rule]:
    """Around a name stand colour, size, charm and which way up, in this order."""
    for many in ("one", "several"):
        noun, coloured, sized, charming = (f"{kind} of {many}" for kind in ("noun", "coloured", "sized", "charming"))
        yield coloured, ("{a}",), {"a": noun}, _first
        yield coloured, w.COLOURED, {"a": noun, "colour": "colour"}, _with("colour")
        yield sized, ("{a}",), {"a": coloured}, _first
        yield sized, (w.SIZED,), {"a": coloured, "size": "size"}, _with("size")
        yield charming, ("{a}",), {"a": sized}, _first
        yield charming, _each(w.CHARMED, charm=w.CHARMING), {"a": sized}, _first
        yield many, ("{a}",), {"a": charming}, _first
        yield many, w.UPSIDE_DOWN, {"a": charming}, _with(upside_down=True)


def _counts() -> Iterator[Rule]:
    one, several = {"a": "one"}, {"a": "several", "n": "number"}
    yield "thing", ("{a}", *_each(w.COUNTED, n=w.ARTICLES + w.ONE)), one, _first
    yield "thing", (w.COUNTED,), several, lambda said: replace(said["a"], count=said["n"])
    yield "thing", _each(w.COUNTED, n=w.TWO), several, _with(count=2)
    yield "thing", w.PAIR, several, _with(count=2, arrangement="pair")
    yield "thing", w.ROW, several, lambda said: replace(said["a"], count=said["n"], arrangement="row")
    yield "placed", w.PLACED, {**THINGS, "place": "place"}, _with("place")


def _contents(concepts: Sequence[Concept]) -> Iterator[Rule]:
    yield "contents", ("{a}",), THINGS, _listed
    yield "contents", ("{a}",), PLACED_THINGS, _listed
    yield "contents", w.TOGETHER, THINGS, _listed
    yield "contents", w.ACCOMPANIED + w.MEETING, THINGS, _beside(concepts)
    yield "contents", w.LISTED, PLACED_THINGS, _listed
    yield "contents", w.THREE, THINGS, _listed
    yield "contents", w.LISTED_THREE, PLACED_THINGS, _listed
    for relation, tellings in WAYS.items():
        for templates, fits in tellings:
            yield "related", templates, THINGS, _related(relation, concepts, fits)
    yield "related", w.TELEGRAPHIC, THINGS, _related("wearing", concepts)
    yield "contents", ("{ab}",), {"ab": "related"}, lambda said: said["ab"]
    yield "contents", w.BYSTANDER, {"ab": "related", "c": "thing"}, _bystander


def _sentences() -> Iterator[Rule]:
    """Around what there is stand a request, the background and a closing."""
    yield "asked", ("{x}",), {"x": "contents"}, _whole
    yield "asked", w.REQUESTS, {"x": "contents", "is_a": "verb"}, _whole
    yield "a background", ("{colour}", "{article} {colour}"), {"colour": "background", "article": "article"}, _colour
    yield "shown", ("{x}",), {"x": "asked"}, _whole
    holes = {"x": "asked", "colour": "background", "a_colour": "a background"}
    yield "shown", w.BACKGROUND, holes, lambda said: replace(said["x"], background=_colour(said))
    for name, templates in w.SCENERY.items():
        yield "shown", templates, holes, _before(name)
    yield "sentence", ("{x}", *w.CLOSINGS), {"x": "shown"}, _whole


# What templates mean, from what is in their holes.


def _means(value: object) -> Make:
    return lambda said: value


def _first(said: Values) -> Any:
    return said["a"]


def _whole(said: Values) -> Any:
    return said["x"]


def _colour(said: Values) -> str:
    return said["a_colour"] if "a_colour" in said else said["colour"]


def _with(*told: str, **facts: object) -> Make:
    """The thing, with what is told of it in holes of these names, and with these facts."""
    return lambda said: replace(said["a"], **{name: said[name] for name in told}, **facts)


def _before(background: str) -> Make:
    return lambda said: replace(said["x"], background=background)


def _listed(said: Values) -> Said:
    return _of([said[name] for name in ("a", "b", "c") if name in said])


def _beside(concepts: Sequence[Concept]) -> Make:
    def make(said: Values) -> Said:
        if any(is_worn(concepts[said[name].concept]) for name in ("a", "b")):
            raise Misfit("of hats and glasses it is not told in these words what they are near to")
        return _listed(said)

    return make


def _related(relation: str, concepts: Sequence[Concept], fits: Fits | None = None) -> Make:
    def make(said: Values) -> Said:
        one, two = concepts[said["a"].concept], concepts[said["b"].concept]
        if not can(relation, one, two) or (fits is not None and not fits(one, two)):
            raise Misfit(f"{one.name!r} is never {relation} {two.name!r} in these words")
        return _of([said["a"], said["b"]], relation)

    return make


def _bystander(said: Values) -> Said:
    return _of([*said["ab"].groups, said["c"]], said["ab"].relation)


def _of(groups: list[Group], relation: str | None = None) -> Said:
    if len({(group.concept, group.colour) for group in groups}) < len(groups):
        raise Misfit("the same is said to be there twice")
    return Said(tuple(groups), relation)


def _each(template: str, **words: Iterable[str]) -> tuple[str, ...]:
    """A template with each of some words in one of its holes."""
    ((name, choices),) = words.items()
    return tuple(template.replace(f"{{{name}}}", choice) for choice in choices)
