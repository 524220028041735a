"""Pictures to vectors, and back: a variational autoencoder whose latent is one vector for the whole picture.

With a text encoder beside it that projects into the same space, a picture's vector can lie around the vector of its
description: then the text says where to look, and the rest of the vector what the text does not say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sfumato.networks.config import Config, divides, norm_groups, require
from sfumato.networks.vae import Decoder, Encoder, Posterior, autoencoder_config


@dataclass(frozen=True)
class VectorAutoencoderConfig(Config):
    """What a `VectorAutoencoder` is made of.

    `block_out_channels` are those of each resolution, finest first: n of them make maps 2 ** (n - 1) times smaller
    than the pictures, which are squares of `sample_size` pixels. `map_channels` maps of that size stand between the
    convolutions and the vector of `projection_dim` numbers.
    """

    in_channels: int = 3
    block_out_channels: tuple[int, ...] = (32, 64, 96, 128)
    layers_per_block: int = 1
    map_channels: int = 32
    projection_dim: int = 512
    sample_size: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        require(len(self.block_out_channels) > 0, self, "block_out_channels", why="at least one resolution is needed")
        fits = divides(2 ** (len(self.block_out_channels) - 1), self.sample_size)
        require(fits, self, "sample_size", "block_out_channels", why="pictures cannot be halved that often")

    @property
    def side(self) -> int:
        """Edge of the coarsest maps."""
        return self.sample_size // 2 ** (len(self.block_out_channels) - 1)

    def fixed(self) -> dict[str, Any]:
        """Gives the mark by which the file is known."""
        return {"_class_name": "VectorAutoencoder"}


class VectorAutoencoder(nn.Module):
    """A convolutional variational autoencoder with a vector for its latent (Kingma & Welling 2014).

    `encode` and `decode` speak of z as it was trained; `vector` brings z to mean 0 and deviation 1 in each number over
    the training pictures, and `picture` decodes such a vector. The vectors of captions go through `vector` too, and
    stay as near to their pictures as they were. `spread` is the deviation of vectors in the direction in which they
    differ most: more than 1, since what tells pictures apart lies in few directions.
    """

    shift: Tensor
    scale: Tensor
    spread: Tensor

    def __init__(self, config: VectorAutoencoderConfig):
        super().__init__()
        self.config = config
        maps = autoencoder_config(
            config.block_out_channels,
            latent_channels=config.map_channels,
            layers=config.layers_per_block,
            size=config.sample_size,
            in_channels=config.in_channels,
            out_channels=config.in_channels,
            norm_num_groups=norm_groups(config.block_out_channels),
        )
        numbers = config.map_channels * config.side**2
        self.encoder = Encoder(maps)
        self.to_embedding = nn.Linear(2 * numbers, 2 * config.projection_dim)
        self.from_embedding = nn.Linear(config.projection_dim, numbers)
        self.decoder = Decoder(maps)
        self.register_buffer("shift", torch.zeros(config.projection_dim))
        self.register_buffer("scale", torch.ones(config.projection_dim))
        self.register_buffer("spread", torch.ones(()))

    def encode(self, picture: Float[Tensor, "b c h w"]) -> Posterior:
        """Gives the distribution of z, a mean and a log variance of (b, d) each, for pictures in [-1, 1].

        Raises ValueError for pictures of another size than `config.sample_size`.
        """
        side = self.config.sample_size
        if picture.shape[-2:] != (side, side):
            height, width = picture.shape[-2:]
            raise ValueError(f"{height}x{width} pixels: this autoencoder sees {side}x{side}")
        mean, logvar = self.to_embedding(self.encoder(picture).flatten(1)).chunk(2, dim=1)
        return Posterior(mean, logvar.clamp(-30, 20))

    def decode(self, z: Float[Tensor, "b d"]) -> Float[Tensor, "b c h w"]:
        """Gives the pictures for z as `encode` has it; about [-1, 1], not clamped."""
        return self.decoder(self.from_embedding(z).unflatten(1, (-1, self.config.side, self.config.side)))

    def vector(self, z: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
        """Brings z, or a caption's embedding, to unit scale: what a denoiser works on."""
        return (z - self.shift) * self.scale

    def picture(self, vector: Float[Tensor, "b d"]) -> Float[Tensor, "b c h w"]:
        """Decodes a vector of unit scale: what a denoiser made, or standard normal noise."""
        return self.decode(vector / self.scale + self.shift)

    def forward(
        self, picture: Float[Tensor, "b c h w"], noise: Float[Tensor, "b d"] | None = None
    ) -> tuple[Float[Tensor, "b c h w"], Posterior]:
        """Encodes and decodes, for training; `noise` draws from the posterior, without it the mean is taken."""
        posterior = self.encode(picture)
        z = posterior.mean if noise is None else posterior.sample(noise)
        return self.decode(z), posterior
