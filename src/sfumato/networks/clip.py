"""CLIP: a text encoder and an image encoder that meet in one space, and the loss that brings them together.

Radford et al. 2021, "Learning transferable visual models from natural language supervision".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sfumato.networks.attention import attend
from sfumato.networks.config import Config, divides, require

MAX_LOGIT_SCALE = math.log(100)  # Radford et al. 2021, section 2.5


def quick_gelu(x: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """Approximates the GELU by x * sigmoid(1.702 x), as the first CLIP models do (Hendrycks & Gimpel 2016)."""
    return x * torch.sigmoid(1.702 * x)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"quick_gelu": quick_gelu, "gelu": F.gelu}


@dataclass(frozen=True)
class _ClipConfig(Config):
    """What both encoders have in common."""

    hidden_size: int = 512
    intermediate_size: int = 2048
    num_hidden_layers: int = 12
    num_attention_heads: int = 8
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5
    projection_dim: int = 512

    ignored: ClassVar[frozenset[str]] = frozenset(
        {"initializer_factor", "initializer_range", "torch_dtype", "dtype", "transformers_version"}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        fits = divides(self.num_attention_heads, self.hidden_size)
        require(fits, self, "hidden_size", "num_attention_heads", why="the heads must divide the width")
        require(self.hidden_act in ACTIVATIONS, self, "hidden_act", why=f"must be one of {sorted(ACTIVATIONS)}")


@dataclass(frozen=True)
class TextConfig(_ClipConfig):
    """What a `TextEncoder` is made of, under the names of its `config.json`.

    `architectures` says whether a projection is there: "CLIPTextModelWithProjection" has one, "CLIPTextModel" none.
    `eos_token_id` marks the end of the text; 2 is what files from before 2023 say for "the highest id".
    """

    vocab_size: int = 49408
    max_position_embeddings: int = 77
    pad_token_id: int | None = 1
    bos_token_id: int | None = 49406
    eos_token_id: int = 49407
    architectures: tuple[str, ...] = ("CLIPTextModelWithProjection",)

    def __post_init__(self) -> None:
        super().__post_init__()
        known = self.architectures in (("CLIPTextModelWithProjection",), ("CLIPTextModel",))
        require(known, self, "architectures", why="must be CLIPTextModel or CLIPTextModelWithProjection")

    @property
    def projects(self) -> bool:
        """Whether the pooled state is projected into the space shared with pictures."""
        return self.architectures == ("CLIPTextModelWithProjection",)

    def fixed(self) -> dict[str, Any]:
        """Gives the reference's keys that have one supported value."""
        return {"model_type": "clip_text_model", "attention_dropout": 0.0, "dropout": 0.0}


@dataclass(frozen=True)
class ImageConfig(_ClipConfig):
    """What an `ImageEncoder` is made of, under the names of its `config.json`.

    Pictures and patches are squares of `image_size` and `patch_size` pixels.
    """

    hidden_size: int = 768
    intermediate_size: int = 3072
    num_attention_heads: int = 12
    num_channels: int = 3
    image_size: int = 224
    patch_size: int = 32

    def fixed(self) -> dict[str, Any]:
        """Gives the reference's keys that have one supported value."""
        return {
            "model_type": "clip_vision_model",
            "architectures": ["CLIPVisionModelWithProjection"],
            "attention_dropout": 0.0,
            "dropout": 0.0,
        }


class TextStates(NamedTuple):
    """What a text encoder says about prompts.

    Attributes:
        states: one state for each token, (b, t, d).
        pooled: the state at the end of the text, which has seen all of it, (b, d).
        projected: `pooled` in the space shared with pictures, (b, p); None for an encoder without projection.
    """

    states: Float[Tensor, "b t d"]
    pooled: Float[Tensor, "b d"]
    projected: Float[Tensor, "b p"] | None


