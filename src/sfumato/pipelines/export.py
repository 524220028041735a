"""A model written for other programs: a folder, a single file, or ONNX graphs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sfumato.checkpoints.export import copy_beside, copy_texts, export_folder, export_single
from sfumato.checkpoints.files import read_json, whole_folder, write_json
from sfumato.checkpoints.graphs import OPSET, Graph, check, require_onnx, write_graph
from sfumato.devices import DTYPES
from sfumato.errors import CheckpointError, StorageError
from sfumato.pipelines.finding import find
from sfumato.pipelines.graphs import graphs
from sfumato.pipelines.model import load
from sfumato.pipelines.unfolding import as_folder, unfold

FORMATS = ("folder", "single", "onnx")
INDEX = "sfumato_onnx.json"
OURS = ("model_index.json", INDEX)  # by which a folder is known for one that may be replaced


def export(
    model: str | Path | None,
    to: str,
    out: Path,
    *,
    dtype: str | None = None,
    overwrite: bool = False,
    checked: bool = True,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Write a model in another form, all or nothing.

    Args:
        model: a model folder, a single file, an id on the hub, or the name of an embedded model.
        to: one of `FORMATS`.
        out: the new folder or file.
        dtype: of the weights, one of `DTYPES`; None keeps them as they are. ONNX graphs are of float32.
        overwrite: whether something may be there already; a folder only when it is one of models.
        checked: whether ONNX graphs are run beside their networks and compared.
        say: is told what is worth knowing.

    Raises:
        CheckpointError: the model has no such form; the message says why.
        StorageError: something stands in the way, or the disk is full.
    """
    if to not in FORMATS:
        raise CheckpointError(f"There is no format {to!r}; known: {', '.join(FORMATS)}.")
    if dtype is not None and dtype not in DTYPES:
        raise CheckpointError(f"There is no type {dtype!r}; known: {', '.join(DTYPES)}.")
    if to == "onnx" and dtype not in (None, "float32"):
        raise CheckpointError("ONNX graphs are written in float32, so that they can be compared; leave --dtype out.")
    if to == "single" and out.suffix != ".safetensors":
        raise CheckpointError(f"{out}: a single file is called *.safetensors.")
    path, kind = find(model), DTYPES.get(dtype or "")
    _require_room(path, out, overwrite, file=to == "single")
    if to == "folder" and path.is_file():
        with whole_folder(out) as temporary:
            if missing := unfold(path, temporary, kind):
                say(f"without {', '.join(missing)}: T5's tokenizer is in no single file, nor on this machine")
    elif to == "folder":
        export_folder(path, out, kind)
    elif to == "single":
        with as_folder(path, out) as folder:
            if left := export_single(folder, out, kind):
                say(f"without {', '.join(left)}: a single file has no place for them")
    else:
        require_onnx()
        for _ in graphs(load(path, "meta")):
            pass  # or what has no graph is refused, before any weight is read
        with as_folder(path, out) as folder:
            export_onnx(folder, out, checked=checked, say=say)


def _require_room(folder: Path, out: Path, overwrite: bool, *, file: bool) -> None:
    here, there = folder.resolve(), out.resolve()
    if here == there or here in there.parents or there in here.parents:
        raise StorageError(f"{out} is the model itself, lies in it, or holds it; name another place.")
    if not out.exists():
        return
    if not overwrite:
        raise StorageError(f"{out} is there already; --overwrite replaces it.")
    if out.is_dir() == file:
        raise StorageError(f"{out} is a {'folder' if file else 'file'}, which is not replaced by another thing.")
    if not file and any(out.iterdir()) and not any((out / name).is_file() for name in OURS):
        raise StorageError(f"{out} holds something that is no model; it is not replaced.")


def export_onnx(folder: Path, out: Path, *, checked: bool = True, say: Callable[[str], None] = lambda _: None) -> None:
    """Write every network of a model as `<part>/model.onnx`, with configurations, tokenizers and schedulers.

    `sfumato_onnx.json` says of each graph its inputs and outputs, and how far onnxruntime was from the network.
    """
    model = load(folder)
    written: dict[str, object] = {}
    with whole_folder(out) as temporary:
        for name, graph in graphs(model):
            path = temporary / name / "model.onnx"
            write_graph(path, graph)
            apart = check(path, graph) if checked else None
            written[name] = told(graph) | {"relative_difference": apart}
            say(f"{name}: not checked" if apart is None else f"{name}: {apart:.1e} apart from the network")
            part = name if (folder / name).is_dir() else "vae"
            copy_texts(folder / part, path.parent)
        copy_beside(folder, temporary)
        write_json(temporary / "model_index.json", read_json(folder / "model_index.json"))
        scheduler = read_json(folder / "scheduler" / "scheduler_config.json")
        write_json(temporary / INDEX, {"opset": OPSET, "scheduler": scheduler, "graphs": written})


def told(graph: Graph) -> dict[str, object]:
    """What a graph takes and gives: the lengths of axes, by name where any will do, and the types of numbers."""
    inputs = {
        name: {
            "shape": [graph.axes.get(name, {}).get(axis, length) for axis, length in enumerate(tensor.shape)],
            "dtype": str(tensor.dtype).removeprefix("torch."),
        }
        for name, tensor in graph.inputs.items()
    }
    return {"inputs": inputs, "outputs": list(graph.outputs)}
