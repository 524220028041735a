"""What the diffusion transformers share: modulation by an embedding, and attention of picture and text together.

Axis letters as in `attention`; n counts the tokens of a picture, t those of its text, s both.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from sfumato.networks.attention import FeedForward, attend
from sfumato.networks.blocks import TimestepEmbedding, sinusoids

WAVES = 256  # channels that describe a timestep, or another number
EPS = 1e-6


def per_sample(number: Shaped[Tensor, "*b"] | float, sample: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
    """Spreads a number, such as a timestep, over the batch where it is not given for each sample."""
    return torch.as_tensor(number, dtype=torch.float32, device=sample.device).expand(sample.shape[0])


def waves(numbers: Float[Tensor, "*b"], like: Tensor, *, shift: float = 0.0) -> Float[Tensor, "*b c"]:
    """Describes numbers by `WAVES` sinusoids, in the precision of `like`."""
    return sinusoids(numbers, WAVES, shift=shift).to(like.dtype)


class TimeTextEmbedding(nn.Module):
    """Sums up what is said to the picture as a whole: the timestep, the pooled text and how strongly to be guided.

    Args:
        pooled_width: channels of the pooled text.
        width: channels of the embedding.
        guided: whether it is told the scale of guidance (Meng et al. 2023, section 3.1).
    """

    def __init__(self, pooled_width: int, width: int, *, guided: bool = False):
        super().__init__()
        self.timestep_embedder = TimestepEmbedding(WAVES, width)
        self.guidance_embedder = TimestepEmbedding(WAVES, width) if guided else None
        self.text_embedder = TimestepEmbedding(pooled_width, width)

    def forward(
        self,
        sample: Float[Tensor, "b c h w"],
        timestep: Shaped[Tensor, "*b"] | float,
        pooled: Float[Tensor, "b p"] | None,
        guidance: Shaped[Tensor, "*b"] | float | None = None,
    ) -> Float[Tensor, "b e"]:
        """Gives the embedding for `sample`; ValueError names what is missing."""
        if pooled is None:
            raise ValueError("pooled: this transformer needs the pooled text (b, p)")
        embedding = self.timestep_embedder(waves(per_sample(timestep, sample), sample)) + self.text_embedder(pooled)
        if self.guidance_embedder is not None:
            if guidance is None:
                raise ValueError("guidance: this transformer needs to be told the scale of guidance")
            embedding = embedding + self.guidance_embedder(waves(1000 * per_sample(guidance, sample), sample))
        return embedding


class Modulation(nn.Module):
    """Shifts, scales and gates that an embedding asks for (Peebles & Xie 2023, section 3.2, adaLN-Zero).

    Args:
        width: channels of the embedding and of each part.
        parts: how many shifts, scales and gates.
    """

    def __init__(self, width: int, parts: int):
        super().__init__()
        self.parts = parts
        self.linear = nn.Linear(width, parts * width)

    def forward(self, embedding: Float[Tensor, "b c"]) -> tuple[Float[Tensor, "b 1 c"], ...]:
        """Gives the parts in their order."""
        return self.linear(F.silu(embedding))[:, None].chunk(self.parts, dim=-1)


def modulated(
    x: Float[Tensor, "b n c"], shift: Float[Tensor, "b 1 c"], scale: Float[Tensor, "b 1 c"], eps: float = EPS
) -> Float[Tensor, "b n c"]:
    """Normalises each token, then scales and shifts it: (1 + scale) LN(x) + shift (Peebles & Xie 2023, section 3.2)."""
    return F.layer_norm(x, x.shape[-1:], eps=eps) * (1 + scale) + shift


class Rotation(NamedTuple):
    """Cosines and sines of the angles by which queries and keys turn; a pair of channels shares one angle."""

    cos: Float[Tensor, "s 1 c"]
    sin: Float[Tensor, "s 1 c"]

    @classmethod
    def by(cls, turns: Float[Tensor, "s e"]) -> Rotation:
        """Makes a rotation of angles, one for each token and pair of channels."""
        turns = turns.repeat_interleave(2, dim=-1)[:, None]
        return cls(turns.cos().float(), turns.sin().float())


def rotated(x: Float[Tensor, "b s a c"], by: Rotation) -> Float[Tensor, "b s a c"]:
    """Turns each pair of channels by its angle: rotary position embedding (Su et al. 2021, equation 34).

    `a` counts heads. The score of a query and a key then depends on how far apart they lie, not on where.
    """
    first, second = x.unflatten(-1, (-1, 2)).unbind(-1)
    quarter_turn = torch.stack([-second, first], dim=-1).flatten(-2)
    return (x.float() * by.cos + quarter_turn.float() * by.sin).to(x.dtype)


class JointAttention(nn.Module):
    """Attention of the tokens of a picture and of its text to all of them together (Esser et al. 2024, section 4).

    Each kind has projections of its own. Without a text it is the attention of the picture's tokens to one another.

    Args:
        width: channels of the tokens.
        heads: number of heads; divides the width.
        normed: divide queries and keys by their root mean square (Esser et al. 2024, section 5.3.2).
        joint: whether there is a text.
        last: what the text gets is not asked for.
        projected: project what the picture gets.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        normed: bool = True,
        joint: bool = True,
        last: bool = False,
        projected: bool = True,
    ):
        super().__init__()
        self.heads = heads
        linear = partial(nn.Linear, width, width)
        norm = partial(RMSNorm, width // heads, eps=EPS) if normed else nn.Identity
        self.to_q, self.to_k, self.to_v = linear(), linear(), linear()
        self.norm_q, self.norm_k = norm(), norm()
        if joint:
            self.add_q_proj, self.add_k_proj, self.add_v_proj = linear(), linear(), linear()
            self.norm_added_q, self.norm_added_k = norm(), norm()
        self.to_out = nn.Sequential(linear()) if projected else nn.Identity()
        self.to_add_out = linear() if joint and not last else nn.Identity()

    def forward(
        self,
        x: Float[Tensor, "b n c"],
        text: Float[Tensor, "b t c"] | None = None,
        rotation: Rotation | None = None,
    ) -> tuple[Float[Tensor, "b n c"], Float[Tensor, "b t c"]]:
        """Gives what the picture's tokens get and what the text's get; `rotation` names the text's places first."""
        q, k = self.queries_and_keys(x, text, rotation)
        v, words = self.to_v(x), 0
        if text is not None:
            v, words = torch.cat([self.add_v_proj(text), v], dim=1), text.shape[1]
        mixed = attend(q, k, v, self.heads)
        return self.to_out(mixed[:, words:]), self.to_add_out(mixed[:, :words])

    def queries_and_keys(
        self,
        x: Float[Tensor, "b n c"],
        text: Float[Tensor, "b t c"] | None = None,
        rotation: Rotation | None = None,
    ) -> tuple[Float[Tensor, "b s c"], Float[Tensor, "b s c"]]:
        """Gives what `forward` compares, all heads beside one another, the text's before the picture's."""
        q, k = self._each_head(self.to_q(x), self.to_k(x))
        q, k = self.norm_q(q), self.norm_k(k)
        if text is not None:
            added_q, added_k = self._each_head(self.add_q_proj(text), self.add_k_proj(text))
            q = torch.cat([self.norm_added_q(added_q), q], dim=1)
            k = torch.cat([self.norm_added_k(added_k), k], dim=1)
        if rotation is not None:
            q, k = rotated(q, rotation), rotated(k, rotation)
        return q.flatten(2), k.flatten(2)

    def _each_head(self, *projections: Float[Tensor, "b n c"]) -> list[Float[Tensor, "b n a c"]]:
        return [x.unflatten(-1, (self.heads, -1)) for x in projections]


class RMSNorm(nn.RMSNorm):
    """That of PyTorch, computed in the precision of what comes in, which mixed precision would slow down."""

    def forward(self, x: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c"]:
        """Keeps the shape."""
        return F.rms_norm(x, x.shape[-1:], self.weight.to(x.dtype), self.eps)


class JointBlock(nn.Module):
    """Picture and text look at one another, then each token thinks for itself (Esser et al. 2024, figure 2b).

    Args:
        width, heads, normed: as in `JointAttention`.
        dual: the picture's tokens also look at one another alone (MMDiT-X of Stable Diffusion 3.5 medium).
        last: the text is not asked for any more.
    """

    def __init__(self, width: int, heads: int, *, normed: bool = True, dual: bool = False, last: bool = False):
        super().__init__()
        self.last = last
        self.norm1 = Modulation(width, 9 if dual else 6)
        self.norm1_context = Modulation(width, 2 if last else 6)
        self.attn = JointAttention(width, heads, normed=normed, last=last)
        self.attn2 = JointAttention(width, heads, normed=normed, joint=False) if dual else None
        self.ff = FeedForward(width, gated=False)
        self.ff_context = None if last else FeedForward(width, gated=False)

    def forward(
        self,
        x: Float[Tensor, "b n c"],
        text: Float[Tensor, "b t c"],
        embedding: Float[Tensor, "b c"],
        rotation: Rotation | None = None,
    ) -> tuple[Float[Tensor, "b n c"], Float[Tensor, "b t c"]]:
        """Keeps the shapes; the last block leaves the text as it is."""
        shift, scale, gate, shift_ff, scale_ff, gate_ff, *alone = self.norm1(embedding)
        text_scale, text_shift, *of_text = self._parts_of_text(embedding)
        got, text_got = self.attn(modulated(x, shift, scale), modulated(text, text_shift, text_scale), rotation)
        if self.attn2 is not None:
            shift, scale, gate_alone = alone
            alone_got, _ = self.attn2(modulated(x, shift, scale))
            x = x + gate_alone * alone_got
        x = x + gate * got
        x = x + gate_ff * self.ff(modulated(x, shift_ff, scale_ff))
        if self.ff_context is not None:
            gate, shift_ff, scale_ff, gate_ff = of_text
            text = text + gate * text_got
            text = within_half(text + gate_ff * self.ff_context(modulated(text, shift_ff, scale_ff)))
        return x, text

    def _parts_of_text(self, embedding: Float[Tensor, "b c"]) -> tuple[Float[Tensor, "b 1 c"], ...]:
        """Gives scale, shift and the others; only the last block has them in that order."""
        first, second, *others = self.norm1_context(embedding)
        return (first, second) if self.last else (second, first, *others)


def within_half(x: Float[Tensor, "b s c"]) -> Float[Tensor, "b s c"]:
    """Keeps half precision from running over to infinity, as the text's states of large models do."""
    return x.clamp(-65504, 65504) if x.dtype == torch.float16 else x
