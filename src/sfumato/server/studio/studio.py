"""What all the pages share: the engine that makes pictures, its store, and who is asking."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fastapi import Depends, HTTPException
from nicegui import app, ui

from sfumato.errors import SfumatoError
from sfumato.server.keys import LOCAL, Keys
from sfumato.server.studio.tray import Tray

if TYPE_CHECKING:
    from sfumato.pipelines.request import Request
    from sfumato.server.engine import Engine
    from sfumato.server.job import Job
    from sfumato.server.models import Models
    from sfumato.server.store import Store

ENTRANCE = "/enter"

Page = Callable[..., Any]
Done = TypeVar("Done")


@dataclass(frozen=True)
class Studio:
    """What the pages work with.

    Attributes:
        engine: makes the pictures.
        folder: where the studio keeps what it remembers of browsers.
        keys: who may use it; nobody is asked for a key while there are none.
        roots: folders within which a person may choose one to train on.
        trained: the folder in which models are trained.
        trains_with_keys: whether people with keys may train too; without keys whoever sees the page may.
        private: whether the words of every job are forgotten once it is finished.
        tray: what was made besides the pictures of the store.
        advising: held by whoever is told how their words might go on, one after the other.
    """

    engine: Engine
    folder: Path
    keys: Keys
    roots: tuple[Path, ...] = field(default_factory=lambda: (Path.home(), Path.cwd()))
    trained: Path = field(default_factory=lambda: Path.cwd() / "models")
    trains_with_keys: bool = False
    private: bool = False
    tray: Tray = field(default_factory=Tray)
    advising: asyncio.Lock = field(default_factory=asyncio.Lock)
    _long: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "long work"), init=False)

    @property
    def models(self) -> Models:
        """The models on offer."""
        return self.engine.models

    @property
    def store(self) -> Store:
        """Everything that was made."""
        return self.engine.store

    @property
    def owner(self) -> str:
        """Who looks at the page, "" for somebody unknown; on a page or in a request of one alone."""
        if not self.keys.asked():
            return LOCAL
        known = {key.id for key in self.keys.all()}
        shown = app.storage.user.get("owner", "")
        return shown if shown in known else ""

    def owner_of(self, key: str) -> str | None:
        """Whose a key is; None when it is no key."""
        return self.keys.owner(key)

    @property
    def model(self) -> str:
        """The name of the model that this browser chose last, or the default."""
        chosen = app.storage.user.get("model")
        return chosen if chosen in self.models.names() else self.models.default

    @property
    def trains(self) -> bool:
        """Whether models may be trained from the page: it reads folders and takes the whole machine."""
        return self.trains_with_keys or not self.keys.asked()

    def submit(self, owner: str, model: str, asked: Sequence[tuple[Request, int]]) -> tuple[list[Job], str]:
        """Hand requests to the engine, each with how many pictures.

        Returns:
            The jobs that it took, and why it did not take the others, "" where it took all.

        Raises as `Engine.submit` does when it took none.
        """
        jobs: list[Job] = []
        try:
            for request, count in asked:
                jobs.append(self.engine.submit(owner, model, request, count, self.private))
        except SfumatoError as error:
            if not jobs:
                raise
            return jobs, f"{len(jobs)} of {len(asked)} are being made. {error}"
        return jobs, ""

    def choose(self, model: str) -> None:
        """Remember a model for this browser."""
        app.storage.user["model"] = model

    async def in_turn(self, work: Callable[[], Done]) -> Done:
        """What work of minutes gives, one after the other: each takes all that the machine has.

        It is done in a thread of its own, so that everything else finds one.
        """
        return await asyncio.get_running_loop().run_in_executor(self._long, work)

    def close(self) -> None:
        """Begin no more of such work, as when the server ends."""
        self._long.shutdown(wait=False, cancel_futures=True)

    def page(self, path: str, title: str) -> Callable[[Page], Page]:
        """A page of the studio, for those who may see it; decorates the function that builds it."""
        return ui.page(path, title=f"{title} · sfumato", dependencies=[Depends(self.admit)])

    def admit(self) -> None:
        """Send who has not shown a key to the entrance; a dependency of every route."""
        if not self.owner:
            raise HTTPException(303, "Show a key first.", {"Location": ENTRANCE})
