"""From what a client asked to a job: within the server's limits, and such that the model can do it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from PIL import Image
from starlette.concurrency import run_in_threadpool

from sfumato.errors import PromptError
from sfumato.pipelines.request import Request
from sfumato.server.errors import Refusal, parameter_of
from sfumato.server.job import Job
from sfumato.server.loading import loaded
from sfumato.server.serving import Serving
from sfumato.server.shapes import PICTURES

if TYPE_CHECKING:
    from sfumato.pipelines.text_to_image import Pipeline
    from sfumato.server.engine import Engine

SIZES = ("width", "height")

Settings = Mapping[str, Any]
"""Of a `Request`, by their names; what is None is left to the model."""


@dataclass(frozen=True)
class Asked:
    """A request that is followed.

    Attributes:
        model: under which name the server offers it.
        request: of the first picture.
        width, height: of the pictures, in pixels.
    """

    model: str
    request: Request
    width: int
    height: int


async def submit(
    here: Serving,
    owner: str,
    model: str | None,
    settings: Settings,
    count: int = 1,
    private: bool = False,
    names: Mapping[str, str] | None = None,
    given: Callable[[], Settings] | None = None,
) -> tuple[Job, Asked]:
    """Accept a job.

    Args:
        here: the server.
        owner: who asks.
        model: its name; the server's first one if None.
        settings: of its first picture.
        count: pictures.
        private: whether its words are to be forgotten.
        names: what the client calls settings, where it calls them otherwise.
        given: opens the pictures that came with the call, and gives the settings that they are part of, as PIL images;
            called in a thread, and for few calls at a time, since a small file may hold a picture that fills memory.

    Raises:
        Refusal: a setting is out of bounds or not for this model; `param` names it.
        ModelNotFound, QueueFull, StorageError: as the engine says.
    """
    private, models = private or here.settings.private, here.engine.models
    name = model or models.default
    await loaded(here, name, models.pipeline)
    try:
        async with here.opening if given else nullcontext():
            job, asked = await run_in_threadpool(
                _accepted, here.engine, owner, name, settings, given or dict, count, private
            )
    except PromptError as error:
        param = parameter_of(str(error))
        raise Refusal(400, str(error), (names or {}).get(param or "", param), "invalid_value") from error
    except Refusal as refusal:
        refusal.param = (names or {}).get(refusal.param or "", refusal.param)
        raise
    here.log.job(job)
    return job, asked


def _accepted(
    engine: Engine,
    owner: str,
    name: str,
    settings: Settings,
    given: Callable[[], Settings],
    count: int,
    private: bool,
) -> tuple[Job, Asked]:
    pipeline = engine.models.pipeline(name)
    told = {key: value for key, value in {**settings, **given()}.items() if value is not None}
    _require_outside(told)
    prompt, seed = told.pop("prompt", ""), told.pop("seed", None)
    try:
        (request,) = pipeline.requests(prompt, 1, seed, **told)
        job, size = engine.accept(owner, name, request, count, private)
    except PromptError as error:
        param = parameter_of(str(error), SIZES)
        if param or "pixels" in str(error):
            raise Refusal(400, f"{error} {_sizes_told(pipeline)}", param or SIZES[0], "invalid_size") from error
        raise
    return job, Asked(name, job.asked(), *size)  # whose pictures lie in the store, and no longer in memory


def _sizes_told(pipeline: Pipeline) -> str:
    """Which sizes a model makes, for people."""
    side, unit = pipeline.final_size, pipeline.way.unit
    told = f"This model makes pictures of {side}x{side} pixels"
    return told + ("." if unit is None else f", and other sides that are multiples of {unit * prod(pipeline.factors)}.")


def _require_outside(told: Settings) -> None:
    """Refuse names of files: what the server begins with came with the call. `Limits` refuses those of networks."""
    for name in PICTURES:
        if told.get(name) is not None and not isinstance(told[name], Image.Image):
            raise Refusal(400, f"{name} is a picture, not where one lies.", name, "not_here")
    if str(told.get("spacing", "")).endswith(".json"):
        raise Refusal(400, "spacing names a file of the server, which is not read for clients.", "spacing", "not_here")