class TextEncoder(nn.Module):
    """The text half of CLIP: a causal transformer over tokens (Radford et al. 2021, section 2.4).

    Parameters carry the names of transformers' `CLIPTextModelWithProjection`. A state dict without the prefix
    `text_model.`, as a bare `CLIPTextModel` saves it, loads as well.
    """

    def __init__(self, config: TextConfig):
        super().__init__()
        self.config = config
        self.text_model = _TextModel(config)
        width = config.hidden_size
        self.text_projection = nn.Linear(width, config.projection_dim, bias=False) if config.projects else None
        self.register_load_state_dict_pre_hook(_accept_bare_names)

    def forward(self, ids: Int[Tensor, "b t"], *, skip: int = 0, norm: bool = True) -> TextStates:
        """Encodes token ids.

        Args:
            ids: prompts that end in `config.eos_token_id`, then padding of any kind; t is at most
                `config.max_position_embeddings`.
            skip: take `states` from that many layers before the last (1 for Stable Diffusion XL). The pooled state
                comes from the last layer always.
            norm: apply the final normalisation to `states`; not done for Stable Diffusion XL.

        Raises:
            ValueError: more tokens than there are positions, or more layers skipped than there are.
        """
        model = self.text_model
        kept, skipped = model.encoder.parted(skip)
        x = model.embeddings(ids)
        for layer in kept:
            x = layer(x, causal=True)
        states = x
        for layer in skipped:
            x = layer(x, causal=True)
        last = model.final_layer_norm(x)
        if norm:
            states = model.final_layer_norm(states) if skip else last
        pooled = last[torch.arange(ids.shape[0], device=ids.device), self._ends(ids)]
        return TextStates(states, pooled, None if self.text_projection is None else self.text_projection(pooled))

    def _ends(self, ids: Int[Tensor, "b t"]) -> Int[Tensor, " b"]:
        """Finds the first end-of-text token; argmax gives the first of equals."""
        eos = self.config.eos_token_id
        return ids.argmax(dim=1) if eos == 2 else (ids == eos).int().argmax(dim=1)


class ImageEncoder(nn.Module):
    """The image half of CLIP: a vision transformer over patches (Dosovitskiy et al. 2021).

    Parameters carry the names of transformers' `CLIPVisionModelWithProjection`.
    """

    def __init__(self, config: ImageConfig):
        super().__init__()
        self.config = config
        self.vision_model = _VisionModel(config)
        self.visual_projection = nn.Linear(config.hidden_size, config.projection_dim, bias=False)
        self.register_load_state_dict_pre_hook(_drop_positions)

    def forward(self, pixels: Float[Tensor, "b c h w"]) -> Float[Tensor, "b p"]:
        """Gives one vector per picture, in the space shared with texts.

        Args:
            pixels: pictures of `config.image_size`, normalised as the model was trained.

        Raises:
            ValueError: pictures of another size.
        """
        return self.visual_projection(self.vision_model.post_layernorm(self.states(pixels)[:, 0]))

    def states(self, pixels: Float[Tensor, "b c h w"], *, skip: int = 0) -> Float[Tensor, "b n d"]:
        """Gives the state of the whole picture, then of each patch row by row; `skip` layers before the last."""
        model = self.vision_model
        kept, _ = model.encoder.parted(skip)
        x = model.pre_layrnorm(model.embeddings(pixels))
        for layer in kept:
            x = layer(x)
        return x


def contrastive_loss(
    image_embeds: Float[Tensor, "b p"],
    text_embeds: Float[Tensor, "b p"],
    logit_scale: Float[Tensor, ""],
    same: Bool[Tensor, "b b"] | None = None,
) -> Float[Tensor, ""]:
    """Asks of each picture which text is its own, and of each text which picture (Radford et al. 2021, figure 3).

    Args:
        image_embeds: projected pictures, of any length; on many devices, those of all of them.
        text_embeds: projected texts, in the same order.
        logit_scale: logarithm of the inverse temperature, a learned scalar; taken as ln 100 where it is above that,
            and without gradient there.
        same: `same[i, j]` where text j says of picture i what its own text says: each row then shares its target
            evenly (Khosla et al. 2020, equation 2). Pairs are always the same as themselves.

    Returns:
        The mean of both cross-entropies in nats, computed in float32.
    """
    with torch.autocast(image_embeds.device.type, enabled=False):  # scores times 100 are too coarse in half precision
        images = F.normalize(image_embeds.float(), dim=-1)
        texts = F.normalize(text_embeds.float(), dim=-1)
        logits = logit_scale.float().clamp(max=MAX_LOGIT_SCALE).exp() * images @ texts.T
        own = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
        pairs = (own if same is None else own | same).float()
        of_images = F.cross_entropy(logits, pairs / pairs.sum(dim=1, keepdim=True))
        of_texts = F.cross_entropy(logits.T, pairs.T / pairs.T.sum(dim=1, keepdim=True))
        return (of_images + of_texts) / 2


