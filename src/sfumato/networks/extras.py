"""What a U-Net takes from outside besides its sample: the words that its pixels look at, and what adapters add."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from jaxtyping import Bool, Float, Shaped
from torch import Tensor

Rows = slice | Shaped[Tensor, " n"]  # some samples of a batch: a slice, their numbers, or whether each is one


@dataclass(frozen=True)
class Residuals:
    """What a ControlNet adds to a U-Net (Zhang et al. 2023, equation 2); those of several are added to each other.

    Attributes:
        down: for each state that the way down leaves for the way up, (b, k, h2, w2), or (b, k, 1, 1) for all pixels.
        mid: for the state after the middle.
    """

    down: tuple[Float[Tensor, "b k h2 w2"], ...]
    mid: Float[Tensor, "b k h2 w2"]

    def __add__(self, other: Residuals) -> Residuals:
        down = tuple(one + more for one, more in zip(self.down, other.down, strict=True))
        return Residuals(down, self.mid + other.mid)

    def rows(self, which: Rows) -> Residuals:
        """Gives those of some samples of the batch."""
        return Residuals(tuple(state[which] for state in self.down), self.mid[which])

    def added_to(self, skips: Sequence[Tensor]) -> list[Tensor]:
        """Corrects the states that a way down leaves; ValueError if it is that of another U-Net."""
        if len(skips) != len(self.down):
            raise ValueError(f"residuals for {len(self.down)} states, but this U-Net has {len(skips)} on its way down")
        return [skip + more for skip, more in zip(skips, self.down, strict=True)]


@dataclass(frozen=True)
class ImagePrompt:
    """What an IP-Adapter shows to the pixels (Ye et al. 2023, equation 5), ready for every cross-attention of a U-Net.

    Attributes:
        keys: what the images offer, (b, t, c) for each cross-attention, in the order of `UNet.cross_attentions`.
        values: what they give, likewise.
        scales: how much of it each cross-attention takes; 0 takes none, 1 as much as in training.
    """

    keys: tuple[Float[Tensor, "b t c"], ...]
    values: tuple[Float[Tensor, "b t c"], ...]
    scales: tuple[float, ...]

    def rows(self, which: Rows) -> ImagePrompt:
        """Gives the prompt of some samples of the batch."""
        keys, values = (tuple(each[which] for each in of_layers) for of_layers in (self.keys, self.values))
        return ImagePrompt(keys, values, self.scales)


@dataclass(frozen=True)
class Extras:
    """What adapters add to a U-Net, each kind as its network gives it; nothing by default.

    Attributes:
        residuals: of a `ControlNet`, or the sum of several.
        features: of a `T2IAdapter`, one for each resolution, finest first; scaled and summed by the caller.
        images: of IP-Adapters, one prompt for each.
    """

    residuals: Residuals | None = None
    features: Sequence[Float[Tensor, "b k h2 w2"]] = ()
    images: tuple[ImagePrompt, ...] = ()

    def rows(self, which: Rows) -> Extras:
        """Gives what is for some samples of the batch, for a pass of those alone."""
        residuals = self.residuals and self.residuals.rows(which)
        images = tuple(image.rows(which) for image in self.images)
        return Extras(residuals, [feature[which] for feature in self.features], images)


class Context(NamedTuple):
    """What the pixels look at.

    Attributes:
        states: the words' states, (b, t, d).
        bias: what hides words, as in `attend`.
        blind: samples whose pixels do not look at one another, (b,).
        images: what image prompts show.
    """

    states: Float[Tensor, "b t d"] | None = None
    bias: Float[Tensor, "b 1 1 t"] | None = None
    blind: Bool[Tensor, " b"] | None = None
    images: tuple[ImagePrompt, ...] = ()
