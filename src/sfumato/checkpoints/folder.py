"""A model folder: one sub-folder per part, each as diffusers or transformers writes it, and what ties them together."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from sfumato import __version__
from sfumato.checkpoints.files import read_json, whole_folder, write_json, write_tensors
from sfumato.checkpoints.fill import build, fill
from sfumato.checkpoints.scheduler import Diffusion, from_config
from sfumato.checkpoints.weights import open_weights
from sfumato.errors import CheckpointError
from sfumato.networks.classifier import Classifier, ClassifierConfig
from sfumato.networks.clip import ImageConfig, ImageEncoder, TextConfig, TextEncoder
from sfumato.networks.config import Config
from sfumato.networks.unet import UNet
from sfumato.networks.unet_config import UNetConfig
from sfumato.networks.vae import AutoencoderConfig, AutoencoderKL
from sfumato.networks.vector_autoencoder import VectorAutoencoder, VectorAutoencoderConfig
from sfumato.networks.vector_denoiser import VectorDenoiser, VectorDenoiserConfig


class Part(NamedTuple):
    """How a part of a model is read."""

    network: type[nn.Module]
    config: type[Config]
    weights: str  # the file's name
    library: tuple[str, str]  # which opens it too, and its name of the network
    denoises: bool = False  # and was trained along a process, which a scheduler's configuration tells


DIFFUSERS_WEIGHTS = "diffusion_pytorch_model.safetensors"
TRANSFORMERS_WEIGHTS = "model.safetensors"

UNET = Part(UNet, UNetConfig, DIFFUSERS_WEIGHTS, ("diffusers", "UNet2DConditionModel"), denoises=True)

# a part that is repeated, "unet_2", is of the kind "unet"
PARTS = {
    "vae": Part(AutoencoderKL, AutoencoderConfig, DIFFUSERS_WEIGHTS, ("diffusers", "AutoencoderKL")),
    "text_encoder": Part(TextEncoder, TextConfig, TRANSFORMERS_WEIGHTS, ("transformers", "CLIPTextModel")),
    "image_encoder": Part(
        ImageEncoder, ImageConfig, TRANSFORMERS_WEIGHTS, ("transformers", "CLIPVisionModelWithProjection")
    ),
    "unet": UNET,
    "upsampler": UNET,
    "restorer": UNET._replace(denoises=False),
    "classifier": Part(Classifier, ClassifierConfig, DIFFUSERS_WEIGHTS, ("sfumato", "Classifier")),
    "vector_vae": Part(VectorAutoencoder, VectorAutoencoderConfig, DIFFUSERS_WEIGHTS, ("sfumato", "VectorAutoencoder")),
    "prior": Part(
        VectorDenoiser, VectorDenoiserConfig, DIFFUSERS_WEIGHTS, ("sfumato", "VectorDenoiser"), denoises=True
    ),
}

# the parts without which a model of each way to a picture makes none
NEEDED = {
    "latents": ("text_encoder", "unet", "vae"),
    "pixels": ("text_encoder", "unet"),
    "vectors": ("text_encoder", "vector_vae", "prior"),
    "gradient": ("classifier",),
    "cold": ("text_encoder", "restorer"),
}

# what StableDiffusionPipeline of diffusers looks for
INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "vae": PARTS["vae"].library,
    "text_encoder": PARTS["text_encoder"].library,
    "tokenizer": ("transformers", "CLIPTokenizer"),
    "unet": UNET.library,
    "safety_checker": (None, None),
    "feature_extractor": (None, None),
    "image_encoder": PARTS["image_encoder"].library,
    "requires_safety_checker": False,
}
OURS = "Sfumato"  # how the class names of models begin that diffusers has no pipeline for: SfumatoPixels


def save_part(
    folder: Path,
    name: str,
    network: nn.Module,
    dtype: torch.dtype = torch.float32,
    scheduler: dict[str, Any] | None = None,
) -> None:
    """Write a network as the sub-folder `name`, all or nothing, with its scheduler's configuration if it has its own.

    Equal weights give equal bytes.
    """
    with whole_folder(folder / name) as temporary:
        write_json(temporary / "config.json", network.config.to_dict())  # type: ignore[union-attr, operator]
        tensors = {key: value.to(dtype) for key, value in network.state_dict().items()}
        write_tensors(temporary / PARTS[kind(name)].weights, tensors)
        if scheduler:
            write_json(temporary / "scheduler_config.json", scheduler)


def load_part(folder: Path, name: str, dtype: torch.dtype = torch.float32, device: str = "cpu") -> Any:
    """Read the sub-folder `name` as a network in evaluation mode.

    Raises CheckpointError naming the file and the keys when something is missing, surplus, of another shape or not
    finite.
    """
    part, path = PARTS[kind(name)], folder / name
    config = part.config.from_dict(read_json(path / "config.json"))
    source = open_weights(path)
    try:
        network = build(lambda: part.network(config), source)
    except (ValueError, TypeError, RuntimeError, ZeroDivisionError) as error:
        raise CheckpointError(f"{path / 'config.json'} describes no network that can be built: {error}") from error
    fill(network, source, dtype, device)
    return network.eval().requires_grad_(False)


def has_part(folder: Path, name: str) -> bool:
    """Whether the sub-folder `name` is there."""
    return (folder / name / "config.json").is_file()


def kind(name: str) -> str:
    """What kind of part this is: "unet" for "unet" and "unet_2"."""
    return re.sub(r"_\d+$", "", name)


def present(folder: Path, kind: str) -> list[str]:
    """The parts of a kind that are there, in their order: "unet", "unet_2", ..."""
    names = itertools.chain([kind], (f"{kind}_{number}" for number in itertools.count(2)))
    return list(itertools.takewhile(lambda name: has_part(folder, name), names))


def save_index(folder: Path, way: str, scheduler: dict[str, Any] | None, lineage: dict[str, Any]) -> None:
    """Write what ties the parts together: `model_index.json`, the scheduler's configuration, and our `sfumato.json`.

    The index of a model with latents and one denoiser is that of a Stable Diffusion; others have a class name of ours,
    and diffusers opens their parts one by one.
    """
    index: dict[str, Any]
    if way == "latents" and len(present(folder, "unet")) == 1:
        index = dict(INDEX)
    else:
        index = {"_class_name": f"{OURS}{way.capitalize()}", "tokenizer": INDEX["tokenizer"]}
        index |= {name: part.library for each, part in PARTS.items() for name in present(folder, each)}
    if scheduler:
        with whole_folder(folder / "scheduler") as temporary:
            write_json(temporary / "scheduler_config.json", scheduler)
        index["scheduler"] = ("diffusers", scheduler["_class_name"])
    write_json(folder / "sfumato.json", {"sfumato_version": __version__, **lineage})
    write_json(folder / "model_index.json", index)


def load_way(folder: Path) -> str:
    """By which way the model makes pictures, as its index says; "latents" for models from elsewhere.

    Raises CheckpointError for a way that is not known here.
    """
    name = str(read_json(folder / "model_index.json").get("_class_name", ""))
    if not name.startswith(OURS):
        return "latents"
    way = name.removeprefix(OURS).lower()
    if way not in NEEDED:
        known = ", ".join(f"{OURS}{each.capitalize()}" for each in NEEDED)
        raise CheckpointError(f"{folder / 'model_index.json'} is of a {name}; known here: {known}.")
    return way


def load_diffusion(folder: Path, part: str = "unet") -> Diffusion:
    """How a denoiser was trained: the model's own, or that of a part which has its scheduler beside it."""
    path = folder / ("scheduler" if kind(part) == "unet" else part) / "scheduler_config.json"
    return from_config(read_json(path))


def load_lineage(folder: Path) -> dict[str, Any]:
    """What `sfumato.json` says of how the model was made; empty for models from elsewhere."""
    path = folder / "sfumato.json"
    return read_json(path) if path.is_file() else {}


def with_config(network: Any, **changes: Any) -> Any:
    """The same network with other values in its configuration, such as the scale of the latents."""
    network.config = replace(network.config, **changes)
    return network
