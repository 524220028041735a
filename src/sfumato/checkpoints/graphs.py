"""Networks as ONNX graphs: written by torch, then run beside the network that they came from."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sfumato.errors import CheckpointError

OPSET = 20
LARGEST_GRAPH = 2**31 - 2**24  # bytes of weights in one file of protocol buffers; more lie beside it
TOLERANCE = 1e-3
NEEDED = ("onnx", "onnxscript", "onnxruntime")


@dataclass(frozen=True)
class Graph:
    """A network as a function of named tensors.

    Attributes:
        network: takes `*inputs` in their order and gives the outputs in theirs.
        inputs: a small example of each input. Where two axes have one name below, they are of one length.
        outputs: their names.
        axes: of an input, the axes that may be of any length, by number, with their names.
        other: the inputs at other lengths, for the check.
    """

    network: nn.Module
    inputs: Mapping[str, Tensor]
    outputs: tuple[str, ...]
    axes: Mapping[str, Mapping[int, str]]
    other: Mapping[str, Tensor]


def require_onnx() -> None:
    """Raises CheckpointError saying what to install where something is missing."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise CheckpointError(f"ONNX needs {', '.join(missing)}: pip install 'sfumato[onnx]'")


def write_graph(path: Path, graph: Graph) -> None:
    """Write a graph with its weights as an ONNX file; weights too large for one file lie beside it, `path`.data.

    The caller writes into a folder that is whole or not there.
    """
    size = sum(tensor.numel() * tensor.element_size() for tensor in graph.network.state_dict().values())
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            graph.network.eval(),
            tuple(graph.inputs.values()),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            dynamic_shapes=(tuple(dict(graph.axes.get(name, {})) for name in graph.inputs),),  # of *inputs
            verbose=False,
        )
        assert program is not None
        path.parent.mkdir(parents=True, exist_ok=True)
        program.save(path, external_data=size > LARGEST_GRAPH)


def difference(path: Path, graph: Graph) -> float:
    """The largest difference between what onnxruntime makes of a file and what the network makes, at both sizes.

    It is relative to the largest number of the output.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    worst = 0.0
    for inputs in (graph.inputs, graph.other):
        made = session.run(list(graph.outputs), {name: tensor.numpy() for name, tensor in inputs.items()})
        with torch.no_grad():
            expected = graph.network(*inputs.values())
        for ours, theirs in zip(_several(expected), made, strict=True):
            apart = (ours - torch.from_numpy(theirs)).abs().max() / ours.abs().max().clamp(min=1e-12)
            worst = max(worst, float(apart.nan_to_num(nan=float("inf"))))
    return worst


def check(path: Path, graph: Graph) -> float:
    """The difference of a file from its network; CheckpointError where it is above `TOLERANCE`."""
    apart = difference(path, graph)
    if not apart <= TOLERANCE:
        raise CheckpointError(
            f"{path.parent.name}/{path.name} computes something else than the model: {apart:.1e} apart, where "
            f"{TOLERANCE:.0e} is allowed. Nothing was kept; --no-check keeps it."
        )
    return apart


def _several(outputs: Any) -> tuple[Tensor, ...]:
    return (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says about itself."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
