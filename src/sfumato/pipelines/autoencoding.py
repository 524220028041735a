"""Pictures to latents of unit scale and back, in the autoencoder's own precision, in tiles where they are large."""

from __future__ import annotations

from math import prod

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.networks import tiles as in_tiles
from sfumato.networks.vae import Autoencoder

LARGEST_WHOLE = 1536**2  # pixels that are not taken apart unless asked
# whether tiles are taken depends on the size alone: with the memory that is free, so would the picture


def pictures_of(
    autoencoder: Autoencoder, latents: Float[Tensor, "b c h w"], pictures_a_pass: int = 1, tiles: str = "auto"
) -> Float[Tensor, "b 3 h2 w2"]:
    """Latents to pictures in about [-1, 1]; `tiles` as in a `Request`."""
    dtype = next(autoencoder.parameters()).dtype
    apart = _taken_apart(tiles, prod(latents.shape[-2:]) * autoencoder.factor**2)
    decode = in_tiles.decode if apart else type(autoencoder).decode
    passes = (autoencoder.from_latent(some.to(dtype)) for some in latents.split(pictures_a_pass))
    return torch.cat([decode(autoencoder, z).float() for z in passes])


def latents_of(
    autoencoder: Autoencoder, pictures: Float[Tensor, "b 3 h w"], tiles: str = "auto"
) -> Float[Tensor, "b c h2 w2"]:
    """The latents of pictures in [-1, 1], as the mean of what the autoencoder sees in them; `tiles` as there."""
    given = pictures.to(next(autoencoder.parameters()).dtype)
    encode = in_tiles.encode if _taken_apart(tiles, prod(given.shape[-2:])) else type(autoencoder).encode
    return autoencoder.latent(encode(autoencoder, given).mean).float()


def _taken_apart(tiles: str, pixels: int) -> bool:
    return tiles == "always" or (tiles == "auto" and pixels > LARGEST_WHOLE)
