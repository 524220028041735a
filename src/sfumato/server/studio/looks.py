"""Looking into pictures: the traces that a page shows, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sfumato.pipelines.request import Request
from sfumato.server.studio.studio import Studio

if TYPE_CHECKING:
    from sfumato.pipelines.text_to_image import Pipeline
    from sfumato.pipelines.trace import Trace
    from sfumato.server.xray.effects import Effect

MOST_WORDS = 24  # that are taken away in turn

Tell = Callable[[int, int], bool]
"""Hears how many traces are there, of how many; says whether to go on."""


@dataclass(frozen=True)
class Wanted:
    """What is looked into.

    Attributes:
        model: by name.
        request: of the picture.
        against: another prompt beside it; "" for none.
        seeds: how many, beside whose ways the latent's is drawn; 1 is the picture's alone.
        every_word: whether each word is taken away in turn.
    """

    model: str
    request: Request
    against: str = ""
    seeds: int = 1
    every_word: bool = False


class Left(Exception):
    """Nobody wants to see it any more."""


class Looks:
    """Makes the pages, one at a time; they are laid on the tray."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    async def add(self, owner: str, wanted: Wanted, tell: Tell) -> str:
        """Look into a picture; the address of its page.

        Raises:
            PromptError: the model cannot make the picture, or be looked into.
            Left: `tell` said not to go on.
        """
        text = await self._studio.in_turn(lambda: self._page(wanted, tell))
        return self._studio.tray.put(owner, text.encode(), "text/html; charset=utf-8")

    def _page(self, wanted: Wanted, tell: Tell) -> str:
        from sfumato.server.xray.page import page

        made = Looking(self._studio.models.pipeline(wanted.model), wanted, tell)
        first, *others = [made.traced(request) for request in (wanted.request, *_others(wanted))]
        against = others.pop() if wanted.against else None
        effects = made.effects(first) if wanted.every_word else []
        return page(first, others, effects, against=against)


class Looking:
    """The traces of one page, one after the other."""

    def __init__(self, pipeline: Pipeline, wanted: Wanted, tell: Tell) -> None:
        self._pipeline, self._tell, self._done = pipeline, tell, 0
        self._total = wanted.seeds + bool(wanted.against) + wanted.every_word * len(wanted.request.prompt.split())

    def traced(self, request: Request) -> Trace:
        """A picture with all that is recorded of it."""
        from sfumato.pipelines.tracing.making import traced

        self._next()
        return traced(self._pipeline, request)

    def effects(self, trace: Trace) -> list[Effect]:
        """What each word does: the picture without it."""
        from sfumato.server.xray.effects import Effect

        heard = [number for number, word in enumerate(trace.words) if word.tokens][:MOST_WORDS]
        self._total = self._done + len(heard)
        found = []
        for number in heard:
            self._next()
            found.append(Effect(trace.words[number].text, self._pipeline.without(trace, number).picture))
        return found

    def _next(self) -> None:
        if not self._tell(self._done, self._total):
            raise Left
        self._done += 1


def _others(wanted: Wanted) -> Iterator[Request]:
    """The same of other seeds, and then the other prompt."""
    for more in range(1, wanted.seeds):
        yield replace(wanted.request, seed=wanted.request.seed + more)
    if wanted.against:
        yield replace(wanted.request, prompt=wanted.against, typed="")
