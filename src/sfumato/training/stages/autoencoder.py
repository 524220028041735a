"""Stage 1: the autoencoder learns to give pictures back from small latents."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from sfumato.checkpoints.folder import save_part
from sfumato.data.pictures import grid, to_image
from sfumato.networks.initialisation import initialise
from sfumato.networks.vae import AutoencoderKL, autoencoder_config
from sfumato.training import sizes
from sfumato.training.recipe import Autoencoder, Recipe
from sfumato.training.stage import Batch, Draw, Stage
from sfumato.training.workshop import PictureWorkshop

MEASURED = 2048  # pictures from which the scale of the latents is measured


class Objective(nn.Module):
    """Absolute error of pixels and of their differences, and a little of the KL divergence (Rombach et al. 2022, C)."""

    def __init__(self, vae: AutoencoderKL, recipe: Autoencoder) -> None:
        super().__init__()
        self.vae, self.recipe = vae, recipe

    def forward(self, pictures: Float[Tensor, "b c h w"], noise: Float[Tensor, "b k h2 w2"]) -> dict[str, Tensor]:
        """The loss and its parts, per pixel."""
        again, posterior = self.vae(pictures, noise)
        error = (again - pictures).float()
        pixels, edges = error.abs().mean(), edge_error(error)
        kl = posterior.kl().mean() / pictures[0].numel()
        loss = pixels + self.recipe.edge_weight * edges + self.recipe.kl_weight * kl
        return {"loss": loss, "pixels": pixels, "edges": edges, "kl": kl}


def edge_error(error: Float[Tensor, "b c h w"]) -> Tensor:
    """How much neighbouring errors differ: blurred edges cost, a shade too dark hardly."""
    return error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()


def build(workshop: PictureWorkshop, recipe: Recipe) -> Stage:
    """The stage, with a new autoencoder."""
    plan, size, team = recipe.autoencoder, recipe.data.size, workshop.team
    levels = plan.factor.bit_length()
    widths = plan.channels or sizes.channels(sizes.AUTOENCODER, plan.size or recipe.size, levels)
    config = autoencoder_config(widths, latent_channels=plan.latent_channels, layers=plan.layers, size=size)
    with workshop.first_weights("autoencoder"):
        vae = initialise(AutoencoderKL(config)).to(team.device)
    side = size // plan.factor

    def batch(draw: Draw) -> Batch:
        pictures = workshop.pictures(draw)
        return pictures, draw.normal("posterior", plan.latent_channels, side, side)

    @torch.no_grad()
    def preview() -> Image.Image:
        real = workshop.examples(8)
        again = vae(real)[0]
        return grid([to_image(picture.cpu()) for picture in torch.cat([real, again])], columns=8)

    def finish() -> dict[str, Any]:
        to_unit_scale(vae, workshop)
        save_part(workshop.folder, "vae", vae, workshop.weights)
        return {}

    return Stage(Objective(vae, plan), batch, preview, finish)


@torch.no_grad()
def to_unit_scale(vae: AutoencoderKL, workshop: PictureWorkshop) -> None:
    """Give each channel of the latents mean 0 and deviation 1 over the training pictures.

    The shifts and scales go into the 1x1 convolutions on both sides of the latent, which leaves pictures as they are
    and `scaling_factor` at 1.
    """
    size = workshop.recipe.data.size
    batches = workshop.example_indices(MEASURED).split(64)
    means = torch.cat([vae.encode(workshop.store.batch(some, size).to(workshop.team.device)).mean for some in batches])
    rows = means.double().movedim(1, 0).flatten(1)
    shift, scale = rows.mean(1).to(means), rows.std(1).clamp(min=1e-6).to(means)
    weights: dict[str, Tensor] = dict(vae.named_parameters())
    channels = len(scale)
    after = weights["post_quant_conv.weight"]
    weights["post_quant_conv.bias"] += after[:, :, 0, 0] @ shift
    after *= scale[:, None, None]
    moments, bias = weights["quant_conv.weight"], weights["quant_conv.bias"]  # rows of means, then of log variances
    moments[:channels] /= scale[:, None, None, None]
    bias[:channels] = (bias[:channels] - shift) / scale
    bias[channels:] -= 2 * scale.log()
