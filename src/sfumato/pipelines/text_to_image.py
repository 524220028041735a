"""Text to image: words -> the model's way to a small picture -> upsamplers -> picture.

For a model of latents the way is tokens -> text encoder -> the sampling loop -> autoencoder; see `ways/latents.py`.
"""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any, Unpack

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from sfumato import __version__
from sfumato.data.pictures import to_image
from sfumato.devices import choose_device, named_dtype, usual_dtype
from sfumato.diffusion.noise import per_sample_noise
from sfumato.errors import PromptError
from sfumato.networks.upsampler import patch_of
from sfumato.pipelines.beginning import require_use_of_picture
from sfumato.pipelines.canvas import laid_over, size_of_canvas
from sfumato.pipelines.hints import require_identified
from sfumato.pipelines.keepsake import save_picture
from sfumato.pipelines.loading import Beside, load_with, require_additions
from sfumato.pipelines.marks.writing import PLAIN, Marks
from sfumato.pipelines.memory.estimate import Estimate, estimate, without_memory
from sfumato.pipelines.memory.offloading import Offloading, require_offload
from sfumato.pipelines.memory.room import free, require_room
from sfumato.pipelines.model import Model, require_fingerprint
from sfumato.pipelines.request import LARGEST_SIDE, Request
from sfumato.pipelines.steps import settled
from sfumato.pipelines.strips import strip
from sfumato.pipelines.trace import Trace
from sfumato.pipelines.tracing.effects import reworded
from sfumato.pipelines.tracing.making import traced
from sfumato.pipelines.unheard import unheard
from sfumato.pipelines.upsampling import upsample
from sfumato.pipelines.varying import Varied, variations
from sfumato.pipelines.watching import Watch
from sfumato.pipelines.ways import way_of
from sfumato.pipelines.ways.latents import Latents
from sfumato.pipelines.ways.way import Batch, Painting

USUAL = ("num_inference_steps", "guidance_scale", "solver")  # settings of which a model may have its own
ENOUGH_STEPS = 3  # until a solver of several steps remembers all that it ever does
MOST_A_PIXEL = 2**14  # bytes; no network here takes more for each pixel of the picture


class PromptWarning(UserWarning):
    """A prompt that the model cannot follow fully."""


@dataclass(frozen=True)
class Step:
    """Where generation stands: `stage` is "denoise", "upsample" ("upsample-2", ...) or "done", at `step` of `steps`."""

    stage: str
    step: int
    steps: int
    pictures: Callable[[], list[Image.Image]]  # as they look now; computed when called


@dataclass(frozen=True)
class Result:
    """Finished pictures, each with the recipe that makes it again."""

    pictures: list[Image.Image]
    recipes: list[dict[str, Any]]

    def save(self, paths: Sequence[str | Path], marks: Marks = PLAIN) -> None:
        """Write each picture with its recipe and `marks`: as a PNG, or JPEG or WebP where its name says so."""
        for picture, recipe, path in zip(self.pictures, self.recipes, paths, strict=True):
            save_picture(picture, Path(path), recipe, marks)


