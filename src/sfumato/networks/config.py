"""Configurations: frozen values that read and write the reference libraries' `config.json`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Self, TypeVar, get_args, get_origin, get_type_hints

from sfumato.errors import CheckpointError

T = TypeVar("T")

MOST_LAYERS = 512  # in one place of a network; a file cannot ask for more and fill the memory


@dataclass(frozen=True)
class Config:
    """The base of every network's configuration.

    Field names and defaults are those of the reference `config.json`, since a key that a file leaves out means the
    reference's default. A subclass names what it does not offer as a choice in `fixed()`: such keys are written always
    and accepted at that one value only.
    """

    ignored: ClassVar[frozenset[str]] = frozenset()  # keys that never change what the network computes

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for field in fields(self):
            require(_fits(getattr(self, field.name), hints[field.name]), self, field.name, why=f"must be {field.type}")

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any]) -> Self:
        """Reads a parsed `config.json`.

        Raises:
            CheckpointError: a key has a value that is not supported; the message names both.
        """
        for key, value in mapping.items():
            if "layers" in key and any(isinstance(n, int) and n > MOST_LAYERS for n in _flat(value)):
                raise CheckpointError(f"{cls.__name__}: {key}={value!r:.100} is more than any network has")
        names = {field.name for field in fields(cls)}
        try:
            config = cls(**{key: _frozen(value) for key, value in mapping.items() if key in names})
        except ValueError as error:
            raise CheckpointError(f"{cls.__name__}: {error}") from error
        fixed = config.fixed()
        for key, value in mapping.items():
            if key in fixed and _frozen(value) != _frozen(fixed[key]):
                raise CheckpointError(f"{cls.__name__}: {key}={value!r} is not supported, only {fixed[key]!r}")
            known = key in names or key in fixed or key in cls.ignored or key.startswith("_")
            if not known and value not in (None, False):  # None and False: a feature that is switched off
                raise CheckpointError(f"{cls.__name__}: {key}={value!r} is not known here")
        return config

    def to_dict(self) -> dict[str, Any]:
        """Gives the complete `config.json`, which the reference library's `from_pretrained` opens too."""
        return {key: _thawed(value) for key, value in sorted({**asdict(self), **self.fixed()}.items())}

    def fixed(self) -> dict[str, Any]:
        """Gives the reference's keys that have one supported value, with that value."""
        return {}


def require(condition: bool, config: Config, *names: str, why: str) -> None:
    """Refuses a configuration: `ValueError` naming the fields, their values and what is wrong with them."""
    if not condition:
        values = ", ".join(f"{name}={_thawed(getattr(config, name))!r}" for name in names)
        raise ValueError(f"{values}: {why}")


def per_block(value: T | tuple[T, ...], blocks: int) -> tuple[T, ...]:
    """Spreads a value given once over all the blocks; a tuple is taken as one value for each."""
    return value if isinstance(value, tuple) else (value,) * blocks


def divides(part: int, *wholes: int) -> bool:
    """Says whether `part` is a positive divisor of each of the others."""
    return part > 0 and all(whole % part == 0 for whole in wholes)


def norm_groups(channels: tuple[int, ...]) -> int:
    """Chooses into how many groups to normalise: at most 32, each at least four channels wide.

    A group of one channel would be a trap: what an embedding adds to the whole of that channel, the normalisation
    after it takes away again, and the network would not hear of its noise level.
    """
    return math.gcd(32, *(width // 4 if divides(4, width) else 1 for width in channels))


def _fits(value: object, hint: Any) -> bool:
    """Says whether a value is of the annotated type: a class, a tuple of types, or a union of such."""
    options = get_args(hint)
    if get_origin(hint) is not tuple:
        if options:
            return any(_fits(value, option) for option in options)
        kind = int | float if hint is float else hint
        return isinstance(value, kind) and (hint is bool or not isinstance(value, bool))  # which Python counts as 0, 1
    if not isinstance(value, tuple):
        return False
    options = options[:1] * len(value) if options[1:] == (...,) else options
    return len(value) == len(options) and all(map(_fits, value, options))


def _flat(value: Any) -> list[Any]:
    return [one for part in value for one in _flat(part)] if isinstance(value, list | tuple) else [value]


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def _thawed(value: Any) -> Any:
    return list(map(_thawed, value)) if isinstance(value, list | tuple) else value
