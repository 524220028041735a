"""Stage 3: the denoiser learns to take noise out of latents, steered by the words."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from sfumato.checkpoints import scheduler
from sfumato.checkpoints.folder import load_part, save_part
from sfumato.checkpoints.scheduler import Diffusion
from sfumato.data.pictures import grid, to_image
from sfumato.diffusion import losses
from sfumato.diffusion.noise import per_sample_noise
from sfumato.diffusion.sampling import last, sample
from sfumato.diffusion.times import timetable
from sfumato.networks.initialisation import initialise
from sfumato.networks.unet import UNet
from sfumato.networks.unet_config import unet_config
from sfumato.networks.vae import AutoencoderKL
from sfumato.pipelines.denoising import prompted
from sfumato.training import sizes
from sfumato.training.kept import kept
from sfumato.training.recipe import Noising, Recipe
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


def config(plan: Noising) -> dict[str, Any]:
    """The scheduler's configuration of a denoiser trained by this plan."""
    return scheduler.to_config(plan.process, plan.prediction, plan.shift)


def build(workshop: Workshop, recipe: Recipe) -> Stage:
    """The stage, with a new U-Net over the latents of the autoencoder and the states of the text encoder."""
    plan, team = recipe.denoiser, workshop.team
    vae = load_part(workshop.folder, "vae").to(team.device)
    latents, states = latents_of(workshop, vae), states_of(workshop)
    empty = len(states) - 1
    channels, side = latents.shape[1], latents.shape[-1]
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
    with workshop.first_weights("denoiser"):
        unet = initialise(UNet(layout)).to(team.device)
    diffusion = scheduler.from_config(config(plan))

    def batch(draw: Draw) -> Batch:
        chosen = draw.indices(len(latents))
        captions = workshop.captions.choose(chosen % len(workshop.store), draw.generator("captions"))
        captions[draw.uniform("drop") < plan.drop_caption] = empty
        times = TIMES[plan.times](losses.stratified(draw.batch, draw.generator("times")))
        return (
            draw.mine(latents[chosen]).float(),
            draw.mine(states[captions]).float(),
            draw.mine(times),
            draw.normal("noise", channels, side, side),
        )

    @torch.no_grad()
    def preview() -> Image.Image:
        """Sixteen captions, one picture each."""
        some = torch.linspace(0, empty - 1, min(16, empty)).long()
        words, silence = states[some].to(team.device), states[empty].to(team.device)
        denoise = prompted(unet, diffusion, words, silence, guidance=3.0)
        levels, noise = timetable(diffusion.process, 20), per_sample_noise(range(len(some)))
        start = noise(torch.empty(len(some), channels, side, side, device=team.device)) * levels.sigma[0].item()
        made = vae.picture(last(sample(denoise, start, levels, noise)))
        return grid([to_image(picture.cpu()) for picture in made], columns=8)

    def finish() -> dict[str, Any]:
        save_part(workshop.folder, "unet", unet, workshop.weights)
        return {}

    return Stage(Objective(unet, diffusion, plan), batch, preview, finish)


def latents_of(workshop: Workshop, vae: AutoencoderKL) -> Float[Tensor, "n c h w"]:
    """The latents of all pictures, then of their mirror images where the recipe mirrors; computed once and kept."""
    data, count = workshop.recipe.data, len(workshop.store)

    @torch.no_grad()
    def compute() -> Tensor:
        every = torch.arange(count).repeat(2 if data.flip else 1)
        mirrored = torch.arange(len(every)) >= count
        parts = []
        for some in workshop.batches(len(every), "latents"):
            pictures = workshop.store.batch(every[some], data.size, mirrored[some]).to(workshop.team.device)
            parts.append(vae.latent(vae.encode(pictures).mean).cpu())
        return torch.cat(parts)

    return kept(workshop, "latents", ["vae"], compute)


def states_of(workshop: Workshop) -> Float[Tensor, "n t d"]:
    """The text states of all captions, and last of the empty prompt; computed once and kept."""

    @torch.no_grad()
    def compute() -> Tensor:
        text = load_part(workshop.folder, "text_encoder").to(workshop.team.device)
        tokens = workshop.tokenizer.encode([*workshop.captions.texts, ""])
        batches = workshop.batches(len(tokens), "states")
        return torch.cat([text(tokens[some].to(workshop.team.device)).states.cpu() for some in batches])

    return kept(workshop, "states", ["text_encoder", "tokenizer"], compute)
