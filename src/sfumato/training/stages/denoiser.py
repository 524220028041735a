"""The denoiser learns to take noise out of latents, or out of pictures themselves, steered by the words."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from PIL import Image
from torch import Tensor, nn

from sfumato.checkpoints import scheduler
from sfumato.checkpoints.folder import load_part, save_part
from sfumato.checkpoints.scheduler import Diffusion
from sfumato.data.pictures import grid, to_image
from sfumato.diffusion import losses
from sfumato.diffusion.experts import experts
from sfumato.diffusion.noise import per_sample_noise
from sfumato.diffusion.parameterisation import Denoise
from sfumato.diffusion.sampling import last, sample
from sfumato.diffusion.times import timetable
from sfumato.pipelines.condition import Condition
from sfumato.pipelines.denoising import prompted
from sfumato.pipelines.looking import look
from sfumato.training import ways
from sfumato.training.denoisers import new_denoiser
from sfumato.training.hearing import Hearing, keep_words, listening, remembered
from sfumato.training.kept import kept
from sfumato.training.recipe import Denoiser, Noising, Recipe
from sfumato.training.stage import Batch, Draw, Stage
from sfumato.training.workshop import PictureWorkshop

TIMES = {"uniform": losses.uniform, "logit_normal": losses.logit_normal}
WEIGHTS = {"plain": None, "snr": losses.snr, "min_snr": losses.min_snr, "velocity": losses.velocity}


class Objective(nn.Module):
    """The denoising loss at random levels; `hearing` says how what is said becomes a condition."""

    def __init__(self, network: nn.Module, diffusion: Diffusion, plan: Noising, hearing: Hearing | None = None) -> None:
        super().__init__()
        self.network, self.diffusion, self.weight = network, diffusion, WEIGHTS[plan.weight]
        self.condition = hearing.condition if hearing else Condition
        self.text = hearing.encoder if hearing else None  # so that it is trained and kept with the denoiser

    def forward(
        self, clean: Float[Tensor, "b ..."], said: Tensor, times: Float[Tensor, " b"], noise: Float[Tensor, "b ..."]
    ) -> dict[str, Tensor]:
        """The mean loss."""
        condition = self.condition(said)

        def network(x: Tensor, timestep: Tensor) -> Tensor:
            return look(self.network, x, timestep, condition)

        level = self.diffusion.process(times)
        each = losses.denoising_loss(network, self.diffusion.parameterisation, clean, noise, level, self.weight)
        return {"loss": each.mean()}


def config(plan: Denoiser) -> dict[str, Any]:
    """The scheduler's configuration of a denoiser trained by this plan."""
    unet = plan.network == "unet"
    return scheduler.to_config(plan.process, plan.prediction, plan.shift, experts=plan.experts, multistep=unet)


