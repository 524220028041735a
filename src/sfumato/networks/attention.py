"""Attention over pixels and words: the transformer that sits between the convolutions of a U-Net.

Axis letters in this room: b batch, c channels, k other channels that come out, h and w height and width, n tokens
(pixels in reading order), t words, d width of the words' states, e width of an embedding, p width of the space that
texts and pictures share.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from sfumato.networks.extras import Context, ImagePrompt

SHORT = 2**16  # scores a head, up to which they are kept for learning


def attend(
    q: Float[Tensor, "b n c"],
    k: Float[Tensor, "b t c"],
    v: Float[Tensor, "b t c"],
    heads: int,
    bias: Float[Tensor, "b 1 1 t"] | None = None,
    *,
    causal: bool = False,
) -> Float[Tensor, "b n c"]:
    """Mixes the values by how well each query matches each key, per head: softmax(q k' / sqrt(c / heads) + bias) v.

    Args:
        q: what each position asks for.
        k: what each position offers.
        v: what each position gives.
        heads: number of heads; divides c.
        bias: added to the scores before the softmax; 0 keeps a key, a large negative number hides it.
        causal: hide the keys that come after the query.

    Source: Vaswani et al. 2017, section 3.2.
    """
    b, n, c = q.shape
    q, k, v = (x.reshape(b, -1, heads, c // heads).transpose(1, 2) for x in (q, k, v))  # b heads n c/heads
    return attend_heads(q, k, v, bias, causal=causal).transpose(1, 2).reshape(b, n, c)


def attend_heads(
    q: Float[Tensor, "b heads n c"],
    k: Float[Tensor, "b heads t c"],
    v: Float[Tensor, "b heads t c"],
    bias: Float[Tensor, "*s t"] | None = None,
    *,
    causal: bool = False,
) -> Float[Tensor, "b heads n c"]:
    """Does what `attend` does where the heads stand apart; `bias` is of any shape that spreads to (b, heads, n, t)."""
    if q.is_cpu and q.requires_grad and q.shape[2] * k.shape[2] <= SHORT:
        return _written_out(q, k, v, bias, causal)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, is_causal=causal)


def _written_out(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, causal: bool) -> Tensor:
    """The same as products of matrices, which learn up to five times faster on a CPU while there are few tokens."""
    scores = q @ k.mT * q.shape[-1] ** -0.5
    if bias is not None:
        scores = scores + bias
    if causal:
        later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
        scores = scores.masked_fill(later, -torch.inf)
    return scores.softmax(-1).to(v.dtype) @ v


class Attention(nn.Module):
    """Attention of tokens to a context, or to one another where no context is given.

    Args:
        width: channels of the tokens.
        heads: number of heads.
        head_width: channels of one head.
        context_width: channels of the context; `width` when None.
        bias: whether queries, keys and values have one.
        norm_context: whether the context is normalised first.

    Attributes:
        number: which of a U-Net's cross-attentions this is; set by the U-Net.
    """

    number = 0

    def __init__(
        self,
        width: int,
        heads: int,
        head_width: int,
        context_width: int | None = None,
        *,
        bias: bool = False,
        norm_context: bool = False,
    ):
        super().__init__()
        inner = heads * head_width
        context_width = context_width or width
        self.heads = heads
        self.norm_cross = nn.LayerNorm(context_width) if norm_context else None
        self.to_q = nn.Linear(width, inner, bias=bias)
        self.to_k = nn.Linear(context_width, inner, bias=bias)
        self.to_v = nn.Linear(context_width, inner, bias=bias)
        self.to_out = nn.Sequential(nn.Linear(inner, width))

    def forward(
        self,
        x: Float[Tensor, "b n c"],
        context: Float[Tensor, "b t d"] | None = None,
        bias: Float[Tensor, "b 1 1 t"] | None = None,
        blind: Bool[Tensor, " b"] | None = None,
        images: Sequence[ImagePrompt] = (),
    ) -> Float[Tensor, "b n c"]:
        """Attends from `x` to `context`; `bias` as in `attend`.

        In the samples that are `blind` every token sees itself alone: the identity stands for the map of attention
        (Ahn et al. 2024). That is for attention of tokens to one another.

        The same queries look at each of `images` too, and what they find is added (Ye et al. 2023, equation 5).
        """
        context = self._normed(x if context is None else context)
        queries, values = self.to_q(x), self.to_v(context)
        mixed = attend(queries, self.to_k(context), values, self.heads, bias)
        if blind is not None:
            mixed = torch.where(blind[:, None, None], values, mixed)
        for image in images:
            if scale := image.scales[self.number]:
                found = attend(queries, image.keys[self.number], image.values[self.number], self.heads)
                mixed = mixed + scale * found
        return self.to_out(mixed)

    def queries_and_keys(
        self, x: Float[Tensor, "b n c"], context: Float[Tensor, "b t d"] | None = None
    ) -> tuple[Float[Tensor, "b n c"], Float[Tensor, "b t c"]]:
        """Gives what `forward` compares, all heads beside one another, for those who look on."""
        return self.to_q(x), self.to_k(self._normed(x if context is None else context))

    def _normed(self, context: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        return context if self.norm_cross is None else self.norm_cross(context)


class GEGLU(nn.Module):
    """A linear layer whose one half gates the other through a GELU (Shazeer 2020, equation 6)."""

    def __init__(self, width: int, inner: int):
        super().__init__()
        self.proj = nn.Linear(width, 2 * inner)

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n e"]:
        """Widens (b, n, width) to (b, n, inner)."""
        value, gate = self.proj(x).chunk(2, dim=-1)
        return value * F.gelu(gate)


class GELU(nn.Module):
    """A linear layer and a GELU, by its approximation with tanh (Hendrycks & Gimpel 2016, section 2)."""

    def __init__(self, width: int, inner: int):
        super().__init__()
        self.proj = nn.Linear(width, inner)

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n e"]:
        """Widens (b, n, width) to (b, n, inner)."""
        return F.gelu(self.proj(x), approximate="tanh")


class FeedForward(nn.Module):
    """Two layers on each token alone, four times wider in between; the first is gated (`GEGLU`) or not (`GELU`)."""

    def __init__(self, width: int, *, gated: bool = True):
        super().__init__()
        first = GEGLU(width, 4 * width) if gated else GELU(width, 4 * width)
        # The identity stands where the reference has a dropout, so that the last layer is number 2.
        self.net = nn.Sequential(first, nn.Identity(), nn.Linear(4 * width, width))

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """Keeps the shape."""
        return self.net(x)


class BasicTransformerBlock(nn.Module):
    """Pixels look at one another, then at the words, then each thinks for itself.

    Args:
        width, heads, head_width, context_width: as in `Attention`.
        only_cross: the first attention looks at the words too.
    """

    def __init__(self, width: int, heads: int, head_width: int, context_width: int, *, only_cross: bool = False):
        super().__init__()
        self.only_cross = only_cross
        self.norm1 = nn.LayerNorm(width)
        self.attn1 = Attention(width, heads, head_width, context_width if only_cross else None)
        self.norm2 = nn.LayerNorm(width)
        self.attn2 = Attention(width, heads, head_width, context_width)
        self.norm3 = nn.LayerNorm(width)
        self.ff = FeedForward(width)

    def forward(self, x: Float[Tensor, "b n c"], context: Context) -> Float[Tensor, "b n c"]:
        """Keeps the shape; without words the second attention looks at the pixels again.

        The pixels of `context.blind` samples do not look at one another in the first.
        """
        first = (context.states, context.bias) if self.only_cross else (None, None, context.blind)
        x = x + self.attn1(self.norm1(x), *first)
        x = x + self.attn2(self.norm2(x), context.states, context.bias, images=context.images)
        return x + self.ff(self.norm3(x))


class Transformer2DModel(nn.Module):
    """Transformer blocks on a feature map, as a residual branch.

    Args:
        channels: of the feature map.
        heads: number of heads, each `channels // heads` wide.
        context_width: channels of the words' states.
        depth: number of blocks.
        groups: of the normalisation.
        linear: project with linear layers (Stable Diffusion 2 and later) and not with 1x1 convolutions.
        only_cross: as in `BasicTransformerBlock`.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        context_width: int,
        *,
        depth: int = 1,
        groups: int = 32,
        linear: bool = False,
        only_cross: bool = False,
    ):
        super().__init__()
        head_width = channels // heads
        width = heads * head_width
        self.linear = linear
        self.norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.proj_in = nn.Linear(channels, width) if linear else nn.Conv2d(channels, width, 1)
        self.transformer_blocks = nn.ModuleList(
            BasicTransformerBlock(width, heads, head_width, context_width, only_cross=only_cross) for _ in range(depth)
        )
        self.proj_out = nn.Linear(width, channels) if linear else nn.Conv2d(width, channels, 1)

    def forward(self, x: Float[Tensor, "b c h w"], context: Context) -> Float[Tensor, "b c h w"]:
        """Keeps the shape."""
        size = x.shape[-2:]
        tokens = self.norm(x)
        tokens = self.proj_in(to_tokens(tokens)) if self.linear else to_tokens(self.proj_in(tokens))
        for block in self.transformer_blocks:
            tokens = block(tokens, context)
        # The sum begins with x, so that its memory format is the result's.
        return x + (to_map(self.proj_out(tokens), size) if self.linear else self.proj_out(to_map(tokens, size)))


def hiding(mask: Bool[Tensor, "b t"], dtype: torch.dtype) -> Float[Tensor, "b 1 1 t"]:
    """Gives the bias that hides the words where `mask` is False.

    It is a large finite number: where all are hidden, attention falls back to their average, not to NaN.
    """
    return (~mask).to(dtype)[:, None, None, :] * -10_000.0


def to_tokens(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n c"]:
    """Reads a feature map as tokens, row by row, in this order in memory; no copy when it lies channels-last."""
    return x.flatten(2).transpose(1, 2).contiguous()


def to_map(tokens: Float[Tensor, "b n c"], size: Sequence[int]) -> Float[Tensor, "b c h w"]:
    """Lays tokens out as a feature map of `size` (h, w) again."""
    b, _, c = tokens.shape
    return tokens.transpose(1, 2).reshape(b, c, *size)
