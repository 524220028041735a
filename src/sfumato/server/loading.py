"""Models on their way into memory: who waits for one keeps nobody else waiting."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from starlette.concurrency import run_in_threadpool

from sfumato.server.serving import Serving

Loaded = TypeVar("Loaded")


async def loaded(here: Serving, name: str, load: Callable[[str], Loaded]) -> Loaded:
    """What is loaded of a model.

    That may take minutes, when it is first used. Of those who wait for a model one waits in a thread, and the others
    in none: else they would soon have all the threads that calls are answered in.

    Args:
        here: the server.
        name: of the model.
        load: `Models.pipeline` or `Models.writer`.

    Raises:
        ModelNotFound: there is no such model. CheckpointError: it cannot be read.
    """
    if name not in here.engine.models.names():
        return load(name)  # which says so
    async with here.loading[name]:
        return await run_in_threadpool(load, name)
