"""The convolutional pieces that the autoencoder and the U-Net share, and the embedding of a noise level."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class ResnetBlock2D(nn.Module):
    """Two convolutions as a residual branch; an embedding, where there is one, is added between them.

    Args:
        inputs, outputs: channels.
        embedding_width: channels of the embedding; None for a block that takes none.
        groups, eps: of the normalisations.
        dropout: probability, before the second convolution.

    Source: He et al. 2016; with the embedding, Ho et al. 2020, appendix B.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        embedding_width: int | None = None,
        *,
        groups: int = 32,
        eps: float = 1e-6,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.dropout = dropout
        self.norm1 = nn.GroupNorm(groups, inputs, eps=eps)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.time_emb_proj = nn.Linear(embedding_width, outputs) if embedding_width else None
        self.norm2 = nn.GroupNorm(groups, outputs, eps=eps)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else None

    def forward(
        self, x: Float[Tensor, "b c h w"], embedding: Float[Tensor, "b e"] | None = None
    ) -> Float[Tensor, "b k h w"]:
        """Gives `outputs` channels at the same size; `embedding` comes with its activation already applied."""
        inner = self.conv1(F.silu(self.norm1(x)))
        if self.time_emb_proj is not None:
            inner = inner + self.time_emb_proj(embedding)[:, :, None, None]
        inner = F.silu(self.norm2(inner))
        if self.dropout:
            inner = F.dropout(inner, self.dropout, self.training)
        shortcut = x if self.conv_shortcut is None else self.conv_shortcut(x)
        return shortcut + self.conv2(inner)


class Downsample2D(nn.Module):
    """Halves height and width with a strided convolution.

    Args:
        channels: kept.
        padding: 1 pads all around (U-Net); 0 pads one pixel at the right and at the bottom only (autoencoder).
    """

    def __init__(self, channels: int, padding: int = 1):
        super().__init__()
        self.one_sided = padding == 0
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=padding)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
        """Gives half the size; an odd one is rounded up by the U-Net's padding and down by the autoencoder's."""
        return self.conv(F.pad(x, (0, 1, 0, 1)) if self.one_sided else x)


class Upsample2D(nn.Module):
    """Enlarges by repeating pixels, then smooths with a convolution (Odena et al. 2016)."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Float[Tensor, "b c h w"], size: tuple[int, int] | None = None) -> Float[Tensor, "b c h2 w2"]:
        """Gives `size` (h2, w2), or double the size without it."""
        scale = 2.0 if size is None else None
        return self.conv(F.interpolate(x, size=size, scale_factor=scale, mode="nearest"))


class TimestepEmbedding(nn.Module):
    """Two layers that turn the waves of a noise level, or any other vector, into an embedding.

    Args:
        inputs: channels of the vector.
        width: channels of the embedding.
        activation: between the layers.
        condition_width: channels of another vector that joins the first.
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        activation: Callable[[Tensor], Tensor] = F.silu,
        *,
        condition_width: int | None = None,
    ):
        super().__init__()
        self.activation = activation
        self.linear_1 = nn.Linear(inputs, width)
        self.linear_2 = nn.Linear(width, width)
        self.cond_proj = nn.Linear(condition_width, inputs, bias=False) if condition_width else None

    def forward(
        self, x: Float[Tensor, "*b c"], condition: Float[Tensor, "*b k"] | None = None
    ) -> Float[Tensor, "*b e"]:
        """Gives (*b, width); `condition` is there if and only if `condition_width` is."""
        if self.cond_proj is not None:
            x = x + self.cond_proj(condition)
        return self.linear_2(self.activation(self.linear_1(x)))


def sinusoids(
    t: Float[Tensor, "*b"], width: int, *, cosine_first: bool = True, shift: float = 0.0
) -> Float[Tensor, "*b c"]:
    """Describes numbers by sines and cosines of `width // 2` wavelengths, from 2 pi to 10,000 times that.

    Args:
        t: the numbers, for example timesteps in [0, 1000]; fractions are welcome.
        width: channels of the result; an odd one ends in a zero.
        cosine_first: cosines before sines, as Stable Diffusion has them.
        shift: 1 makes the longest wavelength exactly 10,000 times the shortest, 0 stops one step before it.

    Source: Vaswani et al. 2017, section 3.5; Ho et al. 2020, appendix B.
    """
    half = width // 2
    frequencies = torch.exp(torch.arange(half, device=t.device) * (-math.log(10_000) / (half - shift)))
    angles = t.float().unsqueeze(-1) * frequencies
    waves = (angles.cos(), angles.sin()) if cosine_first else (angles.sin(), angles.cos())
    return F.pad(torch.cat(waves, dim=-1), (0, width % 2))
