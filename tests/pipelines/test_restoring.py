"""What a restorer is trained on and where its generation begins."""

import pytest
import torch

from sfumato.data.overlay import sheets
from sfumato.errors import CheckpointError
from sfumato.pipelines.restoring import LAYERS, NAMES, SHEETS, Coldness, Start, degradation_of


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_degraded_the_same_way_in_any_batch(name):
    pictures, places = torch.rand(3, 3, 16, 16) * 2 - 1, torch.rand(3, 2)
    severities = torch.tensor([0.2, 0.5, 0.8])
    together = degradation_of(name, places, 16)(pictures, severities)
    apart = degradation_of(name, places, 16, pictures_a_pass=1)(pictures, severities)
    assert torch.allclose(together, apart, atol=1e-6)
    assert torch.equal(degradation_of(name, places[1:2], 16)(pictures[1:2], severities[1:2]), apart[1:2])


def test_places_choose_the_text_and_a_seed_other_sheets():
    pictures = torch.ones(2, 3, 16, 16)
    severity = torch.tensor(0.3)
    one, other = degradation_of("text", torch.tensor([[0.1, 0.0], [0.9, 0.0]]), 16)(pictures, severity)
    assert not torch.equal(one, other)
    assert sheets(SHEETS, 16, LAYERS).shape == (SHEETS, 1, 16, 16)
    assert not torch.equal(degradation_of("text", torch.full((2, 2), 0.1), 16, seed=1)(pictures, severity)[0], one)


def test_a_generation_begins_with_the_colours_of_fully_degraded_pictures():
    generator = torch.Generator().manual_seed(0)
    root = torch.tensor([[0.3, 0.0, 0.0], [0.2, 0.1, 0.0], [0.0, -0.1, 0.2]])
    colours = torch.tensor([0.1, 0.4, -0.2]) + torch.randn(4000, 3, generator=generator) @ root.T
    start = Start.fitted(colours[:, :, None, None].expand(-1, -1, 4, 4))
    drawn = start.colours(torch.randn(20_000, 3, generator=generator))[..., 0, 0]
    assert torch.allclose(drawn.mean(0), colours.mean(0), atol=0.01)
    assert torch.allclose(drawn.T.cov(), colours.T.cov(), atol=0.003)


@pytest.mark.parametrize("count", [1, 5])
def test_grey_pictures_begin_grey(count):
    grey = torch.linspace(-0.5, 0.5, count).reshape(-1, 1, 1, 1).expand(-1, 3, 4, 4)
    drawn = Start.fitted(grey).colours(torch.randn(50, 3))[..., 0, 0]
    assert torch.allclose(drawn[:, 0], drawn[:, 1], atol=1e-5)
    assert torch.isfinite(drawn).all()


def test_how_a_restorer_was_trained_comes_back_from_its_file():
    coldness = Coldness("fade", 0.25, Start(torch.tensor([0.1, 0.2, 0.3]), torch.eye(3)))
    values = coldness.to_config()
    assert Coldness.from_config(values).to_config() == values
    for broken in ({}, values | {"degradation": "rust"}, values | {"noise": "much"}, values | {"colour_mean": [1]}):
        with pytest.raises(CheckpointError, match="damaged"):
            Coldness.from_config(broken)
