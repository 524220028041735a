"""LoRA files: safetensors in kohya's layouts, diffusers' old ones and PEFT's, in; kohya's and PEFT's out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sfumato.checkpoints.files import LARGEST_JSON, write_tensors
from sfumato.checkpoints.lora_names import KOHYA, TEXT_MODEL, Place, spellings
from sfumato.checkpoints.tensors import read_metadata, read_tensors
from sfumato.errors import CheckpointError
from sfumato.networks.lora import Adapter, Layer, LowRank, layers

IN_FOLDER = "pytorch_lora_weights.safetensors"  # what diffusers and PEFT call it
METADATA = "lora_adapter_metadata"  # where diffusers keeps PEFT's configuration in a file, as JSON
HIGHEST_RANK = 4096
HIGHEST_ALPHA = 1e6
FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)

ROLES = {
    "down": r"lora_down\.weight|lora_A(?:\.\w+)?\.weight|lora\.down\.weight|lora_linear_layer\.down\.weight",
    "up": r"lora_up\.weight|lora_B(?:\.\w+)?\.weight|lora\.up\.weight|lora_linear_layer\.up\.weight",
    "alpha": r"alpha|lora\.alpha",
    "magnitude": r"dora_scale|lora_magnitude_vector(?:\.weight)?",
}
KEY = re.compile(rf"(?P<layer>.+?)\.(?:{'|'.join(f'(?P<{role}>{ends})' for role, ends in ROLES.items())})")
SPELLED_FIRST = {f"add_embedding.linear_{i + 1}": f"label_emb.0.{2 * i}" for i in range(2)}
"""Layers that all readers of kohya's layout know by the original Stable Diffusion's name alone."""

OTHERS = {
    "hada_": "a LoHa",
    "lokr_": "a LoKr",
    "oft_": "an OFT",
    "lora_mid": "a LoCon in Tucker form",
    "lora_embedding": "a LoRA of an embedding",
    "ia3": "an IA3",
    ".diff": "a difference of whole weights",
    ".bias": "a LoRA with biases",
}
"""What stands in the keys of adapters that are not LoRA."""

Layout = Literal["kohya", "peft"]


def read_lora(path: Path, networks: Mapping[str, nn.Module]) -> dict[str, Adapter]:
    """Read the adapters of a LoRA file, or of a folder that holds one, by the parts that they are for.

    Kohya's layout with the names of diffusers or of the original Stable Diffusion, FLUX and SD 3; diffusers' older
    layouts; PEFT's. Linear layers and convolutions (LoCon), and DoRA. Tensors keep the file's precision.

    Args:
        path: to safetensors; others are never opened.
        networks: parts of a model by name ("unet", "text_encoder", "text_encoder_2", "transformer"), on any device.

    Raises:
        CheckpointError: the file is not whole, is no LoRA, or one of its keys is of no layer of these networks, of
            another shape than that, or not finite; it names the file and the key.
    """
    path = path / IN_FOLDER if path.is_dir() else path
    if not path.is_file():
        raise CheckpointError(f"There is no LoRA file {path}.")
    table, found = spellings(networks), dict[tuple[Place, ...], dict[str, tuple[str, Tensor]]]()
    unknown = []
    for key, tensor in read_tensors(path).items():
        _require_sound(path, key, tensor)
        match = KEY.fullmatch(_modern(key))
        places = table.get(match["layer"].removeprefix("base_model.model.")) if match else None
        if match is None or places is None:
            unknown.append(key)
            continue
        roles = found.setdefault(places, {})
        if roles.setdefault(str(match.lastgroup), (key, tensor))[0] != key:
            raise CheckpointError(f"{path}: {key} and {roles[str(match.lastgroup)][0]} are of the same layer.")
    if unknown or not found:
        raise CheckpointError(f"{path} {_why_not(unknown, networks)}")
    alphas = _Alphas(path)
    known = {Place(part, name): layer for part, network in networks.items() for name, layer in layers(network)}
    updates: dict[str, dict[str, LowRank]] = {}
    for places, roles in found.items():
        for place, update in _updates(path, known, places, roles, alphas):
            if place.layer in updates.setdefault(place.part, {}):
                raise CheckpointError(f"{path} has two updates of {place.part}.{place.layer}.")
            updates[place.part][place.layer] = update
    return {part: Adapter(each).requires_grad_(False) for part, each in updates.items()}


def write_lora(path: Path, adapters: Mapping[str, Adapter], layout: Layout = "peft") -> None:
    """Write adapters, by the parts that they are for, as one safetensors file, all or nothing.

    PEFT's layout is what diffusers reads with `load_lora_weights`, kohya's what A1111 and ComfyUI read too. Tensors
    keep their values and precision.

    Raises:
        StorageError: the file could not be written.
    """
    tensors: dict[str, Tensor] = {}
    metadata: dict[str, str] = {}
    if layout == "peft":
        packed: dict[str, Any] = {}
        for part, adapter in adapters.items():
            for name, update in adapter.updates().items():
                tensors |= _peft(f"{part}.{name}", update)
            packed |= {f"{part}.{key}": value for key, value in _peft_config(part, adapter).items()}
        metadata[METADATA] = json.dumps(packed, indent=2, sort_keys=True)
    else:
        for part, adapter in adapters.items():
            # one text encoder is nameless in kohya's files, the first of two is number 1
            prefix = KOHYA[part][-1 if "text_encoder_2" in adapters else 0]
            for name, update in adapter.updates().items():
                tensors |= _kohya(f"{prefix}_{SPELLED_FIRST.get(name, name).replace('.', '_')}", update)
    write_tensors(path, tensors, metadata)


def _peft(layer: str, update: LowRank) -> dict[str, Tensor]:
    tensors = {f"{layer}.{name}": tensor for name, tensor in update.state_dict().items()}
    magnitude, down = update.lora_magnitude_vector, update.lora_A.weight
    if magnitude is not None and down.ndim == 4:
        tensors[f"{layer}.lora_magnitude_vector"] = magnitude[:, None, None][None]
    return tensors


def _kohya(layer: str, update: LowRank) -> dict[str, Tensor]:
    down, up, magnitude = update.lora_A.weight, update.lora_B.weight, update.lora_magnitude_vector
    tensors: dict[str, Tensor] = {f"{layer}.lora_down.weight": down, f"{layer}.lora_up.weight": up}
    tensors[f"{layer}.alpha"] = torch.tensor(update.alpha)  # which half precision would round
    if magnitude is not None:
        tensors[f"{layer}.dora_scale"] = magnitude.reshape(-1, *[1] * (down.ndim - 1))
    return tensors


def _peft_config(part: str, adapter: Adapter) -> dict[str, Any]:
    """PEFT's configuration of an adapter, as diffusers packs it into a file."""
    updates = adapter.updates()
    if part.startswith("text_encoder"):
        updates = {name.removeprefix(TEXT_MODEL): update for name, update in updates.items()}
    first = next(iter(updates.values()))
    return {
        "r": first.rank,
        "lora_alpha": first.alpha,
        "rank_pattern": {_exactly(name): each.rank for name, each in updates.items() if each.rank != first.rank},
        "alpha_pattern": {_exactly(name): each.alpha for name, each in updates.items() if each.alpha != first.alpha},
        "target_modules": sorted(updates),
        "use_dora": first.lora_magnitude_vector is not None,
    }


