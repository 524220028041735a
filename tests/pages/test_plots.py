"""Axes and curves: round ticks, points where they belong, and a drawing that says what it shows."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

from sfumato.pages.plots import HEIGHT, MOST_POINTS, WIDTH, curves, thinned
from sfumato.pages.scales import Axis, axis, is_wide, short


def places(drawing):
    return [[tuple(map(float, pair.split(","))) for pair in found.split()]
            for found in re.findall(r'points="([^"]*)"', drawing)]  # fmt: skip


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.03, 0.17), (-5, 12345), (1e-9, 3e-9), (7, 7.0001)])
def test_ticks_are_round_and_within_the_axis(low, high):
    ticks = Axis(low, high, 0, 100).ticks()
    assert 3 <= len(ticks) <= 8
    assert low - 1e-9 * abs(high) <= ticks[0] < ticks[-1] <= high * (1 + 1e-9)
    step = ticks[1] - ticks[0]
    assert float(f"{step:e}"[0]) in (1, 2, 5) or float(f"{step:.0e}"[0]) in (1, 2, 5)


@pytest.mark.parametrize(("low", "high"), [(0.01, 2), (1, 1e6), (0.3, 12), (0.9, 31)])
def test_logarithmic_ticks_are_of_one_leading_digit_and_within_the_axis(low, high):
    ticks = Axis(low, high, 0, 100, logarithmic=True).ticks()
    assert 3 <= len(ticks) <= 9
    assert all(low <= tick <= high and f"{tick:.6e}"[1:8] == ".000000" for tick in ticks)


def test_an_axis_puts_its_ends_at_its_ends_and_equal_values_in_its_middle():
    assert axis([2, 8], 10, 70)(5) == 40
    assert axis([1, 100], 0, 10, logarithmic=True)(10) == pytest.approx(5)
    for value in (0, 5, -3):
        assert axis([value], 0, 10)(value) == pytest.approx(5)
    assert axis([4, 4], 0, 10, logarithmic=True)(4) == pytest.approx(5)


def test_only_positive_values_of_several_magnitudes_are_wide():
    assert is_wide([0.001, 1])
    assert not is_wide([0.5, 1])
    assert not is_wide([0, 1000])


def test_numbers_are_short():
    assert [short(v) for v in (0.05, 12, 3000, 1_500_000, 0)] == ["0.05", "12", "3k", "1.5M", "0"]


def test_a_curve_starts_and_ends_at_its_values_within_the_drawing():
    drawing = curves("denoiser", {"loss": [(0, 4.0), (50, 1.0), (100, 2.0)]})
    (line,) = places(drawing)
    assert line[0][0] < line[1][0] < line[2][0]
    assert line[0][1] < line[2][1] < line[1][1]  # upwards is less on a page
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in line)
    assert "denoiser over steps: loss from 4 to 2" in drawing


def test_drawings_are_well_formed_and_hold_no_markup_of_others():
    drawing = curves('a"<b>&', {"<script>": [(0, 1), (1, 2)], "once": [(0, 1)], "never": []}, 'x"<')
    root = ElementTree.fromstring(drawing)
    assert root.get("role") == "img"
    assert "<script>" in root.get("aria-label")
    assert [text.text for text in root.iter("text")][-2:] == ["<script>", "once"]
    assert len(list(root.iter("circle"))) == 1


def test_a_mark_stands_at_the_left_end_and_knows_both():
    drawing = curves("levels", {"sigma": [(1, 4.0), (20, 1.0)]}, marked=True)
    (mark,) = re.findall(r'<line class="now" ([^/]*)/>', drawing)
    told = dict(re.findall(r'([\w-]+)="([^"]*)"', mark))
    (line,) = places(drawing)
    assert (told["data-from"], told["data-to"]) == ("1", "20")
    assert float(told["x1"]) == float(told["x2"]) == line[0][0]
    assert float(told["data-width"]) == pytest.approx(line[-1][0] - line[0][0])
    assert 'class="now"' not in curves("levels", {"sigma": [(1, 4.0), (20, 1.0)]})


def test_no_points_make_no_drawing():
    assert curves("a", {}) == curves("a", {"loss": []}) == ""


def test_long_curves_are_thinned_to_means():
    points = [(float(x), float(x % 2)) for x in range(10_000)]
    few = thinned(points)
    assert len(few) == MOST_POINTS
    assert all(0.4 < y < 0.6 for _, y in few)
    assert thinned(points[:5]) == points[:5]
