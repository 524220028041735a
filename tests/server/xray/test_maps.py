"""What of the attention a page holds: bounded, evenly chosen, found again on its sheets, and told in words."""

import numpy as np
import pytest

import synthetic
from addresses import opened
from sfumato.server.xray import maps
from sfumato.server.xray.kept import evenly
from sfumato.server.xray.looks import ACROSS, TILE, noise_picture, sheet, uri
from sfumato.server.xray.maps import sheets, views, where


def test_a_map_is_found_where_its_number_says():
    lights = [i / 40 for i in range(20)]
    whole = np.asarray(opened(sheet([np.full((8, 8), light) for light in lights])).convert("L"), float) / 255
    for number, light in enumerate(lights):
        x, y = number % ACROSS * TILE, number // ACROSS * TILE
        assert whole[y : y + TILE, x : x + TILE] == pytest.approx(light, abs=0.03)


def test_many_words_and_layers_stay_within_the_room_there_is(monkeypatch):
    monkeypatch.setattr(maps, "MOST_MAPS", 200)
    trace = synthetic.trace(steps=30, layers=tuple(f"layer {i}" for i in range(5)))
    looked = views(trace)
    assert len(looked[0].steps) == 25
    assert sum(1 + len(view.steps) for view in looked) * len(trace.words) <= 300
    assert len(looked) == 1 + 5 + 2


def test_words_that_are_not_heard_have_no_map():
    trace = synthetic.trace("a disc", layers=())
    assert sheets(trace, views(trace)) == {}


@pytest.mark.parametrize(
    ("down", "across", "told"),
    [
        (0, 0, "in the upper left"),
        (2, 2, "in the lower right"),
        (1, 1, "in the middle"),
        (0, 1, "in the upper part"),
        (1, 2, "in the right side"),
    ],
)
def test_where_a_map_is_bright_is_told(down, across, told):
    light = np.zeros((9, 9))
    light[3 * down : 3 * down + 3, 3 * across : 3 * across + 3] = 1
    assert where(light) == f"{told}, 11 % of the picture"


def test_a_map_without_contrast_is_everywhere_alike():
    assert where(np.zeros((4, 4))) == where(np.ones((4, 4))) == "everywhere alike"


def test_places_are_chosen_evenly_with_both_ends():
    assert evenly(range(101), 5) == (0, 25, 50, 75, 100)
    assert evenly(range(3), 5) == (0, 1, 2)
    assert evenly(range(9), 1) == (0,)
    assert evenly(range(9), 0) == ()


def test_noise_is_grey_where_there_is_none():
    picture = np.asarray(noise_picture(np.zeros((4, 2, 3), np.float16)))
    assert picture.shape == (2, 3, 3)
    assert ((picture == 127) | (picture == 128)).all()
    assert np.asarray(noise_picture(np.full((1, 2, 2), np.nan))).shape == (2, 2, 3)


def test_a_small_plain_picture_is_kept_to_the_bit():
    picture = synthetic.scene(64)
    assert opened(uri(picture, 384)).convert("RGB").tobytes() == picture.tobytes()
    assert max(opened(uri(synthetic.scene(512), 384)).size) == 384
