"""Which graphs a model consists of, under the names that the ONNX pipelines of diffusers and optimum use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from sfumato.checkpoints.graphs import Graph
from sfumato.errors import CheckpointError
from sfumato.networks.clip import TextEncoder
from sfumato.networks.flux import FluxTransformer
from sfumato.networks.sd3 import SD3Transformer
from sfumato.networks.t5 import T5
from sfumato.networks.unet import UNet
from sfumato.networks.unet_config import UNetConfig
from sfumato.networks.vae import Autoencoder
from sfumato.pipelines.model import Model, kind

MAP, TEXT = {0: "batch", 2: "height", 3: "width"}, {0: "batch", 1: "sequence"}
SIZES = ((2, 4, 6, 5), (3, 6, 4, 7))  # at which a network is traced, and checked: batch, height, width, words


def graphs(model: Model) -> Iterator[tuple[str, Graph]]:
    """The graphs of a model, by the names of their sub-folders.

    Raises:
        CheckpointError: a network for which there are no names, or which is known to have no graph.
    """
    if model.way not in ("latents", "pixels"):
        raise CheckpointError(f"The model {model.name} goes the way of {model.way}, for which ONNX has no pipeline.")
    for name, network in model.parts.items():
        match kind(name):
            case "vae":
                yield "vae_decoder", _decoder(network)
                yield "vae_encoder", _encoder(network)
            case "text_encoder" if isinstance(network, TextEncoder):
                yield name, _text(network, hidden=model.family.words != "clip")
            case "text_encoder" if model.family.words in ("sd3", "flux"):  # which hear the padding of T5 too
                yield name, _t5(network)
            case "unet" | "transformer" | "upsampler" if isinstance(network, UNet):
                yield name, _unet(network, _pooled_width(model))
            case "transformer" if isinstance(network, SD3Transformer | FluxTransformer):
                yield name, _transformer(network)
            case _:
                raise CheckpointError(f"The {name} of {model.name}, a {type(network).__name__}, has no ONNX graph yet.")


class Asked(nn.Module):
    """A network as a function of inputs in a row: `ask` puts the question in the words of the network."""

    def __init__(self, network: nn.Module, ask: Callable[..., Any]):
        super().__init__()
        self.network, self.ask = network, ask

    def forward(self, *inputs: Tensor) -> Any:
        """Asks."""
        return self.ask(*inputs)


def _text(encoder: TextEncoder, *, hidden: bool) -> Graph:
    config = encoder.config
    layers = config.num_hidden_layers
    outputs = ["last_hidden_state", "pooler_output"] + ["text_embeds"] * config.projects
    outputs += [f"hidden_states.{layers - 1}", f"hidden_states.{layers}"] * hidden

    def ids(batch: int, words: int) -> Tensor:
        drawn = _words(config.vocab_size, batch, words)
        drawn[:, -1] = config.eos_token_id
        return drawn

    def read(input_ids: Tensor) -> tuple[Tensor, ...]:
        said = [each for each in encoder(input_ids) if each is not None]
        return *said, *(encoder(input_ids, skip=skip, norm=False).states for skip in (1, 0) if hidden)

    full = config.max_position_embeddings
    first, other = {"input_ids": ids(2, full - 1)}, {"input_ids": ids(3, full)}
    return Graph(Asked(encoder, read), first, tuple(outputs), {"input_ids": TEXT}, other)


def _t5(encoder: T5) -> Graph:
    first, other = ({"input_ids": _words(encoder.config.vocab_size, batch, words)} for batch, *_, words in SIZES)
    return Graph(Asked(encoder, encoder), first, ("last_hidden_state",), {"input_ids": TEXT}, other)


def _decoder(vae: Autoencoder) -> Graph:
    first, other = ({"latent_sample": _normal(b, vae.config.latent_channels, h, w)} for b, h, w, _ in SIZES)
    return Graph(Asked(vae, vae.decode), first, ("sample",), {"latent_sample": MAP}, other)


def _encoder(vae: Autoencoder) -> Graph:
    f = vae.factor
    first, other = ({"sample": _normal(b, vae.config.in_channels, h * f, w * f)} for b, h, w, _ in SIZES)

    def encode(sample: Tensor) -> Tensor:
        return torch.cat(list(vae.encode(sample)), dim=1)  # mean and log variance

    return Graph(Asked(vae, encode), first, ("latent_parameters",), {"sample": MAP}, other)


def _unet(network: UNet, pooled: int) -> Graph:
    config = network.config
    listens = bool(network.cross_attentions())

    def inputs(batch: int, height: int, width: int, words: int) -> dict[str, Tensor]:
        f = config.factor
        told = {"sample": _normal(batch, config.in_channels, height * f, width * f), "timestep": torch.tensor([437.0])}
        if listens:
            told["encoder_hidden_states"] = _normal(batch, words, config.encoder_hid_dim or _width(config))
        if config.class_embed_type in ("timestep", None) and network.class_embedding is not None:
            told["class_labels"] = torch.full((batch,), 20, dtype=torch.int64)
        elif network.class_embedding is not None:
            told["class_labels"] = _normal(batch, config.class_width)
        if config.addition_embed_type == "text_time":
            numbers = (config.class_width - pooled) // (config.addition_time_embed_dim or 1)  # 6; for refiners 5
            told["text_embeds"] = _normal(batch, pooled)
            told["time_ids"] = torch.full((batch, numbers), 32.0)
        if config.time_cond_proj_dim is not None:
            told["timestep_cond"] = _normal(batch, config.time_cond_proj_dim)
        return told

    first, other = (inputs(*size) for size in SIZES)
    axes = {name: {0: "batch"} for name in first if name != "timestep"} | {"sample": MAP}
    if listens:
        axes["encoder_hidden_states"] = TEXT

    def ask(*inputs: Tensor) -> Tensor:
        told: dict[str, Any] = dict(zip(first, inputs, strict=True))
        if "time_ids" in told:
            told["added"] = {name: told.pop(name) for name in ("text_embeds", "time_ids")}
        return network(**told)

    return Graph(Asked(network, ask), first, ("out_sample",), axes, other)


def _pooled_width(model: Model) -> int:
    """Channels of what a text is as a whole, for Stable Diffusion XL: the second text encoder's projection."""
    encoder = model.parts.get("text_encoder_2")
    return encoder.config.projection_dim if isinstance(encoder, TextEncoder) else 0


