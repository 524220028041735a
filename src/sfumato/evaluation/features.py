"""Pictures as feature vectors: by a network whose name stands beside every number that is computed from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

TOGETHER = 64  # pictures or texts in one pass; always the same, so that equal input gives equal features


@dataclass(frozen=True)
class FeatureNetwork:
    """A network that looks at pictures, and what it needs to see them as it learned to.

    Attributes:
        name: which it is, as reports tell it.
        side: of the pictures that it sees, in pixels.
        look: pictures of that side, normalised -> features.
        read: texts -> features in the same space; None for a network that knows no words.
        mean, spread: of each channel of pictures in [0, 1], by which they are normalised.
        device: where it computes.
    """

    name: str
    side: int
    look: Callable[[Float[Tensor, "b 3 s s"]], Float[Tensor, "b d"]]
    device: torch.device
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    spread: tuple[float, float, float] = (0.5, 0.5, 0.5)
    read: Callable[[list[str]], Float[Tensor, "b d"]] | None = None

    @torch.inference_mode()
    def __call__(self, pictures: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n d"]:
        """The features of pictures in [-1, 1] of any size, as float32 on the CPU."""
        return torch.cat([self.look(self._seen(some)).float().cpu() for some in pictures.split(TOGETHER)])

    @torch.inference_mode()
    def of_texts(self, texts: Sequence[str]) -> Float[Tensor, "n d"] | None:
        """The features of texts in the space of pictures; None when the network knows no words."""
        if self.read is None:
            return None
        parts = [list(texts[first : first + TOGETHER]) for first in range(0, len(texts), TOGETHER)]
        return torch.cat([self.read(some).float().cpu() for some in parts])

    def _seen(self, pictures: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 s s"]:
        seen = pictures.to(self.device, torch.float32)
        if seen.shape[-2:] != (self.side, self.side):
            size = (self.side, self.side)
            seen = F.interpolate(seen, size=size, mode="bicubic", antialias=True, align_corners=False).clamp(-1, 1)
        mean, spread = (seen.new_tensor(values).view(1, 3, 1, 1) for values in (self.mean, self.spread))
        return ((seen + 1) / 2 - mean) / spread
