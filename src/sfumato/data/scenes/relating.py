"""How two things may stand to each other: who can be in which relation, and the ways in which it is told."""

from __future__ import annotations

from collections.abc import Callable

from sfumato.data.scenes import wordings as w
from sfumato.data.scenes.concepts import Concept

# The roles of which the first and the second thing of a relation have one; the other relations ask for none.
ASKS_FOR = {
    "wearing": (("wearer",), ("hat", "glasses")),
    "holding": (("holder",), ("held",)),
    "inside": (("contained",), ("container",)),
}

Fits = Callable[[Concept, Concept], bool]


def can(relation: str, first: Concept, second: Concept) -> bool:
    """Whether two things have the roles that a relation asks for."""
    one, two = ASKS_FOR.get(relation, ((), ()))
    return (not one or not first.roles.isdisjoint(one)) and (not two or not second.roles.isdisjoint(two))


def is_worn(concept: Concept) -> bool:
    """Whether it is a hat or glasses."""
    return not concept.roles.isdisjoint(ASKS_FOR["wearing"][1])


def ways(relation: str, first: Concept, second: Concept) -> tuple[str, ...]:
    """The templates that tell a relation, which is one of `WAYS`, of these two."""
    return tuple(template for templates, fits in WAYS[relation] if fits(first, second) for template in templates)


def _always(first: Concept, second: Concept) -> bool:
    return True


def _named(names: frozenset[str]) -> Fits:
    return lambda first, second: second.name in names


WAYS: dict[str, tuple[tuple[tuple[str, ...], Fits], ...]] = {
    "left of": ((w.LEFT, _always),),
    "above": ((w.ABOVE, _always), (w.ON_TOP, lambda first, second: not is_worn(first))),
    "wearing": (
        (w.WEARING, _always),
        (w.WEARING_HAT, lambda first, second: "hat" in second.roles),
        (w.WEARING_GLASSES, lambda first, second: "hat" not in second.roles),
    ),
    "holding": ((w.HOLDING, _always), *((deed, _named(names)) for names, deed in w.DEEDS)),
    "inside": ((w.INSIDE, _always),),
    "in front of": ((w.IN_FRONT, _always),),
}
"""Which templates tell each relation, and of whom; the others are told the other way round (`held_out.MIRRORED`)."""
