"""The recorder: one who looks on while a picture emerges, and keeps a bounded part of what it sees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from torch import Tensor, nn

from sfumato.diffusion.levels import Level
from sfumato.diffusion.sampling import State
from sfumato.pipelines.tracing.attention import Maps, Places, attentions, seeing
from sfumato.pipelines.tracing.looks import Looks
from sfumato.pipelines.tracing.words import Word

MOST_KEPT = 32  # steps
MOST_LATENTS = 2**29  # bytes, of what is kept of steps; large pictures have fewer of them
MOST_BYTES = 48 * 2**20  # of maps of attention
MOST_GROUPS = 8  # of heads, in each layer
SIDES = (32, 16, 8, 4)  # of maps, the first that fits


@dataclass(frozen=True, eq=False)
class Kept:
    """A step as it was recorded, on the CPU.

    Attributes:
        step: which one, from 1.
        level: that it began at.
        noisy: what it began with.
        clean: the guided estimate of the clean.
        good: what the prompt alone asks for.
        bad: what to go away from; None without guidance.
    """

    step: int
    level: Level
    noisy: Float[Tensor, "1 c h w"]
    clean: Float[Tensor, "1 c h w"]
    good: Float[Tensor, "1 c h w"]
    bad: Float[Tensor, "1 c h w"] | None


class Said(NamedTuple):
    """The words of a prompt, from a step on, counted from 0."""

    start: int
    words: Sequence[Word]


class Recorder:
    """A `Watch` of one picture.

    Of a step it keeps the first look, which the estimate comes from, whatever a solver looks at besides.

    Args:
        said: what the prompt says, from its first step on; most say one thing only.

    Attributes:
        words: all that are said at any step.
        levels: the timetable, once sampling has begun.
        kept: steps, in their order.
        final: what the sampling has come to.
    """

    levels: Level
    final: Tensor

    def __init__(self, said: Sequence[Said]) -> None:
        self.said = said
        every: dict[tuple[int, int, int], Word] = {}
        for each in said:
            for word in each.words:
                every.setdefault(_key(word), word)
        self.words = tuple(every[key] for key in sorted(every))
        self.kept = list[Kept]()
        self._step, self._chosen = 1, frozenset[int]()
        self._good: Tensor | None = None
        self._bad: Tensor | None = None
        self._maps = dict[int, Maps]()
        self._looked = False

    def began(self, start: Tensor, levels: Level) -> None:
        self.levels, self.final = levels, start
        affordable_steps = MOST_LATENTS // (4 * start.numel() * start.element_size())
        self._chosen = evenly(len(levels) - 1, min(MOST_KEPT, max(2, affordable_steps)))

    @contextmanager
    def looking(self, network: nn.Module, toward: int, size: tuple[int, int], text: int) -> Iterator[None]:
        if self._looked or self._step not in self._chosen or not self.words:
            yield
            return
        self._looked = True
        groups, side = affordable(network, len(self.words), len(self._chosen))
        with seeing(network, size, text, self._places(toward), len(self.words), groups, side) as maps:
            yield
        self._maps[self._step] = maps

    def estimated(self, good: Tensor, bad: Tensor | None, level: Level) -> None:
        if self._good is None and self._step in self._chosen:
            self._good, self._bad = good.detach(), None if bad is None else bad.detach()

    def stepped(self, state: State) -> None:
        if self._step in self._chosen:
            good = state.clean if self._good is None else self._good
            bad = None if self._bad is None else self._bad.float().cpu()
            noisy, clean, alone = (part.float().cpu() for part in (self.final, state.clean, good))
            self.kept.append(Kept(self._step, self.levels[self._step - 1], noisy, clean, alone, bad))
        self._step, self.final, self._looked = state.step + 1, state.noisy, False
        self._good = self._bad = None

    @property
    def looks(self) -> Looks:
        """The attention that was seen."""
        return Looks(self._maps)

    def _places(self, toward: int) -> Places:
        """The states of each word that is said at this step, by branch."""
        now = [each for each in self.said if each.start < self._step][-1]
        there = {_key(word): word.places for word in now.words}
        branches = sorted({word.branch for word in now.words if word.branch < toward})
        return {
            branch: [there.get(_key(word), ()) if word.branch == branch else () for word in self.words]
            for branch in branches
        }


def _key(word: Word) -> tuple[int, int, int]:
    """What tells a word from others, also where the words before it change."""
    return word.branch, word.start, word.end


def evenly(steps: int, most: int) -> frozenset[int]:
    """Numbers of steps from 1, all of them or `most`, evenly spread, with the first and the last."""
    return frozenset(np.linspace(1, steps, min(steps, most)).round().astype(int).tolist())


def affordable(network: nn.Module, words: int, steps: int) -> tuple[int, int]:
    """How many groups of heads, and maps of what side, fit into `MOST_BYTES` (2 bytes a number)."""
    layers = max(1, len(attentions(network)))
    for side in SIDES:
        groups = MOST_BYTES // (2 * layers * words * steps * side**2)
        if groups:
            break
    return min(max(groups, 1), MOST_GROUPS), side
