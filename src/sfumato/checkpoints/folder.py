"""A model folder: one sub-folder per part, each as diffusers or transformers writes it, and what ties them together."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from sfumato import __version__
from sfumato.checkpoints.families import OURS
from sfumato.checkpoints.files import read_json, whole_folder, write_json, write_tensors
from sfumato.checkpoints.fill import build, fill
from sfumato.checkpoints.scheduler import Diffusion, from_config
from sfumato.checkpoints.tensors import Source
from sfumato.checkpoints.weights import open_weights
from sfumato.diffusion.levels import Process
from sfumato.errors import CheckpointError
from sfumato.networks.captioner import Captioner, CaptionerConfig
from sfumato.networks.classifier import Classifier, ClassifierConfig
from sfumato.networks.clip import ImageConfig, ImageEncoder, TextConfig, TextEncoder
from sfumato.networks.config import Config
from sfumato.networks.controlnet import ControlNet, ControlNetConfig
from sfumato.networks.flux import FluxConfig, FluxTransformer
from sfumato.networks.gpt2 import GPT2, GPT2Config
from sfumato.networks.k_unet import KUNet, KUNetConfig
from sfumato.networks.llama import Llama, LlamaConfig
from sfumato.networks.pixart import PixArtConfig, PixArtTransformer
from sfumato.networks.sd3 import SD3Config, SD3Transformer
from sfumato.networks.t2i_adapter import T2IAdapter, T2IAdapterConfig
from sfumato.networks.t5 import T5, T5Config
from sfumato.networks.tiny_vae import AutoencoderTiny, TinyAutoencoderConfig
from sfumato.networks.unet import UNet
from sfumato.networks.unet_config import UNetConfig
from sfumato.networks.vae import AutoencoderConfig, AutoencoderKL
from sfumato.networks.vector_autoencoder import VectorAutoencoder, VectorAutoencoderConfig
from sfumato.networks.vector_denoiser import VectorDenoiser, VectorDenoiserConfig


class Kind(NamedTuple):
    """How networks of one class are read; the class's name is the one in their `config.json`."""

    network: Callable[[Any], nn.Module]
    config: type[Config]
    library: str  # which opens them too


NETWORKS = {
    "AutoencoderKL": Kind(AutoencoderKL, AutoencoderConfig, "diffusers"),
    "AutoencoderTiny": Kind(AutoencoderTiny, TinyAutoencoderConfig, "diffusers"),
    "ControlNetModel": Kind(ControlNet, ControlNetConfig, "diffusers"),
    "FluxTransformer2DModel": Kind(FluxTransformer, FluxConfig, "diffusers"),
    "GPT2LMHeadModel": Kind(GPT2, GPT2Config, "transformers"),
    "KUNet": Kind(KUNet, KUNetConfig, "diffusers"),  # our name for a UNet2DConditionModel of other blocks
    "LlamaForCausalLM": Kind(Llama, LlamaConfig, "transformers"),
    "PixArtTransformer2DModel": Kind(PixArtTransformer, PixArtConfig, "diffusers"),
    "SD3Transformer2DModel": Kind(SD3Transformer, SD3Config, "diffusers"),
    "T2IAdapter": Kind(T2IAdapter, T2IAdapterConfig, "diffusers"),
    "T5EncoderModel": Kind(T5, T5Config, "transformers"),
    "CLIPTextModel": Kind(TextEncoder, TextConfig, "transformers"),
    "CLIPTextModelWithProjection": Kind(TextEncoder, TextConfig, "transformers"),
    "CLIPVisionModelWithProjection": Kind(ImageEncoder, ImageConfig, "transformers"),
    "UNet2DConditionModel": Kind(UNet, UNetConfig, "diffusers"),
    "Captioner": Kind(Captioner, CaptionerConfig, "sfumato"),
    "Classifier": Kind(Classifier, ClassifierConfig, "sfumato"),
    "VectorAutoencoder": Kind(VectorAutoencoder, VectorAutoencoderConfig, "sfumato"),
    "VectorDenoiser": Kind(VectorDenoiser, VectorDenoiserConfig, "sfumato"),
}
DIFFUSERS_WEIGHTS, TRANSFORMERS_WEIGHTS = "diffusion_pytorch_model", "model"  # how files with weights are called

