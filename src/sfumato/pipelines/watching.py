"""Those who look on while a picture is made: what they are told, and by whom."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from torch import Tensor, nn

from sfumato.diffusion.guidance import Rule
from sfumato.diffusion.levels import Level
from sfumato.diffusion.parameterisation import Denoise
from sfumato.diffusion.sampling import State


class Watch(Protocol):
    """One who looks on. Nothing that it is told may be changed; it is told of all samples of a batch at once."""

    def began(self, start: Tensor, levels: Level) -> None:
        """Sampling begins with this, noisy, along this timetable."""
        ...

    def looking(
        self, network: nn.Module, toward: int, size: tuple[int, int], text: int
    ) -> AbstractContextManager[None]:
        """Around one look of a denoiser, at a sample of one or more branches.

        Args:
            network: the denoiser.
            toward: how many of the rows that it sees, the first, are branches to go towards.
            size: (height, width) of the sample.
            text: states of words that each row listens to.
        """
        ...

    def estimated(self, good: Tensor, bad: Tensor | None, level: Level) -> None:
        """What the prompt alone asks for, and what to go away from, if there is guidance."""
        ...

    def stepped(self, state: State) -> None:
        """A step is done."""
        ...


def telling_rule(rule: Rule, watch: Watch | None) -> Rule:
    """A rule of guidance that tells of what it makes one."""
    if watch is None:
        return rule

    def combine(good: Tensor, bad: Tensor, level: Level) -> Tensor:
        watch.estimated(good, bad, level)
        return rule(good, bad, level)

    return combine


def telling(denoise: Denoise, watch: Watch | None) -> Denoise:
    """A Denoise without guidance that tells of what it estimates."""
    if watch is None:
        return denoise

    def told(noisy: Tensor, level: Level) -> Tensor:
        estimate = denoise(noisy, level)
        watch.estimated(estimate, None, level)
        return estimate

    return told
