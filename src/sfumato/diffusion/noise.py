"""Random numbers that belong to a picture: each sample of a batch has its own generator."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor

from sfumato.diffusion.mixing import slerp
from sfumato.seeds import derived_seed

Noise = Callable[[Tensor], Tensor]
"""sample (B, ...) -> standard normal noise of its shape, dtype and device."""


def per_sample_noise(seeds: Sequence[int], stream: str = "") -> Noise:
    """Noise whose every row is drawn from its own seed, so that no picture depends on its neighbours in the batch.

    It is drawn on the CPU in float32: the same on every device. The nameless stream of a seed is what
    `torch.randn(..., generator=torch.Generator().manual_seed(seed))` gives; other streams are independent of it.
    """
    generators = [Generator().manual_seed(seed if not stream else derived_seed(seed, stream)) for seed in seeds]

    def noise(sample: Tensor) -> Tensor:
        if len(sample) != len(generators):
            raise ValueError(f"noise for {len(generators)} samples was asked for {len(sample)}")
        rows = [torch.randn(sample.shape[1:], generator=generator) for generator in generators]
        return torch.stack(rows).to(sample)

    return noise


def turned(noise: Noise, other: Noise, amount: float) -> Noise:
    """Each draw of `noise` turned toward that of another: a sample as a whole, on the great circle between the two.

    `amount` 0 is the first, 1 the other; between them it is standard normal noise too, which a straight way is not.
    """

    def turning(sample: Tensor) -> Tensor:
        own, others = noise(sample), other(sample)
        if amount in (0, 1):  # exactly
            return others if amount else own
        pairs = zip(own, others, strict=True)
        return torch.stack([slerp(a.flatten(), b.flatten(), amount).view_as(a) for a, b in pairs])

    return turning