class Pipeline:
    """A model that makes pictures from words.

    A picture depends on the model and its `Request` alone, never on the batch it is made in. On the CPU that holds to
    the bit: `pictures_a_pass` is 1 there. More pictures a pass are faster, and equal up to rounding.

    Example:
        >>> pipeline = Pipeline.load("digits")
        >>> pipeline("a handwritten seven", seed=3).pictures[0].size
        (64, 64)
    """

    def __init__(self, model: Model, pictures_a_pass: int | None = None, offload: str | None = None) -> None:
        self.model, self.way, self.offload = model, way_of(model), offload
        self.pictures_a_pass = pictures_a_pass or (1 if model.device.type == "cpu" else 16)
        self._offloading: Offloading | None = None
        if offload and model.device.type != "meta":
            self._offloading = Offloading(model.parts, model.device, offload)
        self._there_is_room: set[tuple[Any, ...]] = set()  # for what was looked at already

    @classmethod
    def load(
        cls,
        model: str | Path | None = None,
        device: str = "auto",
        dtype: torch.dtype | None = None,
        offload: str | None = None,
        **beside: Unpack[Beside],
    ) -> Pipeline:
        """Load a model: a folder, a single file, an id on the hub or an embedded name; the default when none is given.

        `device` "auto" is the GPU where there is one; `dtype` is float32 on the CPU and float16 elsewhere, but float32
        for autoencoders that overflow in it. With `offload` weights wait on the CPU: "parts" has one network on the
        device at a time, "blocks" one block of a network. What goes `beside` the model, such as
        loras=["style.safetensors:0.8"], `Beside` says.
        Raises CheckpointError when it is not a whole model, RecipeError when there is no such device.
        """
        where = choose_device(device)
        require_offload(offload, where)
        home = torch.device("cpu") if offload else where
        loaded = load_with(model, home, dtype or usual_dtype(where), **beside)
        return cls(replace(loaded, device=where) if offload else loaded, offload=offload)

    def __call__(self, prompt: str | Sequence[str], count: int = 1, seed: int | None = None, **settings: Any) -> Result:
        """Make `count` pictures of each prompt, with the seeds seed, seed + 1, ...; see `Request.following`.

        Args:
            prompt: one, or several.
            count: pictures of each prompt, at least 1.
            seed: of the first picture of each prompt; a random one when not given.
            settings: the other fields of `Request`.

        Raises:
            PromptError: a setting that is not valid, named.
        """
        return self.made(self.requests(prompt, count, seed, **settings))

    def made(self, requests: Sequence[Request]) -> Result:
        """Run requests that are made together to their end."""
        for step in self.run(requests):
            last = step
        return Result(last.pictures(), [self.recipe(request) for request in requests])

    def variations(
        self, varied: Varied | Result, count: int = 4, amount: float = 0.3, seed: int | None = None, **settings: Any
    ) -> Result:
        """Pictures like one that is there; `sfumato.pipelines.varying.variations` says what may be given, and how."""
        varied = varied.recipes[0] if isinstance(varied, Result) else varied
        return self.made(variations(self, varied, count, amount, seed, **settings))

    def strip(
        self, prompts: str | Sequence[str], frames: int = 8, seeds: Sequence[int] = (0,), **settings: Any
    ) -> Result:
        """Pictures on the way from each prompt to the next, and from each seed to the next; see `strips.frames`."""
        each = [self.made([request]) for request in strip(self, prompts, frames, seeds, **settings)]
        return Result([one.pictures[0] for one in each], [one.recipes[0] for one in each])

    def iterate(
        self, prompt: str | Sequence[str], count: int = 1, seed: int | None = None, **settings: Any
    ) -> Iterator[Step]:
        """The same step by step; `step.pictures()` shows how far they are. Leaving the loop cancels the rest."""
        return self.run(self.requests(prompt, count, seed, **settings))

    def requests(
        self, prompt: str | Sequence[str], count: int = 1, seed: int | None = None, **settings: Any
    ) -> list[Request]:
        """The checked requests of a call."""
        if not isinstance(count, int) or count < 1:
            raise PromptError(f"count is a whole number from 1, not {count!r}.")
        prompts = list(prompt) if isinstance(prompt, Iterable) and not isinstance(prompt, str) else [prompt]
        if not prompts:
            raise PromptError("At least one prompt is needed.")
        settings = {name: value for name, value in settings.items() if name not in USUAL or value is not None}
        if settings.get("variation") and settings.get("variation_seed") is None:
            settings["variation_seed"] = secrets.randbits(32)
        if isinstance(self.way, Latents) and settings.get("guidance", "cfg") in ("cfg", "apg"):
            settings = {**self.way.usual, **settings}
        try:
            first = Request(prompts[0], secrets.randbits(32) if seed is None else seed, **settings)
        except TypeError as error:
            raise PromptError(f"There is no such setting: {error}") from error
        first.require(self.way.takes, self.model.name)
        require_use_of_picture(self.model, first)
        first = self._settled(first)
        return [replace(first, prompt=one).following(number) for one in prompts for number in range(count)]

    def recipe(self, request: Request) -> dict[str, Any]:
        """Everything that makes the picture again: the request, the model, and what was given beside it."""
        return {**self.made_by, "request": self._settled(request).to_dict()}

    @property
    def made_by(self) -> dict[str, Any]:
        """What recipes tell of the model."""
        return {
            "sfumato_version": __version__,
            "model": self.model.source,
            "model_fingerprint": self.fingerprint,
            "dtype": named_dtype(self.model.dtype),
            **({"additions": dict(self.model.additions)} if self.model.additions else {}),
        }

    def replay(self, recipe: dict[str, Any]) -> Result:
        """Make a picture again from its recipe; CheckpointError when this is another model, or has other additions."""
        require_fingerprint(self.model.folder, recipe)
        require_additions(self.model, recipe)
        request = Request.from_dict(recipe.get("request", {})).without_idle(self.way.takes)
        require_identified((*request.control, *request.like))
        return self.made([request])

    def _settled(self, request: Request) -> Request:
        """The request with all that its picture depends on besides the model."""
        request = settled(self.model, request)
        return self.way.attachments.identified(request) if isinstance(self.way, Latents) else request

    def over(self, parts: Mapping[str, Any]) -> Pipeline:
        """The same with other networks, of the same classes, by the names of the model's; a picture a pass.

        On which device their weights are is then for others to see to.
        """
        other = copy(self)
        other.model, other.pictures_a_pass, other._offloading = replace(self.model, parts=parts), 1, None
        other.way = way_of(other.model)
        return other

    # --- how pictures emerge ---------------------------------------------------------------------------------------

    def trace(self, prompt: str, seed: int | None = None, **settings: Any) -> Trace:
        """Make one picture, and keep how it emerges; the same settings as in a call, and the same errors.

        Raises PromptError also for a model that takes no noise out of latents or pixels.
        """
        return traced(self, self.requests(prompt, 1, seed, **settings)[0])

    def without(self, trace: Trace, word: int | str) -> Trace:
        """The trace of the same picture without a word of its prompt, which is named as in `Trace.find`."""
        return self.replaced(trace, word, "")

    def replaced(self, trace: Trace, word: int | str, other: str) -> Trace:
        """The trace of the same picture with something else in the place of a word.

        Raises PromptError where there is no such word, CheckpointError when another model made the trace.
        """
        require_fingerprint(self.model.folder, trace.recipe)
        require_additions(self.model, trace.recipe)
        return traced(self, replace(trace.request, prompt=reworded(trace, word, other)))

    @property
    def fingerprint(self) -> str:
        """What tells this model's weights from others'."""
        if not hasattr(self, "_known_fingerprint"):
            self._known_fingerprint = self.model.fingerprint()
        return self._known_fingerprint

    # --- from words to pictures -----------------------------------------------------------------------------------

    @torch.inference_mode()
    def run(self, requests: Sequence[Request], watch: Watch | None = None) -> Iterator[Step]:
        """Generate a batch of requests that differ in prompt and seed at most; `watch` looks on."""
        batch = replace(self.batch(requests), watch=watch)
        for text in dict.fromkeys(text for request in requests for text in request.texts):
            for message in unheard(self.model, text, batch.plan.reading, beside=text not in batch.prompts):
                warnings.warn(PromptWarning(message), stacklevel=2)
        self._require_room(batch, requests)
        try:
            for painting in self.paintings(batch):
                yield Step(painting.stage, painting.step, painting.steps, partial(_images, painting))
            yield Step("done", painting.step, painting.steps, partial(_images, painting, self._offloading))
        finally:
            if self._offloading:
                self._offloading.release()

    def paintings(self, batch: Batch) -> Iterator[Painting]:
        """The same before they are pictures of Pillow: the model's way, and then the upsamplers."""
        kept = laid_over(batch.plan)
        for painting in self.way.paint(batch):
            painting = painting.changed(kept)
            yield painting
        if batch.plan.upsampler_steps and self.model.upsamplers:
            for larger in self.enlarge(painting.pictures(), batch):
                yield larger.changed(kept)

    def estimate(self, requests: Sequence[Request], device: torch.device | None = None) -> Estimate:
        """What requests will take in memory, told without making them; on another device, if one is named."""
        here = self.model.device
        paper = self if here.type == "meta" else Pipeline(without_memory(self.model), self.pictures_a_pass)
        few = [one.in_few_steps(ENOUGH_STEPS) for one in requests]
        return estimate(paper.model, lambda: paper.paintings(paper.batch(few)), device or here, self.offload)

    def _require_room(self, batch: Batch, requests: Sequence[Request]) -> None:
        """Warn, or raise RoomError, where the pictures may not fit; looked at closely only where it might be so."""
        device, plan = self.model.device, batch.plan
        pixels = batch.width * batch.height * (prod(self.factors) if plan.upsampler_steps else 1) ** 2
        texts = len(plan.texts_beside)
        key = (batch.width, batch.height, len(requests), plan.tiles, plan.guidance, plan.upsampler_steps, texts)
        there = free(device)
        most = MOST_A_PIXEL * pixels * min(len(requests), self.pictures_a_pass)
        known = key in self._there_is_room or not isinstance(self.way, Latents)  # of which alone it can be told
        if there is None or most < there or known:
            return
        told = self.estimate(requests)
        brought = told.resident[told.busiest] if self.offload else 0
        require_room(told.working[told.busiest] + brought, there, told, tiles=plan.tiles, offload=self.offload)
        self._there_is_room.add(key)

    def batch(self, requests: Sequence[Request]) -> Batch:
        """What the requests ask of the model's way; PromptError when it cannot make the size."""
        if not requests:
            raise PromptError("At least one request is needed.")
        plan = requests[0]
        same = {name: getattr(plan, name) for name in ("prompt", "seed", "variation_seed", "typed")}
        if any(replace(request, **same) != plan for request in requests):
            raise PromptError("Requests that are made together differ in prompt and seed at most.")
        plan.require(self.way.takes, self.model.name)
        upsampling = prod(self.factors) if plan.upsampler_steps else 1
        across, down, asked = self.base_size, self.base_size, (plan.width, plan.height)
        if plan.extend is not None:
            asked = size_of_canvas(plan)
        elif plan.picture is not None and isinstance(self.way, Latents):
            across, down = self.way.size_of(plan.picture.open(), upsampling)
        told = "of what is extended" if plan.extend else ""
        width = self._small_side(f"width {told}".rstrip(), asked[0], across, upsampling)
        height = self._small_side(f"height {told}".rstrip(), asked[1], down, upsampling)
        if max(height, width) * upsampling > LARGEST_SIDE:
            size = f"{width * upsampling} x {height * upsampling}"
            raise PromptError(f"{size} pixels are more than {LARGEST_SIDE} a side.")
        prompts, seeds = [request.prompt for request in requests], [request.seed for request in requests]
        others = [request.variation_seed for request in requests if request.variation_seed is not None]
        return Batch(prompts, seeds, height, width, plan, self.pictures_a_pass, others)

    def enlarge(self, small: Float[Tensor, "b 3 h w"], batch: Batch) -> Iterator[Painting]:
        """Small pictures to the final size, a step at a time, through each upsampler of the model."""
        for number, (part, factor) in enumerate(zip(self.model.upsamplers, self.factors, strict=True), 1):
            noise = per_sample_noise(batch.seeds, "upsampler" if number == 1 else f"upsampler-{number}")
            for state in upsample(
                self.model.part(part),
                self.model.diffusions[part],
                small,
                factor,
                noise,
                batch.plan.upsampler_steps,
                pictures_a_pass=batch.pictures_a_pass,
            ):
                stage = "upsample" if number == 1 else f"upsample-{number}"
                shown = state.clean if state.step < state.steps else state.noisy
                yield Painting(stage, state.step, state.steps, partial(Tensor.float, shown))
            small = state.noisy

    @property
    def base_size(self) -> int:
        """Side of the small pictures in pixels, as the model was trained."""
        return self.way.base_size

    @property
    def final_size(self) -> int:
        """Side of the finished pictures in pixels, unless another is asked for."""
        return self.base_size * prod(self.factors)

    @property
    def factors(self) -> list[int]:
        """How many times larger each upsampler makes a picture."""
        sides = [self.base_size]
        for part in self.model.upsamplers:
            config = self.model.part(part).config
            known = isinstance(config.sample_size, int)
            sides.append(max(config.sample_size * patch_of(config), sides[-1]) if known else sides[-1])
        return [large // small for small, large in pairwise(sides)]

    def _small_side(self, name: str, side: int | None, natural: int, upsampling: int) -> int:
        """What a side of the finished picture is before it is enlarged; the natural one if no other is asked for."""
        if side is None or side == natural * upsampling:
            return natural
        if self.way.unit is None:
            raise PromptError(f"{name} {side} is not the {natural * upsampling} pixels that this model makes.")
        unit = self.way.unit * upsampling
        if side % unit:
            near = max(unit, round(side / unit) * unit)
            raise PromptError(f"{name} {side} is not a multiple of {unit} pixels, as this model needs; try {near}.")
        return side // upsampling


def _images(painting: Painting, offloading: Offloading | None = None) -> list[Image.Image]:
    try:
        with torch.inference_mode():
            return [to_image(picture) for picture in painting.pictures()]
    finally:
        if offloading:  # finished pictures may be asked for when all weights are home again
            offloading.release()


def load(
    model: str | Path | None = None, device: str = "auto", dtype: torch.dtype | None = None, **beside: Unpack[Beside]
) -> Pipeline:
    """Load a model; the same as `Pipeline.load`."""
    return Pipeline.load(model, device, dtype, **beside)
