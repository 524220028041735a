"""Pictures as events of OpenAI's streams: some previews on the way, then each picture."""

from __future__ import annotations

import base64
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool

from sfumato.server.encoding import encode, encoded
from sfumato.server.job import Event, Job
from sfumato.server.serving import Serving
from sfumato.server.streams import event
from sfumato.server.waiting import events, failed, kept

NO_TOKENS = {
    "input_tokens": 0,
    "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
    "output_tokens": 0,
    "total_tokens": 0,
}
"""Clients expect a bill; here nobody counts."""


@dataclass(frozen=True)
class Shown:
    """How pictures are sent.

    Attributes:
        name: of the events, "image_generation" or "image_edit".
        size: of the finished pictures.
        format, quality: in which they are encoded.
        asked: the quality that was asked for.
    """

    name: str
    size: str
    format: str
    quality: int | None
    asked: str

    def event(self, kind: str, content: bytes, **more: Any) -> str:
        """The event of a picture."""
        name = f"{self.name}.{kind}"
        asked = self.asked if self.asked in ("low", "medium", "high", "xhigh", "max") else "auto"
        told = {
            "type": name,
            "b64_json": base64.b64encode(content).decode(),
            "created_at": int(time.time()),
            "size": self.size,
            "quality": asked,
            "background": "opaque",
            "output_format": self.format,
        }
        return event({**told, **more}, name)


async def streamed(here: Serving, job: Job, shown: Shown, previews: int) -> AsyncGenerator[str, None]:
    """The events of a job.

    Args:
        here: the server.
        job: that was accepted just now.
        shown: how pictures are sent.
        previews: at most so many of each picture, at even parts of the way; fewer if the way is shorter.
    """
    sent: set[int] = set()
    due = Due(previews)
    try:
        async with aclosing(events(here, job.id)) as following:
            async for happened in following:
                if happened.kind == "step" and happened.preview is not None and due.now(happened):
                    content = await run_in_threadpool(_preview, happened, shown)
                    yield shown.event("partial_image", content, partial_image_index=due.count(happened.picture))
                if happened.kind == "picture":
                    sent.add(happened.picture)
                    yield await _finished(here, job.id, happened.picture, shown)
        for number in range(len(await run_in_threadpool(kept, here, job.id))):
            if number not in sent:
                yield await _finished(here, job.id, number, shown)
    except Exception as error:
        yield event(failed(here, error), "error")


class Due:
    """When previews are due: at even parts of the way.

    Example:
        >>> due = Due(1)
        >>> [due.now(Event("", "step", 0, "denoise", step, 4)) for step in range(5)]
        [False, False, True, False, False]
    """

    def __init__(self, previews: int) -> None:
        self.previews = previews
        self._sent: dict[int, int] = {}

    def now(self, step: Event) -> bool:
        """Whether to show this step; if so it counts."""
        sent = self._sent.get(step.picture, 0)
        if sent >= self.previews or step.stage != "denoise" or not step.steps or step.step >= step.steps:
            return False
        if step.step * (self.previews + 1) < (sent + 1) * step.steps:
            return False
        self._sent[step.picture] = sent + 1
        return True

    def count(self, picture: int) -> int:
        """The number of a picture's latest preview, from 0."""
        return self._sent[picture] - 1


def _preview(happened: Event, shown: Shown) -> bytes:
    assert happened.preview is not None
    return encode(happened.preview(), shown.format, shown.quality)


async def _finished(here: Serving, id: str, picture: int, shown: Shown) -> str:
    path = await run_in_threadpool(here.engine.store.path, id, picture)
    if path is None:
        raise FileNotFoundError
    content = await run_in_threadpool(encoded, path, shown.format, shown.quality, here.engine.store.marks.signer)
    return shown.event("completed", content, usage=NO_TOKENS)
