"""What is behind the things of a picture: the nearest of the backgrounds that scenes have."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.data.scenes.colours import BACKGROUNDS, backdrops

EDGE = 3  # pixels at the edge, of which most belong to the background
INSIDE = 0.15  # weight of a pixel that is not at the edge
MOST = 0.3  # of a pixel's squared error counts


class Backgrounds:
    """All backgrounds as pictures of `size` pixels."""

    def __init__(self, size: int, device: str | torch.device = "cpu") -> None:
        self.names = tuple(BACKGROUNDS)
        self.pictures = 2 * backdrops(size, torch.device(device)) - 1
        self.flat = [background.draw is None for background in BACKGROUNDS.values()]
        self.weights = torch.ones(size, size, device=self.pictures.device)
        self.weights[EDGE:-EDGE, EDGE:-EDGE] = INSIDE

    def find(self, pictures: Float[Tensor, "n 3 s s"]) -> tuple[list[int], Float[Tensor, "n 3 s s"]]:
        """The number of each picture's background, and that as it is there: its one colour may be a little off."""
        errors = torch.stack([(pictures - one).square().sum(1) for one in self.pictures], 1)  # (n, k, s, s)
        which = (errors.clamp_max(MOST) * self.weights).mean((2, 3)).argmin(1)
        canvas = self.pictures[which].clone()
        for i, k in enumerate(which.tolist()):
            alike = errors[i, k] < MOST
            if self.flat[k] and alike.sum() > 8:
                canvas[i] = pictures[i][:, alike].median(1).values[:, None, None]
        return which.tolist(), canvas
