"""A trace: everything that is recorded of how a picture emerges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image

from sfumato.pipelines.request import Request
from sfumato.pipelines.tracing.looks import Looks
from sfumato.pipelines.tracing.steps import Curves, TracedStep, difference
from sfumato.pipelines.tracing.words import Token, Word

__all__ = ["Curves", "Token", "Trace", "TracedStep", "Word"]


@dataclass(frozen=True)
class Trace:
    """How one picture emerged.

    Attributes:
        request: what was asked for.
        recipe: what makes the picture again.
        picture: the finished one.
        words: of the prompt, in their order.
        steps: those that are kept, in their order; at most `MOST_STEPS`, evenly chosen.
        levels: the timetable, of all steps.
        final: the clean latent that the sampling ended with.
        looks: where the denoiser looked.
    """

    request: Request
    recipe: dict[str, Any]
    picture: Image.Image
    words: tuple[Word, ...]
    steps: tuple[TracedStep, ...]
    levels: Curves
    final: Float[np.ndarray, "c h w"]
    looks: Looks

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the layers whose attention to the words is kept, in the network's order."""
        return self.looks.layers

    @property
    def head_groups(self) -> int:
        """How many groups of heads are kept apart in each layer."""
        return self.looks.groups

    def attention(
        self, word: int | str, step: int | None = None, layer: str | None = None, heads: int | None = None
    ) -> Float[np.ndarray, "h w"]:
        """Where the picture looks at a word, 0 to 1, of the size of the steps' pictures.

        Args:
            word: its number in `words`, or its text.
            step: one of `steps`, by its own number from 1; all together when None.
            layer: one of `layers`; all together when None.
            heads: a group of heads, from 0 to `head_groups`; all together when None.

        Raises:
            PromptError: there is no such word, step, layer or group of heads, or the denoiser does not hear the word.
        """
        raise NotImplementedError

    def path(self, others: Sequence[Trace] = ()) -> Float[np.ndarray, "traces points 2"]:
        """The ways of the latents in two dimensions, this one's first, beside those of others with as many steps.

        The axes are the two along which all of them differ most (principal components); the last point is clean.
        """
        raise NotImplementedError

    def difference(self, other: Trace) -> Image.Image:
        """This picture minus another of its size: middle grey where they agree."""
        return difference(self.picture, other.picture)
