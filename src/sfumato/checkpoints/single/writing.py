"""Writes single files, and model folders from single files: tensor by tensor, each file all or nothing."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sfumato.checkpoints.files import whole_folder, write, write_json
from sfumato.checkpoints.folder import DIFFUSERS_WEIGHTS, NETWORKS, TRANSFORMERS_WEIGHTS
from sfumato.checkpoints.scheduler import from_config
from sfumato.checkpoints.single import layouts
from sfumato.checkpoints.single.family import DENOISERS, Family, Seat, packed, recognise, rest, unpacked
from sfumato.checkpoints.single.prediction import ZERO_SNR, V
from sfumato.checkpoints.single.renaming import Origin, Source, View
from sfumato.checkpoints.tensors import DTYPES
from sfumato.errors import CheckpointError
from sfumato.networks.clip import TextConfig
from sfumato.networks.config import Config

TYPES = {dtype: word for word, dtype in DTYPES.items()}
"""The words of the safetensors format."""

WEIGHTS = {"diffusers": f"{DIFFUSERS_WEIGHTS}.safetensors", "transformers": f"{TRANSFORMERS_WEIGHTS}.safetensors"}
REST = "rest.safetensors"  # beside the parts of a folder: what a single file held that no part reads

CONFIGS: Mapping[str, type[Config]] = {name: kind.config for name, kind in NETWORKS.items()}
UNSAID = {"sample_size", "force_upcast", "upcast_attention", "dropout", "bos_token_id", "pad_token_id", "architectures"}
"""What a single file does not say, and what makes no difference to what its networks compute."""


def write_streamed(path: Path, source: Source, metadata: Mapping[str, str] | None = None) -> None:
    """Write the tensors of a source as safetensors, holding one at a time; equal tensors give equal bytes.

    The format: eight bytes with the header's length, the header as JSON, the tensors one after the other.
    Raises CheckpointError for a tensor that is not what its source said of it, and StorageError when writing fails.
    """
    order = sorted(source.names(), key=lambda name: (-source.dtype(name).itemsize, name))  # so each is aligned
    header: dict[str, Any] = {"__metadata__": {"format": "pt", **(metadata or {})}}
    end = 0
    for name in order:
        dtype, shape = source.dtype(name), list(source.shape(name))
        if dtype not in TYPES:
            raise CheckpointError(f"{path}: {name} is of type {dtype}, for which safetensors has no word")
        begin, end = end, end + dtype.itemsize * torch.Size(shape).numel()
        header[name] = {"dtype": TYPES[dtype], "shape": shape, "data_offsets": [begin, end]}
    told = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    told += b" " * (-len(told) % 8)

    def fill(temporary: Path) -> None:
        with temporary.open("wb") as file:
            file.write(struct.pack("<Q", len(told)) + told)
            for name in order:
                tensor = source.get(name).detach().cpu().contiguous()
                if [TYPES.get(tensor.dtype), list(tensor.shape)] != [header[name]["dtype"], header[name]["shape"]]:
                    raise CheckpointError(f"{path}: {name} is not of the type and shape that was told of it")
                file.write(tensor.reshape(-1).view(torch.uint8).numpy().data)

    write(path, fill)


def write_single_file(
    path: Path,
    parts: Mapping[str, Source],
    configs: Mapping[str, Mapping[str, Any]],
    scheduler: Mapping[str, Any],
    rest: Source | None = None,
) -> None:
    """Write a model as one file in the layout of its family, all or nothing.

    Args:
        path: the file, `*.safetensors`.
        parts: the tensors of each part under our names; "unet" or "transformer" must be there.
        configs: the `config.json` of each part.
        scheduler: the `scheduler_config.json` of the model.
        rest: what the file held beside them, when it comes from one.

    Raises:
        CheckpointError: the layout has no words for this model: its readers would take it for another one.
    """
    family = family_of(configs)
    view = packed(parts, family, rest)
    _require_known(view, family, path)
    if _found(view) != _told(scheduler):
        view = View({**view.origins, **_marks(scheduler, view)})
    if _found(view) != _told(scheduler):
        raise CheckpointError(
            f"{path}: a single file of {family.name} says nothing of the noise that a model was trained along, and its "
            f"readers would take this one ({scheduler.get('_class_name')}) for a model of another; save it as a folder."
        )
    for part, config in recognise(view).configs.items():
        for key in _differences(config, configs[part]):
            raise CheckpointError(
                f"{path}: the readers of a single file of {family.name} would take {key} of the {part} to be "
                f"{config[key]}, and not {configs[part].get(key)}; save it as a folder."
            )
    write_streamed(path, view)


def _require_known(view: View, family: Family, path: Path) -> None:
    try:
        for config in recognise(view).configs.values():
            _complete(config)
    except CheckpointError as error:
        raise CheckpointError(
            f"{path}: the readers of a single file of {family.name} know a model by the names and shapes of its "
            f"tensors, and would not know this one: {str(error).rstrip('.')}; save it as a folder."
        ) from error


def family_of(configs: Mapping[str, Mapping[str, Any]]) -> Family:
    """The family whose layout a model of these parts has.

    Raises:
        CheckpointError: no denoiser, one of a class that no layout holds, or a part that has no place in the layout.
    """
    name = next((name for name in DENOISERS if name in configs), None)
    if name is None or configs[name].get("_class_name") not in layouts.SINGLE:
        kind = "no denoiser" if name is None else configs[name].get("_class_name")
        raise CheckpointError(f"there is no single file for a model with {kind}; known: {', '.join(layouts.SINGLE)}.")
    config = _complete(configs[name])
    layout = layouts.layout(config)
    seats = {}
    for part, given in configs.items():
        places = [place for place in layout.places if place.part == part]
        if not places:
            raise CheckpointError(f"a single file of {layout.name} has no place for the {part}.")
        open_clip = [place for place in places if place.kind is layouts.PENULTIMATE_CLIP]
        chosen = (open_clip if open_clip and given.get("hidden_act") == "gelu" else places)[0]
        prefix = "" if layout is layouts.FLUX_1 and len(configs) == 1 else chosen.prefix
        seats[part] = Seat(prefix, chosen.kind, _complete(given))
    return Family(
        layout.name, layout.pipelines.get(config["in_channels"], layout.pipeline), seats, dict(layout.scheduler)
    )


def _complete(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with the defaults of its class, where that is known here."""
    known = CONFIGS.get(_class(config))
    return known.from_dict(config).to_dict() if known else dict(config)


