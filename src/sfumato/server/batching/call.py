"""What is asked of a network, when several such calls can be one, and that one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from sfumato.pipelines.condition import Condition, together

WORDS = ("encoder_hidden_states", "states")  # what networks call the words' states; those of any length have a mask
MASK = "mask"


class _Alone(Exception):
    """A value of which nobody knows how it is joined with others."""


@dataclass(frozen=True)
class Call:
    """One look at a network.

    Attributes:
        network: that is looked at.
        method: its method, "__call__" or "decode".
        arguments: by their names; None is left out.
        key: calls of equal keys may share a forward pass; None for one that is made alone.
        rows: how many samples it is about.
        words: the argument that may be of any length, since a mask tells where it ends.
    """

    network: nn.Module
    method: str
    arguments: Mapping[str, Any]
    key: Hashable | None = None
    rows: int = 1
    words: str | None = None

    @classmethod
    def of(
        cls, network: nn.Module, method: str, given: Sequence[Any], named: Mapping[str, Any], *, shared: bool = True
    ) -> Call:
        """The call network.method(*given, **named); with `shared` False it is made alone."""
        known = type(network)
        signature = _signature(known.forward if method == "__call__" else getattr(known, method))
        bound = signature.bind(network, *given, **named).arguments
        arguments = {name: value for name, value in list(bound.items())[1:] if value is not None}
        first = next(iter(arguments.values()), None)
        if not shared or not isinstance(first, Tensor) or not first.ndim:
            return cls(network, method, arguments)
        words = next((name for name in WORDS if MASK in signature.parameters and name in arguments), None)
        try:
            kinds = {name: _kind(value, len(first), name == words) for name, value in arguments.items() if name != MASK}
        except _Alone:
            return cls(network, method, arguments)
        key = (id(network), method, tuple(sorted(kinds.items())))
        return cls(network, method, arguments, key, len(first), words)

    def made(self) -> Any:
        """What the network gives."""
        return getattr(self.network, self.method)(**self.arguments)


def made_together(calls: Sequence[Call]) -> list[Any]:
    """What the network gives for each of several calls of one key, by one forward pass; one alone as it is."""
    if len(calls) == 1:
        return [calls[0].made()]
    first = calls[0]
    arguments = _joined([call.arguments for call in calls], without=(first.words, MASK) if first.words else ())
    if first.words:
        said = together([Condition(call.arguments[first.words], call.arguments.get(MASK)) for call in calls])
        arguments |= {first.words: said.states} | ({} if said.mask is None else {MASK: said.mask})
    whole = Call(first.network, first.method, arguments).made()
    return list(whole.split([call.rows for call in calls]))


@lru_cache(maxsize=64)
def _signature(function: Callable[..., Any]) -> inspect.Signature:
    return inspect.signature(function)


def _kind(value: Any, rows: int, of_any_length: bool = False) -> Hashable:
    """What must be equal for values to be joined."""
    if isinstance(value, Tensor) and value.ndim and len(value) == rows:
        shape = value.shape[2:] if of_any_length and value.ndim == 3 else value.shape[1:]
        return (tuple(shape), value.dtype, value.device)
    if isinstance(value, Mapping):
        return tuple(sorted((name, _kind(each, rows)) for name, each in value.items()))
    if isinstance(value, bool | int | float | str):
        return (type(value), value)
    raise _Alone


def _joined(several: Sequence[Mapping[str, Any]], without: Sequence[str | None] = ()) -> dict[str, Any]:
    """Arguments of equal kinds as one."""
    joined: dict[str, Any] = {}
    for name, value in several[0].items():
        if name in without:
            continue
        every = [each[name] for each in several]
        match value:
            case Tensor():
                joined[name] = torch.cat(every)
            case Mapping():
                joined[name] = _joined(every)
            case _:
                joined[name] = value
    return joined
