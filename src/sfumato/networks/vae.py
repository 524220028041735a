"""The autoencoder: pictures to small latents of unit scale, and back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sfumato.networks.attention import attend, to_map, to_tokens
from sfumato.networks.blocks import Downsample2D, ResnetBlock2D, Upsample2D
from sfumato.networks.config import Config, divides, norm_groups, require


@dataclass(frozen=True)
class AutoencoderConfig(Config):
    """What an `AutoencoderKL` is made of, under the names of its `config.json`.

    `scaling_factor` and `shift_factor` bring latents to unit scale: latent = (z - shift_factor) * scaling_factor.
    `force_upcast` says that half precision overflows in this model; it is for the caller to heed.
    """

    in_channels: int = 3
    out_channels: int = 3
    block_out_channels: tuple[int, ...] = (64,)
    layers_per_block: int = 1
    latent_channels: int = 4
    norm_num_groups: int = 32
    sample_size: int | tuple[int, int] = 32
    scaling_factor: float = 0.18215
    shift_factor: float | None = None
    force_upcast: bool = True
    use_quant_conv: bool = True
    use_post_quant_conv: bool = True
    mid_block_add_attention: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        require(len(self.block_out_channels) > 0, self, "block_out_channels", why="at least one resolution is needed")
        fits = divides(self.norm_num_groups, *self.block_out_channels)
        require(fits, self, "block_out_channels", "norm_num_groups", why="the groups must divide the channels")
        require(self.scaling_factor > 0, self, "scaling_factor", why="must be above 0")

    def fixed(self) -> dict[str, Any]:
        """Gives the reference's keys that have one supported value."""
        blocks = len(self.block_out_channels)
        return {
            "_class_name": "AutoencoderKL",
            "act_fn": "silu",
            "down_block_types": ["DownEncoderBlock2D"] * blocks,
            "up_block_types": ["UpDecoderBlock2D"] * blocks,
            "latents_mean": None,
            "latents_std": None,
        }


def autoencoder_config(
    channels: tuple[int, ...] = (32, 64, 128), *, latent_channels: int = 4, layers: int = 1, size: int = 64, **more: Any
) -> AutoencoderConfig:
    """Chooses a small autoencoder.

    Args:
        channels: of each resolution, finest first; n of them make pictures 2 ** (n - 1) times smaller.
        latent_channels: channels of the latent.
        layers: residual blocks per resolution.
        size: edge of the pictures it is trained on, in pixels.
        more: any other field of `AutoencoderConfig`.
    """
    return AutoencoderConfig(
        block_out_channels=channels,
        latent_channels=latent_channels,
        layers_per_block=layers,
        sample_size=size,
        **{"norm_num_groups": norm_groups(channels), "scaling_factor": 1.0, "force_upcast": False} | more,
    )


class Posterior(NamedTuple):
    """A diagonal Gaussian over latents: `mean` and `logvar` of one shape (b, ...); logvar lies in [-30, 20]."""

    mean: Float[Tensor, "b ..."]
    logvar: Float[Tensor, "b ..."]

    def sample(self, noise: Float[Tensor, "b ..."]) -> Float[Tensor, "b ..."]:
        """Draws a latent from standard normal noise (Kingma & Welling 2014, section 2.4)."""
        return self.mean + (0.5 * self.logvar).exp() * noise

    def kl(self, centre: Float[Tensor, "b ..."] | float = 0.0) -> Float[Tensor, " b"]:
        """Gives the divergence from the normal of unit variance around `centre`, in nats per sample.

        Around 0 it is that of Kingma & Welling 2014, appendix B.
        """
        return 0.5 * ((self.mean - centre).square() + self.logvar.exp() - 1 - self.logvar).flatten(1).sum(1)


