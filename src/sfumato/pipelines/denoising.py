"""A network and its conditions as a Denoise."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sfumato.checkpoints.scheduler import Diffusion
from sfumato.diffusion.guidance import guided_in_one_pass
from sfumato.diffusion.parameterisation import Denoise, Network


def prompted(
    unet: nn.Module,
    diffusion: Diffusion,
    states: Float[Tensor, "b ..."],
    empty: Float[Tensor, "..."],
    guidance: float,
    pictures_a_pass: int | None = None,
) -> Denoise:
    """A Denoise steered by text states, or a vector, with classifier-free guidance against those of the empty prompt.

    `guidance` 1 is the conditional model alone, in half the time. `pictures_a_pass` bounds how many pictures share a
    forward pass: with 1 every picture is computed in tensors of the same shapes whatever its batch, and so to the same
    bits; None computes all at once.
    """
    if guidance == 1:
        return diffusion.parameterisation.denoiser(_network(unet, states[None], pictures_a_pass))
    branches = torch.stack([states, empty.expand_as(states)])
    return guided_in_one_pass(diffusion.parameterisation.denoiser(_network(unet, branches, pictures_a_pass)), guidance)


def _network(unet: nn.Module, states: Float[Tensor, "branches b ..."], pictures_a_pass: int | None) -> Network:
    branches, batch = states.shape[:2]

    def network(x: Tensor, label: Tensor) -> Tensor:
        grid = (branches, batch)
        rows, labels = x.unflatten(0, grid), label.unflatten(0, grid)
        dtype = next(unet.parameters()).dtype
        passes = [
            unet(rows[:, some].flatten(0, 1).to(dtype), labels[:, some].flatten(), states[:, some].flatten(0, 1))
            for some in torch.arange(batch).split(pictures_a_pass or batch)
        ]
        return torch.cat([made.unflatten(0, (branches, -1)) for made in passes], dim=1).flatten(0, 1).to(x)

    return network
