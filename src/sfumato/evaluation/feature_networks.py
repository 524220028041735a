"""Which network gives the features: the model's own CLIP, or weights that the user has."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.checkpoints.clip import is_whole_clip, load_half
from sfumato.checkpoints.files import read_json
from sfumato.checkpoints.folder import clip_text, has_part, load_lineage, load_network, load_part
from sfumato.data.tokens import CLIP_SIZE, END, Tokenizer
from sfumato.errors import CheckpointError
from sfumato.evaluation.features import FeatureNetwork
from sfumato.networks.clip import ImageEncoder, TextEncoder
from sfumato.pipelines.finding import embedded, find

OURS = "ours"
MEAN, SPREAD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # CLIP's (Radford et al. 2021)
IMAGENET_MEAN, IMAGENET_SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # DINOv2's
DINO_SIDE = 224  # pixels
WITH_SCRIPTS = (".pt", ".pth", ".pkl", ".onnx", ".pb")  # how the weights of Inception are passed on

Triple = tuple[float, float, float]


class Sight(NamedTuple):
    """How a network wants its pictures."""

    mean: Triple
    spread: Triple
    side: int | None = None


def feature_network(which: str, model: Path, device: torch.device) -> FeatureNetwork:
    """The network that is named, in float32.

    Args:
        which: "ours" for the image encoder in the model's folder, or else that of the model that comes with sfumato;
            an embedded model's name; or the path of a model folder, or of a CLIP or DINOv2 as transformers saves them.
        model: the model that is measured.
        device: where it computes.

    Raises CheckpointError when there is no such network, saying what can be given.
    """
    if which == OURS:
        return _of_model(model if has_part(model, "image_encoder") else find(None), device)
    if which in embedded():
        return _of_model(find(which), device)
    path = Path(which)
    if "inception" in path.name.lower() or path.suffix in WITH_SCRIPTS:
        raise CheckpointError(_no_inception(which))
    if not path.is_dir():
        raise CheckpointError(f"There are no features {which!r:.300}. {_what_there_is()}")
    if has_part(path, "image_encoder"):
        return _of_model(path, device)
    if not (path / "config.json").is_file():
        raise CheckpointError(f"{path} holds no network that sees pictures. {_what_there_is()}")
    config = read_json(path / "config.json")
    if is_whole_clip(config):
        return _whole_clip(path, device)
    if config.get("model_type") == "clip_vision_model":
        encoder: ImageEncoder = load_network(path, "image_encoder", device=str(device))
        sight = _sight(path, Sight(MEAN, SPREAD))
        return _clip(path.name, encoder, sight, device)
    if config.get("model_type") in ("dinov2", "dinov2_with_registers"):
        return _dino(path, device)
    raise CheckpointError(f"{path} is of {config.get('model_type')!r:.100}, not known here. {_what_there_is()}")


def _what_there_is() -> str:
    return 'Give "ours", or the path of a model folder, or of a CLIP or DINOv2 as transformers saves them.'


def _no_inception(which: str) -> str:
    return (
        f"{which}: Inception is passed on as a program or a pickle, which are not opened, and its network comes with "
        "torchvision, which sfumato does not use. Give the folder of a CLIP or DINOv2 instead; those by DINOv2 agree "
        "better with people's eyes (Stein et al. 2023). For an FID that others report, give the saved pictures to "
        "their own program."
    )


def _of_model(folder: Path, device: torch.device) -> FeatureNetwork:
    """The image encoder of a model folder, and its text encoder where both meet in one space."""
    encoder: ImageEncoder = load_part(folder, "image_encoder", device=str(device))
    ours = bool(load_lineage(folder))  # trained on pictures in [-1, 1] as they are
    sight = Sight((0.5,) * 3, (0.5,) * 3) if ours else _sight(folder / "feature_extractor", Sight(MEAN, SPREAD))
    read = None
    if ours and has_part(folder, clip_text(folder)) and (folder / "tokenizer").is_dir():
        text: TextEncoder = load_part(folder, clip_text(folder), device=str(device))
        if text.config.projects and text.config.projection_dim == encoder.config.projection_dim:
            read = _reader(text, Tokenizer.load(folder / "tokenizer"), device)
    name = load_lineage(folder).get("name", folder.name)
    return _clip(f"{name}/image_encoder", encoder, sight, device, read)


def _whole_clip(folder: Path, device: torch.device) -> FeatureNetwork:
    image: Any = load_half(folder, "image_encoder", str(device))
    text: Any = load_half(folder, "text_encoder", str(device))
    if (folder / "vocab.json").is_file():
        read = _reader(text, Tokenizer.load(folder), device)
    elif text.config.vocab_size == CLIP_SIZE:
        read = _reader(text, Tokenizer.clip("!" if text.config.hidden_act == "gelu" else END), device)
    else:
        read = None
    return _clip(folder.name, image, _sight(folder, Sight(MEAN, SPREAD)), device, read)


def _clip(
    name: str,
    encoder: ImageEncoder,
    sight: Sight,
    device: torch.device,
    read: Callable[[list[str]], Tensor] | None = None,
) -> FeatureNetwork:
    return FeatureNetwork(name, encoder.config.image_size, encoder, device, sight.mean, sight.spread, read)


def _reader(encoder: TextEncoder, tokenizer: Tokenizer, device: torch.device) -> Callable[[list[str]], Tensor]:
    def read(texts: list[str]) -> Float[Tensor, "b p"]:
        projected = encoder(tokenizer.encode(texts).to(device)).projected
        assert projected is not None
        return projected

    return read


def _dino(folder: Path, device: torch.device) -> FeatureNetwork:
    """The state of the whole picture after DINOv2's last normalisation (Oquab et al. 2024)."""
    try:
        transformers = importlib.import_module("transformers")
    except ImportError:
        raise CheckpointError(
            f"{folder} is a DINOv2, for which transformers is needed: pip install 'sfumato[t5]'."
        ) from None
    try:
        network = transformers.AutoModel.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
        )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise CheckpointError(f"{folder} is no DINOv2 that transformers can open: {error}") from error
    network = network.to(device).eval().requires_grad_(False)

    def look(pixels: Tensor) -> Tensor:
        return network(pixel_values=pixels).last_hidden_state[:, 0]

    sight = _sight(folder, Sight(IMAGENET_MEAN, IMAGENET_SPREAD, DINO_SIDE))
    return FeatureNetwork(folder.name, sight.side or DINO_SIDE, look, device, sight.mean, sight.spread)


def _sight(folder: Path, usual: Sight) -> Sight:
    """What a `preprocessor_config.json` says of its pictures; the usual where there is none."""
    path = folder / "preprocessor_config.json"
    if not path.is_file():
        return usual
    told = read_json(path)
    mean, spread = told.get("image_mean", usual.mean), told.get("image_std", usual.spread)
    if not (_is_triple(mean) and _is_triple(spread) and min(spread) > 0):
        raise CheckpointError(f"{path}: image_mean and image_std should be three numbers each, the latter above 0.")
    return Sight(tuple(mean), tuple(spread), _side(told.get("crop_size")) or usual.side)


def _is_triple(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 3 and all(isinstance(v, int | float) for v in value)


def _side(told: Any) -> int | None:
    side = told.get("height") if isinstance(told, Mapping) else told
    return side if isinstance(side, int) and not isinstance(side, bool) and 0 < side <= 4096 else None