# of which classes a part may be, the one first that a file means which says nothing; a part that is repeated, "unet_2",
# is of the kind "unet"
PARTS = {
    "vae": ("AutoencoderKL", "AutoencoderTiny"),
    "text_encoder": ("CLIPTextModel", "CLIPTextModelWithProjection", "T5EncoderModel"),
    "image_encoder": ("CLIPVisionModelWithProjection",),
    "clip_text_encoder": ("CLIPTextModelWithProjection",),
    "unet": ("UNet2DConditionModel", "KUNet"),
    "transformer": ("SD3Transformer2DModel", "FluxTransformer2DModel", "PixArtTransformer2DModel"),
    "controlnet": ("ControlNetModel", "T2IAdapter"),
    "upsampler": ("UNet2DConditionModel",),
    "restorer": ("UNet2DConditionModel",),
    "classifier": ("Classifier",),
    "vector_vae": ("VectorAutoencoder",),
    "prior": ("VectorDenoiser",),
    "captioner": ("Captioner",),
    "language_model": ("GPT2LMHeadModel", "LlamaForCausalLM"),
}
DENOISERS = ("unet", "transformer", "upsampler", "prior")  # trained along a process, which a scheduler's file tells

# what StableDiffusionPipeline of diffusers looks for
INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "vae": ("diffusers", "AutoencoderKL"),
    "text_encoder": ("transformers", "CLIPTextModel"),
    "tokenizer": ("transformers", "CLIPTokenizer"),
    "unet": ("diffusers", "UNet2DConditionModel"),
    "safety_checker": (None, None),
    "feature_extractor": (None, None),
    "image_encoder": ("transformers", "CLIPVisionModelWithProjection"),
    "requires_safety_checker": False,
}


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
        config = network.config.to_dict()  # type: ignore[union-attr, operator]
        write_json(temporary / "config.json", config)
        tensors = {key: value.to(dtype) for key, value in network.state_dict().items()}
        write_tensors(temporary / f"{stem_of(class_of(config, name))}.safetensors", tensors)
        if scheduler:
            write_json(temporary / "scheduler_config.json", scheduler)


def load_part(
    folder: Path, name: str, dtype: torch.dtype = torch.float32, device: str = "cpu", variant: str | None = None
) -> Any:
    """Read the sub-folder `name` of a model as a network; see `load_network`."""
    return load_network(folder / name, kind(name), dtype, device, variant)


def load_network(
    path: Path, part: str, dtype: torch.dtype = torch.float32, device: str = "cpu", variant: str | None = None
) -> Any:
    """Read a folder as a network in evaluation mode, of a class that the kind of part may be.

    `variant` is that of its weights, such as "fp16". Raises CheckpointError naming the file and the keys when something
    is missing, surplus, of another shape or not finite.
    """
    config = path / "config.json"
    return network_of(part, read_json(config), open_weights(path, variant), dtype, device, config)


