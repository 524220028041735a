"""Text to image: words -> the model's way to a small picture -> upsamplers -> picture.

For a model of latents the way is tokens -> text encoder -> the sampling loop -> autoencoder; see `ways/latents.py`.
"""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from sfumato import __version__
from sfumato.data.pictures import to_image
from sfumato.data.prompts import parse
from sfumato.devices import choose_device
from sfumato.diffusion.noise import per_sample_noise
from sfumato.errors import PromptError
from sfumato.pipelines import model as models
from sfumato.pipelines.keepsake import save_picture
from sfumato.pipelines.model import Model
from sfumato.pipelines.request import LARGEST_SIDE, Request
from sfumato.pipelines.steps import settled
from sfumato.pipelines.upsampling import upsample
from sfumato.pipelines.ways import way_of
from sfumato.pipelines.ways.latents import Latents
from sfumato.pipelines.ways.way import Batch, Painting


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

    def save(self, paths: Sequence[str | Path]) -> None:
        """Write each picture as a PNG that carries its recipe."""
        for picture, recipe, path in zip(self.pictures, self.recipes, paths, strict=True):
            save_picture(picture, Path(path), recipe)


class Pipeline:
    """A model that makes pictures from words.

    A picture depends on the model and its `Request` alone, never on the batch it is made in. On the CPU that holds to
    the bit: `pictures_a_pass` is 1 there. More pictures a pass are faster, and equal up to rounding.

    Example:
        >>> pipeline = Pipeline.load("digits")
        >>> pipeline("a handwritten seven", seed=3).pictures[0].size
        (64, 64)
    """

    def __init__(self, model: Model, pictures_a_pass: int | None = None) -> None:
        self.model, self.way = model, way_of(model)
        self.pictures_a_pass = pictures_a_pass or (1 if model.device.type == "cpu" else 16)

    @classmethod
    def load(cls, model: str | Path | None = None, device: str = "auto", dtype: torch.dtype | None = None) -> Pipeline:
        """Load a model folder or an embedded model by name; the embedded default when none is given.

        `device` "auto" is the GPU where there is one; `dtype` is float32 on the CPU and float16 elsewhere.
        Raises CheckpointError when the folder is not a whole model, RecipeError when there is no such device.
        """
        where = choose_device(device)
        return cls(models.load(model, where, dtype or (torch.float32 if where.type == "cpu" else torch.float16)))

    def __call__(self, prompt: str | Sequence[str], count: int = 1, seed: int | None = None, **settings: Any) -> Result:
        """Make `count` pictures of each prompt, with the seeds seed, seed + 1, ...

        Args:
            prompt: one, or several.
            count: pictures of each prompt, at least 1.
            seed: of the first picture of each prompt; a random one when not given.
            settings: the other fields of `Request`.

        Raises:
            PromptError: a setting that is not valid, named.
        """
        requests = self.requests(prompt, count, seed, **settings)
        for step in self.run(requests):
            last = step
        return Result(last.pictures(), [self.recipe(request) for request in requests])

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
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        if not prompts:
            raise PromptError("At least one prompt is needed.")
        try:
            first = Request(prompts[0], secrets.randbits(32) if seed is None else seed, **settings)
        except TypeError as error:
            raise PromptError(f"There is no such setting: {error}") from error
        first.require(self.way.takes, self.model.name)
        first = settled(self.model, first)
        return [replace(first, prompt=one, seed=first.seed + i) for one in prompts for i in range(count)]

    def recipe(self, request: Request) -> dict[str, Any]:
        """Everything that makes the picture again: the request, the model and its fingerprint."""
        return {
            "sfumato_version": __version__,
            "model": self.model.name if self.model.folder.parent == models.EMBEDDED else str(self.model.folder),
            "model_fingerprint": self._fingerprint,
            "request": settled(self.model, request).to_dict(),
        }

    def replay(self, recipe: dict[str, Any]) -> Result:
        """Make a picture again from its recipe; CheckpointError when this is another model."""
        models.require_fingerprint(self.model.folder, recipe)
        request = Request.from_dict(recipe.get("request", {})).without_idle(self.way.takes)
        for step in self.run([request]):
            last = step
        return Result(last.pictures(), [self.recipe(request)])

    @property
    def _fingerprint(self) -> str:
        if not hasattr(self, "_known_fingerprint"):
            self._known_fingerprint = self.model.fingerprint()
        return self._known_fingerprint

    # --- from words to pictures -----------------------------------------------------------------------------------

    @torch.inference_mode()
    def run(self, requests: Sequence[Request]) -> Iterator[Step]:
        """Generate a batch of requests that differ in prompt and seed at most."""
        batch = self.batch(requests)
        for text in dict.fromkeys(text for request in requests for text in request.texts):
            self._warn(text, batch.plan.prompt_syntax)
        for painting in self.way.paint(batch):
            yield Step(painting.stage, painting.step, painting.steps, partial(_images, painting))
        if batch.plan.upsampler_steps and self.model.upsamplers:
            small = painting.pictures()
            for painting in self.enlarge(small, batch):
                yield Step(painting.stage, painting.step, painting.steps, partial(_images, painting))
        yield Step("done", painting.step, painting.steps, partial(_images, painting))

    def batch(self, requests: Sequence[Request]) -> Batch:
        """What the requests ask of the model's way; PromptError when it cannot make the size."""
        if not requests:
            raise PromptError("At least one request is needed.")
        plan = requests[0]
        if any(replace(request, prompt=plan.prompt, seed=plan.seed) != plan for request in requests):
            raise PromptError("Requests that are made together differ in prompt and seed at most.")
        plan.require(self.way.takes, self.model.name)
        upsampling = prod(self.factors) if plan.upsampler_steps else 1
        across, down = self.base_size, self.base_size
        if plan.picture is not None and isinstance(self.way, Latents):
            across, down = self.way.size_of(plan.picture.open())
        width = self._small_side("width", plan.width, across, upsampling)
        height = self._small_side("height", plan.height, down, upsampling)
        if max(height, width) * upsampling > LARGEST_SIDE:
            size = f"{width * upsampling} x {height * upsampling}"
            raise PromptError(f"{size} pixels are more than {LARGEST_SIDE} a side.")
        prompts, seeds = [request.prompt for request in requests], [request.seed for request in requests]
        return Batch(prompts, seeds, height, width, plan, self.pictures_a_pass)

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
            side = self.model.part(part).config.sample_size
            sides.append(max(side, sides[-1]) if isinstance(side, int) else sides[-1])
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

    def _warn(self, prompt: str, syntax: str) -> None:
        if not self.model.tokenizers:
            return
        tokenizer = self.model.tokenizer
        pieces = (piece for branch in parse(prompt, syntax) for chunk in branch.chunks for piece in chunk)
        unknown = [word for piece in pieces for word in tokenizer.unknown_words(piece.text)]
        if unknown:
            words = ", ".join(f'"{word}"' for word in dict.fromkeys(unknown))
            message = f"The model {self.model.name} never saw these words in training: {words}. It will guess."
            warnings.warn(PromptWarning(message), stacklevel=2)
        lost = tokenizer.truncated(prompt) if syntax == "diffusers" else None
        if lost:
            message = f"The prompt is longer than the {tokenizer.length} tokens that are read; left out is: {lost!r}"
            warnings.warn(PromptWarning(message), stacklevel=2)


def _images(painting: Painting) -> list[Image.Image]:
    with torch.inference_mode():
        return [to_image(picture) for picture in painting.pictures()]


def load(model: str | Path | None = None, device: str = "auto", dtype: torch.dtype | None = None) -> Pipeline:
    """Load a model; the same as `Pipeline.load`."""
    return Pipeline.load(model, device, dtype)
