"""A small picture made large by a denoiser that looks at it."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sfumato.checkpoints.scheduler import Diffusion
from sfumato.diffusion.noise import Noise
from sfumato.diffusion.parameterisation import Network
from sfumato.diffusion.processes import Flow
from sfumato.diffusion.sampling import State, sample
from sfumato.diffusion.times import SPACINGS, timetable
from sfumato.networks.unet import UNet
from sfumato.networks.upsampler import enlarge, patch_of

AUGMENTATION = 0.05  # noise put on the small picture, between 0 and 1, unless said otherwise
STEPS = 4


def augmented(small: Float[Tensor, "b c h w"], noise: Tensor, amount: Float[Tensor, " b"] | float) -> Tensor:
    """The small picture with noise on the straight line between the two (Ho et al. 2022, section 4.2).

    It hides what the small picture's maker does wrong; the network is told the amount.
    """
    return Flow()(torch.as_tensor(amount, device=small.device)).add_noise(small, noise)


def label(amount: Float[Tensor, " b"] | float, count: int) -> Float[Tensor, " b"]:
    """How the network is told the amount of noise on the small picture: 0 to 1000, like a timestep."""
    return (torch.as_tensor(amount, dtype=torch.float32) * 1000).expand(count)


def looking_at(unet: UNet, small: Float[Tensor, "b c h w"], amount: Float[Tensor, " b"] | float) -> Network:
    """The U-Net as a network of large pictures; `small` is enlarged to their size already."""

    patch = patch_of(unet.config, small.shape[1])

    def network(x: Tensor, timestep: Tensor) -> Tensor:
        looked = F.pixel_unshuffle(torch.cat([x, small], dim=1), patch).to(unet.conv_in.weight.dtype)
        made = unet(looked, timestep, class_labels=label(amount, len(x)).to(x.device))
        return F.pixel_shuffle(made, patch).to(x)

    return network


def upsample(
    unet: UNet,
    diffusion: Diffusion,
    small: Float[Tensor, "b c h w"],
    factor: int,
    noise: Noise,
    steps: int = STEPS,
    amount: float = AUGMENTATION,
    pictures_a_pass: int | None = None,
) -> Iterator[State]:
    """Make pictures `factor` times larger; the last state's `noisy` is (b, c, factor h, factor w) in about [-1, 1].

    One picture a pass makes each independent of its batch, as in `prompted`.
    """
    hints = enlarge(augmented(small, noise(small), amount), factor)

    def network(x: Tensor, timestep: Tensor) -> Tensor:
        passes = torch.arange(len(x)).split(pictures_a_pass or len(x))
        return torch.cat([looking_at(unet, hints[some], amount)(x[some], timestep[some]) for some in passes])

    levels = timetable(diffusion.process, steps, SPACINGS[diffusion.spacing])
    start = noise(hints) * levels.sigma[0].item()
    return sample(diffusion.parameterisation.denoiser(network), start, levels, noise)
