"""The tiny autoencoder: it learned to write and read the latents of a large one, with far less work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from sfumato.networks.config import MOST_LAYERS, Config, require
from sfumato.networks.vae import Autoencoder, Posterior

LIMIT = 3.0  # beyond which latents are bent back before decoding
CERTAIN = -30.0  # the log variance of a latent that is not drawn


@dataclass(frozen=True)
class TinyAutoencoderConfig(Config):
    """What an `AutoencoderTiny` is made of, under the names of its `config.json`.

    Channels and numbers of blocks are those of each resolution, the encoder's finest first, the decoder's coarsest
    first; the channels of one side are all the same. `latent_magnitude` and `latent_shift` bring latents to [0, 1].
    """

    in_channels: int = 3
    out_channels: int = 3
    encoder_block_out_channels: tuple[int, ...] = (64,) * 4
    decoder_block_out_channels: tuple[int, ...] = (64,) * 4
    latent_channels: int = 4
    num_encoder_blocks: tuple[int, ...] = (1, 3, 3, 3)
    num_decoder_blocks: tuple[int, ...] = (3, 3, 3, 1)
    latent_magnitude: float = 3
    latent_shift: float = 0.5
    force_upcast: bool = False
    scaling_factor: float = 1.0
    shift_factor: float | None = 0.0

    ignored: ClassVar[frozenset[str]] = frozenset({"block_out_channels"})  # the decoder's once more

    def __post_init__(self) -> None:
        super().__post_init__()
        for side in ("encoder", "decoder"):
            blocks, channels = f"num_{side}_blocks", f"{side}_block_out_channels"
            numbers, widths = getattr(self, blocks), getattr(self, channels)
            require(len(numbers) == len(widths) > 0, self, blocks, channels, why="must be of one length")
            require(len(set(widths)) == 1, self, channels, why="must be all the same")
            require(sum(numbers) <= MOST_LAYERS, self, blocks, why="is more than any network has")
        fits = len(self.num_encoder_blocks) == len(self.num_decoder_blocks)
        require(fits, self, "num_encoder_blocks", "num_decoder_blocks", why="must be of one length")
        require(self.latent_magnitude > 0, self, "latent_magnitude", why="must be above 0")
        require(self.scaling_factor > 0, self, "scaling_factor", why="must be above 0")

    def fixed(self) -> dict[str, Any]:
        """Gives the reference's keys that have one supported value."""
        return {
            "_class_name": "AutoencoderTiny",
            "act_fn": "relu",
            "upsample_fn": "nearest",
            "upsampling_scaling_factor": 2,
        }


class AutoencoderTiny(Autoencoder):
    """A small convolutional autoencoder, distilled from a large one (Bohan 2023, TAESD).

    Parameters carry the names of diffusers' class of this name.

    Source: https://github.com/madebyollin/taesd.
    """

    config: TinyAutoencoderConfig

    def __init__(self, config: TinyAutoencoderConfig):
        super().__init__(config)
        self.encoder = TinyEncoder(config)
        self.decoder = TinyDecoder(config)

    @property
    def factor(self) -> int:
        """How many times smaller than the picture the latent is, along each edge."""
        return 2 ** (len(self.config.num_encoder_blocks) - 1)

    def encode(self, picture: Float[Tensor, "b c h w"]) -> Posterior:
        """Gives z for pictures in [-1, 1], as a distribution next to certain; odd edges are rounded up in halving."""
        z = self.encoder(picture)
        return Posterior(z, torch.full_like(z, CERTAIN))

    def decode(self, z: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k h2 w2"]:
        """Gives the pictures for z; about [-1, 1], not clamped."""
        return self.decoder(z)

    def to_bytes(self, z: Float[Tensor, "b c h w"]) -> UInt8[Tensor, "b c h w"]:
        """Rounds z to 256 steps over [-latent_magnitude, latent_magnitude]: four channels fit in an RGBA picture."""
        config = self.config
        return (z / (2 * config.latent_magnitude) + config.latent_shift).clamp(0, 1).mul(255).round().byte()

    def from_bytes(self, stored: UInt8[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Gives z back from what `to_bytes` made of it."""
        return (stored / 255 - self.config.latent_shift) * (2 * self.config.latent_magnitude)


class TinyBlock(nn.Module):
    """Three convolutions as a residual branch, cut off below zero."""

    def __init__(self, channels: int):
        super().__init__()
        layers = [layer for _ in range(3) for layer in (nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU())]
        self.conv = nn.Sequential(*layers[:-1])

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Keeps the shape."""
        return F.relu(self.conv(x) + x)


class TinyEncoder(nn.Module):
    """Picture to z."""

    def __init__(self, config: TinyAutoencoderConfig):
        super().__init__()
        width = config.encoder_block_out_channels[0]
        layers: list[nn.Module] = [nn.Conv2d(config.in_channels, width, 3, padding=1)]
        for level, blocks in enumerate(config.num_encoder_blocks):
            if level > 0:
                layers.append(nn.Conv2d(width, width, 3, padding=1, stride=2, bias=False))
            layers += [TinyBlock(width) for _ in range(blocks)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, config.latent_channels, 3, padding=1))

    def forward(self, picture: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k h2 w2"]:
        """Gives z for pictures in [-1, 1]; the layers see them in [0, 1]."""
        return self.layers((picture + 1) / 2)


class TinyDecoder(nn.Module):
    """Latent z to picture."""

    def __init__(self, config: TinyAutoencoderConfig):
        super().__init__()
        width = config.decoder_block_out_channels[0]
        layers: list[nn.Module] = [nn.Conv2d(config.latent_channels, width, 3, padding=1), nn.ReLU()]
        for level, blocks in enumerate(config.num_decoder_blocks):
            if level > 0:
                layers += [nn.Upsample(scale_factor=2), nn.Conv2d(width, width, 3, padding=1, bias=False)]
            layers += [TinyBlock(width) for _ in range(blocks)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, config.out_channels, 3, padding=1))

    def forward(self, z: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k h2 w2"]:
        """Gives the picture."""
        return 2 * self.layers(LIMIT * torch.tanh(z / LIMIT)) - 1
