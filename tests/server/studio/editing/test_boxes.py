"""Boxes with words: inside the picture whatever was drawn, in numbers as in strokes."""

import pytest

from sfumato.errors import PromptError
from sfumato.server.studio.editing.boxes import MOST, SMALLEST, Box, Boxes, box_from, percent


def test_a_box_drawn_from_any_corner_is_the_same():
    one = box_from({"left": 0.2, "top": 0.1, "right": 0.6, "bottom": 0.5})
    assert one == box_from({"left": 0.6, "top": 0.5, "right": 0.2, "bottom": 0.1})


def test_what_leaves_the_picture_is_cut_and_what_vanishes_stays_visible():
    assert box_from({"left": -1, "top": 0.5, "right": 9, "bottom": 0.7}) == Box(0, 0.5, 1, 0.7)
    line = box_from({"left": 1, "top": 0, "right": 1, "bottom": 0})
    assert line.right - line.left == pytest.approx(SMALLEST)
    assert line.right == 1
    assert line.bottom == pytest.approx(SMALLEST)


@pytest.mark.parametrize("sent", [None, [], {}, {"left": "0", "top": 0, "right": 1, "bottom": 1}])
def test_what_is_no_box_is_refused(sent):
    with pytest.raises(PromptError, match="draw it again"):
        box_from(sent)


def test_numbers_that_are_none_are_refused():
    for side in (float("nan"), float("inf"), True):
        with pytest.raises(PromptError):
            box_from({"left": side, "top": 0, "right": 1, "bottom": 1})


def test_a_box_by_numbers_is_in_percent_and_says_what_is_missing():
    assert percent([10, 20, 50, 100], "a cat") == Box(0.1, 0.2, 0.5, 1, "a cat")
    with pytest.raises(PromptError, match="Right: a number from 0 to 100"):
        percent([10, 20, None, 100])
    with pytest.raises(PromptError, match="left before its right"):
        percent([50, 20, 10, 100])


def test_boxes_become_regions_once_they_have_words():
    boxes = Boxes([Box(0, 0, 0.5, 1, " a red cat "), Box(0.5, 0, 1, 1)])
    with pytest.raises(PromptError, match="Box 2 has no words"):
        boxes.regions()
    boxes.say(1, "a blue dog")
    assert boxes.regions() == (("a red cat", (0, 0, 0.5, 1)), ("a blue dog", (0.5, 0, 1, 1)))


def test_there_are_no_more_boxes_than_a_request_takes():
    boxes = Boxes()
    for _ in range(MOST):
        boxes.add(Box(0, 0, 1, 1))
    with pytest.raises(PromptError, match="the most"):
        boxes.add(Box(0, 0, 1, 1))


def test_what_is_gone_already_is_not_missed():
    boxes = Boxes()
    boxes.remove(3)
    boxes.say(0, "nobody")
    boxes.put(-1, Box(0, 0, 1, 1))
    assert not len(boxes)
