"""What was asked for in one call, and what becomes known of it while it is made."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

    from sfumato.pipelines.request import Request

TRANSITIONS: dict[str, tuple[str, ...]] = {
    "queued": ("running", "failed", "cancelled"),
    "running": ("queued", "done", "failed", "cancelled"),  # queued again when the server stops before it is finished
    "done": (),
    "failed": (),
    "cancelled": (),
}
"""The states of a job, each with those that may follow it."""

FINISHED = tuple(state for state, following in TRANSITIONS.items() if not following)

_ID = re.compile(r"[A-Za-z0-9_-]{22}")


def new_id() -> str:
    """A name that nobody guesses: 128 random bits as 22 characters that are safe in paths and addresses."""
    return secrets.token_urlsafe(16)


def is_id(text: object) -> bool:
    """Whether it has the form of an id; whatever comes from outside is asked before it touches the file system."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


@dataclass(frozen=True)
class Job:
    """What was asked for in one call: `count` pictures of one request, with the seeds seed, seed + 1, ...

    Attributes:
        id: 22 random characters, safe in paths and addresses.
        owner: the id of an API key; "local" without keys.
        model: the name under which the server offers the model.
        request: `Request.to_dict()` of the first picture; the pictures given to it are files of the store.
        count: how many pictures.
        state: a name in `TRANSITIONS`.
        created, started, finished: seconds since 1970; None for what was not yet.
        error: what went wrong, for people; else "".
        private: its words and the pictures given are forgotten once it is finished, and its pictures carry none.
    """

    id: str
    owner: str
    model: str
    request: Mapping[str, Any]
    count: int
    state: str
    created: float
    started: float | None = None
    finished: float | None = None
    error: str = ""
    private: bool = False

    @property
    def is_finished(self) -> bool:
        """Whether nothing more will happen to it: it is done, failed or cancelled."""
        return self.state in FINISHED

    def asked(self, picture: int = 0) -> Request:
        """The request of one of its pictures, from 0.

        Raises PromptError when this version does not understand it, as when a later one wrote it.
        """
        from sfumato.pipelines.request import Request

        return Request.from_dict(self.request).following(picture)


@dataclass(frozen=True)
class Event:
    """Something that happened to a job.

    Attributes:
        job: its id.
        kind: "queued", "step", "picture" (one is finished), "done", "failed" or "cancelled".
        picture: which of the job's pictures, from 0.
        stage, step, steps: where that picture stands, as `sfumato.pipelines.text_to_image.Step`.
        position: how many pictures come before it, while it is queued.
        preview: how the picture looks now, computed when called; with "step" alone.
    """

    job: str
    kind: str
    picture: int = 0
    stage: str = ""
    step: int = 0
    steps: int = 0
    position: int = 0
    preview: Callable[[], Image.Image] | None = None
