"""Checkpoints made small enough to travel: the optimisers' memory stays behind, and numbers get coarser as they must.

A stage that goes on from a slimmed checkpoint has the step and the average that it had; its optimisers begin anew, so
that it ends with other bytes than a training that was never moved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from sfumato.checkpoints.files import write_tensors
from sfumato.checkpoints.tensors import read_metadata, read_tensors

Tensors = dict[str, Tensor]

NETWORK, AVERAGE, SCALE = "network/", "average/", "scale/"
FORM = "form"  # the key of a file's metadata that says how it was slimmed


def slim(source: Path, target: Path, form: str) -> None:
    """Write a checkpoint in one of `FORMS`."""
    tensors = {name: value for name, value in read_tensors(source).items() if name.startswith((NETWORK, AVERAGE))}
    write_tensors(target, FORMS[form](tensors), {"state": read_metadata(source)["state"], FORM: form})


def restore(path: Path) -> None:
    """Make a slimmed checkpoint one that a training goes on from, in its place; others stay as they are."""
    told = read_metadata(path)
    if FORM not in told:
        return
    tensors = {name: value.clone() for name, value in read_tensors(path).items()}
    scales = {name: tensors.pop(name) for name in list(tensors) if name.startswith(SCALE)}
    for name, scale in scales.items():
        whole = tensors[name.removeprefix(SCALE)]
        tensors[name.removeprefix(SCALE)] = (whole.float().flatten(1) * scale[:, None]).view_as(whole)
    for name in [name for name in tensors if name.startswith(AVERAGE)]:
        tensors.setdefault(name.replace(AVERAGE, NETWORK, 1), tensors[name].clone())
    write_tensors(path, tensors, {"state": told["state"]})


def _both(tensors: Mapping[str, Tensor]) -> Tensors:
    """The weights and their average."""
    return {name: value.bfloat16() for name, value in tensors.items()}


def _average(tensors: Mapping[str, Tensor]) -> Tensors:
    """The average alone, with which the weights begin again; weights that have none are kept."""
    averaged = {name.replace(AVERAGE, NETWORK, 1) for name in tensors if name.startswith(AVERAGE)}
    return _both({name: value for name, value in tensors.items() if name not in averaged})


def _bytes(tensors: Mapping[str, Tensor]) -> Tensors:
    """The same, matrices as bytes: 127 is the largest number of a row."""
    return dict(_in_bytes(_average(tensors)))


def _in_bytes(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    for name, value in tensors.items():
        if value.ndim < 2:
            yield name, value
            continue
        rows = value.float().flatten(1)
        scale = rows.abs().amax(1).clamp(min=torch.finfo(torch.float32).tiny) / 127
        yield name, (rows / scale[:, None]).round().to(torch.int8).view_as(value)
        yield SCALE + name, scale


FORMS: dict[str, Callable[[Mapping[str, Tensor]], Tensors]] = {"both": _both, "average": _average, "bytes": _bytes}
"""Ways to slim, the most faithful first."""
