"""Pictures coded in tiles: near the whole, without a seam, and equal where a tile sees all that it needs."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from sfumato.networks.tiles import decode, encode, starts
from sfumato.networks.tiny_vae import AutoencoderTiny, TinyAutoencoderConfig
from sfumato.networks.vae import Autoencoder, AutoencoderKL, Posterior, autoencoder_config


class Convolutions(Autoencoder):
    """An autoencoder whose every place depends on near ones alone."""

    factor = 4

    def __init__(self):
        super().__init__(None)
        torch.manual_seed(0)
        self.down = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.Tanh(), nn.Conv2d(8, 8, 3, 2, 1))
        self.up = nn.Sequential(nn.ConvTranspose2d(4, 8, 2, 2), nn.Tanh(), nn.ConvTranspose2d(8, 3, 2, 2))

    def encode(self, picture):
        return Posterior(*self.down(picture).chunk(2, dim=1))

    def decode(self, z):
        return self.up(z)


@pytest.mark.parametrize("side", [9, 16, 17, 40])
@pytest.mark.parametrize(("tile", "overlap"), [(8, 2), (12, 6), (16, 8)])
def test_what_sees_only_near_places_is_the_same_in_tiles(side, tile, overlap):
    network = Convolutions()
    z = torch.randn(2, 4, side, 21, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        whole, tiled = network.decode(z), decode(network, z, tile, overlap)
        picture = torch.randn(1, 3, 4 * side, 84, generator=torch.Generator().manual_seed(2))
        seen, seen_in_tiles = network.encode(picture), encode(network, picture, tile, overlap)
    torch.testing.assert_close(tiled, whole, atol=1e-5, rtol=0)
    if overlap >= 6:  # a fourth of it is as far as the encoder looks
        torch.testing.assert_close(seen_in_tiles.mean, seen.mean, atol=1e-5, rtol=0)
        torch.testing.assert_close(seen_in_tiles.logvar, seen.logvar, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("side", "tile", "overlap"), [(100, 64, 16), (65, 64, 16), (128, 64, 16), (33, 16, 15)])
def test_tiles_reach_from_end_to_end_and_overlap_as_asked(side, tile, overlap):
    first = starts(side, tile, overlap)
    assert first[0] == 0
    assert first[-1] == side - tile
    assert all(0 < b - a <= tile - overlap for a, b in pairwise(first))


def test_a_picture_that_fits_a_tile_is_decoded_whole_to_the_bit():
    network = AutoencoderKL(autoencoder_config((8, 16))).eval()
    z = torch.randn(1, 4, 8, 8)
    with torch.no_grad():
        assert torch.equal(decode(network, z, 8, 2), network.decode(z))


def test_the_tiny_autoencoder_which_normalises_nothing_is_the_same_in_tiles():
    torch.manual_seed(0)
    network = AutoencoderTiny(TinyAutoencoderConfig(encoder_block_out_channels=(8,) * 4,
                                                    decoder_block_out_channels=(8,) * 4)).eval()  # fmt: skip
    z = torch.randn(1, 4, 96, 70)
    with torch.no_grad():
        torch.testing.assert_close(decode(network, z, 56, 48), network.decode(z), atol=1e-4, rtol=0)


def test_no_seam_is_seen_where_tiles_meet():
    """Along the lines where tiles begin and end, the tiled picture changes no more than the whole one does there."""
    torch.manual_seed(0)
    network = AutoencoderKL(autoencoder_config((16, 32, 32), layers=1)).eval()
    z = torch.randn(1, 4, 48, 48)
    with torch.no_grad():
        whole, tiled = network.decode(z), decode(network, z, 32, 12)
    error = tiled - whole
    steps = error.diff(dim=-1).abs().mean((0, 1, 2))
    assert error.abs().max() > 1e-4  # tiles do differ here, by what their normalisation sees
    assert steps.max() < 3 * steps.median() + 0.02 * whole.std()


def test_an_overlap_that_is_none_is_refused():
    with pytest.raises(ValueError, match="between 0 and the tile"):
        decode(Convolutions(), torch.zeros(1, 4, 9, 9), 8, 8)
