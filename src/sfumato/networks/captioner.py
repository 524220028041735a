"""A captioner: a convolutional network sees a picture, and a GPT that reads what it saw goes on with the caption.

What is seen stands before the text as vectors that are read like tokens (Mokady et al. 2021, section 3).

Axis letters in this file: b batch, p vectors of a picture, t tokens, d width, v vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from sfumato.networks.blocks import Downsample2D, ResnetBlock2D
from sfumato.networks.config import Config, divides, norm_groups, require
from sfumato.networks.llama import Llama, LlamaConfig

LARGEST = 4096  # pixels a side, and vectors of a picture; a file cannot ask for more and fill the memory


@dataclass(frozen=True)
class CaptionerConfig(Config):
    """What a `Captioner` is made of.

    Attributes:
        image_size: pixels a side of the pictures.
        patch_size: pixels a side that are taken together at first.
        channels: of each resolution after that, finest first; each next one is half as fine.
        vocab_size: tokens that there are.
        hidden_size, num_hidden_layers, num_attention_heads: of the GPT.
        caption_length: tokens of the longest caption, with start and end.
        bos_token_id, eos_token_id: the tokens before a caption and after it.
    """

    image_size: int = 64
    patch_size: int = 2
    channels: tuple[int, ...] = (48, 96, 128)
    vocab_size: int = 4096
    hidden_size: int = 128
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    caption_length: int = 32
    bos_token_id: int = 0
    eos_token_id: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        require(len(self.channels) > 0, self, "channels", why="at least one resolution is needed")
        require(min(self.channels) > 0, self, "channels", why="must be positive")
        require(0 < self.image_size <= LARGEST, self, "image_size", why=f"must be 1 to {LARGEST}")
        require(divides(self.coarsest, self.image_size), self, "image_size", "patch_size", "channels",
                why="the picture must be parted and halved evenly")  # fmt: skip
        require(self.vectors <= LARGEST, self, "image_size", "patch_size", why="are more vectors than are read")
        require(self.caption_length >= 2, self, "caption_length", why="must hold a start and an end")
        for name in ("bos_token_id", "eos_token_id"):
            require(0 <= getattr(self, name) < self.vocab_size, self, name, "vocab_size", why="is no token")
        _ = self.language

    @property
    def coarsest(self) -> int:
        """Pixels a side that a vector stands for."""
        return self.patch_size * 2 ** min(len(self.channels) - 1, 16)

    @property
    def vectors(self) -> int:
        """Vectors that tell of a picture."""
        return (self.image_size // self.coarsest) ** 2

    @property
    def language(self) -> LlamaConfig:
        """The configuration of the GPT, whose positions are those of picture and caption together."""
        return LlamaConfig(
            vocab_size=self.vocab_size,
            hidden_size=self.hidden_size,
            intermediate_size=-(-self.hidden_size // 12) * 32,  # 8/3 of the width (Shazeer 2020)
            num_hidden_layers=self.num_hidden_layers,
            num_attention_heads=self.num_attention_heads,
            max_position_embeddings=self.vectors + self.caption_length,
            tie_word_embeddings=True,
            bos_token_id=self.bos_token_id,
            eos_token_id=self.eos_token_id,
        )

    def fixed(self) -> dict[str, Any]:
        """Gives the mark by which the file is known."""
        return {"_class_name": "Captioner"}


class Captioner(nn.Module):
    """Gives for a picture and the words so far a score for each token that may come next."""

    def __init__(self, config: CaptionerConfig):
        super().__init__()
        self.config = config
        self.image_encoder = _ImageEncoder(config)
        self.projection = nn.Linear(config.channels[-1], config.hidden_size)
        self.position_embedding = nn.Parameter(torch.zeros(config.vectors, config.hidden_size))
        self.language_model = Llama(config.language)

    def forward(self, pictures: Float[Tensor, "b 3 h w"], ids: Int[Tensor, "b t"]) -> Float[Tensor, "b t v"]:
        """Scores what may come after each token of captions.

        Args:
            pictures: in [-1, 1], of `config.image_size`.
            ids: captions from their start token on, at most `config.caption_length`.

        Raises:
            ValueError: pictures of another size, or too many tokens.
        """
        return self.language_model(ids, prefix=self.prefix(pictures))

    def prefix(self, pictures: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b p d"]:
        """Gives the vectors that tell the GPT of pictures, row by row; raises ValueError for those of another size."""
        side = self.config.image_size
        if pictures.shape[-2:] != (side, side):
            raise ValueError(f"{tuple(pictures.shape[-2:])}: this captioner sees pictures of {side} x {side} pixels")
        seen = self.image_encoder(pictures).flatten(2).transpose(1, 2)  # b p c
        return self.projection(seen) + self.position_embedding


class _ImageEncoder(nn.Module):
    """Residual blocks at ever coarser resolutions (He et al. 2016): they tell counts and places after few pictures."""

    def __init__(self, config: CaptionerConfig):
        super().__init__()
        channels, groups, patch = config.channels, norm_groups(config.channels), config.patch_size
        self.conv_in = nn.Conv2d(3, channels[0], patch + 2, stride=patch, padding=1)
        self.layers = nn.ModuleList([ResnetBlock2D(channels[0], channels[0], groups=groups)])
        for finer, coarser in pairwise(channels):
            self.layers += [Downsample2D(finer), ResnetBlock2D(finer, coarser, groups=groups)]
        self.layers += [ResnetBlock2D(channels[-1], channels[-1], groups=groups)]
        self.norm = nn.GroupNorm(groups, channels[-1])

    def forward(self, pictures: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h2 w2"]:
        x = self.conv_in(pictures)
        for layer in self.layers:
            x = layer(x)
        return F.silu(self.norm(x))