def _class(config: Mapping[str, Any]) -> str:
    return str(config.get("_class_name") or next(iter(config.get("architectures") or ()), ""))


def _differences(found: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """The fields that a reader of the file would take for something else."""
    known = CONFIGS.get(_class(found))
    unsaid = set(UNSAID)
    if known is TextConfig:
        unsaid |= {"projection_dim"} if _class(found) == "CLIPTextModel" else set()
        unsaid |= {"eos_token_id"} if given.get("eos_token_id") in (2, found["vocab_size"] - 1) else set()
    a, b = _attending(_complete(found)), _attending(_complete(given))
    return [key for key, value in a.items() if key not in unsaid and key in b and not _same(value, b[key])]


def _attending(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration that says nothing of the attention of levels which have none."""
    kinds = config.get("down_block_types", ())
    if _class(config) != "UNet2DConditionModel":
        return config
    for key in ("only_cross_attention", "transformer_layers_per_block", "attention_head_dim"):
        middle = key != "only_cross_attention"  # is as the coarsest level
        values = config[key] if isinstance(config[key], list | tuple) else [config[key]] * len(kinds)
        here = [kind.startswith("CrossAttn") for kind in kinds[:-1]] + [middle or kinds[-1].startswith("CrossAttn")]
        config = config | {key: [value if attends else None for value, attends in zip(values, here, strict=True)]}
    return config


def _same(a: Any, b: Any) -> bool:
    """Whether two values say the same; one value stands for as many of it as there are blocks."""
    if isinstance(a, list | tuple) != isinstance(b, list | tuple):
        many, one = (a, b) if isinstance(a, list | tuple) else (b, a)
        return all(each == one for each in many)
    return list(a) == list(b) if isinstance(a, list | tuple) else a == b


def _told(scheduler: Mapping[str, Any]) -> tuple[Any, ...]:
    diffusion = from_config(dict(scheduler))
    return diffusion.process, diffusion.parameterisation, diffusion.dynamic_shift


def _found(view: View) -> tuple[Any, ...]:
    return _told(recognise(view).scheduler)


def _marks(scheduler: Mapping[str, Any], view: View) -> dict[str, Origin]:
    """The empty tensors by which files say that v is predicted, and that the noise ends in nothing else."""
    said = {
        V: scheduler.get("prediction_type") == "v_prediction",
        ZERO_SNR: bool(scheduler.get("rescale_betas_zero_snr")),
    }
    marks = _Marks([name for name, here in said.items() if here and name not in view])
    return {name: Origin(marks, (name,)) for name in marks.names()}


class _Marks:
    """A source of empty tensors, which say something by their names."""

    def __init__(self, names: list[str]):
        self.known = names

    def names(self) -> list[str]:
        return self.known

    def shape(self, name: str) -> tuple[int, ...]:
        return (0,)

    def dtype(self, name: str) -> torch.dtype:
        return torch.float32

    def get(self, name: str) -> Tensor:
        return torch.empty(0)


def write_folder(folder: Path, source: Source, *, prediction: str | None = None) -> Family:
    """Write the parts of a single file as a model folder, and give what it is.

    What no part reads goes to `rest.safetensors`, so that the file can be made again. Tokenizers are in no single file:
    the folder needs those of its text encoders before it generates.
    """
    family = recognise(source, prediction=prediction)
    views = unpacked(source, family)
    index: dict[str, Any] = {"_class_name": family.pipeline, **family.index}
    for part, view in views.items():
        config = family.configs[part]
        library = "diffusers" if "_class_name" in config else "transformers"
        with whole_folder(folder / part) as temporary:
            write_json(temporary / "config.json", config)
            write_streamed(temporary / WEIGHTS[library], view)
        index[part] = [library, _class(config)]
    over = rest(source, family)
    if list(over.names()):
        write_streamed(folder / REST, over)
    for name, scheduler in (("scheduler", family.scheduler), ("low_res_scheduler", family.augmentation)):
        if scheduler is not None:
            with whole_folder(folder / name) as temporary:
                write_json(temporary / "scheduler_config.json", scheduler)
            index[name] = ["diffusers", scheduler["_class_name"]]
    write_json(folder / "model_index.json", index)
    return family
