"""Things take the colours that words say, and keep their shapes."""

import colorsys

import pytest
import torch

from sfumato.data.scenes.colours import BACKGROUNDS, TINTS, backdrops, recolour
from sfumato.data.scenes.sprites import Pack, find_font, from_font, shapes

HUES = {"red": 0, "orange": 30, "yellow": 50, "green": 122, "blue": 222, "purple": 275, "pink": 333, "brown": 25}


@pytest.fixture(scope="module")
def drawn() -> Pack:
    return (from_font() if find_font() else shapes()).first(40)


def mean_colour(pixels: torch.Tensor) -> list[tuple[float, float, float]]:
    """Hue in degrees, saturation and value of each thing's mean colour."""
    colour = (pixels[:, :3] * pixels[:, 3:]).sum((2, 3)) / pixels[:, 3:].sum((2, 3))
    return [(360 * h, s, v) for h, s, v in (colorsys.rgb_to_hsv(*row) for row in colour.tolist())]


@pytest.mark.parametrize("tint", HUES)
def test_a_tinted_thing_has_the_hue_that_the_word_says(tint: str, drawn: Pack) -> None:
    pixels = recolour(drawn.pixels / 255, torch.full((len(drawn.concepts),), list(TINTS).index(tint)))
    for concept, (hue, saturation, _) in zip(drawn.concepts, mean_colour(pixels), strict=True):
        assert abs((hue - HUES[tint] + 180) % 360 - 180) < 15, concept.name
        assert saturation > 0.2, concept.name


def test_black_things_are_dark_white_ones_light_and_both_colourless(drawn: Pack) -> None:
    things = range(len(drawn.concepts))
    for tint, low, high in (("black", 0.0, 0.4), ("white", 0.6, 1.0)):
        pixels = recolour(drawn.pixels / 255, torch.full((len(things),), list(TINTS).index(tint)))
        for _, saturation, value in mean_colour(pixels):
            assert low <= value <= high
            assert saturation < 0.2


def test_a_tint_keeps_alpha_and_the_order_of_light_and_dark(drawn: Pack) -> None:
    before = drawn.pixels / 255
    tint = torch.arange(len(drawn.concepts)) % len(TINTS)
    after = recolour(before, tint)
    assert torch.equal(after[:, 3], before[:, 3])
    assert after.min() >= 0
    assert after.max() <= 1
    weights = torch.tensor([0.2126, 0.7152, 0.0722])[:, None, None]
    for one, other in zip(before, after, strict=True):
        seen = one[3] == 1
        old, new = ((picture[:3] * weights).sum(0)[seen] for picture in (one, other))
        assert (new[old.argsort()].diff() >= -1e-4).all()


def test_each_thing_of_a_batch_has_its_own_tint(drawn: Pack) -> None:
    pixels = drawn.pixels[:1].expand(len(TINTS), -1, -1, -1) / 255
    together = recolour(pixels, torch.arange(len(TINTS)))
    for tint in range(len(TINTS)):
        assert torch.allclose(together[tint], recolour(pixels[:1], torch.tensor([tint]))[0], atol=1e-6)


def test_no_two_backgrounds_look_alike_and_each_is_the_same_at_every_size() -> None:
    small, large = backdrops(64, torch.device("cpu")), backdrops(256, torch.device("cpu"))
    assert len(small) == len(BACKGROUNDS)
    assert (torch.nn.functional.avg_pool2d(large, 4) - small).abs().max() < 0.01
    apart = torch.cdist(small.flatten(1), small.flatten(1)) / 64 + torch.eye(len(small))
    assert apart.min() > 0.08


def test_no_word_means_two_colours() -> None:
    for named in (TINTS, BACKGROUNDS):
        words = [word for name, colour in named.items() for word in (name, *colour.synonyms)]
        assert len(words) == len(set(words))
