"""A trace: everything that is recorded of how a picture emerges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image

from sfumato.errors import PromptError
from sfumato.pipelines.request import Request
from sfumato.pipelines.tracing.guide import fitted
from sfumato.pipelines.tracing.looks import Looks
from sfumato.pipelines.tracing.path import plane
from sfumato.pipelines.tracing.steps import Curves, TracedStep, difference
from sfumato.pipelines.tracing.words import Token, Word, parts

__all__ = ["HOWS", "Curves", "Looks", "Token", "Trace", "TracedStep", "Word"]

HOWS = ("fitted", "daam")
"""How maps of attention are made one: `docs/xray.md` says what was measured of each."""


@dataclass(frozen=True, eq=False)
class Trace:
    """How one picture emerged.

    Attributes:
        request: what was asked for.
        recipe: what makes the picture again.
        picture: the finished one.
        words: of the prompt, in their order.
        steps: those that are kept, in their order; 32 at most, evenly chosen.
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
        self,
        word: int | str,
        step: int | None = None,
        layer: str | None = None,
        heads: int | None = None,
        how: str = HOWS[0],
    ) -> Float[np.ndarray, "h w"]:
        """Where the picture looks at a word, 0 to 1, of the size of the steps' pictures.

        Args:
            word: its number in `words`, or its text; words that stand together may be given as one text.
            step: one of `steps`, by its own number from 1; all together when None.
            layer: one of `layers`; all together when None.
            heads: a group of heads, from 0 to `head_groups`; all together when None.
            how: "fitted", where heads count as much as they tell words apart, and the map is fitted to the edges of
                the estimate of the clean picture; or "daam", the plain sum (Tang et al. 2023).

        Raises:
            PromptError: there is no such word, step, layer, group of heads or way, or the denoiser does not hear the
                word.
        """
        words = self.find(word)
        self._require(step, layer, heads, how)
        shown = next((one for one in self.steps if one.step == step), self.steps[-1]).clean_picture
        if not any(self.words[number].places for number in words):
            raise PromptError(f"The denoiser does not hear {self._text(words)!r} word by word.")
        size, weighed = shown.size[::-1], how == HOWS[0]
        found = self.looks.summed(words, size, step=step, layer=layer, group=heads, weighed=weighed)
        if found is None:
            raise PromptError("Of this step no attention was seen.")
        found = fitted(found, shown) if weighed else found
        low = float(found.min()) if weighed else 0.0
        span = float(found.max()) - low
        return np.clip((found - low) / span if span > 0 else np.zeros_like(found), 0, 1)

    def find(self, word: int | str) -> list[int]:
        """The numbers of a word, or of words that stand together, the first time that they do.

        Raises PromptError where they do not stand in the prompt.
        """
        if isinstance(word, str):
            wanted = [part.lower() for part in parts(word)]
            said = [one.text.lower() for one in self.words]
            for first in range(len(said) - len(wanted) + 1 if wanted else 0):
                if said[first : first + len(wanted)] == wanted:
                    return list(range(first, first + len(wanted)))
        elif 0 <= word < len(self.words):
            return [word]
        raise PromptError(f"There is no word {word!r:.100} in the prompt; there are {len(self.words)} words.")

    def path(self, others: Sequence[Trace] = ()) -> Float[np.ndarray, "traces points 2"]:
        """The ways of the latents in two dimensions, this one's first, beside those of others with as many steps.

        The axes are the two along which all of them differ most (principal components); the last point is clean. What
        is noisy is brought to unit scale first.

        Raises:
            PromptError: another has latents of another size, or other steps.
        """
        ways = [trace.way for trace in (self, *others)]
        if any(way.shape != ways[0].shape for way in ways):
            raise PromptError("Ways can be seen beside one another where they have as many steps, at one size.")
        return plane(ways)

    @property
    def way(self) -> Float[np.ndarray, "points values"]:
        """The latents that the steps began with, at unit scale, and the last one."""
        noisy = [one.noisy.astype(np.float32) / np.hypot(one.alpha, one.sigma) for one in self.steps]
        return np.stack([each.ravel() for each in (*noisy, self.final.astype(np.float32))])

    def difference(self, other: Trace) -> Image.Image:
        """This picture minus another of its size: middle grey where they agree."""
        return difference(self.picture, other.picture)

    def _text(self, words: Sequence[int]) -> str:
        return " ".join(self.words[number].text for number in words)

    def _require(self, step: int | None, layer: str | None, heads: int | None, how: str) -> None:
        steps = [one.step for one in self.steps]
        if step is not None and step not in steps:
            raise PromptError(f"Step {step!r:.100} is not among those that are kept: {steps}.")
        if layer is not None and layer not in self.layers:
            raise PromptError(f"There is no layer {layer!r:.100}; there are {', '.join(self.layers)}.")
        if heads is not None and not 0 <= heads < self.head_groups:
            raise PromptError(f"heads is a group of heads from 0 to {self.head_groups - 1}, not {heads!r:.100}.")
        if how not in HOWS:
            raise PromptError(f"how is one of {', '.join(HOWS)}, not {how!r:.100}.")
