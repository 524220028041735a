"""What is wrong with pictures is found, and good ones are left alone."""

import random

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from sfumato.data.digits import digits
from sfumato.data.entries import Entry, Where
from sfumato.data.overlay import sheets
from sfumato.data.pictures import PictureError, to_image
from sfumato.data.scenes.compose import compose
from sfumato.data.scenes.sprites import shapes
from sfumato.data.scenes.stream import Scenes
from sfumato.evaluation.data_check import duplicates
from sfumato.evaluation.data_check.blur import BLURRED, blur
from sfumato.evaluation.data_check.judging import PLAIN, of_copies, of_picture
from sfumato.evaluation.data_check.looking import look, share_of_one_colour
from sfumato.evaluation.data_check.overlays import ALIKE, edges_of, marks_in


def scenes(count, size=128, seed=3):
    stream = Scenes(shapes(), seed)
    pictures = compose([stream.scene(number) for number in range(count)], shapes(), size)
    return [to_image(picture) for picture in pictures]


@pytest.fixture(scope="module")
def clean():
    return scenes(60)


def small(pictures):
    return np.stack([np.asarray(picture.resize((16, 16), Image.Resampling.BILINEAR)) for picture in pictures])


def saved(picture, path, **settings):
    picture.save(path, **settings)
    return Entry(Where(path, path.name), ("words",))


# --- blur, emptiness, size --------------------------------------------------------------------------------------------


def test_blurred_pictures_are_told_from_sharp_ones(clean):
    for picture in clean[:12]:
        assert blur(picture) < BLURRED
        assert blur(picture.effect_spread(3)) < BLURRED  # grain
        assert blur(picture.filter(ImageFilter.GaussianBlur(4))) >= BLURRED
    assert blur(Image.new("RGB", (50, 40), "red")) == 0
    assert blur(Image.new("RGB", (3, 3), "red")) == 0


def test_a_sharp_picture_is_as_sharp_at_any_size():
    (large,) = scenes(1, 512)
    assert blur(large) == pytest.approx(blur(large.resize((256, 256), Image.Resampling.BOX)), abs=0.02)


def test_nearly_empty_pictures_are_found_and_scenes_with_one_small_thing_are_not(clean):
    assert all(share_of_one_colour(picture) < PLAIN for picture in clean)
    paper = Image.new("RGB", (200, 300), "white")
    paper.putpixel((5, 5), (0, 0, 0))
    noise = np.random.default_rng(0).normal(120, 2, (80, 80, 3)).round().astype(np.uint8)
    assert share_of_one_colour(paper) >= PLAIN
    assert share_of_one_colour(Image.fromarray(noise)) >= PLAIN


def test_what_is_wrong_with_a_picture_is_said_with_its_reason(tmp_path):
    tiny = saved(Image.new("RGB", (20, 100), "red"), tmp_path / "tiny.png")
    found = {one.kind: one.reason for one in of_picture(4, tiny, look(tiny), smallest=64)}
    assert found == {
        "tiny": "20 x 100 pixels, where 64 a side are wanted",
        "plain": "all of it is of one colour",
    }
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    assert isinstance(look(Entry(Where(broken, "broken.png"), ("words",))), PictureError)


def test_what_is_drawn_at_any_size_is_neither_tiny_nor_blurred():
    entry = digits()[0]
    assert list(of_picture(0, entry, look(entry), smallest=1000)) == []


# --- copies -----------------------------------------------------------------------------------------------------------


def test_copies_are_found_in_other_sizes_qualities_and_mirrors(tmp_path, clean):
    first = clean[0]
    entries = [saved(picture, tmp_path / f"{n}.png") for n, picture in enumerate(clean[:20])]
    entries.append(saved(first, tmp_path / "same.bmp"))
    entries.append(saved(first.resize((90, 90), Image.Resampling.LANCZOS), tmp_path / "smaller.png"))
    entries.append(saved(clean[1].resize((300, 300)), tmp_path / "larger.jpg", quality=70))
    entries.append(saved(clean[2].transpose(Image.Transpose.FLIP_LEFT_RIGHT), tmp_path / "mirrored.png"))
    entries.append(saved(clean[3].point(lambda value: int(value * 0.9)), tmp_path / "darker.png"))
    found = list(of_copies(entries, [look(entry) for entry in entries], range(len(entries))))
    told = {(one.where, one.kind, one.reason.split()[-1]) for one in found}
    assert told == {
        ("same.bmp", "duplicate", "0.png"),
        ("smaller.png", "near-duplicate", "0.png"),
        ("1.png", "near-duplicate", "larger.jpg"),  # the larger one is kept
        ("mirrored.png", "mirrored", "2.png"),
        ("darker.png", "near-duplicate", "3.png"),
    }
    assert all(0 < one.score <= 1 for one in found)


def test_different_scenes_and_digits_are_no_copies():
    assert not list(duplicates.near(small(scenes(300, 64))))
    drawn = [Image.fromarray(entry.picture.draw(64).transpose(1, 2, 0)) for entry in digits()[:400]]
    assert not list(duplicates.near(small(drawn)))


