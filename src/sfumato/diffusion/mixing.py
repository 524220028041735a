"""Mixing: several conditions at once, by a weighted sum of estimates or by a path between their contexts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sfumato.diffusion.levels import Level, lay_out
from sfumato.diffusion.parameterisation import Denoise

Weight = float | Tensor
"""A number, one per sample (B,), or a map (B or 1, 1, h, w) of numbers for the places of a sample."""


def mixed(base: Denoise, parts: Sequence[Denoise], weights: Sequence[Weight]) -> Denoise:
    """Every part pulls away from `base` with its own weight: base + sum_i weight_i * (part_i - base).

    Composable diffusion (Liu et al. 2022, eq. 11; its negation, eq. 13, is a weight below 0), with the model that knows
    no condition as `base`. One part is classifier-free guidance with its weight as the scale.
    """

    def denoise(noisy: Tensor, level: Level) -> Tensor:
        return blend(base(noisy, level), [part(noisy, level) for part in parts], weights)

    return denoise


def blend(base: Tensor, parts: Sequence[Tensor], weights: Sequence[Weight]) -> Tensor:
    """The estimates of `mixed`, (B, ...), as one; where the weights sum to 1 the base does not matter."""
    if len(parts) != len(weights):
        raise ValueError(f"{len(parts)} parts were given {len(weights)} weights")
    total = lay_out(1 - sum(weights), base) * base
    for weight, part in zip(weights, parts, strict=True):
        total = total + lay_out(weight, base) * part
    return total


def linear(contexts: Sequence[Float[Tensor, "*s d"]], weights: Sequence[float]) -> Float[Tensor, "*s d"]:
    """The weighted mean of contexts such as text states, token by token; the weights sum to 1.

    Prompts of other lengths are laid side by side as they are: an end may meet a word.
    """
    _one_whole(weights)
    return blend(torch.zeros_like(contexts[0]), contexts, weights)


def spherical(contexts: Sequence[Float[Tensor, "*s d"]], weights: Sequence[float]) -> Float[Tensor, "*s d"]:
    """Contexts on the great circle between them, vector by vector: a token's state, or a pooled vector by itself.

    Of three and more, each is met on the way from those before it, so their order matters. Weights are not below 0 and
    sum to 1 (Shoemake 1985).
    """
    _one_whole(weights)
    if min(weights) < 0:
        raise ValueError(f"a spherical mixture takes weights from 0 to 1, not {min(weights)}")
    mixture, sum_of_weights = contexts[0], weights[0]
    for context, weight in zip(contexts[1:], weights[1:], strict=True):
        sum_of_weights += weight
        mixture = slerp(mixture, context, weight / sum_of_weights if sum_of_weights else 0.0)
    return mixture


def slerp(a: Float[Tensor, "*s d"], b: Float[Tensor, "*s d"], t: float) -> Float[Tensor, "*s d"]:
    """From a (t = 0) to b (t = 1): directions turn at an even pace, lengths change evenly (Shoemake 1985).

    Where the directions are equal, or opposite so that no shortest way exists, the way is straight.
    """
    first, second = a.float(), b.float()
    lengths = first.norm(dim=-1, keepdim=True), second.norm(dim=-1, keepdim=True)
    first, second = (F.normalize(x, dim=-1) for x in (first, second))
    # accurate for small angles too, where the arc cosine is not
    angle = 2 * torch.atan2((first - second).norm(dim=-1, keepdim=True), (first + second).norm(dim=-1, keepdim=True))
    sine = angle.sin()
    direction = (((1 - t) * angle).sin() * first + (t * angle).sin() * second) / sine.clamp(min=1e-4)
    turned = torch.lerp(*lengths, t) * direction
    return torch.where(sine > 1e-4, turned, torch.lerp(a.float(), b.float(), t)).to(a)


def _one_whole(weights: Sequence[float]) -> None:
    if abs(sum(weights) - 1) > 1e-6:
        raise ValueError(f"the weights of contexts sum to 1, not {sum(weights):g}")
