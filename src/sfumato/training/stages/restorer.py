"""The restorer of cold diffusion learns to give pictures back from degraded ones, steered by the words."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from sfumato.checkpoints.folder import save_part
from sfumato.data.pictures import grid, to_image
from sfumato.diffusion import losses
from sfumato.diffusion.cold import RESTORER, SEVERITY
from sfumato.diffusion.levels import lay_out
from sfumato.networks.initialisation import initialise
from sfumato.networks.unet import UNet
from sfumato.networks.unet_config import unet_config
from sfumato.pipelines.restoring import Coldness, Start, degradation_of
from sfumato.training import sizes
from sfumato.training.hearing import states_of
from sfumato.training.recipe import Recipe
from sfumato.training.stage import Batch, Draw, Stage
from sfumato.training.workshop import PictureWorkshop

PREVIEWED = (0.25, 0.5, 0.75, 1.0)  # severities


class Objective(nn.Module):
    """The absolute error of the restored picture at random severities (Bansal et al. 2022, eq. 2)."""

    def __init__(self, unet: UNet, name: str) -> None:
        super().__init__()
        self.unet, self.name = unet, name

    def forward(
        self,
        pictures: Float[Tensor, "b c h w"],
        states: Float[Tensor, "b t d"],
        severities: Float[Tensor, " b"],
        places: Float[Tensor, "b 2"],
        noise: Float[Tensor, "b c h w"],
    ) -> dict[str, Tensor]:
        """The mean loss; `noise` has the scale that it is added with at severity 1."""
        degrade = degradation_of(self.name, places, pictures.shape[-1])
        degraded = degrade(pictures, severities) + lay_out(severities, noise) * noise
        restore = RESTORER.denoiser(partial(self.unet, encoder_hidden_states=states))
        return {"loss": (restore(degraded, SEVERITY(severities)) - pictures).float().abs().mean()}


def build(workshop: PictureWorkshop, recipe: Recipe) -> Stage:
    """The stage, with a new U-Net over pixels that listens to the states of the text encoder."""
    plan, team, store, side = recipe.restorer, workshop.team, workshop.store, recipe.data.size
    states = states_of(workshop)
    empty = len(states) - 1
    size = plan.size or recipe.size
    widths = plan.channels or sizes.channels(sizes.UPSAMPLER, size, sizes.resolutions(side))
    layout = unet_config(
        widths,
        in_channels=3,
        attention=(False,) * (len(widths) - 1) + (True,),  # the words speak where there are fewest pixels
        cross_attention_dim=states.shape[-1],
        layers=plan.layers or sizes.UPSAMPLER_LAYERS[size],
        sample_size=side,
    )
    with workshop.first_weights("restorer"):
        unet = initialise(UNet(layout)).to(team.device)

    def batch(draw: Draw) -> Batch:
        chosen = draw.indices(len(store))
        captions = workshop.captions.choose(chosen, draw.generator("captions"))
        captions[draw.uniform("drop") < plan.drop_caption] = empty
        noise = draw.normal("noise", 3, side, side)
        warm = draw.mine(draw.uniform("warm") < 0.5)  # the others are degraded alone, as pictures to restore are
        return (
            workshop.pictures(draw),
            draw.mine(states[captions]).float(),
            draw.mine(losses.stratified(draw.batch, draw.generator("severities"))),
            draw.mine(torch.rand(draw.batch, 2, generator=draw.generator("places"))),
            plan.noise * lay_out(warm, noise) * noise,
        )

    @torch.no_grad()
    def preview() -> Image.Image:
        """For some severities eight pictures degraded, and what is made of them, without words."""
        pictures = workshop.examples(8)
        places = torch.linspace(0.1, 0.9, len(pictures), device=team.device)[:, None].expand(-1, 2)
        degrade = degradation_of(plan.degradation, places, side)
        silence = states[empty].to(team.device).float().expand(len(pictures), -1, -1)
        restore = RESTORER.denoiser(partial(unet, encoder_hidden_states=silence))
        rows = []
        for severity in torch.tensor(PREVIEWED, device=team.device):
            degraded = degrade(pictures, severity)
            rows += [degraded, restore(degraded, SEVERITY(severity))]
        return grid([to_image(picture.cpu()) for picture in torch.cat(rows)], columns=len(pictures))

    def finish() -> dict[str, Any]:
        pictures = workshop.examples(2048)
        places = torch.full((len(pictures), 2), 0.5, device=team.device)
        lost = degradation_of(plan.degradation, places, side)(pictures, pictures.new_ones(()))
        cold = Coldness(plan.degradation, plan.noise, Start.fitted(lost))
        save_part(workshop.folder, "restorer", unet, workshop.weights, cold.to_config())
        return {}

    return Stage(Objective(unet, plan.degradation), batch, preview, finish)
