"""What is said about words while they are typed: those the model never saw, and how they might go on."""

from __future__ import annotations

import asyncio

from nicegui import ui

from sfumato.errors import SfumatoError
from sfumato.pipelines.weighting import Reading
from sfumato.server.studio.controls import button
from sfumato.server.studio.form import Form
from sfumato.server.studio.studio import Studio

PAUSE = 0.5  # seconds without a key before anything is said
COMPLETIONS = 3


class Advice:
    """Lines under the words of a form.

    Args:
        studio: has the model, and the language model that completes prompts for it, if there is one.
        model: by name.
        form: whose words they are.
    """

    def __init__(self, studio: Studio, model: str, form: Form) -> None:
        self._studio, self._model, self._form = studio, model, form
        self._asked = 0
        with form.advice:
            self._unknown = ui.label().props("role=status").classes("warn small")
            self._ways = ui.element("div").classes("ways").props("role=group")
            self._ways.props["aria-label"] = "How the words might go on"

    async def give(self) -> None:
        """Say what there is to say once nobody has typed for a moment."""
        self._asked += 1
        mine = self._asked
        await asyncio.sleep(PAUSE)
        async with self._studio.advising:
            if mine == self._asked:
                await self._tell(self._form.words, mine)

    async def _tell(self, prompt: str, mine: int) -> None:
        told = await asyncio.to_thread(self._unheard, prompt)
        if mine == self._asked:
            self._unknown.set_text(told)
        if mine != self._asked or not prompt:
            self._ways.clear()
            return
        ways = await asyncio.to_thread(self._completions, prompt, mine)
        if mine == self._asked:
            self._offer(prompt, ways)

    def _unheard(self, prompt: str) -> str:
        from sfumato.pipelines.unheard import unheard

        try:
            return " ".join(unheard(self._studio.models.pipeline(self._model).model, prompt, Reading()))
        except SfumatoError:  # told when pictures are asked for
            return ""

    def _completions(self, prompt: str, mine: int) -> list[str]:
        """Different ways on, the most different first words of the language model; fewer when more is typed."""
        from sfumato.pipelines.language.hearing import Hearing
        from sfumato.pipelines.language.prompting import expand

        try:
            writer = self._studio.models.writer(self._model)
            if writer is None:
                return []
            hearing = Hearing.of(self._studio.models.pipeline(self._model).model)
            seeds = (seed for seed in range(COMPLETIONS) if mine == self._asked)
            made = [expand(writer, prompt, seed, hearing=hearing) for seed in seeds]
        except SfumatoError:  # a half-typed prompt, or one that is not completed
            return []
        return list(dict.fromkeys(one.added for one in made if one.added))

    def _offer(self, prompt: str, ways: list[str]) -> None:
        self._ways.clear()
        with self._ways:
            for added in ways:
                whole = prompt + added
                way = button(
                    f"… {added.lstrip(' ,')}", lambda whole=whole: self._take(whole), "quiet", f"Go on: {whole}"
                )
                way.props["title"] = whole

    def _take(self, whole: str) -> None:
        self._form.prompt.value = whole
        self._form.prompt.run_method("focus")
