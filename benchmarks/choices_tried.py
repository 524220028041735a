"""What `choices.py` tries around a denoiser's loss that the library does without."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sfumato.checkpoints.folder import load_part
from sfumato.networks.clip import ImageEncoder
from sfumato.networks.pixart import PixArtTransformer
from sfumato.training.stage import Batch, Draw, Stage
from sfumato.training.stages.denoiser import Objective
from sfumato.training.workshop import PictureWorkshop


class Aligned(nn.Module):
    """REPA: what a U-Net sees in its middle shall tell what CLIP's image encoder sees of the clean picture.

    Yu et al. 2025, eq. 8, with a projection of two layers that is thrown away afterwards.
    """

    def __init__(self, objective: Objective, encoder: ImageEncoder, weight: float = 0.5) -> None:
        super().__init__()
        self.objective, self.encoder, self.weight = objective, encoder.requires_grad_(False), weight
        unet: Any = objective.network
        width = unet.config.block_out_channels[-1]
        self.projection = nn.Sequential(
            nn.Conv2d(width, 2 * width, 1), nn.SiLU(), nn.Conv2d(2 * width, encoder.config.hidden_size, 1)
        )
        self.middle: Tensor | None = None
        unet.mid_block.register_forward_hook(lambda module, given, made: setattr(self, "middle", made))

    def forward(self, *batch: Tensor) -> dict[str, Tensor]:
        """The denoising loss and one less the mean cosine of both views, place by place."""
        *rest, pictures = batch
        told = self.objective(*rest)
        with torch.no_grad():
            target = as_map(self.encoder.states(pictures)[:, 1:].float())
        assert self.middle is not None
        mine = F.interpolate(self.projection(self.middle).float(), target.shape[-2:], mode="bilinear")
        agreement = F.cosine_similarity(mine, target).mean()
        return {"loss": told["loss"] + self.weight * (1 - agreement), "agreement": agreement}


class Perceived(nn.Module):
    """A perceptual loss: estimates, decoded, shall look to CLIP's image encoder as the picture does.

    In the space of its patches, as Zhang et al. 2018 do with other networks; where noise hides most of the picture
    an estimate cannot look like it, so levels count by alpha.
    """

    def __init__(self, objective: Objective, encoder: ImageEncoder, vae: nn.Module, weight: float = 0.5) -> None:
        super().__init__()
        self.objective, self.weight = objective, weight
        self.encoder, self.vae = encoder.requires_grad_(False), vae.requires_grad_(False)
        self.estimate: Tensor | None = None
        objective.network.register_forward_hook(lambda module, given, made: setattr(self, "estimate", made))

    def forward(self, *batch: Tensor) -> dict[str, Tensor]:
        """The denoising loss and the weighted distance of what is seen."""
        clean, said, times, noise, pictures = batch
        told = self.objective(clean, said, times, noise)
        level = self.objective.diffusion.process(times)
        assert self.estimate is not None
        sigma = level.sigma[:, None, None, None].float()
        estimate = (1 - sigma) * clean + sigma * noise - sigma * self.estimate  # of rectified flow
        vae: Any = self.vae
        seen = self.encoder.states(vae.picture(estimate))[:, 1:].float()
        with torch.no_grad():
            target = self.encoder.states(pictures)[:, 1:].float()
        far = (seen - target).square().mean(dim=(1, 2)) / target.square().mean()
        return {"loss": told["loss"] + self.weight * (far * level.alpha.float()).mean(), "seen": far.mean()}


def as_map(states: Float[Tensor, "b n d"]) -> Float[Tensor, "b d s s"]:
    """The states of patches as a map of their places."""
    return states.mT.unflatten(2, (int(states.shape[1] ** 0.5), -1))


class Routed(nn.Module):
    """TREAD: of every picture a random half of the patches goes around some blocks while a transformer learns.

    Krause et al. 2025, section 3.
    """

    def __init__(self, blocks: list[nn.Module], share: float = 0.5) -> None:
        super().__init__()
        self.blocks, self.share = nn.ModuleList(blocks), share

    def forward(self, x: Float[Tensor, "b n d"], *rest: Any) -> Float[Tensor, "b n d"]:
        """All blocks, on the patches that do not go around."""
        if not torch.is_grad_enabled():  # it is asked, and does not learn
            return self._through(x, rest)
        count = round(x.shape[1] * (1 - self.share))
        chosen = torch.rand(x.shape[:2], device=x.device).argsort(1)[:, :count, None].expand(-1, -1, x.shape[2])
        return x.scatter(1, chosen, self._through(x.gather(1, chosen), rest))

    def _through(self, x: Tensor, rest: tuple[Any, ...]) -> Tensor:
        for block in self.blocks:
            x = block(x, *rest)
        return x


def routed(network: PixArtTransformer) -> None:
    """Let patches go around all blocks but the first and the last."""
    first, *middle, last = network.transformer_blocks
    network.transformer_blocks = nn.ModuleList([first, Routed(middle), last])


def with_pictures(stage: Stage, workshop: PictureWorkshop, kind: str) -> Stage:
    """A stage whose loss also looks at the pictures themselves: "aligned" or "perceived"."""
    objective, size = stage.objective, workshop.recipe.data.size
    assert isinstance(objective, Objective)
    encoder = load_part(workshop.folder, "image_encoder")
    around = (
        Aligned(objective, encoder)
        if kind == "aligned"
        else Perceived(objective, encoder, load_part(workshop.folder, "vae"))
    )

    def batch(draw: Draw) -> Batch:
        chosen = draw.mine(draw.indices(len(workshop.store))).cpu()
        return (*stage.batch(draw), workshop.store.batch(chosen, size))

    return Stage(around, batch, stage.preview, stage.finish)
