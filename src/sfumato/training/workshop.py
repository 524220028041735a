"""What the stages of a training share: the recipe, the place where it happens, and what is learned from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sfumato.data.scenes.store import SceneStore
from sfumato.data.store import Store
from sfumato.data.text.store import TokenStore
from sfumato.data.text.tokens import TextTokenizer
from sfumato.data.tokens import Tokenizer
from sfumato.errors import RecipeError
from sfumato.progress import Progress
from sfumato.seeds import derived_seed
from sfumato.training.captions import Captions, SceneCaptions
from sfumato.training.recipe import Recipe
from sfumato.training.stage import Draw
from sfumato.training.team import Team


@dataclass(frozen=True)
class Workshop:
    """What all stages share, whatever they learn from."""

    recipe: Recipe
    folder: Path  # of the model
    cache: Path  # for what is computed once and kept
    team: Team
    progress: Progress

    @property
    def weights(self) -> torch.dtype:
        """The number format of the finished model's files."""
        return getattr(torch, self.recipe.run.weights)

    @contextmanager
    def first_weights(self, name: str) -> Iterator[None]:
        """Within the block new networks draw their weights from the recipe's seed and the name."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derived_seed(self.recipe.seed, name))
            yield


@dataclass(frozen=True)
class PictureWorkshop(Workshop):
    """What stages share that learn from pictures with captions."""

    store: Store | SceneStore
    tokenizer: Tokenizer
    captions: Captions | SceneCaptions

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


@dataclass(frozen=True)
class TextWorkshop(Workshop):
    """What stages share that learn from text."""

    store: TokenStore
    tokenizer: TextTokenizer
