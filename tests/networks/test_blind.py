"""Pixels that do not look at one another: the network half of perturbed-attention guidance."""

import pytest
import torch

from sfumato.networks.attention import Attention
from sfumato.networks.unet import UNet
from sfumato.networks.unet_config import unet_config

WORDS = torch.randn(4, 5, 12, generator=torch.Generator().manual_seed(1))
LABELS = torch.tensor([3.0, 200.0, 500.0, 900.0])


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(0)
    config = unet_config((16, 32), in_channels=4, attention=(True, True), cross_attention_dim=12, sample_size=8)
    return UNet(config).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def noisy():
    return torch.randn(4, 4, 8, 8, generator=torch.Generator().manual_seed(2))


def test_a_blind_sample_has_the_identity_for_its_map_of_attention():
    attention = Attention(width=8, heads=2, head_width=4)
    x = torch.randn(3, 6, 8)
    only_itself = torch.full((6, 6), -torch.inf).fill_diagonal_(0).expand(3, 1, 6, 6)
    blind = attention(x, blind=torch.tensor([True, True, True]))
    assert torch.allclose(blind, attention(x, bias=only_itself), atol=1e-6)
    assert not torch.allclose(blind, attention(x), atol=1e-3)


@pytest.mark.parametrize("stations", [("down",), ("mid",), ("up",), ("down", "mid", "up")])
def test_only_the_blind_samples_of_a_pass_change(unet, noisy, stations):
    blind = torch.tensor([False, True, False, True])
    normal = unet(noisy, LABELS, WORDS)
    mixed = unet(noisy, LABELS, WORDS, blind=blind, blind_stations=stations)
    whole = unet(noisy, LABELS, WORDS, blind=torch.ones(4, dtype=torch.bool), blind_stations=stations)
    assert torch.equal(mixed[~blind], normal[~blind])
    assert torch.equal(mixed[blind], whole[blind])
    for changed, before in zip(mixed[blind], normal[blind], strict=True):
        assert (changed - before).abs().max() > 1e-4


def test_every_station_is_blinded_for_itself(unet, noisy):
    blind = torch.ones(4, dtype=torch.bool)
    made = [unet(noisy, LABELS, WORDS, blind=blind, blind_stations=(name,)) for name in ("down", "mid", "up")]
    for i, one in enumerate(made):
        for other in made[i + 1 :]:
            assert not torch.allclose(one, other, atol=1e-4)