class Autoencoder(nn.Module, ABC):
    """What all autoencoders of pictures can do.

    Each has `encode` and `decode` in the scale of its own training; its configuration has the `scaling_factor` and
    `shift_factor` of that scale.
    """

    def __init__(self, config: Any):
        super().__init__()
        self.config = config

    @property
    @abstractmethod
    def factor(self) -> int:
        """How many times smaller than the picture the latent is, along each edge."""

    @abstractmethod
    def encode(self, picture: Float[Tensor, "b c h w"]) -> Posterior:
        """Gives the distribution of z for pictures in [-1, 1]."""

    @abstractmethod
    def decode(self, z: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k h2 w2"]:
        """Gives the pictures for z as `encode` has it; about [-1, 1], not clamped."""

    def latent(self, z: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Brings z to unit scale: what a denoiser works on."""
        return (z - (self.config.shift_factor or 0.0)) * self.config.scaling_factor

    def from_latent(self, latent: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Brings what a denoiser made back to z, which `decode` takes."""
        return latent / self.config.scaling_factor + (self.config.shift_factor or 0.0)

    def picture(self, latent: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k h2 w2"]:
        """Decodes a latent of unit scale: what a denoiser made."""
        return self.decode(self.from_latent(latent))

    def forward(
        self, picture: Float[Tensor, "b c h w"], noise: Float[Tensor, "b k h2 w2"] | None = None
    ) -> tuple[Float[Tensor, "b c h w"], Posterior]:
        """Encodes and decodes, for training; `noise` draws from the posterior, without it the mean is taken."""
        posterior = self.encode(picture)
        z = posterior.mean if noise is None else posterior.sample(noise)
        return self.decode(z), posterior


class AutoencoderKL(Autoencoder):
    """A convolutional variational autoencoder (Rombach et al. 2022, section 3.1).

    Parameters carry the names of diffusers' class of this name. Files from before diffusers 0.15, whose attention
    layers are called query, key, value and proj_attn, load as well.
    """

    config: AutoencoderConfig

    def __init__(self, config: AutoencoderConfig):
        super().__init__(config)
        latents = config.latent_channels
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.quant_conv = nn.Conv2d(2 * latents, 2 * latents, 1) if config.use_quant_conv else None
        self.post_quant_conv = nn.Conv2d(latents, latents, 1) if config.use_post_quant_conv else None
        self.register_load_state_dict_pre_hook(_rename_old_attention)

    @property
    def factor(self) -> int:
        """How many times smaller than the picture the latent is, along each edge."""
        return 2 ** (len(self.config.block_out_channels) - 1)

    def encode(self, picture: Float[Tensor, "b c h w"]) -> Posterior:
        """Gives the distribution of z for pictures in [-1, 1]; an edge that `factor` does not divide is cut."""
        moments = self.encoder(picture)
        if self.quant_conv is not None:
            moments = self.quant_conv(moments)
        mean, logvar = moments.chunk(2, dim=1)
        return Posterior(mean, logvar.clamp(-30, 20))

    def decode(self, z: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k h2 w2"]:
        """Gives the pictures for z as `encode` has it; about [-1, 1], not clamped."""
        return self.decoder(z if self.post_quant_conv is None else self.post_quant_conv(z))


class Encoder(nn.Module):
    """Picture to the moments of z."""

    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        channels, groups = config.block_out_channels, config.norm_num_groups
        last = len(channels) - 1
        self.conv_in = nn.Conv2d(config.in_channels, channels[0], 3, padding=1)
        self.down_blocks = nn.ModuleList(
            DownEncoderBlock2D(channels[max(i - 1, 0)], channels[i], config.layers_per_block, groups, down=i < last)
            for i in range(len(channels))
        )
        self.mid_block = MidBlock(channels[-1], groups, attention=config.mid_block_add_attention)
        self.conv_norm_out = nn.GroupNorm(groups, channels[-1], eps=1e-6)
        self.conv_out = nn.Conv2d(channels[-1], 2 * config.latent_channels, 3, padding=1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k h2 w2"]:
        """Gives mean and log variance, one after the other along the channels."""
        x = self.conv_in(x)
        for block in self.down_blocks:
            x = block(x)
        x = self.mid_block(x)
        return self.conv_out(F.silu(self.conv_norm_out(x)))


class Decoder(nn.Module):
    """Latent z to picture."""

    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        channels, groups = config.block_out_channels[::-1], config.norm_num_groups
        last = len(channels) - 1
        self.conv_in = nn.Conv2d(config.latent_channels, channels[0], 3, padding=1)
        self.mid_block = MidBlock(channels[0], groups, attention=config.mid_block_add_attention)
        self.up_blocks = nn.ModuleList(
            UpDecoderBlock2D(channels[max(i - 1, 0)], channels[i], config.layers_per_block + 1, groups, up=i < last)
            for i in range(len(channels))
        )
        self.conv_norm_out = nn.GroupNorm(groups, channels[-1], eps=1e-6)
        self.conv_out = nn.Conv2d(channels[-1], config.out_channels, 3, padding=1)

    def forward(self, z: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k h2 w2"]:
        """Gives the picture."""
        x = self.mid_block(self.conv_in(z))
        for block in self.up_blocks:
            x = block(x)
        return self.conv_out(F.silu(self.conv_norm_out(x)))


class DownEncoderBlock2D(nn.Module):
    """Residual blocks at one resolution, then the step to the next coarser one."""

    def __init__(self, inputs: int, outputs: int, layers: int, groups: int, *, down: bool):
        super().__init__()
        self.resnets = _resnets(inputs, outputs, layers, groups)
        self.downsamplers = nn.ModuleList([Downsample2D(outputs, padding=0)] if down else [])

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k h2 w2"]:
        """Gives `outputs` channels."""
        for layer in (*self.resnets, *self.downsamplers):
            x = layer(x)
        return x


class UpDecoderBlock2D(nn.Module):
    """Residual blocks at one resolution, then the step to the next finer one."""

    def __init__(self, inputs: int, outputs: int, layers: int, groups: int, *, up: bool):
        super().__init__()
        self.resnets = _resnets(inputs, outputs, layers, groups)
        self.upsamplers = nn.ModuleList([Upsample2D(outputs)] if up else [])

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k h2 w2"]:
        """Gives `outputs` channels."""
        for layer in (*self.resnets, *self.upsamplers):
            x = layer(x)
        return x


class MidBlock(nn.Module):
    """Two residual blocks at the coarsest resolution, with attention between them."""

    def __init__(self, channels: int, groups: int, *, attention: bool):
        super().__init__()
        self.resnets = _resnets(channels, channels, 2, groups)
        self.attentions = nn.ModuleList([PixelAttention(channels, groups)] if attention else [])

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Keeps the shape."""
        first, second = self.resnets
        for layer in (first, *self.attentions, second):
            x = layer(x)
        return x


class PixelAttention(nn.Module):
    """Attention of all pixels to one another, with one head, as a residual branch."""

    def __init__(self, channels: int, groups: int):
        super().__init__()
        self.group_norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.to_q = nn.Linear(channels, channels)
        self.to_k = nn.Linear(channels, channels)
        self.to_v = nn.Linear(channels, channels)
        self.to_out = nn.Sequential(nn.Linear(channels, channels))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Keeps the shape."""
        tokens = to_tokens(self.group_norm(x))
        mixed = attend(self.to_q(tokens), self.to_k(tokens), self.to_v(tokens), heads=1)
        return x + to_map(self.to_out(mixed), x.shape[-2:])


def _resnets(inputs: int, outputs: int, layers: int, groups: int) -> nn.ModuleList:
    widths = (inputs,) + (outputs,) * layers
    return nn.ModuleList(ResnetBlock2D(a, b, groups=groups) for a, b in pairwise(widths))


def _rename_old_attention(module: nn.Module, state: dict[str, Any], *_: object) -> None:
    names = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
    for key in [key for key in state if ".mid_block.attentions.0." in key]:
        block, name, kind = key.rsplit(".", 2)
        if name in names:
            state[f"{block}.{names[name]}.{kind}"] = state.pop(key)
