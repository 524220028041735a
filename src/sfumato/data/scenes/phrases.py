"""Captions: one truth, told in many ways, in whole sentences and in the shortest words, never wrongly."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from sfumato.data.scenes import wordings as w
from sfumato.data.scenes.colours import BACKGROUNDS, TINTS
from sfumato.data.scenes.concepts import Concept
from sfumato.data.scenes.description import PLAIN, SPATIAL, Description, Group
from sfumato.data.scenes.held_out import MIRRORED
from sfumato.data.scenes.relating import is_worn, ways
from sfumato.data.words import article, is_plural

WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
SIZE_WORDS = frozenset(word for words in w.SIZES.values() for word in words)


def caption(description: Description, concepts: Sequence[Concept], rng: random.Random, complete: bool = False) -> str:
    """What a person might have written to get a picture, in lower case.

    Args:
        description: What the picture shows.
        concepts: The pack's concepts, in its order.
        rng: Where chance comes from; the same state gives the same caption.
        complete: Whether every fact is told. Otherwise the background, sizes, places, arrangements and who stands
            left of or above whom may be left out; what there is, how many and in what colour is always told.

    Example:
        >>> cat = Concept("cat", "cats")
        >>> caption(Description((Group(0, count=3),)), [cat], random.Random(11), complete=True)
        'white background, three cats'
    """
    told = description if complete else _thinned(description, rng)
    voice = _Voice(concepts, rng, brief=rng.random() < 0.22, complete=complete)
    text = voice.contents(told)
    if rng.random() < 0.15 and _names_things(text):
        text = _pick(rng, w.REQUESTS).format(x=text, is_a=voice.verb(told.groups[0]))
    if complete or not _silent_about(description.background, rng):
        text = voice.before(description.background, text)
    if rng.random() < 0.06:
        text = _pick(rng, w.CLOSINGS).format(x=text)
    return text


def words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation; hyphens separate them."""
    return WORD.findall(text.lower())


def vocabulary(concepts: Iterable[Concept]) -> frozenset[str]:
    """Every word that captions about these concepts can hold, as `words` splits them."""
    texts = [text for name, value in vars(w).items() if name.isupper() for text in _texts(value)]
    texts += [text for concept in concepts for text in (*concept.names, concept.plural)]
    texts += [text for name, tint in TINTS.items() for text in (name, *tint.synonyms)]
    texts += [text for name, background in BACKGROUNDS.items() for text in (name, *background.synonyms)]
    return frozenset(word for text in texts for word in words(re.sub(r"{\w+}", " ", text)))


def _texts(table: object) -> Iterable[str]:
    if isinstance(table, str):
        yield table
    elif isinstance(table, dict | tuple):
        for part in table.values() if isinstance(table, dict) else table:
            yield from _texts(part)


def _thinned(description: Description, rng: random.Random) -> Description:
    """The same with some facts left out."""
    groups, relation = description.groups, description.relation
    if relation in SPATIAL and rng.random() < 0.12:
        relation = None
    if any(group.place for group in groups) and rng.random() < 0.15:
        groups = tuple(replace(group, place=None) for group in groups)
    if any(group.size or group.arrangement for group in groups) and rng.random() < 0.15:
        groups = tuple(replace(group, size=None, arrangement=None) for group in groups)
    if groups is description.groups and relation is description.relation:
        return description
    return Description(groups, relation, description.background)


def _names_things(text: str) -> bool:
    """Whether a text can stand after "a photo of"."""
    spoken = text.split()
    return spoken[0] not in w.OPENINGS and w.CLAUSES.isdisjoint(spoken)


def _silent_about(background: str, rng: random.Random) -> bool:
    return rng.random() < (0.75 if background == PLAIN else 0.12)


def _pick(rng: random.Random, table: Sequence[str]) -> str:
    return table[int(rng.random() * len(table))]


def _spoken(rng: random.Random, name: str, synonyms: Sequence[str]) -> str:
    return _pick(rng, synonyms) if synonyms and rng.random() < 0.3 else name


