"""The layers of the latent upscaler's U-Net, whose normalisations hear the noise level."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import zip_longest

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sfumato.networks.attention import Attention, to_map, to_tokens

GROUP = 32  # channels that are normalised together


class KResnet(nn.Module):
    """Two convolutions as a residual branch, with normalisations that the embedding adapts.

    Args:
        inputs, inner, outputs: channels before, between and after the convolutions.
        width: channels of the embedding.
        eps: of the normalisations.
    """

    def __init__(self, inputs: int, inner: int, outputs: int, *, width: int, eps: float):
        super().__init__()
        self.norm1 = AdaptiveNorm(inputs, width, eps)
        self.conv1 = nn.Conv2d(inputs, inner, 3, padding=1)
        self.norm2 = AdaptiveNorm(inner, width, eps)
        self.conv2 = nn.Conv2d(inner, outputs, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(inputs, outputs, 1, bias=False) if inputs != outputs else None

    def forward(self, x: Float[Tensor, "b c h w"], embedding: Float[Tensor, "b e"]) -> Float[Tensor, "b k h w"]:
        """Gives `outputs` channels at the same size."""
        inner = self.conv1(F.gelu(self.norm1(x, embedding)))
        inner = self.conv2(F.gelu(self.norm2(inner, embedding)))
        return inner + (x if self.conv_shortcut is None else self.conv_shortcut(x))


class KAttention(nn.Module):
    """Pixels look at one another, in some places, and at the words.

    Args:
        channels: of the feature map.
        head: channels of one head.
        context_width: channels of the words' states.
        width: channels of the embedding.
        looks_around: whether pixels look at one another.
    """

    def __init__(self, channels: int, head: int, context_width: int, *, width: int, looks_around: bool):
        super().__init__()
        heads = channels // head
        self.norm1 = AdaptiveNorm(channels, width) if looks_around else None
        self.attn1 = Attention(channels, heads, head, bias=True) if looks_around else None
        self.norm2 = AdaptiveNorm(channels, width)
        self.attn2 = Attention(channels, heads, head, context_width, bias=True, norm_context=True)

    def forward(
        self,
        x: Float[Tensor, "b c h w"],
        embedding: Float[Tensor, "b e"],
        context: Float[Tensor, "b t d"],
        bias: Float[Tensor, "b 1 1 t"] | None,
    ) -> Float[Tensor, "b c h w"]:
        """Keeps the shape."""
        size = x.shape[-2:]
        if self.norm1 is not None and self.attn1 is not None:
            x = x + to_map(self.attn1(to_tokens(self.norm1(x, embedding))), size)
        return x + to_map(self.attn2(to_tokens(self.norm2(x, embedding)), context, bias), size)


class AdaptiveNorm(nn.Module):
    """A group normalisation whose scale and shift an embedding gives (Dhariwal & Nichol 2021, section 3.2).

    Args:
        channels: of the feature map.
        width: channels of the embedding.
        eps: of the normalisation.
    """

    def __init__(self, channels: int, width: int, eps: float = 1e-5):
        super().__init__()
        self.groups, self.eps = max(1, channels // GROUP), eps
        self.linear = nn.Linear(width, 2 * channels)

    def forward(self, x: Float[Tensor, "b c h w"], embedding: Float[Tensor, "b e"]) -> Float[Tensor, "b c h w"]:
        """Keeps the shape."""
        scale, shift = self.linear(embedding)[:, :, None, None].chunk(2, dim=1)
        return F.group_norm(x, self.groups, eps=self.eps) * (1 + scale) + shift


class KBlock(nn.Module):
    """One resolution, on the way down or up, from layers that are ready made."""

    def __init__(self, resnets: Iterable[KResnet], attentions: Iterable[KAttention]):
        super().__init__()
        self.resnets = nn.ModuleList(resnets)
        self.attentions = nn.ModuleList(attentions)

    def forward(
        self,
        x: Float[Tensor, "b c h w"],
        embedding: Float[Tensor, "b e"],
        context: Float[Tensor, "b t d"],
        bias: Float[Tensor, "b 1 1 t"] | None,
    ) -> Float[Tensor, "b k h w"]:
        """Keeps the size."""
        for resnet, attention in zip_longest(self.resnets, self.attentions):
            x = resnet(x, embedding)
            if attention is not None:
                x = attention(x, embedding, context, bias)
        return x


class RandomWaves(nn.Module):
    """Sines and cosines of random frequencies, which are not learned (Tancik et al. 2020, equation 5)."""

    def __init__(self, frequencies: int, *, cosine_first: bool):
        super().__init__()
        self.cosine_first = cosine_first
        self.weight = nn.Parameter(torch.randn(frequencies), requires_grad=False)

    def forward(self, t: Float[Tensor, " b"]) -> Float[Tensor, "b e"]:
        """Gives two waves for each frequency."""
        angles = 2 * math.pi * t[:, None] * self.weight.float()
        waves = (angles.cos(), angles.sin()) if self.cosine_first else (angles.sin(), angles.cos())
        return torch.cat(waves, dim=-1)


def halved(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
    """Halves height and width after smoothing by (1, 3, 3, 1) / 8 both ways, with mirrored edges."""
    return F.conv2d(F.pad(x, (1, 1, 1, 1), "reflect"), _smoothing(x), stride=2, groups=x.shape[1])


def doubled(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
    """Doubles height and width by the transpose of `halved`, four times as strong, with mirrored edges."""
    padded = F.pad(x, (1, 1, 1, 1), "reflect")
    return F.conv_transpose2d(padded, 4 * _smoothing(x), stride=2, padding=3, groups=x.shape[1])


def _smoothing(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "c 1 4 4"]:
    line = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=x.dtype, device=x.device) / 8
    return torch.outer(line, line).expand(x.shape[1], 1, 4, 4)
