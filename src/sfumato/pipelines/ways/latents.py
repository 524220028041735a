"""Tokens -> text encoder -> the sampling loop -> autoencoder, if there is one -> picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from math import isqrt

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sfumato.diffusion.experts import experts
from sfumato.diffusion.noise import per_sample_noise
from sfumato.diffusion.parameterisation import Denoise
from sfumato.diffusion.sampling import State, sample
from sfumato.diffusion.solvers import SOLVERS
from sfumato.diffusion.times import timetable
from sfumato.errors import CheckpointError
from sfumato.networks.unet import UNet
from sfumato.pipelines.denoising import prompted
from sfumato.pipelines.model import Model
from sfumato.pipelines.ways.way import Batch, Painting
from sfumato.pipelines.words import states_of


class Latents:
    """A denoiser steered by words: of latents, of which the autoencoder makes pictures, or of patches of pixels."""

    def __init__(self, model: Model) -> None:
        self.model = model
        if len(model.denoisers) != len(model.diffusion.experts) + 1:
            raise CheckpointError(
                f"{model.folder} has {len(model.denoisers)} denoiser(s), but its scheduler names "
                f"{len(model.diffusion.experts)} time(s) at which one hands over to the next."
            )

    @property
    def factor(self) -> int:
        """How many pixels a side each place of the denoiser's maps stands for."""
        if self.model.way == "pixels":
            return isqrt(self.model.unet.config.in_channels // 3)
        return self.model.vae.factor

    @property
    def base_size(self) -> int:
        side = self.model.unet.config.sample_size
        return (side if isinstance(side, int) else side[0] if side else 64) * self.factor

    @property
    def unit(self) -> int:
        return self.factor * self.model.unet.config.factor

    def paint(self, batch: Batch) -> Iterator[Painting]:
        for state in self.denoise(self.encode(batch.prompts), batch):
            shown = state.clean if state.step < state.steps else state.noisy
            yield Painting("denoise", state.step, state.steps, partial(self.decode, shown, batch.pictures_a_pass))

    def encode(self, prompts: Sequence[str]) -> Float[Tensor, "b t d"]:
        """The text states of the prompts; each is encoded by itself."""
        return states_of(self.model, prompts)

    def denoise(self, states: Float[Tensor, "b t d"], batch: Batch) -> Iterator[State]:
        """From pure noise to latents, a step at a time."""
        model, plan, noise = self.model, batch.plan, per_sample_noise(batch.seeds)
        denoise = self.steered(states, batch)
        levels = timetable(model.diffusion.process, plan.num_inference_steps)
        size = (batch.height // self.factor, batch.width // self.factor)
        shape = (model.unet.config.in_channels, *size)
        start = noise(torch.empty(len(batch.seeds), *shape, device=model.device)) * levels.sigma[0].item()
        return sample(denoise, start, levels, noise, SOLVERS[plan.solver])

    def steered(self, states: Float[Tensor, "b t d"], batch: Batch) -> Denoise:
        """The denoiser, or the experts together, with the prompts of the batch."""
        model, plan, empty = self.model, batch.plan, self.encode([""])[0]

        def some(unet: UNet, rows: Tensor | slice) -> Denoise:
            return prompted(unet, model.diffusion, states[rows], empty, plan.guidance_scale, batch.pictures_a_pass)

        if len(model.denoisers) == 1:
            return some(model.unet, slice(None))
        return experts([partial(some, unet) for unet in model.denoisers], model.diffusion.handovers)

    def decode(self, latents: Float[Tensor, "b c h w"], pictures_a_pass: int = 1) -> Float[Tensor, "b 3 h2 w2"]:
        """Latents, or patches, to pictures in about [-1, 1]."""
        if self.model.way == "pixels":
            return F.pixel_shuffle(latents, self.factor).float()
        vae = self.model.vae
        dtype = vae.decoder.conv_in.weight.dtype
        return torch.cat([vae.picture(some.to(dtype)).float() for some in latents.split(pictures_a_pass)])
