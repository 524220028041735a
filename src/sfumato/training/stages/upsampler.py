"""The upsampler learns to make a larger size: of what the autoencoder leaves of a picture, or of small pictures."""

from __future__ import annotations

from collections.abc import Callable
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
from sfumato.diffusion.sampling import last
from sfumato.networks.initialisation import initialise
from sfumato.networks.unet import UNet
from sfumato.networks.upsampler import enlarge, upsampler_config
from sfumato.pipelines.upsampling import augmented, looking_at, upsample
from sfumato.training import sizes, ways
from sfumato.training.kept import kept
from sfumato.training.recipe import Recipe
from sfumato.training.stage import Batch, Draw, Stage
from sfumato.training.workshop import PictureWorkshop

CODERS = {"autoencoder": "vae", "vectors": "vector_vae"}  # stages that train an autoencoder, and its part


class Objective(nn.Module):
    """The denoising loss of large pictures beside the small ones, noise added to both."""

    def __init__(self, unet: UNet, diffusion: Diffusion) -> None:
        super().__init__()
        self.unet, self.diffusion = unet, diffusion

    def forward(
        self,
        pictures: Float[Tensor, "b c h w"],
        hints: Float[Tensor, "b c h w"],
        amounts: Float[Tensor, " b"],
        times: Float[Tensor, " b"],
        noise: Float[Tensor, "b c h w"],
    ) -> dict[str, Tensor]:
        """The mean loss."""
        network = looking_at(self.unet, hints, amounts)
        level = self.diffusion.process(times)
        return {"loss": losses.denoising_loss(network, self.diffusion.parameterisation, pictures, noise, level).mean()}


def build(workshop: PictureWorkshop, recipe: Recipe, number: int = 1) -> Stage:
    """The stage, with a new U-Net over pixels; the `number`th upsampler enlarges what those before it make."""
    plan, team, store = recipe.upsampler, workshop.team, workshop.store
    name, factor = ways.numbered("upsampler", number), plan.factor
    small = recipe.data.size * factor ** (number - 1)
    crop = min(plan.crop // factor, small)  # side of the piece of the small picture
    part = next((CODERS[stage] for stage in recipe.stages if stage in CODERS), None) if number == 1 else None
    again = reconstructions(workshop, part) if part else None
    size = plan.size or recipe.size
    widths = plan.channels or sizes.channels(
        sizes.UPSAMPLER, size, min(len(sizes.UPSAMPLER[size]), sizes.resolutions(crop * factor // plan.patch))
    )
    layout = upsampler_config(
        widths,
        layers=plan.layers or sizes.UPSAMPLER_LAYERS[size],
        class_embed_type="timestep",
        num_class_embeds=None,
        sample_size=small * factor // plan.patch,
        patch=plan.patch,
    )
    with workshop.first_weights(name):
        unet = initialise(UNet(layout)).to(team.device)
    config = scheduler.to_config("squaredcos_cap_v2", "sample")
    diffusion = scheduler.from_config(config)

    def looked_at(some: Tensor, flips: Tensor | None = None) -> Tensor:
        """The small pictures, as the upsampler will meet them."""
        if again is None:
            return store.batch(some, small, flips)
        seen = again(some)
        return seen if flips is None else torch.where(flips[:, None, None, None], seen.flip(-1), seen)

    def batch(draw: Draw) -> Batch:
        chosen = draw.indices(len(store))
        corner = torch.randint(small - crop + 1, (draw.batch, 2), generator=draw.generator("crop"))
        mine, corner = draw.mine(chosen).cpu(), draw.mine(corner).cpu()
        flips = draw.mine(draw.uniform("flip") < 0.5).cpu() if recipe.data.flip else None
        large = _cut(store.batch(mine, small * factor, flips), corner * factor, crop * factor).to(team.device)
        amounts = draw.mine(draw.uniform("amount")) * plan.augmentation
        seen = _cut(looked_at(mine, flips), corner, crop).to(team.device)
        hints = enlarge(augmented(seen, draw.normal("augmentation", 3, crop, crop), amounts), factor)
        times = draw.mine(losses.stratified(draw.batch, draw.generator("times")))
        return large, hints, amounts, times, draw.normal("noise", 3, crop * factor, crop * factor)

    @torch.no_grad()
    def preview() -> Image.Image:
        """The small pictures, enlarged; what is made of them; the pictures themselves."""
        some = workshop.example_indices(8)
        seen = looked_at(some).to(team.device)
        made = last(upsample(unet, diffusion, seen, factor, per_sample_noise(range(len(seen)))))
        rows = torch.cat([enlarge(seen, factor).cpu(), made.cpu(), store.batch(some, small * factor).cpu()])
        return grid([to_image(picture) for picture in rows], columns=len(some))

    def finish() -> dict[str, Any]:
        save_part(workshop.folder, ways.part_of("upsampler", number), unet, workshop.weights, config)
        return {}

    return Stage(Objective(unet, diffusion), batch, preview, finish)


def _cut(pictures: Tensor, corner: Tensor, side: int) -> Tensor:
    """A square piece of each picture."""
    pieces = [p[:, y : y + side, x : x + side] for p, (y, x) in zip(pictures, corner.tolist(), strict=True)]
    return torch.stack(pieces)


def reconstructions(workshop: PictureWorkshop, part: str) -> Callable[[Tensor], Tensor]:
    """Pictures by their numbers after a way through the autoencoder `part`, (b, 3, h, w) on the CPU.

    At work the upsampler sees decoded latents; here it learns what they lack. They are computed once and kept, as
    bytes, or again each time where they are too many.
    """
    vae = load_part(workshop.folder, part).to(workshop.team.device)

    @torch.no_grad()
    def again(some: Tensor) -> Tensor:
        pictures = workshop.store.batch(some, workshop.recipe.data.size).to(workshop.team.device)
        return vae(pictures)[0].clamp(-1, 1).cpu()

    if not workshop.is_kept:
        return again

    def compute() -> Tensor:
        batches = workshop.batches(len(workshop.store), "reconstructions")
        return torch.cat([((again(some) + 1) * 127.5).round().byte() for some in batches])

    every = kept(workshop, "reconstructions", [part], compute)
    return lambda some: every[some].float() / 127.5 - 1
