"""Tokens -> text encoder -> the sampling loop -> autoencoder -> picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.diffusion.noise import per_sample_noise
from sfumato.diffusion.sampling import State, sample
from sfumato.diffusion.solvers import SOLVERS
from sfumato.diffusion.times import timetable
from sfumato.pipelines.denoising import prompted
from sfumato.pipelines.model import Model
from sfumato.pipelines.ways.way import Batch, Painting


class Latents:
    """A denoiser of latents, steered by words, and the autoencoder that makes pictures of them."""

    def __init__(self, model: Model) -> None:
        self.model = model

    @property
    def base_size(self) -> int:
        side = self.model.unet.config.sample_size
        return (side if isinstance(side, int) else side[0] if side else 64) * self.model.vae.factor

    @property
    def unit(self) -> int:
        return self.model.vae.factor * self.model.unet.config.factor

    def paint(self, batch: Batch) -> Iterator[Painting]:
        for state in self.denoise(self.encode(batch.prompts), batch):
            shown = state.clean if state.step < state.steps else state.noisy
            yield Painting("denoise", state.step, state.steps, partial(self.decode, shown, batch.pictures_a_pass))

    def encode(self, prompts: Sequence[str]) -> Float[Tensor, "b t d"]:
        """The text states of the prompts; each is encoded by itself."""
        model = self.model
        states = {
            text: model.text_encoder(model.tokenizer.encode([text]).to(model.device)).states for text in set(prompts)
        }
        return torch.cat([states[text] for text in prompts])

    def denoise(self, states: Float[Tensor, "b t d"], batch: Batch) -> Iterator[State]:
        """From pure noise to latents, a step at a time."""
        model, plan, noise = self.model, batch.plan, per_sample_noise(batch.seeds)
        denoise = prompted(
            model.unet, model.diffusion, states, self.encode([""])[0], plan.guidance_scale, batch.pictures_a_pass
        )
        levels = timetable(model.diffusion.process, plan.num_inference_steps)
        side = model.vae.factor
        shape = (len(batch.seeds), model.unet.config.in_channels, batch.height // side, batch.width // side)
        start = noise(torch.empty(shape, device=model.device)) * levels.sigma[0].item()
        return sample(denoise, start, levels, noise, SOLVERS[plan.solver])

    def decode(self, latents: Float[Tensor, "b c h w"], pictures_a_pass: int = 1) -> Float[Tensor, "b 3 h2 w2"]:
        """Latents to pictures in about [-1, 1]."""
        vae = self.model.vae
        dtype = vae.decoder.conv_in.weight.dtype
        return torch.cat([vae.picture(some.to(dtype)).float() for some in latents.split(pictures_a_pass)])
