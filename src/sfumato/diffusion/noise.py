"""Random numbers that belong to a picture: each sample of a batch has its own generator."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor

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
