"""Text to image: tokens -> text encoder -> the sampling loop -> autoencoder -> upsampler -> picture."""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from sfumato import __version__
from sfumato.data.pictures import to_image
from sfumato.devices import choose_device
from sfumato.diffusion.noise import per_sample_noise
from sfumato.diffusion.sampling import State, sample
from sfumato.diffusion.solvers import SOLVERS
from sfumato.errors import PromptError
from sfumato.pipelines import model as models
from sfumato.pipelines.denoising import prompted
from sfumato.pipelines.keepsake import save_picture
from sfumato.pipelines.model import Model
from sfumato.pipelines.request import LARGEST_SIDE, Request
from sfumato.pipelines.steps import levels, settled
from sfumato.pipelines.upsampling import upsample


class PromptWarning(UserWarning):
    """A prompt that the model cannot follow fully."""


@dataclass(frozen=True)
class Step:
    """Where generation stands: `stage` is "denoise", "upsample" or "done", at `step` of `steps`."""

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
        self.model = model
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
            first = settled(self.model, first)
        except TypeError as error:
            raise PromptError(f"There is no such setting: {error}") from error
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
        request = Request.from_dict(recipe.get("request", {}))
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
        plan, seeds = requests[0], [request.seed for request in requests]
        for prompt in dict.fromkeys(request.prompt for request in requests):
            self._warn(prompt)
        states = self.encode([request.prompt for request in requests])
        for state in self.denoise(states, seeds, plan):
            yield Step("denoise", state.step, state.steps, partial(self._shown, state.clean))
        small = self.decode(state.noisy)
        if self.model.upsampler is None or plan.upsampler_steps == 0:
            yield Step("done", plan.num_inference_steps, plan.num_inference_steps, lambda: _images(small))
            return
        for state in self.enlarge(small, seeds, plan):
            yield Step("upsample", state.step, state.steps, partial(_images, state.clean))
        yield Step("done", state.steps, state.steps, partial(_images, state.noisy))

    def encode(self, prompts: Sequence[str]) -> Float[Tensor, "b t d"]:
        """The text states of the prompts; each is encoded by itself."""
        model = self.model
        states = {
            text: model.text_encoder(model.tokenizer.encode([text]).to(model.device)).states for text in set(prompts)
        }
        return torch.cat([states[text] for text in prompts])

    def denoise(self, states: Float[Tensor, "b t d"], seeds: Sequence[int], plan: Request) -> Iterator[State]:
        """From pure noise to latents, a step at a time."""
        model, noise = self.model, per_sample_noise(seeds)
        denoise = prompted(
            model.unet, model.diffusion, states, self.encode([""])[0], plan.guidance_scale, self.pictures_a_pass
        )
        size = self._latent_size(plan)
        path = levels(model, settled(model, plan), size)
        shape = (len(seeds), model.unet.config.in_channels, *size)
        start = noise(torch.empty(shape, device=model.device)) * path.sigma[0].item()
        return sample(denoise, start, path, noise, SOLVERS[plan.solver])

    def decode(self, latents: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 3 h2 w2"]:
        """Latents to pictures in about [-1, 1]."""
        vae = self.model.vae
        dtype = vae.decoder.conv_in.weight.dtype
        return torch.cat([vae.picture(some.to(dtype)).float() for some in latents.split(self.pictures_a_pass)])

    def enlarge(self, small: Float[Tensor, "b 3 h w"], seeds: Sequence[int], plan: Request) -> Iterator[State]:
        """Small pictures to the final size, a step at a time."""
        unet, diffusion = self.model.upsampler, self.model.upsampler_diffusion
        assert unet is not None
        assert diffusion is not None
        noise = per_sample_noise(seeds, "upsampler")
        return upsample(
            unet,
            diffusion,
            small,
            self.model.upsampling,
            noise,
            plan.upsampler_steps,
            pictures_a_pass=self.pictures_a_pass,
        )

    def _latent_size(self, plan: Request) -> tuple[int, int]:
        """(height, width) of the latents; PromptError when the model cannot make the size."""
        model = self.model
        upsampling = model.upsampling if plan.upsampler_steps else 1
        step = model.vae.factor * upsampling
        for name in ("width", "height"):
            side = getattr(plan, name)
            if side is not None and side % (step * model.unet.config.factor):
                unit = step * model.unet.config.factor
                near = max(unit, round(side / unit) * unit)
                raise PromptError(f"{name} {side} is not a multiple of {unit} pixels, as this model needs; try {near}.")
        height, width = (side or model.base_size * upsampling for side in (plan.height, plan.width))
        if max(height, width) > LARGEST_SIDE:
            raise PromptError(f"{width} x {height} pixels are more than {LARGEST_SIDE} a side.")
        return height // step, width // step

    def _shown(self, latents: Tensor) -> list[Image.Image]:
        with torch.inference_mode():
            return _images(self.decode(latents))

    def _warn(self, prompt: str) -> None:
        unknown, lost = self.model.tokenizer.unknown_words(prompt), self.model.tokenizer.truncated(prompt)
        if unknown:
            words = ", ".join(f'"{word}"' for word in unknown)
            message = f"The model {self.model.name} never saw these words in training: {words}. It will guess."
            warnings.warn(PromptWarning(message), stacklevel=2)
        if lost:
            length = self.model.tokenizer.length
            message = f"The prompt is longer than the {length} tokens that the model reads; this is left out: {lost!r}"
            warnings.warn(PromptWarning(message), stacklevel=2)


def _images(pictures: Float[Tensor, "b 3 h w"]) -> list[Image.Image]:
    return [to_image(picture) for picture in pictures]


def load(model: str | Path | None = None, device: str = "auto", dtype: torch.dtype | None = None) -> Pipeline:
    """Load a model; the same as `Pipeline.load`."""
    return Pipeline.load(model, device, dtype)
