"""What lies on the table becomes what a pipeline is asked for."""

from types import SimpleNamespace

import pytest
from PIL import Image

from addresses import opened
from sfumato.errors import PromptError
from sfumato.server.studio.editing.boxes import Box
from sfumato.server.studio.editing.sheet import Sheet, empty, fitting, laid_down, unit_of

ALL = frozenset({"picture", "mask", "strength", "extend", "regions"})


def pipeline(takes=ALL, unit=4, side=64, times=4):
    return SimpleNamespace(final_size=side * times, base_size=side, way=SimpleNamespace(unit=unit, takes=takes))


def sheet(**fields):
    return Sheet((64, 32), 16, "light", ALL, Image.new("RGB", (64, 32), "red"), **fields)


@pytest.mark.parametrize(
    ("size", "unit", "expected"),
    [
        ((256, 256), 16, (256, 256)),
        ((1200, 800), 16, (384, 256)),
        ((100, 131), 16, (256, 336)),
        ((10_000, 100), 16, (1024, 256)),
        ((1200, 800), None, (256, 256)),
    ],
)
def test_a_picture_keeps_its_shape_at_the_size_that_the_model_paints(size, unit, expected):
    assert fitting(size, 256, unit) == expected


def test_a_picture_is_brought_to_the_models_size_and_one_made_here_is_left_as_it_is():
    made = Image.new("RGB", (320, 256), "blue")
    laid = laid_down(made, pipeline(), "light")
    assert laid.size == (320, 256)
    assert laid.picture.tobytes() == made.tobytes()
    assert laid_down(Image.new("RGB", (1200, 800)), pipeline(), "light").picture.size == (384, 256)


def test_the_unit_counts_finished_pixels():
    assert unit_of(pipeline(unit=4, times=4)) == 16
    assert unit_of(pipeline(unit=None, side=64, times=2)) == 128


def test_on_an_empty_sheet_things_are_placed():
    laid = empty(pipeline(), "light")
    assert (laid.size, laid.way, laid.ways) == ((256, 256), "places", ("places",))
    with pytest.raises(PromptError, match="Draw a box"):
        laid.settings()
    laid.boxes.add(Box(0, 0, 0.5, 1, "a cat"))
    assert laid.settings() == {"regions": (("a cat", (0, 0, 0.5, 1)),), "width": 256, "height": 256}


def test_only_what_the_model_follows_is_offered():
    assert empty(pipeline(takes=frozenset({"solver"})), "light").ways == ()
    laid = laid_down(Image.new("RGB", (64, 64)), pipeline(takes=ALL - {"regions", "extend"}), "light")
    assert laid.ways == ("all", "part")


def test_a_whole_picture_changes_by_its_strength():
    laid = sheet()
    laid.strengths["all"] = 0.3
    assert laid.settings() == {"picture": laid.picture, "strength": 0.3}


def test_a_part_wants_a_mask():
    laid = sheet(way="part")
    with pytest.raises(PromptError, match="Paint over the part"):
        laid.settings()
    laid.mask.rectangle(Box(0, 0, 0.5, 1))
    asked = laid.settings()
    assert asked["mask"].getbbox() == (0, 0, 32, 32)
    assert asked["picture"] is laid.picture


def test_sides_grow_by_what_the_model_can_paint():
    laid = sheet(way="around")
    with pytest.raises(PromptError, match="which side"):
        laid.settings()
    laid.extend_by(2, 40)
    laid.extend_by(3, -5)
    assert laid.settings()["extend"] == (0, 0, 32, 0)
    assert laid.whole == (96, 32)


def test_what_was_there_before_lies_where_it_will_be():
    laid = sheet(way="around", extend=(16, 0, 0, 32))
    before = opened(laid.before())
    assert before.size == laid.whole == (80, 64)
    assert before.getpixel((16, 0)) == (255, 0, 0)
    assert before.getpixel((0, 0)) == before.getpixel((40, 40)) == (128, 128, 128)
    assert sheet(way="all", extend=(16, 0, 0, 32), source="as it is").before() == "as it is"


def test_a_picture_comes_with_its_address_and_an_empty_sheet_has_none():
    laid = laid_down(Image.new("RGB", (320, 256), "blue"), pipeline(), "light")
    assert opened(laid.source).convert("RGB").tobytes() == laid.picture.tobytes()
    assert laid.before() is laid.source
    assert empty(pipeline(), "light").source == ""