class _Voice:
    """How one caption is spoken: in sentences, or briefly, without articles."""

    def __init__(self, concepts: Sequence[Concept], rng: random.Random, brief: bool, complete: bool) -> None:
        self.concepts = concepts
        self.rng = rng
        self.brief = brief
        self.complete = complete

    def contents(self, description: Description) -> str:
        """Everything but the background."""
        groups = description.groups
        if description.relation:
            return self._related(description)
        things = [self._placed(group) if group.place else self.things(group) for group in groups]
        order = self.rng.sample(range(len(groups)), len(groups))
        if len(groups) == 3:
            a, b, c = (things[number] for number in order)
            return _pick(self.rng, w.LISTED_THREE if groups[0].place else w.THREE).format(a=a, b=b, c=c)
        if len(groups) == 2:
            return self._together([groups[number] for number in order], [things[number] for number in order])
        return things[0]

    def before(self, background: str, text: str) -> str:
        """A text and the background."""
        if background in w.SCENERY:
            return _pick(self.rng, w.SCENERY[background]).format(x=text)
        colour = _spoken(self.rng, background, BACKGROUNDS[background].synonyms)
        with_article = colour if self.brief else f"{article(colour)} {colour}"
        return _pick(self.rng, w.BACKGROUND).format(x=text, colour=colour, a_colour=with_article)

    def things(self, group: Group) -> str:
        """The things of a group: "three small red apples"."""
        noun = name = self._noun(group)
        if group.colour:
            colour = _spoken(self.rng, group.colour, TINTS[group.colour].synonyms)
            noun = _pick(self.rng, w.COLOURED).format(a=noun, colour=colour)
        if group.size:
            noun = w.SIZED.format(a=noun, size=_pick(self.rng, w.SIZES[group.size]))
        if self.rng.random() < 0.04:
            noun = w.CHARMED.format(a=noun, charm=_pick(self.rng, w.CHARMING))
        if group.upside_down:
            noun = _pick(self.rng, w.UPSIDE_DOWN).format(a=noun)
        bare = self.brief or not self.concepts[group.concept].article or is_plural(name)
        return self._counted(group, noun, bare)

    def _noun(self, group: Group) -> str:
        concept = self.concepts[group.concept]
        if group.count > 1:
            return concept.plural
        if not concept.synonyms or self.rng.random() < 0.7:
            return concept.name
        name = _pick(self.rng, concept.synonyms)
        told = set(name.split())
        if (group.colour and told & w.COLOUR_WORDS) or (group.size and told & SIZE_WORDS):
            return concept.name
        return name

    def _counted(self, group: Group, noun: str, bare: bool) -> str:
        if group.count == 1:
            if bare:
                return noun
            one = _pick(self.rng, w.ONE) if self.rng.random() < 0.06 else article(noun)
            return w.COUNTED.format(n=one, a=noun)
        number = (w.DIGITS if self.rng.random() < 0.3 else w.NUMBERS)[group.count]
        if group.arrangement == "pair":
            return _pick(self.rng, w.PAIR).format(a=noun)
        if group.arrangement == "row":
            return _pick(self.rng, w.ROW).format(n=number, a=noun)
        if group.count == 2 and self.rng.random() < 0.06:
            number = _pick(self.rng, w.TWO)
        return w.COUNTED.format(n=number, a=noun)

    def _placed(self, group: Group) -> str:
        place = _pick(self.rng, w.PLACES[group.place or "centre"])
        return _pick(self.rng, w.PLACED).format(a=self.things(group), place=place, is_a=self.verb(group))

    def _together(self, groups: Sequence[Group], things: Sequence[str]) -> str:
        """Two groups of which no relation is told."""
        a, b = things
        if groups[0].place:
            return _pick(self.rng, w.LISTED).format(a=a, b=b)
        chance = self.rng.random()
        if self.brief and chance < 0.3:
            return w.ENUMERATED.format(a=a, b=b)
        if chance < 0.25 and not any(is_worn(self.concepts[group.concept]) for group in groups):
            return _pick(self.rng, w.MEETING if chance < 0.05 else w.ACCOMPANIED).format(a=a, b=b)
        return _pick(self.rng, w.TOGETHER).format(a=a, b=b)

    def _related(self, description: Description) -> str:
        one, two, *rest = description.groups
        relation = description.relation or ""
        if relation in MIRRORED:
            relation, one, two = MIRRORED[relation], two, one
        templates = self._templates(relation, one, two)
        if self.complete:
            templates = tuple(template for template in templates if template not in w.VAGUE)
        text = _pick(self.rng, templates).format(
            a=self.things(one),
            b=self.things(two),
            is_a=self.verb(one),
            is_b=self.verb(two),
            it_a=self._pronoun(one),
            it_b=self._pronoun(two),
        )
        return _pick(self.rng, w.BYSTANDER).format(ab=text, c=self.things(rest[0])) if rest else text

    def _templates(self, relation: str, first: Group, second: Group) -> tuple[str, ...]:
        """The ways to tell a relation; they depend on what is worn, eaten or played."""
        if relation == "wearing" and self.brief and not self.complete and self.rng.random() < 0.4:
            return w.TELEGRAPHIC
        return ways(relation, self.concepts[first.concept], self.concepts[second.concept])

    def verb(self, group: Group) -> str:
        """What agrees with how many there are: scissors are."""
        return w.VERBS[self._several(group)]

    def _pronoun(self, group: Group) -> str:
        return w.PRONOUNS[self._several(group)]

    def _several(self, group: Group) -> bool:
        concept = self.concepts[group.concept]
        return group.count > 1 or (not concept.article and is_plural(concept.name))