def alteration_loss(
    image_embeds: Float[Tensor, "b p"],
    text_embeds: Float[Tensor, "b p"],
    altered_embeds: Float[Tensor, "b k p"],
    logit_scale: Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """Asks of each picture which text is its own, among it and altered ones (Yuksekgonul et al. 2023, section 4).

    In a batch two texts rarely differ in one fact alone, so that the contrastive loss hardly asks for counts or places.

    Args:
        image_embeds, text_embeds, logit_scale: as in `contrastive_loss`.
        altered_embeds: of each picture, projected texts that do not say what its own one says.

    Returns:
        The mean cross-entropy in nats, computed in float32.
    """
    with torch.autocast(image_embeds.device.type, enabled=False):
        images = F.normalize(image_embeds.float(), dim=-1)
        texts = F.normalize(torch.cat([text_embeds[:, None], altered_embeds], dim=1).float(), dim=-1)
        logits = logit_scale.float().clamp(max=MAX_LOGIT_SCALE).exp() * (texts @ images[:, :, None])[:, :, 0]
        return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.int64, device=logits.device))


class _TextModel(nn.Module):
    def __init__(self, config: TextConfig):
        super().__init__()
        self.embeddings = _TextEmbeddings(config)
        self.encoder = _Layers(config)
        self.final_layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)


class _VisionModel(nn.Module):
    def __init__(self, config: ImageConfig):
        super().__init__()
        self.embeddings = _PatchEmbeddings(config)
        self.pre_layrnorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)  # the reference's spelling
        self.encoder = _Layers(config)
        self.post_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)


class _TextEmbeddings(nn.Module):
    def __init__(self, config: TextConfig):
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position_embedding = nn.Embedding(config.max_position_embeddings, config.hidden_size)

    def forward(self, ids: Int[Tensor, "b t"]) -> Float[Tensor, "b t d"]:
        tokens, positions = ids.shape[1], self.position_embedding.num_embeddings
        if tokens > positions:
            raise ValueError(f"{tokens} tokens: this text encoder reads at most {positions}")
        return self.token_embedding(ids) + self.position_embedding.weight[:tokens]


class _PatchEmbeddings(nn.Module):
    def __init__(self, config: ImageConfig):
        super().__init__()
        self.size = config.image_size
        edge, patches = config.patch_size, (config.image_size // config.patch_size) ** 2
        self.class_embedding = nn.Parameter(torch.randn(config.hidden_size))
        self.patch_embedding = nn.Conv2d(config.num_channels, config.hidden_size, edge, stride=edge, bias=False)
        self.position_embedding = nn.Embedding(patches + 1, config.hidden_size)

    def forward(self, pixels: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n d"]:
        if pixels.shape[-2:] != (self.size, self.size):
            height, width = pixels.shape[-2:]
            raise ValueError(f"{height}x{width} pixels: this image encoder sees {self.size}x{self.size}")
        patches = self.patch_embedding(pixels).flatten(2).transpose(1, 2)
        whole = self.class_embedding.expand(len(pixels), 1, -1)
        return torch.cat([whole, patches], dim=1) + self.position_embedding.weight


class _Layers(nn.Module):
    def __init__(self, config: _ClipConfig):
        super().__init__()
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.num_hidden_layers))

    def parted(self, skip: int) -> tuple[list[nn.Module], list[nn.Module]]:
        layers, depth = list(self.layers), len(self.layers)
        if not 0 <= skip <= depth:
            raise ValueError(f"skip={skip}: this encoder has {depth} layers")
        return layers[: depth - skip], layers[depth - skip :]


class _Layer(nn.Module):
    def __init__(self, config: _ClipConfig):
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.self_attn = _SelfAttention(config)
        self.layer_norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = _MLP(config)

    def forward(self, x: Float[Tensor, "b n d"], *, causal: bool = False) -> Float[Tensor, "b n d"]:
        x = x + self.self_attn(self.layer_norm1(x), causal=causal)
        return x + self.mlp(self.layer_norm2(x))


class _SelfAttention(nn.Module):
    def __init__(self, config: _ClipConfig):
        super().__init__()
        width = config.hidden_size
        self.heads = config.num_attention_heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Float[Tensor, "b n d"], *, causal: bool) -> Float[Tensor, "b n d"]:
        return self.out_proj(attend(self.q_proj(x), self.k_proj(x), self.v_proj(x), self.heads, causal=causal))


class _MLP(nn.Module):
    def __init__(self, config: _ClipConfig):
        super().__init__()
        self.activation = ACTIVATIONS[config.hidden_act]
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        return self.fc2(self.activation(self.fc1(x)))


def _drop_positions(module: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    """Older files also hold the numbers 0, 1, 2, ... that positions are looked up by."""
    for key in [key for key in state if key.startswith(prefix) and key.endswith("embeddings.position_ids")]:
        del state[key]


def _accept_bare_names(module: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    _drop_positions(module, state, prefix)
    for part in ("embeddings.", "encoder.", "final_layer_norm."):
        for key in [key for key in state if key.startswith(prefix + part)]:
            state[f"{prefix}text_model.{key.removeprefix(prefix)}"] = state.pop(key)