def _exactly(name: str) -> str:
    """PEFT reads names as regular expressions of their ends."""
    return name if name.startswith(("encoder.", "text_projection")) else f"^{name}"


def _require_sound(path: Path, key: str, tensor: Tensor) -> None:
    if tensor.dtype not in FLOATS:
        raise CheckpointError(f"{path}: {key} holds {tensor.dtype}; LoRA weights are floating-point numbers.")
    if not tensor.isfinite().all():
        raise CheckpointError(f"{path}: {key} holds numbers that are not finite.")


TEXT_LAYERS = {"q": "q_proj", "k": "k_proj", "v": "v_proj", "out": "out_proj"}


def _modern(key: str) -> str:
    """Diffusers' oldest layout, which has LoRA in a layer's name, put as its second oldest."""
    key = key.replace(".processor.", ".")
    old = re.search(r"\.to_(q|k|v|out)(?:_lora\.|\.lora_magnitude_vector)", key)
    if not old:
        return key
    name = TEXT_LAYERS[old[1]] if ".self_attn." in key else f"to_{old[1]}" + ".0" * (old[1] == "out")
    return key.replace(f".to_{old[1]}_lora.", f".{name}.lora.").replace(f".to_{old[1]}.lora_mag", f".{name}.lora_mag")


def _why_not(unknown: list[str], networks: Mapping[str, nn.Module]) -> str:
    """What is wrong with a file that has these keys."""
    if not unknown:
        return "is empty: it holds no LoRA."
    few = ", ".join(key[:200] for key in unknown[:3]) + (f" and {len(unknown) - 3} more" if len(unknown) > 3 else "")
    for sign, kind in OTHERS.items():
        if any(sign in key for key in unknown):
            return f"is {kind}, which is not supported: {few}."
    return f"does not fit this model, whose parts are {', '.join(networks)}: they have no layer for {few}."