def test_the_search_finds_exactly_what_comparing_each_with_each_finds():
    rng = np.random.default_rng(1)
    base = rng.integers(0, 256, (40, 16, 16, 3))
    several = np.concatenate([base + rng.normal(0, spread, base.shape) for spread in (0, 5, 7, 9, 40)])
    pictures = several.clip(0, 255).astype(np.uint8)
    rows = pictures.reshape(len(pictures), -1).astype(np.float64)
    rows -= rows.mean(1, keepdims=True)
    rows /= np.sqrt((rows**2).mean(1, keepdims=True))
    apart = np.sqrt(((rows[:, None] - rows) ** 2).mean(-1))
    expected = {(a, b) for a in range(len(rows)) for b in range(a + 1, len(rows)) if apart[a, b] <= duplicates.NEAR}
    found = [(a, b) for a, b, _ in duplicates.near(pictures)]
    assert sorted(found) == sorted(expected)
    assert 40 < len(expected) < 400


def test_a_crowd_of_copies_is_one_group_without_much_memory(monkeypatch):
    monkeypatch.setattr(duplicates, "AT_ONCE", 50)
    crowd = np.repeat(np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3)).astype(np.uint8), 30, axis=0)
    portions = []
    neighbours = duplicates._neighbours
    monkeypatch.setattr(duplicates, "_neighbours", lambda *of: (portions.append(0) or some for some in neighbours(*of)))
    pairs = ((a, b) for a, b, _ in duplicates.near(crowd))
    first = next(pairs)
    assert len(portions) == 1  # the others are not there yet: of a thousand copies there would be half a million pairs
    assert duplicates.grouped([first, *pairs]) == [list(range(30))]
    assert len(portions) > 10


def test_a_mirror_image_that_is_nearly_the_same_anyway_is_not_told_as_one():
    half = np.random.default_rng(0).integers(0, 256, (16, 8, 3))
    symmetric = np.concatenate([half, half[:, ::-1]], 1).astype(np.uint8)
    skew = np.random.default_rng(1).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    pictures = np.stack([symmetric, symmetric, skew, skew[:, ::-1]])
    assert [(a, b) for a, b, _ in duplicates.near(pictures)] == [(0, 1)]
    assert [(a, b) for a, b, _ in duplicates.near(pictures, mirrored=True)] == [(2, 3)]


def test_pictures_without_contrast_are_no_copies_of_each_other():
    flat = np.stack([np.full((16, 16, 3), shade, np.uint8) for shade in range(100, 120)])
    assert not list(duplicates.near(flat))
    assert not list(duplicates.near(flat[:1]))


def test_groups_hang_together_by_pairs():
    assert duplicates.grouped([(3, 1), (5, 6), (1, 9), (6, 7)]) == [[1, 3, 9], [5, 6, 7]]


# --- watermarks -------------------------------------------------------------------------------------------------------


def watermarked(picture):
    marked = picture.copy()
    pen = ImageDraw.Draw(marked)
    pen.text((60, 100), "(c) someone", fill="white", stroke_width=1, stroke_fill="black")
    return marked


def test_a_watermark_is_found_in_the_pictures_that_bear_it(clean):
    some = set(random.Random(0).sample(range(60), 40))
    edges = [edges_of(watermarked(p) if n in some else p) for n, p in enumerate(clean)]
    (mark,) = marks_in(edges)
    bearers = {n for n, one in enumerate(edges) if mark.agreement(one) >= ALIKE}
    assert bearers <= some
    assert len(bearers) >= 0.8 * len(some)


def test_words_written_over_many_pictures_are_a_watermark(clean):
    over = (sheets(1, 128, layers=3, seed=5)[0, 0] == 0).numpy()
    edges = []
    for picture in clean:
        values = np.asarray(picture).copy()
        values[over] = 255 - values[over] // 4
        edges.append(edges_of(Image.fromarray(values)))
    marks = marks_in(edges)
    assert len(marks) == 1
    assert np.mean([marks[0].agreement(one) >= ALIKE for one in edges]) > 0.7


def test_clean_scenes_digits_and_few_pictures_bear_no_watermark(clean):
    assert marks_in([edges_of(picture) for picture in scenes(200, 64)]) == []
    drawn = [Image.fromarray(entry.picture.draw(96).transpose(1, 2, 0)) for entry in digits()[:400]]
    assert marks_in([edges_of(picture) for picture in drawn]) == []
    assert marks_in([edges_of(watermarked(picture)) for picture in clean[:20]]) == []


def test_one_picture_many_times_is_no_watermark(clean):
    assert marks_in([edges_of(clean[0])] * 50) == []


def test_looking_tells_how_well_a_mark_agrees(tmp_path, clean):
    marks = marks_in([edges_of(watermarked(picture)) for picture in clean])
    entry = saved(watermarked(clean[0]), tmp_path / "a.png")
    assert look(entry, marks).marked >= ALIKE
    assert look(entry).marked == 0
    assert look(entry, marks, side=32).seen.shape == (3, 32, 32)
