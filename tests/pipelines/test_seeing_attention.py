"""What is seen of attention is what it computes, and nothing is left behind."""

import threading

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from sfumato.networks.attention import Attention, attend, hiding
from sfumato.networks.transformer_blocks import JointAttention
from sfumato.pipelines.tracing.attention import grid_of, seeing, shrunk
from sfumato.pipelines.tracing.guide import averaged, fitted
from sfumato.pipelines.tracing.looks import Looks, telling_apart
from sfumato.pipelines.tracing.path import plane


def layer(kind=Attention, **more):
    torch.manual_seed(0)
    network = nn.ModuleDict({"looks": kind(**more)})
    network.config = type("Config", (), {"factor": 1})()
    return network


def test_cross_attention_is_seen_as_it_is_computed():
    network = layer(width=8, heads=2, head_width=4, context_width=6)
    x, words = torch.randn(3, 12, 8), torch.randn(3, 5, 6)
    bias = hiding(torch.tensor([[True] * 4 + [False]] * 3), torch.float32)
    places = {1: [(1,), (2, 3), (4,), ()]}
    with seeing(network, (3, 4), 5, places, words=4, groups=2, side=32) as seen:
        made = network["looks"](x, words, bias)
    q, k = network["looks"].queries_and_keys(x[1:2], words[1:2])
    q, k = (part.unflatten(-1, (2, 4)).transpose(1, 2)[0] for part in (q, k))
    chances = (q @ k.mT / 2 + bias[1, 0]).softmax(-1)  # heads n t
    expected = torch.stack([chances[..., 1], chances[..., 2:4].sum(-1), chances[..., 4], 0 * chances[..., 0]], 1)
    assert np.allclose(seen["looks"], expected.view(2, 4, 3, 4).detach(), atol=1e-3)
    assert float(seen["looks"][:, 2].max()) == 0
    values = network["looks"].to_v(words)
    again = network["looks"].to_out(attend(*network["looks"].queries_and_keys(x, words), values, 2, bias))
    assert torch.equal(made, again)
    assert not network["looks"]._forward_pre_hooks


def test_joint_attention_is_seen_among_the_words_alone():
    network = layer(JointAttention, width=8, heads=2)
    x, text = torch.randn(2, 6, 8), torch.randn(2, 3, 8)
    with seeing(network, (2, 3), 3, {0: [(0,), (1,), (2,)]}, words=3, groups=1, side=32) as seen:
        network["looks"](x, text)
        network["looks"](x)  # of the picture's places alone
    q, k = network["looks"].queries_and_keys(x, text)
    q, k = (part.unflatten(-1, (2, 4)).transpose(1, 2)[0] for part in (q, k))
    expected = (q[:, 3:] @ k[:, :3].mT / 2).softmax(-1).mean(0).T.view(1, 3, 2, 3)
    assert np.allclose(seen["looks"], expected.detach(), atol=1e-3)


def test_who_uses_the_network_in_another_thread_is_not_seen():
    network = layer(width=8, heads=2, head_width=4)
    with seeing(network, (2, 2), 3, {0: [(1,)]}, words=1, groups=1, side=32) as seen:
        other = threading.Thread(target=network["looks"], args=(torch.randn(1, 4, 8), torch.randn(1, 3, 8)))
        other.start()
        other.join()
    assert not seen


@pytest.mark.parametrize(
    ("tokens", "size", "grid"),
    [(12, (3, 4), (3, 4)), (4, (3, 4), (2, 2)), (2, (3, 4), (1, 2)), (16, (8, 8), (4, 4)), (5, (8, 8), None)],
)
def test_the_grid_of_a_layer_is_that_of_its_sample_halved(tokens, size, grid):
    assert grid_of(tokens, size) == grid


def test_maps_are_made_smaller_in_their_proportions():
    assert shrunk(torch.ones(2, 3, 64, 128), 32).shape == (2, 3, 16, 32)
    assert shrunk(torch.ones(2, 3, 4, 8), 32).shape == (2, 3, 4, 8)


def test_a_head_counts_as_much_as_it_tells_words_apart():
    maps = np.full((2, 2, 4, 4), 0.1, np.float16)
    maps[1, 0, :2] = 0.4  # the second head sees the first word above
    maps[1, 1, 2:] = 0.4
    blind, seeing_ = telling_apart(maps)
    assert blind == 0
    assert seeing_ > 0.1
    looks = Looks({1: {"layer": maps}})
    assert looks.weights[1, "layer"][1] == 16 * seeing_
    weighed, plain = (looks.summed([0], (4, 4), weighed=weighed) for weighed in (True, False))
    assert weighed[0, 0] / weighed[3, 0] == pytest.approx(4, rel=0.01)
    assert plain[0, 0] / plain[3, 0] == pytest.approx(2.5, rel=0.01)
    assert looks.summed([0], (4, 4), step=2) is None


def test_a_map_takes_on_the_edges_of_the_picture():
    colours = np.zeros((64, 64, 3), np.uint8)
    colours[:, 20:] = 255
    coarse = np.clip(np.linspace(-1, 3, 64), 0, 1)[None].repeat(64, 0)  # a slope that the picture has not
    sharp = fitted(coarse, Image.fromarray(colours))
    assert sharp[32, 20] - sharp[32, 19] > 5 * (coarse[32, 20] - coarse[32, 19])
    assert sharp.shape == (64, 64)
    assert fitted(coarse[:30, :50], Image.new("RGB", (50, 30))).shape == (30, 50)


def test_a_mean_over_squares_ends_at_the_border():
    values = np.random.default_rng(0).random((5, 7, 2))
    assert averaged(values, 1)[0, 0] == pytest.approx(values[:2, :2].mean((0, 1)))
    assert averaged(values, 2)[2, 3] == pytest.approx(values[:, 1:6].mean((0, 1)))


def test_ways_that_lie_in_a_plane_keep_all_their_distances():
    chance = np.random.default_rng(0)
    flat = chance.normal(size=(2, 6, 2))
    axes = np.linalg.qr(chance.normal(size=(40, 2)))[0].T
    seen = plane([way @ axes + 3.0 for way in flat])
    for one, two in ((seen, flat),):
        apart = [np.linalg.norm(each[0][:, None] - each[1][None], axis=-1) for each in (one, two)]
        assert np.allclose(*apart)
    assert (seen[0, -1] >= 0).all()
    assert plane([flat[0][:1]]).shape == (1, 1, 2)
