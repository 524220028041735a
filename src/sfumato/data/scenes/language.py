"""What may be asked for: descriptions drawn by chance, of every category and in every mixture."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from sfumato.data.scenes.colours import BACKGROUNDS, TINTS
from sfumato.data.scenes.concepts import Concept
from sfumato.data.scenes.description import CATEGORIES, PLACES, PLAIN, SIZES, SPATIAL, Description, Group
from sfumato.data.scenes.held_out import is_held_out
from sfumato.data.scenes.relating import ASKS_FOR
from sfumato.errors import DataError

WEIGHTS = {
    "single": 10,
    "two": 12,
    "three": 10,
    "counting": 16,
    "colour": 9,
    "binding": 11,
    "position": 14,
    "size": 6,
    "relation": 12,
    "background": 5,
}
# What may be said besides everything: a small language, with which trainings are compared.
LANGUAGES: dict[str, dict[str, Any]] = {
    "full": {},
    "narrow": {
        "weights": {name: WEIGHTS[name] for name in ("single", "two", "counting", "position", "background")},
        "most": 4,
        "mixing": 0.0,
    },
}
ATTEMPTS = 2000  # before a category is said to hold nothing that is (or is not) held out
LONGEST_ROW = 5

# Places that one, two or three things can have without standing in each other's way.
PLACED_TOGETHER: dict[int, list[tuple[str, ...]]] = {
    1: [(place,) for place in PLACES],
    2: [
        ("left", "right"),
        ("top", "bottom"),
        ("top left", "bottom right"),
        ("top right", "bottom left"),
        ("top left", "top right"),
        ("bottom left", "bottom right"),
        ("top left", "bottom left"),
        ("top right", "bottom right"),
    ],
    3: [
        ("left", "centre", "right"),
        ("top", "centre", "bottom"),
        ("top left", "top right", "bottom"),
        ("top", "bottom left", "bottom right"),
        ("top left", "centre", "bottom right"),
        ("top left", "top right", "bottom right"),
    ],
}

# Colours that are hard to see before a background, besides its own.
LOST_BEFORE = {
    "night sky": ("black", "blue"),
    "meadow": ("green",),
    "beach": ("yellow", "blue"),
    "snow": ("white",),
    "turquoise": ("blue", "green"),
}


@dataclass(frozen=True)
class Language:
    """What may be described with some concepts, and how often.

    Args:
        concepts: The pack's concepts, in its order; at least three.
        weights: How often each of `CATEGORIES` is drawn; what is absent never is.
        most: The largest count, 1 to 9.
        backgrounds: Which of `colours.BACKGROUNDS` are used.
        colours: Which of `colours.TINTS` are used.
        mixing: How much is mixed in beyond what a category is about: 1 freely, 0 nothing but backgrounds.

    Raises:
        DataError: fewer than three concepts or four colours, an unknown category, or a largest count outside 1 to 9.
    """

    concepts: Sequence[Concept]
    weights: Mapping[str, float] = field(default_factory=lambda: dict(WEIGHTS))
    most: int = 9
    backgrounds: Sequence[str] = tuple(BACKGROUNDS)
    colours: Sequence[str] = tuple(TINTS)
    mixing: float = 1.0

    def __post_init__(self) -> None:
        if len(self.concepts) < 3:
            raise DataError(f"scenes need at least three concepts, not {len(self.concepts)}")
        if len(self.colours) < 4:
            raise DataError(f"scenes need at least four colours, not {len(self.colours)}")
        if unknown := set(self.weights) - set(CATEGORIES):
            raise DataError(f"there is no category {min(unknown)!r}; the categories are {', '.join(CATEGORIES)}")
        if not 1 <= self.most <= 9:
            raise DataError(f"scenes count from 1 to 9, so the largest count cannot be {self.most}")

    @classmethod
    def named(cls, name: str, concepts: Sequence[Concept]) -> Language:
        """One of `LANGUAGES`, with some concepts."""
        return cls(concepts, **LANGUAGES[name])

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the concepts, in their order."""
        return tuple(concept.name for concept in self.concepts)

    @cached_property
    def categories(self) -> dict[str, float]:
        """The share of each category that can be drawn; they add up to 1."""
        possible = {name: weight for name, weight in self.weights.items() if weight > 0 and self._possible(name)}
        return {name: weight / sum(possible.values()) for name, weight in possible.items()}

    def draw(self, rng: random.Random, category: str | None = None, held_out: bool | None = None) -> Description:
        """A description.

        Args:
            rng: Where chance comes from.
            category: One of `CATEGORIES`; None draws it by the weights.
            held_out: False draws nothing that is held out, True only what holds a held-out combination (a single
                thing as it is combines nothing, and cannot), None both.

        Raises:
            DataError: there is no such category, or nothing of it is (or is not) held out.
        """
        if category is None:
            category = _weighted(rng, self.categories, without="single" if held_out else None)
        elif category not in CATEGORIES or not self._possible(category):
            raise DataError(
                f"nothing of the category {category!r} can be described with these {len(self.names)} concepts"
            )
        draw = getattr(self, f"_{category}")
        for _ in range(ATTEMPTS):
            description: Description = draw(rng)
            if held_out is None or is_held_out(description, self.names) == held_out:
                return description
        kind = "held out" if held_out else "free for training"
        raise DataError(f"no description of the category {category!r} with these {len(self.names)} concepts is {kind}")

    def _single(self, rng: random.Random) -> Description:
        return Description((Group(self._concept(rng), upside_down=self._rarely(rng)),))

    def _two(self, rng: random.Random, count: int = 2) -> Description:
        groups = [Group(concept) for concept in self._concepts(rng, count)]
        if self._rarely(rng):
            groups[0] = replace(groups[0], upside_down=True)
        return Description(tuple(groups), background=self._backdrop(rng))

    def _three(self, rng: random.Random) -> Description:
        return self._two(rng, 3)

    def _colour(self, rng: random.Random) -> Description:
        return Description((Group(self._concept(rng), colour=self._tint(rng, PLAIN), upside_down=self._rarely(rng)),))

    def _background(self, rng: random.Random) -> Description:
        background = rng.choice([name for name in self.backgrounds if name != PLAIN])
        group = Group(self._concept(rng), colour=self._maybe_tint(rng, background, 0.3), upside_down=self._rarely(rng))
        return Description((group,), background=background)

    def _counting(self, rng: random.Random) -> Description:
        background = self._backdrop(rng)
        kinds = 1 if self.most < 3 or rng.random() < 0.65 else 2 if self.most < 4 or rng.random() < 0.8 else 3
        concepts = self._concepts(rng, kinds, countable=True)
        if kinds > 1:
            counts = self._counts(rng, kinds)
            groups = (
                Group(concept, count, self._maybe_tint(rng, background, 0.15))
                for concept, count in zip(concepts, counts, strict=True)
            )
            return Description(tuple(groups), background=background)
        count = rng.randint(2, self.most)
        colour = self._maybe_tint(rng, background, 0.2)
        if count == 2 and self._mixed(rng, 0.25):
            return Description((Group(concepts[0], 2, colour, arrangement="pair"),), background=background)
        if 3 <= count <= LONGEST_ROW and self._mixed(rng, 0.25):
            return Description((Group(concepts[0], count, colour, arrangement="row"),), background=background)
        size = "small" if count <= 6 and self._mixed(rng, 0.1) else None
        return Description((Group(concepts[0], count, colour, size, self._rarely(rng)),), background=background)

    def _counts(self, rng: random.Random, kinds: int) -> list[int]:
        """How many of each kind: not all one, together no more than the most."""
        counts = [1] * kinds
        for _ in range(rng.randint(1, self.most - kinds)):
            counts[rng.randrange(kinds)] += 1
        return counts

    def _binding(self, rng: random.Random) -> Description:
        background = self._backdrop(rng)
        kinds = 3 if rng.random() < 0.2 else 2
        one = self._tint(rng, background)
        if kinds == 2 and self._mixed(rng, 0.1):
            concept = self._concept(rng)
            other = self._tint(rng, background, one)
            return Description((Group(concept, colour=one), Group(concept, colour=other)), background=background)
        rest = [self._tint(rng, background, one) if rng.random() < 0.75 else None for _ in range(kinds - 1)]
        colours = [one, *rest]
        rng.shuffle(colours)
        groups = zip(self._concepts(rng, kinds), colours, strict=True)
        return Description(tuple(Group(concept, colour=colour) for concept, colour in groups), background=background)

    def _position(self, rng: random.Random) -> Description:
        return self._related(rng) if rng.random() < 0.55 else self._placed(rng)

    def _related(self, rng: random.Random) -> Description:
        background = self._backdrop(rng)
        counts = [1, 1]
        sizes: tuple[str | None, str | None] = (None, None)
        counted = self.most > 1 and self._mixed(rng, 0.12)
        if counted:
            counts[rng.randrange(2)] = rng.randint(2, min(3, self.most))
        elif self._mixed(rng, 0.15):
            sizes = rng.choice((("big", "small"), ("small", "big"), ("big", None), (None, "small")))
        groups = (
            Group(concept, count, self._maybe_tint(rng, background, 0.25), size)
            for concept, count, size in zip(self._concepts(rng, 2, countable=counted), counts, sizes, strict=True)
        )
        return Description(tuple(groups), rng.choice(SPATIAL), background)

    def _placed(self, rng: random.Random) -> Description:
        background = self._backdrop(rng)
        kinds = 1 if rng.random() < 0.6 else 2 if rng.random() < 0.75 else 3
        if kinds == 1 and self.most >= 3 and self._mixed(rng, 0.08):
            row = rng.randint(3, min(LONGEST_ROW, self.most))
            (concept,) = self._concepts(rng, 1, countable=True)
            place = rng.choice(("top", "bottom", "centre"))
            return Description((Group(concept, row, place=place, arrangement="row"),), background=background)
        places = list(rng.choice(PLACED_TOGETHER[kinds]))
        rng.shuffle(places)
        size = rng.choice(SIZES) if kinds == 1 and self._mixed(rng, 0.15) else None
        groups = (
            Group(concept, 1, self._maybe_tint(rng, background, 0.2), size, place=place)
            for concept, place in zip(self._concepts(rng, kinds), places, strict=True)
        )
        return Description(tuple(groups), background=background)

    def _size(self, rng: random.Random) -> Description:
        background = self._backdrop(rng)
        sizes = rng.choice((("small",), ("big",), ("big", "small"), ("big", None), ("small", None)))
        groups = (
            Group(concept, 1, self._maybe_tint(rng, background, 0.25), size)
            for concept, size in zip(self._concepts(rng, len(sizes)), sizes, strict=True)
        )
        return Description(tuple(groups), background=background)

    def _relation(self, rng: random.Random) -> Description:
        background = self._backdrop(rng)
        relation = rng.choice(self._touching)
        if relation in self._pairs:
            firsts, seconds = self._pairs[relation]
            chosen = [rng.choice(firsts), rng.choice(seconds)]
            while chosen[0] == chosen[1]:
                chosen = [rng.choice(firsts), rng.choice(seconds)]
        else:
            chosen = self._concepts(rng, 2)
        if self._mixed(rng, 0.12):
            third = self._concept(rng)
            chosen += [third] if third not in chosen else []
        groups = (Group(concept, colour=self._maybe_tint(rng, background, 0.25)) for concept in chosen)
        return Description(tuple(groups), relation, background)

    @cached_property
    def _pairs(self) -> dict[str, tuple[list[int], list[int]]]:
        """Who can be first and who second in the relations that ask for roles."""
        return {relation: (self._with_roles(one), self._with_roles(two)) for relation, (one, two) in ASKS_FOR.items()}

    @cached_property
    def _touching(self) -> list[str]:
        """The relations, less those whose roles nobody has."""
        able = [name for name, (one, two) in self._pairs.items() if one and two and len({*one, *two}) > 1]
        return [*able, *able, "in front of", "behind"]

    @cached_property
    def _countable(self) -> list[int]:
        return [number for number, concept in enumerate(self.concepts) if concept.article]

    def _with_roles(self, roles: Sequence[str]) -> list[int]:
        """Those that have one of these roles, role after role."""
        return [number for role in roles for number, concept in enumerate(self.concepts) if role in concept.roles]

    def _possible(self, category: str) -> bool:
        if category == "counting":
            return self.most > 1 and len(self._countable) >= 3
        if category == "background":
            return any(name != PLAIN for name in self.backgrounds)
        return True

    def _concept(self, rng: random.Random) -> int:
        return int(rng.random() * len(self.concepts))

    def _concepts(self, rng: random.Random, count: int, countable: bool = False) -> list[int]:
        """Different concepts; where they shall be counted, such as can be."""
        return rng.sample(self._countable if countable else range(len(self.concepts)), count)

    def _backdrop(self, rng: random.Random) -> str:
        return PLAIN if rng.random() < 0.3 else rng.choice(self.backgrounds)

    def _tint(self, rng: random.Random, background: str, other: str | None = None) -> str:
        """A colour that is seen before a background and is not another thing's."""
        lost = LOST_BEFORE.get(background, (background,))
        return rng.choice([colour for colour in self.colours if colour != other and colour not in lost])

    def _maybe_tint(self, rng: random.Random, background: str, chance: float) -> str | None:
        return self._tint(rng, background) if self._mixed(rng, chance) else None

    def _mixed(self, rng: random.Random, chance: float) -> bool:
        return rng.random() < chance * self.mixing

    def _rarely(self, rng: random.Random) -> bool:
        return self._mixed(rng, 0.04)


def _weighted(rng: random.Random, shares: Mapping[str, float], without: str | None) -> str:
    names = [name for name in shares if name != without]
    return rng.choices(names, [shares[name] for name in names])[0]
