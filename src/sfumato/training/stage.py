"""What the loop needs to know of a stage, and what a stage needs to know of a step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Generator, Tensor, nn

from sfumato.data.loader import Order, share
from sfumato.seeds import derived_seed
from sfumato.training.team import Team

Batch = tuple[Tensor, ...]
Sample = Image.Image | str  # what networks can do, to look at or to read


class Evaluation(NamedTuple):
    """How good the networks are on what they do not learn from."""

    every: int  # steps; and at the end
    measure: Callable[[], dict[str, float]]  # of the networks as they are now


@dataclass(frozen=True)
class Stage:
    """One network, or two, in training."""

    objective: nn.Module  # holds the trained networks; called with a batch it gives {"loss": ..., ...}
    batch: Callable[[Draw], Batch]  # this process's share of a step's batch
    preview: Callable[[], Sample]  # what the networks can do, as they are now
    finish: Callable[[], dict[str, Any]]  # write the networks, as they are now, to the model folder; facts about them
    evaluation: Evaluation | None = None


@dataclass(frozen=True)
class Draw:
    """The random choices of one step, a pure function of (seed, stage, attempt, step).

    Every process draws for the global batch and keeps its share, so that the numbers do not depend on how many
    processes there are.
    """

    seed: int
    stage: str
    step: int
    batch: int  # over all processes
    team: Team
    attempt: int = 0  # how often the run went back to an earlier state; other batches follow then

    def generator(self, purpose: str, device: torch.device | str = "cpu") -> Generator:
        """A generator for one purpose in this step."""
        seed = derived_seed(self.seed, self.stage, self.attempt, purpose, self.step)
        return Generator(device).manual_seed(seed)

    def indices(self, count: int) -> Tensor:
        """Which of `count` samples are in the global batch, (batch,)."""
        return Order(count, self.batch, derived_seed(self.seed, self.stage, self.attempt)).indices(self.step)

    def mine(self, rows: Tensor) -> Tensor:
        """This process's share of the rows of a global batch, on its device."""
        return share(rows, self.team.rank, self.team.world).to(self.team.device, non_blocking=True)

    def normal(self, purpose: str, *shape: int) -> Tensor:
        """Standard normal noise for this process's samples, (its batch, *shape)."""
        device = self.team.device
        noise = torch.randn(self.batch, *shape, generator=self.generator(purpose, device), device=device)
        return self.mine(noise)

    def uniform(self, purpose: str) -> Tensor:
        """A number in [0, 1) for each sample of the global batch, (batch,), on the CPU."""
        return torch.rand(self.batch, generator=self.generator(purpose))