def network_of(
    name: str, described: Mapping[str, Any], source: Source, dtype: torch.dtype, device: str, where: Path
) -> Any:
    """The part `name` that a `config.json` describes, filled from a source, in evaluation mode.

    `where` is the file that describes it, for messages. Raises CheckpointError as `load_part` does.
    """
    class_name = class_of(described, name)
    if class_name not in PARTS[kind(name)]:
        known = ", ".join(PARTS[kind(name)])
        raise CheckpointError(f"{where} is of a {class_name!r:.100}; a {kind(name)} may be: {known}.")
    config = NETWORKS[class_name].config.from_dict(described)
    try:
        network = build(lambda: NETWORKS[class_name].network(config), source)
    except (ValueError, TypeError, RuntimeError, ZeroDivisionError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{where} describes no network that can be built: {error}") from error
    fill(network, source, precision(config, dtype), device)
    return network.eval().requires_grad_(False)


def precision(config: Any, dtype: torch.dtype) -> torch.dtype:
    """In which type a network is computed that is asked for in `dtype`: some autoencoders overflow in float16."""
    return torch.float32 if dtype == torch.float16 and getattr(config, "force_upcast", False) else dtype


def class_of(config: Mapping[str, Any], name: str) -> Any:
    """The class that a part's `config.json` names, or means where it names none."""
    architectures = config.get("architectures")
    named = architectures[0] if isinstance(architectures, list | tuple) and architectures else None
    class_name = config.get("_class_name") or named or PARTS[kind(name)][0]
    blocks = config.get("down_block_types")
    of_k = isinstance(blocks, list | tuple) and any(str(block).startswith("K") for block in blocks[:1])
    if class_name == "UNet2DConditionModel" and of_k:
        return "KUNet"
    if class_name == "Transformer2DModel":  # before transformers had classes of their own
        return "PixArtTransformer2DModel"
    return class_name


def stem_of(class_name: str) -> str:
    """How the file with the weights of a network is called by the library that opens it too, without its ending."""
    return TRANSFORMERS_WEIGHTS if NETWORKS[class_name].library == "transformers" else DIFFUSERS_WEIGHTS


def has_part(folder: Path, name: str) -> bool:
    """Whether the sub-folder `name` is there."""
    return (folder / name / "config.json").is_file()


def kind(name: str) -> str:
    """What kind of part this is: "unet" for "unet" and "unet_2"."""
    return re.sub(r"_\d+$", "", name)


def clip_text(folder: Path) -> str:
    """The part whose texts meet the pictures of the image encoder.

    It is the text encoder, or where that learned on with the denoiser, which led it elsewhere, what it was before.
    """
    return "clip_text_encoder" if has_part(folder, "clip_text_encoder") else "text_encoder"


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
        index = INDEX | ({} if has_part(folder, "image_encoder") else {"image_encoder": (None, None)})
    else:
        network = "Transformer" if has_part(folder, "transformer") else ""
        index = {"_class_name": f"{OURS}{way.capitalize()}{network}"}
        if (folder / "tokenizer").is_dir():
            index["tokenizer"] = INDEX["tokenizer"]
        index |= {name: _library(folder, name) for each in PARTS for name in present(folder, each)}
    if scheduler:
        with whole_folder(folder / "scheduler") as temporary:
            write_json(temporary / "scheduler_config.json", scheduler)
        index["scheduler"] = ("diffusers", scheduler["_class_name"])
    write_json(folder / "sfumato.json", {"sfumato_version": __version__, **lineage})
    write_json(folder / "model_index.json", index)


def _library(folder: Path, name: str) -> tuple[str, str]:
    """Which library opens a part, and its name of the class."""
    class_name = class_of(read_json(folder / name / "config.json"), name)
    return NETWORKS[class_name].library, class_name


def load_diffusion(folder: Path, part: str = "unet") -> Diffusion:
    """How a denoiser was trained: the model's own, or that of a part which has its scheduler beside it."""
    path = folder / ("scheduler" if kind(part) in ("unet", "transformer") else part) / "scheduler_config.json"
    return from_config(read_json(path))


def load_process(folder: Path) -> Process | None:
    """The process that a scheduler's sub-folder tells of; None when it is not there."""
    path = folder / "scheduler_config.json"
    return from_config(read_json(path)).process if path.is_file() else None


def load_lineage(folder: Path) -> dict[str, Any]:
    """What `sfumato.json` says of how the model was made; empty for models from elsewhere."""
    path = folder / "sfumato.json"
    return read_json(path) if path.is_file() else {}
