"""A restoring U-Net as a Denoise, the degradations it is trained on, and where its generation begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.checkpoints.scheduler import Diffusion
from sfumato.data.overlay import sheets
from sfumato.diffusion import degradation
from sfumato.diffusion.cold import RESTORER, SEVERITY, melting, naive, tacos
from sfumato.diffusion.degradation import Degradation
from sfumato.diffusion.solvers import Solver
from sfumato.errors import CheckpointError

Places = Float[Tensor, "b 2"]
"""Two uniform numbers for each picture, from which its own degradation follows: where it fades, what is written."""

SHEETS, LAYERS = 256, 96  # of text

SOLVERS: dict[str, Callable[[Degradation], Solver]] = {"naive": naive, "tacos": tacos, "melting": melting}
"""The steps of cold diffusion by the names people type."""


def degradation_of(
    name: str, places: Places, side: int, seed: int = 0, pictures_a_pass: int | None = None
) -> Degradation:
    """A degradation by its name in `NAMES`, for pictures of `side` pixels, each with its own places.

    `seed` chooses the sheets of text. One picture a pass gives the same bits whatever the batch.
    """
    if pictures_a_pass and pictures_a_pass < len(places):
        parts = [degradation_of(name, some, side, seed) for some in places.split(pictures_a_pass)]

        def degrade(clean: Tensor, severity: Tensor) -> Tensor:
            pieces = zip(
                parts, clean.split(pictures_a_pass), severity.expand(len(clean)).split(pictures_a_pass), strict=True
            )
            return torch.cat([part(some, at) for part, some, at in pieces])

        return degrade
    match name:
        case "text":
            of_text = sheets(SHEETS, side, LAYERS, seed)
            sheet = (places[:, 0].cpu() * SHEETS).long().clamp(max=SHEETS - 1)
            return degradation.covered(of_text[sheet].to(places.device), LAYERS)
        case "fade":
            return degradation.fade(places)
        case _:
            return PLAIN[name]


PLAIN: dict[str, Degradation] = {
    "blur": degradation.blur,
    "downsample": degradation.downsample,
    "jpeg": degradation.jpeg,
}
NAMES = (*PLAIN, "text", "fade")


@dataclass(frozen=True)
class Start:
    """What fully degraded pictures look like: one colour each, normally distributed (Bansal et al. 2022, app. A.6).

    Attributes:
        mean: (3,).
        spread: (3, 3), the lower Cholesky factor of the covariance.
    """

    mean: Float[Tensor, "3"]
    spread: Float[Tensor, "3 3"]

    @classmethod
    def fitted(cls, degraded: Float[Tensor, "n 3 h w"]) -> Start:
        """The normal distribution of the colours of fully degraded pictures."""
        colours = degraded.double().mean((2, 3))
        covariance = colours.T.cov() if len(colours) > 1 else torch.zeros(3, 3, dtype=torch.float64)
        values, vectors = torch.linalg.eigh(covariance)  # of any rank: grey pictures have one
        root = vectors * values.clamp(min=0).sqrt()
        return cls(colours.mean(0).float(), torch.linalg.qr(root.T).R.T.float())

    def colours(self, normal: Float[Tensor, "b 3"]) -> Float[Tensor, "b 3 1 1"]:
        """Colours from standard normal numbers."""
        return (self.mean.to(normal) + normal @ self.spread.to(normal).T)[..., None, None]


@dataclass(frozen=True)
class Coldness:
    """How a restorer was trained: the degradation's name, the noise added at severity 1, and where it ends."""

    name: str
    noise: float
    start: Start

    @property
    def diffusion(self) -> Diffusion:
        """The same in the terms of a denoiser: severities are its levels."""
        return Diffusion(SEVERITY, RESTORER, self.to_config())

    def to_config(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {
            "_class_name": "ColdDiffusion",
            "degradation": self.name,
            "noise": self.noise,
            "colour_mean": self.start.mean.tolist(),
            "colour_spread": self.start.spread.tolist(),
        }

    @classmethod
    def from_config(cls, values: Mapping[str, Any]) -> Coldness:
        """Read what `to_config` wrote; CheckpointError when it is not that."""
        try:
            start = Start(torch.tensor(values["colour_mean"]), torch.tensor(values["colour_spread"]))
            name, noise = values["degradation"], float(values["noise"])
            if name not in NAMES or not 0 <= noise <= 1 or start.mean.shape != (3,) or start.spread.shape != (3, 3):
                raise ValueError("values out of range")
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"The configuration of a restorer is damaged: {error!r}") from error
        return cls(name, noise, start)
