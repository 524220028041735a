"""/sdapi/v1: what there is to choose, and what is chosen."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool

from sfumato.diffusion.solvers import SOLVERS
from sfumato.server.a1111.infotext import read
from sfumato.server.a1111.samplers import AUTOMATIC, SAMPLERS, SCHEDULERS, scheduler_name
from sfumato.server.a1111.shapes import (
    A1111_WRONG,
    Checkpoint,
    Options,
    PngAsked,
    PngInfo,
    Sampler,
    Scheduler,
    Upscaler,
)
from sfumato.server.errors import Refusal
from sfumato.server.given import bytes_of
from sfumato.server.serving import Asker, Here, Owner, Serving

router = APIRouter(prefix="/sdapi/v1", tags=["A1111"], responses=A1111_WRONG)


@router.get("/sd-models")
def models(here: Here, owner: Owner) -> list[Checkpoint]:
    """The models that this server offers."""
    return [named(name) for name in here.engine.models.names()]


@router.get("/samplers")
def samplers(owner: Owner) -> list[Sampler]:
    """The samplers, by A1111's names and then by ours."""
    names = [*SAMPLERS, *(name for name in SOLVERS if name not in SAMPLERS.values())]
    return [Sampler(name=name, aliases=[SAMPLERS.get(name, name)], options={}) for name in names]


@router.get("/schedulers")
def schedulers(owner: Owner) -> list[Scheduler]:
    """The ways to spread the steps; Automatic is the model's own."""
    return [Scheduler(name=scheduler_name(label), label=label) for label in (AUTOMATIC, *SCHEDULERS)]


@router.get("/upscalers")
def upscalers(owner: Owner) -> list[Upscaler]:
    """None: pictures are made in their size."""
    return [Upscaler(name="None")]


@router.get("/options")
def options(here: Here, owner: Owner) -> dict[str, Any]:
    """What the calls of this key go by."""
    set_ = here.board.options(owner)
    skip = set_.get("CLIP_stop_at_last_layers", 1)
    return {
        "sd_model_checkpoint": named(chosen(here, set_)).title,
        "CLIP_stop_at_last_layers": skip,
        "samples_format": "png",
        "samples_save": True,
        "sd_vae": AUTOMATIC,
    }


@router.post("/options")
def set_options(asked: Options, here: Here, owner: Asker) -> dict[str, Any]:
    """Choose another model, for the calls of this key; other options of A1111 are not looked at."""
    given = asked.model_dump(exclude_none=True)
    chosen(here, given)
    here.board.set(owner, given)
    return {}


@router.post("/png-info")
async def png_info(asked: PngAsked, here: Here, owner: Asker) -> PngInfo:
    """How a picture was made, if it says so."""
    text, settings = await run_in_threadpool(lambda: read(bytes_of(asked.image, "image")))
    return PngInfo(info=text, items={"parameters": text} if text else {}, parameters=settings)


@router.get("/cmd-flags")
def flags(owner: Owner) -> dict[str, Any]:
    """The switches of A1111 that clients ask for."""
    return {"api": True, "listen": False, "nowebui": True}


@router.post("/refresh-checkpoints")
def refresh(owner: Owner) -> dict[str, Any]:
    """Nothing to do: a server offers what it was started with."""
    return {}


@router.get("/scripts")
def scripts(owner: Owner) -> dict[str, list[str]]:
    """There are none."""
    return {"txt2img": [], "img2img": []}


@router.get("/embeddings")
def embeddings(owner: Owner) -> dict[str, dict[str, Any]]:
    """There are none to choose."""
    return {"loaded": {}, "skipped": {}}


@router.get("/loras")
@router.get("/sd-vae")
@router.get("/hypernetworks")
@router.get("/face-restorers")
@router.get("/realesrgan-models")
@router.get("/prompt-styles")
@router.get("/latent-upscale-modes")
def nothing(owner: Owner) -> list[Any]:
    """There are none to choose."""
    return []


def chosen(here: Serving, options: Mapping[str, object]) -> str:
    """The model that options name, by its name or title. Refusal 404 when it is not offered."""
    wanted = options.get("sd_model_checkpoint")
    if not wanted:
        return here.engine.models.default
    for name in here.engine.models.names():
        if wanted in (name, named(name).title, named(name).hash):
            return name
    raise Refusal(404, "This model is not offered here.", "sd_model_checkpoint", "model_not_found")


def named(name: str) -> Checkpoint:
    """A model as A1111 describes it; where its files lie is not told."""
    digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()
    return Checkpoint(title=f"{name} [{digest[:10]}]", model_name=name, hash=digest[:10], sha256=digest, filename=name)
