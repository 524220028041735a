"""/sdapi/v1/txt2img, img2img, progress, interrupt."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from sfumato.pipelines.request import Request as PictureRequest
from sfumato.server.a1111.about import chosen, named
from sfumato.server.a1111.asking import NAMES, begun, settings_of
from sfumato.server.a1111.board import Work
from sfumato.server.a1111.infotext import VERSION, infotext, with_infotext
from sfumato.server.a1111.samplers import sampler_of
from sfumato.server.a1111.shapes import A1111_WRONG, Img2Img, Made, Progress, State, Txt2Img
from sfumato.server.asking import Asked, submit
from sfumato.server.encoding import encode
from sfumato.server.errors import Refusal
from sfumato.server.loading import loaded
from sfumato.server.serving import Asker, Here, Owner, Serving
from sfumato.server.waiting import kept_so_far, pictures_of

router = APIRouter(prefix="/sdapi/v1", tags=["A1111"])


@router.post("/txt2img", responses=A1111_WRONG)
async def txt2img(asked: Txt2Img, http: Request, here: Here, owner: Asker) -> Made:
    """Make pictures of a prompt."""
    return await _made(asked, None, http, here, owner)


@router.post("/img2img", responses=A1111_WRONG)
async def img2img(asked: Img2Img, http: Request, here: Here, owner: Asker) -> Made:
    """Make pictures from one."""
    return await _made(asked, partial(begun, asked), http, here, owner)


@router.get("/progress", responses=A1111_WRONG)
async def progress(here: Here, owner: Owner, skip_current_image: bool = False) -> Progress:
    """How far the calls of this key are."""
    works = here.board.work(owner)
    if not works:
        return Progress(progress=0.0, eta_relative=0.0, state=State())
    work = works[0]
    shown = None if skip_current_image else await run_in_threadpool(_preview, work)
    state = State(
        job=work.job.id,
        job_count=sum(each.job.count - each.done for each in works),
        job_no=work.done,
        interrupted=work.interrupted,
        sampling_step=work.last.step if work.last else 0,
        sampling_steps=work.last.steps if work.last else 0,
    )
    image = base64.b64encode(shown).decode() if shown else None
    return Progress(progress=work.part, eta_relative=work.left, state=state, current_image=image)


@router.post("/interrupt", responses=A1111_WRONG)
@router.post("/skip", responses=A1111_WRONG)
async def interrupt(here: Here, owner: Owner) -> dict[str, Any]:
    """End the calls of this key, with what they have."""
    for work in here.board.work(owner):
        work.interrupted = True
        await run_in_threadpool(here.engine.cancel, work.job.id)
    return {}


async def _made(
    asked: Txt2Img, given: Callable[[], dict[str, Any]] | None, http: Request, here: Serving, owner: str
) -> Made:
    options = {**here.board.options(owner), **(asked.override_settings or {})}
    model = chosen(here, options)
    pipeline = await loaded(here, model, here.engine.models.pipeline)
    settings = settings_of(asked, options, pipeline.way.takes)
    count = (asked.batch_size or 1) * (asked.n_iter or 1)
    job, agreed = await submit(here, owner, model, settings, count, names=NAMES, given=given)
    work = here.board.begin(owner, job)
    try:
        paths = await pictures_of(here, job, http, work.note)
    except Refusal:
        if not work.interrupted:
            raise
        paths = await run_in_threadpool(kept_so_far, here, job.id)
    finally:
        here.board.end(owner, work)
    return await run_in_threadpool(_answer, here, asked, agreed, work, paths)


def _answer(here: Serving, asked: Txt2Img, agreed: Asked, work: Work, paths: list[Path]) -> Made:
    job, signer = work.job, here.engine.store.marks.signer
    numbers = [int(path.stem) for path in paths] or [work.shown.picture if work.shown else 0]
    every = [agreed.request.following(number) for number in numbers]
    texts = [infotext(one.to_dict(), agreed.width, agreed.height, job.model) for one in every]
    told = [None if job.private else text for text in texts]
    contents = [with_infotext(path, text, signer) for path, text in zip(paths, told, strict=False)]
    if not contents and (unfinished := _preview(work)):
        contents = [unfinished]
    if isinstance(asked, Img2Img) and asked.include_init_images:
        first: list[str] = asked.init_images
    else:
        first = []
    images = [base64.b64encode(content).decode() for content in contents] if asked.send_images is not False else []
    parameters = asked.model_dump(exclude={"init_images", "mask", "override_settings", "alwayson_scripts"})
    return Made(images=[*images, *first], parameters=parameters, info=json.dumps(_info(agreed, every, texts)))


def _info(agreed: Asked, every: list[PictureRequest], texts: list[str]) -> dict[str, Any]:
    request, seeds = agreed.request, [one.seed for one in every]
    subseeds = [one.seed if one.variation_seed is None else one.variation_seed for one in every]
    return {
        "prompt": request.prompt,
        "all_prompts": [request.prompt] * len(seeds),
        "negative_prompt": request.negative_prompt,
        "all_negative_prompts": [request.negative_prompt] * len(seeds),
        "seed": seeds[0],
        "all_seeds": seeds,
        "subseed": subseeds[0],
        "all_subseeds": subseeds,
        "subseed_strength": request.variation,
        "width": agreed.width,
        "height": agreed.height,
        "sampler_name": sampler_of(request.solver),
        "cfg_scale": request.guidance_scale,
        "steps": request.num_inference_steps,
        "batch_size": len(seeds),
        "restore_faces": False,
        "face_restoration_model": None,
        "sd_model_name": agreed.model,
        "sd_model_hash": named(agreed.model).hash,
        "denoising_strength": request.strength,
        "extra_generation_params": {},
        "index_of_first_image": 0,
        "infotexts": texts,
        "styles": [],
        "job_timestamp": "0",
        "clip_skip": request.clip_skip or 1,
        "is_using_inpainting_conditioning": False,
        "version": VERSION,
    }


def _preview(work: Work) -> bytes | None:
    """How the picture looks that is being made, if that can be seen."""
    if work.shown is None or work.shown.preview is None:
        return None
    return encode(work.shown.preview())