class _Alphas:
    """The scales that PEFT's configuration gives, where the file carries one."""

    def __init__(self, path: Path):
        self._path = path
        text = read_metadata(path).get(METADATA) or "{}"
        try:
            packed = json.loads(text) if len(text) <= LARGEST_JSON else None
        except (ValueError, RecursionError) as error:
            raise CheckpointError(f"{path}: {METADATA} in its metadata is not JSON: {error}") from error
        if not isinstance(packed, dict):
            raise CheckpointError(f"{path}: {METADATA} in its metadata is no JSON object of a sensible size.")
        self._packed = packed

    def __call__(self, place: Place, rank: int) -> float:
        """The alpha of a layer; its rank where nothing is said, so that the scale is 1."""
        alpha = self._packed.get(f"{place.part}.lora_alpha", rank)
        patterns = self._packed.get(f"{place.part}.alpha_pattern")
        if isinstance(patterns, dict):
            named = next((each for each in _patterns(place.layer) if each in patterns), None)
            alpha = alpha if named is None else patterns[named]
        if not isinstance(alpha, int | float) or not abs(alpha) < HIGHEST_ALPHA:
            raise CheckpointError(f"{self._path}: the alpha of {place.part}.{place.layer} is {str(alpha)[:100]}.")
        return alpha * rank**0.5 if self._packed.get(f"{place.part}.use_rslora") is True else alpha


def _patterns(layer: str) -> Iterator[str]:
    """What PEFT may call a layer, most exact first; its names are regular expressions, but are not run as such here."""
    bare = layer.removeprefix(TEXT_MODEL)
    whole = dict.fromkeys((layer, bare, TEXT_MODEL + bare))
    yield from (f"^{name}" for name in whole)
    yield from whole
    parts = bare.split(".")
    yield from (".".join(parts[start:]) for start in range(1, len(parts)))


def _updates(
    path: Path,
    known: Mapping[Place, Layer],
    places: tuple[Place, ...],
    roles: dict[str, tuple[str, Tensor]],
    alphas: _Alphas,
) -> list[tuple[Place, LowRank]]:
    """The update of a layer, or of each of several that the file has one under the other."""
    for role in ("down", "up"):
        if role not in roles:
            key = next(iter(roles.values()))[0]
            raise CheckpointError(f"{path} has {key}, but not the layer's other half, the {role}ward weight.")
    (down_key, down), (up_key, up) = roles["down"], roles["up"]
    if min(down.ndim, up.ndim) < 2 or not 1 <= len(down) <= HIGHEST_RANK or up.shape[1] != len(down):
        raise CheckpointError(
            f"{path}: {down_key} of shape {[*down.shape]} and {up_key} of shape {[*up.shape]} should meet in a rank "
            f"from 1 to {HIGHEST_RANK}."
        )
    alpha = None
    if "alpha" in roles:
        alpha_key, tensor = roles["alpha"]
        if tensor.numel() != 1:
            raise CheckpointError(f"{path}: {alpha_key} should be one number, but has the shape {[*tensor.shape]}.")
        alpha = float(tensor)
    magnitude = None
    if "magnitude" in roles:
        magnitude_key, magnitude = roles["magnitude"]
        by_inputs = len(up) > 1 and magnitude_key.endswith("dora_scale") and magnitude.shape[:1] == (1,)
        if magnitude.numel() != len(up) or by_inputs:
            raise CheckpointError(
                f"{path}: {magnitude_key} of shape {[*magnitude.shape]} is no DoRA by outputs, of which there are "
                f"{len(up)}; other DoRA is not supported."
            )
        magnitude = magnitude.flatten()
    rows = [len(known[place].weight) for place in places]
    if sum(rows) != len(up):
        raise CheckpointError(f"{path}: {up_key} of shape {[*up.shape]} should have {sum(rows)} rows.")
    made = []
    lengths = [None] * len(rows) if magnitude is None else magnitude.split(rows)
    for place, ups, length in zip(places, up.split(rows), lengths, strict=True):
        own = (down, ups) if len(places) == 1 else (down.clone(), ups.clone())
        update = LowRank(*own, alphas(place, len(down)) if alpha is None else alpha, length)
        if not update.fits(known[place]):
            raise CheckpointError(
                f"{path}: {down_key} of shape {[*down.shape]} and {up_key} of shape {[*up.shape]} do not fit "
                f"{place.part}.{place.layer}, whose weight has the shape {[*known[place].weight.shape]}."
            )
        made.append((place, update))
    return made
