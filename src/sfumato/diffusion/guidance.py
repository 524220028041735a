"""Guidance: functions from Denoise to Denoise.

What all kinds share is a good estimate and a bad one, and a rule that makes one estimate of the two. A rule is pure,
works per sample, and does not ask whether the two were made in one forward pass or apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from sfumato.diffusion.levels import Level, lay_out
from sfumato.diffusion.mixing import Weight, blend
from sfumato.diffusion.parameterisation import Denoise

Rule = Callable[[Tensor, Tensor, Level], Tensor]
"""(good, bad, level) -> the guided estimate: what is to be gone towards and away from, both (B, ...)."""


def guided(good: Denoise, bad: Denoise, rule: Rule | Weight) -> Denoise:
    """Away from `bad`, through `good`; a number is the rule `scaled`.

    The kinds of guidance differ in what is bad:

    - classifier-free: the model without the condition, or with a negative prompt (Ho & Salimans 2022);
    - autoguidance: a weaker model with the same condition, such as an earlier checkpoint, a shorter average of the
      weights, or a network of fewer channels (Karras et al. 2024, "Guiding a diffusion model with a
      bad version of itself");
    - perturbed attention: the model itself with its attention in the dark (Ahn et al. 2024).
    """
    combine = _rule(rule)

    def denoise(noisy: Tensor, level: Level) -> Tensor:
        return combine(good(noisy, level), bad(noisy, level), level)

    return denoise


def guided_in_one_pass(branches: Denoise, rule: Rule | Weight, shares: Sequence[Weight] = (1.0,)) -> Denoise:
    """`guided` with one forward pass: `branches` denoises a batch repeated for each share and then for `bad`.

    With several shares the good estimate is their mixture, as in `mixing.mixed` with `bad` as the base.
    """
    combine, count = _rule(rule), len(shares) + 1

    def denoise(noisy: Tensor, level: Level) -> Tensor:
        *parts, bad = branches(torch.cat([noisy] * count), level.repeat(count)).chunk(count)
        return combine(blend(bad, parts, shares), bad, level)

    return denoise


def within(inside: Denoise, outside: Denoise, low: Weight = 0.0, high: Weight = math.inf) -> Denoise:
    """`inside` where low < sigma / alpha <= high, `outside` elsewhere: guidance in a limited interval of levels.

    Kynkäänniemi et al. 2024, with the guided model inside and the conditional model alone outside. What no
    sample of the batch needs is not evaluated.
    """

    def denoise(noisy: Tensor, level: Level) -> Tensor:
        ratio = level.sigma / level.alpha
        here = (low < ratio) & (ratio <= high)
        if bool(here.all()):
            return inside(noisy, level)
        if not bool(here.any()):
            return outside(noisy, level)
        return torch.where(lay_out(here, noisy).bool(), inside(noisy, level), outside(noisy, level))

    return denoise


def scaled(scale: Weight) -> Rule:
    """Classifier-free guidance by its scale: bad + scale * (good - bad); 1 is the good model, 0 the bad one.

    Ho & Salimans 2022, eq. 6, with scale = 1 + w.
    """

    def combine(good: Tensor, bad: Tensor, level: Level) -> Tensor:
        return torch.lerp(bad, good, lay_out(scale, bad) if isinstance(scale, Tensor) else scale)

    return combine


def weighted(weight: Weight) -> Rule:
    """Classifier-free guidance by its weight w: (1 + w) good - w bad; 0 is the good model, -1 the bad one.

    Ho & Salimans 2022, eq. 6; the scale of the field's programs is 1 + w.
    """
    return scaled(1 + weight)


def rescaled(rule: Rule | Weight, amount: Weight = 0.7) -> Rule:
    """Take back what guidance adds to an estimate's spread: by `amount`, 0 leaves it, 1 gives it the good one's std.

    Lin et al. 2023, eq. 14-16 (phi is `amount`), on the estimate of the clean data.
    """
    inner = _rule(rule)

    def combine(good: Tensor, bad: Tensor, level: Level) -> Tensor:
        made = inner(good, bad, level)
        spread = _per_sample(_std, made)
        factor = torch.where(spread > 0, _per_sample(_std, good) / spread, 1.0)
        share = lay_out(amount, factor)
        return (made * (1 + share * (factor - 1))).to(made)

    return combine


def plus_plus(strength: Weight, levels: Level) -> Rule:
    """CFG++, for a sampling run along the timetable `levels`, (steps + 1,) or (steps + 1, B).

    The guided estimate of the clean data, and the noise of the bad one (Chung et al. 2024, where the strength is
    lambda, between 0 and 1). To a solver of order 1 that is a scale which depends on the step,

        strength / (1 - (alpha_here sigma_there) / (sigma_here alpha_there)),

    and the timetable tells the level that comes next. It is exact with `euler`; multistep solvers, which look where
    they stand, walk with the same scale. Others look at levels of their own, and the scale would be wrong there.
    """
    table = levels.half_log_snr.reshape(len(levels), -1)

    def combine(good: Tensor, bad: Tensor, level: Level) -> Tensor:
        here = level.half_log_snr.reshape(1, -1).to(table)
        later = table > here + 1e-6
        there = torch.where(later, table, math.inf).amin(0)
        portion = torch.where(
            later.any(0), -torch.expm1(here[0] - there), 1.0
        )  # of the way to clean; 1 from pure noise
        return scaled(torch.as_tensor(strength, dtype=table.dtype, device=table.device) / portion)(good, bad, level)

    return combine


class Momentum:
    """The running difference of adaptive projected guidance: a memory, so make a new one for every sampling run.

    Below 0 it pushes each step away from the ones before (Sadat et al. 2024; about -0.5). A solver that asks twice a
    step would move it twice.
    """

    def __init__(self, weight: float) -> None:
        self.weight = weight
        self.running: Tensor | float = 0.0

    def __call__(self, difference: Tensor) -> Tensor:
        self.running = difference + self.weight * self.running
        return self.running


def projected(
    scale: Weight, parallel: float = 0.0, longest: float = math.inf, momentum: Momentum | None = None
) -> Rule:
    """Adaptive projected guidance: good + (scale - 1) * the part of good - bad that is orthogonal to good.

    The parallel part, which oversaturates, is kept by the factor `parallel` (eta; 1 is `scaled`). Differences whose
    root mean square over a sample is above `longest` are shortened to it. Pure without momentum.

    Sadat et al. 2024, "Eliminating oversaturation and artifacts of high guidance scales", whose r is longest * sqrt(the
    count of a sample's numbers).
    """

    def combine(good: Tensor, bad: Tensor, level: Level) -> Tensor:
        away = momentum(good - bad) if momentum else good - bad
        length, along = _per_sample(_root_mean_square, away), _per_sample(_unit, good)
        away = away * (longest / length).clamp(max=1)  # nothing is shortened where the length is 0
        parallel_part = _per_sample(torch.sum, away * along) * along
        share = lay_out(scale, length) - 1
        return (good + share * (away - (1 - parallel) * parallel_part)).to(good)

    return combine


def _rule(rule: Rule | Weight) -> Rule:
    return rule if callable(rule) else scaled(rule)


def _per_sample(measure: Callable[[Tensor], Tensor], batch: Tensor) -> Tensor:
    """A measure of every sample, () or (...), as (B, 1, ..., 1) or (B, ...).

    Sample by sample, since a sum over one row of many may round in another way than the same row alone.
    """
    made = torch.stack([measure(sample) for sample in batch.to(torch.promote_types(batch.dtype, torch.float32))])
    return lay_out(made, made.new_empty(batch.shape)) if made.ndim == 1 else made


def _std(sample: Tensor) -> Tensor:
    return sample.std(correction=0)


def _root_mean_square(sample: Tensor) -> Tensor:
    return sample.square().mean().sqrt()


def _unit(sample: Tensor) -> Tensor:
    return F.normalize(sample.flatten(), dim=0, eps=torch.finfo(sample.dtype).tiny).reshape(sample.shape)
