"""The denoiser learns to take noise out of latents, or out of pictures themselves, steered by the words."""

from __future__ import annotations

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
from sfumato.networks.initialisation import initialise
from sfumato.networks.unet import UNet
from sfumato.networks.unet_config import unet_config
from sfumato.pipelines.condition import Condition
from sfumato.pipelines.denoising import prompted
from sfumato.training import sizes, ways
from sfumato.training.kept import kept
from sfumato.training.recipe import Denoiser, Noising, Recipe
from sfumato.training.stage import Batch, Draw, Stage, Workshop

TIMES = {"uniform": losses.uniform, "logit_normal": losses.logit_normal}
WEIGHTS = {"plain": None, "snr": losses.snr, "min_snr": losses.min_snr, "velocity": losses.velocity}


class Objective(nn.Module):
    """The denoising loss at random levels."""

    def __init__(self, unet: nn.Module, diffusion: Diffusion, plan: Noising) -> None:
        super().__init__()
        self.unet, self.diffusion, self.weight = unet, diffusion, WEIGHTS[plan.weight]

    def forward(
        self,
        clean: Float[Tensor, "b ..."],
        condition: Float[Tensor, "b ..."],
        times: Float[Tensor, " b"],
        noise: Float[Tensor, "b ..."],
    ) -> dict[str, Tensor]:
        """The mean loss."""

        def network(x: Tensor, timestep: Tensor) -> Tensor:
            return self.unet(x, timestep, condition)

        level = self.diffusion.process(times)
        each = losses.denoising_loss(network, self.diffusion.parameterisation, clean, noise, level, self.weight)
        return {"loss": each.mean()}


def config(plan: Denoiser) -> dict[str, Any]:
    """The scheduler's configuration of a denoiser trained by this plan."""
    return scheduler.to_config(plan.process, plan.prediction, plan.shift, experts=plan.experts)


def build(workshop: Workshop, recipe: Recipe, number: int = 1) -> Stage:
    """The stage, with a new U-Net over latents or pixels and the states of the text encoder.

    With experts it is the `number`th, from clean to noise: it sees its range of times alone. The first is new, each
    further one begins as the one before it, so that what all ranges have in common is learned once (Balaji et al. 2022,
    section 4.1, branch experts from a shared model).
    """
    plan, team = recipe.denoiser, workshop.team
    clean = latents_of(workshop) if "autoencoder" in recipe.stages else patches_of(workshop, plan.patch)
    states = states_of(workshop)
    empty, (channels, side) = len(states) - 1, clean.shape
    size = plan.size or recipe.size
    unet_widths = plan.channels or sizes.channels(sizes.DENOISER, size, sizes.resolutions(side))
    layout = unet_config(
        unet_widths,
        in_channels=channels,
        attention=(True,) * len(unet_widths),
        cross_attention_dim=states.shape[-1],
        layers=plan.layers or sizes.DENOISER_LAYERS[size],
        sample_size=side,
    )
    earlier = [load_part(workshop.folder, ways.part_of("unet", each)).to(team.device) for each in range(1, number)]
    with workshop.first_weights("denoiser"):
        unet = initialise(UNet(earlier[-1].config if earlier else layout)).to(team.device)
    if earlier:
        unet.load_state_dict(earlier[-1].state_dict())
    diffusion = scheduler.from_config(config(plan))
    low, high = (0.0, *plan.experts, 1.0)[number - 1 : number + 1]
    distribution = TIMES[plan.times] if (low, high) == (0, 1) else losses.within(TIMES[plan.times], low, high)

    def batch(draw: Draw) -> Batch:
        chosen = draw.indices(clean.count)
        captions = workshop.captions.choose(chosen % len(workshop.store), draw.generator("captions"))
        captions[draw.uniform("drop") < plan.drop_caption] = empty
        times = distribution(losses.stratified(draw.batch, draw.generator("times")))
        return (
            clean.some(draw.mine(chosen).cpu()).to(team.device).float(),
            draw.mine(states[captions]).float(),
            draw.mine(times),
            draw.normal("noise", channels, side, side),
        )

    @torch.no_grad()
    def preview() -> Image.Image:
        """Sixteen captions, one picture each; an expert for less than pure noise begins with noise on real pictures."""
        levels, first = timetable(diffusion.process, 20), round(20 * (1 - high))
        some = torch.linspace(0, empty - 1, min(16, empty)).long()
        start = torch.zeros(len(some), channels, side, side, device=team.device)
        if first:
            pictures = workshop.example_indices(16)
            some = workshop.captions.choose(pictures, torch.Generator().manual_seed(0))
            start = clean.some(pictures).to(start)
        words, silence = states[some].to(team.device), states[empty].to(team.device)
        noise = per_sample_noise(range(len(some)))

        def steered(one: UNet, rows: Tensor) -> Denoise:
            return prompted(one, diffusion, Condition(words[rows]), Condition(silence[None]), guidance=3.0)

        denoise = experts([partial(steered, one) for one in (*earlier, unet)], diffusion.handovers[: number - 1])
        noisy = levels[first].add_noise(start, noise(start))
        made = clean.picture(last(sample(denoise, noisy, levels, noise, first=first)))
        return grid([to_image(picture.cpu()) for picture in made], columns=8)

    def finish() -> dict[str, Any]:
        save_part(workshop.folder, ways.part_of("unet", number), unet, workshop.weights)
        return {}

    return Stage(Objective(unet, diffusion, plan), batch, preview, finish)


@dataclass(frozen=True)
class Clean:
    """What the denoiser is to give: all pictures, then their mirror images where the recipe mirrors."""

    count: int
    shape: tuple[int, int]  # channels, side
    some: Callable[[Int64[Tensor, " b"]], Float[Tensor, "b c h w"]]  # those of these numbers
    picture: Callable[[Float[Tensor, "b c h w"]], Float[Tensor, "b 3 h2 w2"]]


def patches_of(workshop: Workshop, patch: int) -> Clean:
    """The pictures themselves; squares of `patch` pixels a side are told as channels, which leaves noise what it is."""
    data, count = workshop.recipe.data, len(workshop.store)

    def some(numbers: Tensor) -> Tensor:
        pictures = workshop.store.batch(numbers % count, data.size, numbers >= count)
        return F.pixel_unshuffle(pictures, patch)

    every = count * 2 if data.flip else count
    return Clean(every, (3 * patch**2, data.size // patch), some, partial(F.pixel_shuffle, upscale_factor=patch))


def latents_of(workshop: Workshop) -> Clean:
    """The latents of the pictures, computed once and kept."""
    data, count = workshop.recipe.data, len(workshop.store)
    vae = load_part(workshop.folder, "vae").to(workshop.team.device)

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


def states_of(workshop: Workshop) -> Float[Tensor, "n t d"]:
    """The text states of all captions, and last of the empty prompt; computed once and kept."""

    @torch.no_grad()
    def compute() -> Tensor:
        text = load_part(workshop.folder, "text_encoder").to(workshop.team.device)
        tokens = workshop.tokenizer.encode([*workshop.captions.texts, ""])
        batches = workshop.batches(len(tokens), "states")
        return torch.cat([text(tokens[some].to(workshop.team.device)).states.cpu() for some in batches])

    return kept(workshop, "states", ["text_encoder", "tokenizer"], compute)
