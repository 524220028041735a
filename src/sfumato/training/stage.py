"""What the loop needs to know of a stage, and what a stage needs to know of the training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Generator, Tensor, nn

from sfumato.data.loader import Order, share
from sfumato.data.scenes.store import SceneStore
from sfumato.data.store import Store
from sfumato.data.tokens import Tokenizer
from sfumato.errors import RecipeError
from sfumato.progress import Progress
from sfumato.seeds import derived_seed
from sfumato.training.captions import Captions, SceneCaptions
from sfumato.training.recipe import Recipe
from sfumato.training.team import Team

Batch = tuple[Tensor, ...]


@dataclass(frozen=True)
class Stage:
    """One network, or two, in training."""

    objective: nn.Module  # holds the trained networks; called with a batch it gives {"loss": ..., ...}
    batch: Callable[[Draw], Batch]  # this process's share of a step's batch
    preview: Callable[[], Image.Image]  # what the networks can do, as they are now
    finish: Callable[[], dict[str, Any]]  # write the networks, as they are now, to the model folder; facts about them


@dataclass(frozen=True)
class Workshop:
    """What all stages share."""

    recipe: Recipe
    store: Store | SceneStore
    tokenizer: Tokenizer
    captions: Captions | SceneCaptions
    folder: Path  # of the model
    cache: Path  # for what is computed once and kept
    team: Team
    progress: Progress

    @property
    def is_kept(self) -> bool:
        """Whether the pictures are few enough for what is computed of each to be kept."""
        return isinstance(self.store, Store)

    @property
    def kept(self) -> tuple[Store, Captions]:
        """The pictures and their captions, for stages that keep something of each.

        Raises RecipeError where they are composed as they are asked for.
        """
        if isinstance(self.store, SceneStore) or isinstance(self.captions, SceneCaptions):
            raise RecipeError(f"The way {self.recipe.way!r} keeps something of each picture; scenes are too many.")
        return self.store, self.captions

    @property
    def weights(self) -> torch.dtype:
        """The number format of the finished model's files."""
        return getattr(torch, self.recipe.run.weights)

    def pictures(self, draw: Draw) -> Tensor:
        """This process's pictures of a step, (b, 3, h, w), at the denoiser's size; mirrored at random if so chosen."""
        chosen = draw.mine(draw.indices(len(self.store))).cpu()
        flips = draw.mine(draw.uniform("flip") < 0.5).cpu() if self.recipe.data.flip else None
        return self.store.batch(chosen, self.recipe.data.size, flips).to(self.team.device)

    def tokens(self, captions: Tensor) -> Tensor:
        """The tokens of captions by their numbers, (b, t)."""
        return self.tokenizer.encode(self.captions.some(captions))

    def example_indices(self, count: int) -> Tensor:
        """Pictures from all over the data set, always the same ones."""
        return torch.linspace(0, len(self.store) - 1, min(count, len(self.store))).long()

    def examples(self, count: int) -> Tensor:
        """Those pictures at the denoiser's size (count, 3, h, w)."""
        return self.store.batch(self.example_indices(count), self.recipe.data.size).to(self.team.device)

    def batches(self, count: int, name: str) -> Iterator[Tensor]:
        """The numbers 0 .. count-1, some at a time, with progress; for what is computed of all pictures."""
        self.progress.begin(name, count)
        for some in torch.arange(count).split(64):
            yield some
            self.progress.advance(int(some[-1]) + 1)

    @contextmanager
    def first_weights(self, name: str) -> Iterator[None]:
        """Within the block new networks draw their weights from the recipe's seed and the name."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derived_seed(self.recipe.seed, name))
            yield


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
