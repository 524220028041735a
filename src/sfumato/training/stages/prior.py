"""The denoiser of vectors learns which vectors pictures have, and which of them fit the words."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from sfumato.checkpoints import scheduler
from sfumato.checkpoints.folder import load_part, save_part
from sfumato.data.pictures import grid, to_image
from sfumato.diffusion import losses
from sfumato.diffusion.noise import per_sample_noise
from sfumato.diffusion.sampling import last, sample
from sfumato.diffusion.times import timetable
from sfumato.networks.clip import TextStates
from sfumato.networks.initialisation import initialise
from sfumato.networks.vector_autoencoder import VectorAutoencoder
from sfumato.networks.vector_denoiser import VectorDenoiser, VectorDenoiserConfig
from sfumato.pipelines.condition import Condition
from sfumato.pipelines.denoising import prompted
from sfumato.training import sizes
from sfumato.training.hearing import of_all_captions
from sfumato.training.kept import kept
from sfumato.training.recipe import Recipe
from sfumato.training.stage import Batch, Draw, Stage
from sfumato.training.stages.denoiser import TIMES, Objective
from sfumato.training.workshop import PictureWorkshop


def build(workshop: PictureWorkshop, recipe: Recipe) -> Stage:
    """The stage, with a new denoiser over the vectors of pictures and of captions."""
    plan, team = recipe.prior, workshop.team
    vae = load_part(workshop.folder, "vector_vae").to(team.device)
    pictures, captions = vectors_of_pictures(workshop, vae), vectors_of_captions(workshop, vae)
    empty, length = len(captions) - 1, captions.shape[1]
    width, layers = sizes.PRIOR[plan.size or recipe.size]
    layout = VectorDenoiserConfig(
        vector_dim=length,
        condition_dim=length,
        hidden_size=plan.width or width,
        num_hidden_layers=plan.layers or layers,
    )
    with workshop.first_weights("prior"):
        prior = initialise(VectorDenoiser(layout)).to(team.device)
    scheduled = scheduler.to_config(plan.process, plan.prediction, plan.shift)
    diffusion = scheduler.from_config(scheduled)

    def batch(draw: Draw) -> Batch:
        chosen = draw.indices(len(pictures))
        told = workshop.captions.choose(chosen % len(workshop.store), draw.generator("captions"))
        told[draw.uniform("drop") < plan.drop_caption] = empty
        mean, std = draw.mine(pictures[chosen]).float().unbind(1)
        times = TIMES[plan.times](losses.stratified(draw.batch, draw.generator("times")))
        return (
            mean + std * draw.normal("posterior", length),  # another vector of the same picture each time
            draw.mine(captions[told]).float(),
            draw.mine(times),
            draw.normal("noise", length),
        )

    @torch.no_grad()
    def preview() -> Image.Image:
        """Sixteen captions, one picture each."""
        some = torch.linspace(0, empty - 1, min(16, empty)).long()
        words, silence = captions[some].to(team.device), captions[empty].to(team.device)
        denoise = prompted(prior, diffusion, Condition(words), Condition(silence[None]), guidance=2.0)
        levels, noise = timetable(diffusion.process, 20), per_sample_noise(range(len(some)))
        made = vae.picture(last(sample(denoise, noise(words) * levels.spread[0].item(), levels, noise)))
        return grid([to_image(picture.cpu()) for picture in made], columns=8)

    def finish() -> dict[str, Any]:
        save_part(workshop.folder, "prior", prior, workshop.weights, scheduled)
        return {}

    return Stage(Objective(prior, diffusion, plan), batch, preview, finish)


def vectors_of_pictures(workshop: PictureWorkshop, vae: VectorAutoencoder) -> Float[Tensor, "n 2 d"]:
    """Mean and deviation of the vectors of all pictures, then of their mirror images where the recipe mirrors.

    Of unit scale; computed once and kept.
    """
    data, count = workshop.recipe.data, len(workshop.store)

    @torch.no_grad()
    def compute() -> Tensor:
        every = torch.arange(count).repeat(2 if data.flip else 1)
        mirrored = torch.arange(len(every)) >= count
        parts = []
        for some in workshop.batches(len(every), "vectors of pictures"):
            seen = workshop.store.batch(every[some], data.size, mirrored[some]).to(workshop.team.device)
            posterior = vae.encode(seen)
            spread = (posterior.logvar / 2).exp() * vae.scale
            parts.append(torch.stack([vae.vector(posterior.mean), spread], dim=1).cpu())
        return torch.cat(parts)

    return kept(workshop, "vectors", ["vector_vae"], compute)


def vectors_of_captions(workshop: PictureWorkshop, vae: VectorAutoencoder) -> Float[Tensor, "n d"]:
    """The vectors of all captions, and last of the empty prompt; of unit scale, computed once and kept."""

    def projected(read: TextStates) -> Tensor:
        assert read.projected is not None
        return vae.vector(read.projected)

    return of_all_captions(workshop, "caption-vectors", ["vector_vae"], projected)
