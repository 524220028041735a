"""What the networks that are attached to a U-Net add to one look of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sfumato.diffusion.levels import Level
from sfumato.errors import PromptError
from sfumato.networks.controlnet import ControlNet
from sfumato.networks.extras import Extras, ImagePrompt, Residuals
from sfumato.pipelines.condition import Condition
from sfumato.pipelines.looking import added

NEARLY = 1 + 1e-9  # a level that a solver computed is at most so many times another that should be the same


@dataclass(frozen=True)
class Span:
    """The levels from one on, which is in it, to a less noisy one, which is not."""

    first: float  # as `depth` measures them
    beyond: float

    def holds(self, level: Level) -> Bool[Tensor, "*b"]:
        """Whether levels lie in it."""
        here = depth(level).cpu()
        return (here <= self.first) & (here > self.beyond)


EVERYWHERE = Span(math.inf, -1.0)


def depth(level: Level) -> Float[Tensor, "*b"]:
    """How noisy a level of any length is: 0 clean, pi / 2 pure noise."""
    return torch.atan2(level.sigma.double(), level.alpha.double())


def span_of(levels: Level, start: float, end: float) -> Span:
    """The levels at which a solver looks in the steps i of n where start <= i / n and (i + 1) / n <= end.

    What it looks at twice, at the end of one step and at the beginning of the next, belongs to the next. Levels that a
    timetable goes back up to are no steps of their own.

    Raises PromptError when there is no such step.
    """
    deep = depth(levels)
    falling = deep[:1].tolist()
    for one in deep[1:].tolist():
        falling += [one] if one < falling[-1] else []
    steps = len(falling) - 1
    inside = [i for i in range(steps) if i / steps >= start and (i + 1) / steps <= end]
    if not inside:
        raise PromptError(f"Of {steps} steps none lies between {start:g} and {end:g}: the control would do nothing.")
    first = falling[inside[0]] * NEARLY if inside[0] else EVERYWHERE.first
    beyond = falling[inside[-1] + 1] * NEARLY if inside[-1] + 1 < steps else EVERYWHERE.beyond
    return Span(first, beyond)


@dataclass(frozen=True)
class Steering:
    """A ControlNet with its picture: it looks whenever the U-Net does."""

    network: ControlNet
    picture: Float[Tensor, "1 k h8 w8"]
    scale: float
    guess: bool
    span: Span

    def look(self, noisy: Float[Tensor, "b c h w"], label: Float[Tensor, " b"], condition: Condition) -> Residuals:
        """What it adds to the states of the U-Net."""
        mine: dict[str, Any] = {} if self.network.class_embedding is None else {"class_labels": condition.labels}
        dtype, picture = self.picture.dtype, self.picture.expand(len(noisy), -1, -1, -1)
        mine |= {"scale": self.scale, "guess": self.guess, "mask": condition.mask, "added": added(condition)}
        return self.network(noisy.to(dtype), label, condition.states.to(dtype), picture, **mine)

    def rows(self, level: Level, toward: Bool[Tensor, " b"]) -> Bool[Tensor, " b"]:
        """Which samples it corrects; of those with words to follow and words to go away from, the first alone."""
        alone = self.guess or self.network.config.global_pool_conditions
        return self.span.holds(level) & (toward | (not alone))


@dataclass(frozen=True)
class Features:
    """What a T2I-Adapter made of its picture, once, times its scale."""

    maps: tuple[Float[Tensor, "1 k h w"], ...]
    span: Span


@dataclass(frozen=True)
class Attached:
    """All that is attached to a U-Net in one sampling run.

    Attributes:
        controls: of ControlNets; what they add is summed.
        features: of T2I-Adapters, likewise.
        images: of IP-Adapters, in row 1 what is to be like the pictures, in row 0 what is to be like none.
    """

    controls: tuple[Steering, ...] = ()
    features: tuple[Features, ...] = ()
    images: tuple[ImagePrompt, ...] = ()

    def extras(
        self,
        noisy: Float[Tensor, "b c h w"],
        label: Float[Tensor, " b"],
        condition: Condition,
        level: Level,
        toward: Bool[Tensor, " b"],
    ) -> Extras:
        """What to add to one look.

        Args:
            noisy, label, condition: of the look.
            level: the level, or that of each sample.
            toward: for each sample whether its words are to be followed, rather than gone away from.
        """
        residuals = None
        for control in self.controls:
            rows = control.rows(level, toward)
            if bool(rows.any()):
                more = _some(control, noisy, label, condition, rows)
                residuals = more if residuals is None else residuals + more
        maps: list[Tensor] = []
        for features in self.features:
            rows = features.span.holds(level).expand(len(noisy))
            if bool(rows.any()):
                weighted = [each * rows.to(each)[:, None, None, None] for each in features.maps]
                maps = [one + more for one, more in zip(maps, weighted, strict=True)] if maps else weighted
        return Extras(residuals, maps, tuple(image.rows(toward.long().to(noisy.device)) for image in self.images))


def _some(control: Steering, noisy: Tensor, label: Tensor, condition: Condition, rows: Tensor) -> Residuals:
    """What a ControlNet adds to some rows; nothing to the others, for which it does not look.

    `rows` are on the CPU, since of tensors on paper there are shapes alone.
    """
    if bool(rows.all()):
        return control.look(noisy, label, condition)
    places = rows.nonzero()[:, 0].to(noisy.device)

    def spread(state: Tensor) -> Tensor:
        whole = state.new_zeros(len(rows), *state.shape[1:])
        whole[places] = state
        return whole

    made = control.look(noisy[places], label[places], condition.each(lambda each: each[places]))
    return Residuals(tuple(map(spread, made.down)), spread(made.mid))
