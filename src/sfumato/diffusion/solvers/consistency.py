"""Consistency sampling: for networks that were distilled to say where the path from a noisy picture ends."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from sfumato.diffusion.levels import Level, lay_out
from sfumato.diffusion.noise import Noise
from sfumato.diffusion.parameterisation import Denoise
from sfumato.diffusion.solvers.step import Memory


def consistency(
    denoise: Denoise, noisy: Tensor, here: Level, there: Level, memory: Memory, noise: Noise
) -> tuple[Tensor, Memory]:
    """All the way to clean and back up by fresh noise (Song et al. 2023, algorithm 1; Luo et al. 2023, LCM).

    For denoisers that were distilled to say at any level where the path ends; others give blurred means.
    """
    return there.add_noise(denoise(noisy, here), noise(noisy)), None


def with_boundary(denoise: Denoise, label: Callable[[Level], Tensor], data_std: float = 0.5) -> Denoise:
    """A Denoise that gives back its input at timestep 0, as networks of LCM are read (Luo et al. 2023, eq. 9).

    `label` is the timestep of a level; LCM counts it tenfold.
    """

    def bounded(noisy: Tensor, level: Level) -> Tensor:
        t = 10 * label(level).double()
        skip, out = data_std**2 / (t.square() + data_std**2), t / (t.square() + data_std**2).sqrt()
        return lay_out(skip, noisy) * noisy + lay_out(out, noisy) * denoise(noisy, level)

    return bounded