def build(workshop: PictureWorkshop, recipe: Recipe, number: int = 1) -> Stage:
    """The stage, with a new denoiser of latents or pixels and the states of the text encoder.

    With experts it is the `number`th, from clean to noise: it sees its range of times alone. The first is new, each
    further one begins as the one before it, so that what all ranges have in common is learned once (Balaji et al. 2022,
    section 4.1, branch experts from a shared model).
    """
    plan, team, part = recipe.denoiser, workshop.team, recipe.denoiser.part
    clean = latents_of(workshop) if "autoencoder" in recipe.stages else patches_of(workshop, plan.patch)
    keeps = plan.network == "unet" and not plan.train_words and workshop.is_kept
    hearing = remembered(workshop) if keeps else listening(workshop, plan.train_words, plan.hears_pooled)
    channels, side = clean.shape
    earlier = [load_part(workshop.folder, ways.part_of(part, each)).to(team.device) for each in range(1, number)]
    with workshop.first_weights("denoiser"):
        network = (
            copy.deepcopy(earlier[-1]).requires_grad_().train()
            if earlier
            else new_denoiser(plan, plan.size or recipe.size, channels, side, hearing).to(team.device)
        )
    diffusion = scheduler.from_config(config(plan))
    low, high = (0.0, *plan.experts, 1.0)[number - 1 : number + 1]
    distribution = TIMES[plan.times] if (low, high) == (0, 1) else losses.within(TIMES[plan.times], low, high)

    def batch(draw: Draw) -> Batch:
        chosen = draw.indices(clean.count)
        captions = workshop.captions.choose(chosen % len(workshop.store), draw.generator("captions"))
        silent = draw.uniform("drop") < plan.drop_caption
        times = distribution(losses.stratified(draw.batch, draw.generator("times")))
        return (
            clean.some(draw.mine(chosen).cpu()).to(team.device).float(),
            hearing.rows(draw.mine(captions).cpu(), draw.mine(silent).cpu()).to(team.device),
            draw.mine(times),
            draw.normal("noise", channels, side, side),
        )

    @torch.no_grad()
    def preview() -> Image.Image:
        """Sixteen captions, one picture each; an expert for less than pure noise begins with noise on real pictures."""
        levels, first = timetable(diffusion.process, 20), min(19, round(20 * (1 - high)))
        pictures = workshop.example_indices(16)
        captions = workshop.captions.choose(pictures, torch.Generator().manual_seed(0))
        start = torch.zeros(len(captions), channels, side, side, device=team.device)
        if first:
            start = clean.some(pictures).to(start)
        silent = torch.zeros(len(captions), dtype=torch.bool)
        words, silence = (
            hearing.condition(hearing.rows(some, unsaid).to(team.device))
            for some, unsaid in ((captions, silent), (captions[:1], ~silent[:1]))
        )
        noise = per_sample_noise(range(len(captions)))

        def steered(one: nn.Module, rows: Tensor) -> Denoise:
            return prompted(one, diffusion, words.each(lambda said: said[rows]), silence, guidance=3.0)

        denoise = experts([partial(steered, one) for one in (*earlier, network)], diffusion.handovers[: number - 1])
        noisy = levels[first].add_noise(start, noise(start))
        made = clean.picture(last(sample(denoise, noisy, levels, noise, first=first)))
        return grid([to_image(picture.cpu()) for picture in made], columns=8)

    def finish() -> dict[str, Any]:
        if hearing.encoder:
            keep_words(workshop, hearing.encoder)
        save_part(workshop.folder, ways.part_of(part, number), network, workshop.weights)
        return {}

    return Stage(Objective(network, diffusion, plan, hearing), batch, preview, finish)


@dataclass(frozen=True)
class Clean:
    """What the denoiser is to give: all pictures, then their mirror images where the recipe mirrors."""

    count: int
    shape: tuple[int, int]  # channels, side
    some: Callable[[Int64[Tensor, " b"]], Float[Tensor, "b c h w"]]  # those of these numbers
    picture: Callable[[Float[Tensor, "b c h w"]], Float[Tensor, "b 3 h2 w2"]]


def patches_of(workshop: PictureWorkshop, patch: int) -> Clean:
    """The pictures themselves; squares of `patch` pixels a side are told as channels, which leaves noise what it is."""
    data, count = workshop.recipe.data, len(workshop.store)

    def some(numbers: Tensor) -> Tensor:
        pictures = workshop.store.batch(numbers % count, data.size, numbers >= count)
        return F.pixel_unshuffle(pictures, patch)

    every = count * 2 if data.flip else count
    return Clean(every, (3 * patch**2, data.size // patch), some, partial(F.pixel_shuffle, upscale_factor=patch))


def latents_of(workshop: PictureWorkshop) -> Clean:
    """The latents of the pictures, computed once and kept, or again each time where they are too many."""
    data, count = workshop.recipe.data, len(workshop.store)
    vae = load_part(workshop.folder, "vae").to(workshop.team.device)

    @torch.no_grad()
    def encoded(numbers: Tensor) -> Tensor:
        pictures = workshop.store.batch(numbers % count, data.size, numbers >= count).to(workshop.team.device)
        with workshop.team.autocast():
            return vae.latent(vae.encode(pictures).mean)

    if not workshop.is_kept:
        shape = (vae.config.latent_channels, data.size // vae.factor)
        return Clean(count * 2 if data.flip else count, shape, encoded, vae.picture)

    @torch.no_grad()
    def compute() -> Tensor:
        every = torch.arange(count).repeat(2 if data.flip else 1)
        mirrored = torch.arange(len(every)) >= count
        parts = []
        for some in workshop.batches(len(every), "latents"):
            pictures = workshop.store.batch(every[some], data.size, mirrored[some]).to(workshop.team.device)
            parts.append(vae.latent(vae.encode(pictures).mean).cpu())
        return torch.cat(parts)

    latents = kept(workshop, "latents", ["vae"], compute)
    return Clean(len(latents), (latents.shape[1], latents.shape[-1]), lambda numbers: latents[numbers], vae.picture)