def _width(config: UNetConfig) -> int:
    width = config.cross_attention_dim
    return width if isinstance(width, int) else width[0]


def _transformer(network: SD3Transformer | FluxTransformer) -> Graph:
    config = network.config
    flux = isinstance(network, FluxTransformer)
    names = ("sample", "out_sample") if flux else ("hidden_states", "out_hidden_states")
    channels, f = (config.sample_channels, 2) if flux else (config.in_channels, config.patch_size)  # type: ignore[union-attr]

    def inputs(batch: int, height: int, width: int, words: int) -> dict[str, Tensor]:
        told = {
            names[0]: _normal(batch, channels, height * f, width * f),
            "timestep": torch.tensor([437.0]),
            "encoder_hidden_states": _normal(batch, words, config.joint_attention_dim),
            "pooled_projections": _normal(batch, config.pooled_projection_dim),
        }
        return told | ({"guidance": torch.tensor([3.5])} if getattr(config, "guidance_embeds", False) else {})

    first, other = (inputs(*size) for size in SIZES)
    axes = {names[0]: MAP, "encoder_hidden_states": TEXT, "pooled_projections": {0: "batch"}}

    def ask(sample: Tensor, timestep: Tensor, states: Tensor, pooled: Tensor, *guidance: Tensor) -> Tensor:
        return network(sample, timestep, states, pooled=pooled, **({"guidance": guidance[0]} if guidance else {}))

    return Graph(Asked(network, ask), first, (names[1],), axes, other)


def _normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def _words(known: int, batch: int, words: int) -> Tensor:
    return torch.randint(known, (batch, words), generator=torch.Generator().manual_seed(words)).int()
