"""The watermark is not seen, is found again after what pictures go through, and is not found where none is."""

import io
import math
import warnings

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from marked_pictures import drawing, photograph_like
from sfumato.errors import PromptError
from sfumato.pipelines.marks.codewords import FALSE_ALARM, code_of, threshold
from sfumato.pipelines.marks.verifying import verify
from sfumato.pipelines.marks.watermark import (
    LEAST_PSNR,
    SCALES,
    MarkWarning,
    Watermark,
    find_watermark,
    psnr,
    watermarked,
)
from sfumato.pipelines.marks.writing import Marks, watermark_of, written

MARK = Watermark(0xDEADBEEF)
FIRST_DITHER = [0.4845608, 0.081565, 0.9263455]
FIRST_SIGNS = [1.0, 1.0, 1.0, 1.0, -1.0, 1.0, -1.0, -1.0]


def jpeg(picture, quality=75):
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(io.BytesIO(file.getvalue()))


def resized(picture, factor):
    return picture.resize((round(picture.width * factor), round(picture.height * factor)), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module", params=[64, 100, 256])
def marked(request):
    before = photograph_like(request.param)
    return before, watermarked(before, MARK)


def test_a_mark_is_fainter_than_40_db(marked):
    before, after = (np.asarray(picture, np.float32) for picture in marked)
    assert psnr(before, after) >= LEAST_PSNR


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p,
        jpeg,
        lambda p: resized(p, 0.5),
        lambda p: resized(p, 0.77),
        lambda p: resized(p, 2),
        lambda p: ImageEnhance.Contrast(p).enhance(0.9),
    ],
    ids=["as it is", "JPEG 75", "halved", "to 77 %", "doubled", "less contrast"],
)
def test_a_mark_survives(marked, change):
    found = find_watermark(change(marked[1]))
    assert found is not None
    assert found.payload == MARK.payload


def test_a_mark_survives_a_change_of_format_and_of_shape():
    after = watermarked(photograph_like(256).crop((0, 0, 256, 160)), MARK)
    assert find_watermark(jpeg(after.resize((200, 200)))).payload == MARK.payload


def test_drawings_in_pure_black_and_white_bear_a_mark():
    before = drawing(64)
    after = watermarked(before, MARK)
    assert find_watermark(jpeg(after)).payload == MARK.payload
    assert psnr(*(np.asarray(picture, np.float32) for picture in (before, after))) >= LEAST_PSNR


def test_the_same_picture_is_marked_the_same_way():
    again = [watermarked(photograph_like(64), MARK).tobytes() for _ in range(2)]
    assert again[0] == again[1]


def test_only_the_key_reads_it():
    after = watermarked(photograph_like(64), Watermark(7, "mine"))
    assert find_watermark(after, "mine").payload == 7
    assert find_watermark(after) is None


def test_pictures_without_a_mark_have_none_for_any_key():
    pictures = [photograph_like(64), drawing(64), Image.new("RGB", (64, 64)), jpeg(photograph_like(100))]
    assert not any(find_watermark(picture, f"key {number}") for picture in pictures for number in range(40))


def test_the_agreement_of_chance_is_no_wider_than_the_threshold_assumes():
    seen = np.cos(np.arange(566.0) ** 2)  # any values, as long as no key has to do with them
    chance = [code_of(f"key {number}", 566).signs(number) @ seen / np.linalg.norm(seen) for number in range(400)]
    assert abs(np.mean(chance)) < 0.2
    assert np.std(chance) < 1.1
    assert 2**32 * len(SCALES) * math.exp(-(threshold(len(SCALES)) ** 2) / 2) == pytest.approx(FALSE_ALARM)


def test_a_code_is_the_same_for_ever():
    code = code_of("sfumato", 566)
    assert code.dither[:3] == pytest.approx(FIRST_DITHER, abs=1e-6)
    assert code.signs(1)[:8].tolist() == FIRST_SIGNS


def test_a_picture_that_cannot_bear_a_mark_is_told_and_kept():
    small = photograph_like(64).resize((32, 32))
    with pytest.warns(MarkWarning, match="too short"):
        assert watermarked(small, MARK) is small


def test_a_cropped_picture_has_lost_its_mark_and_no_wrong_one_is_found():
    after = watermarked(photograph_like(256), MARK)
    for edge in (8, 20, 60):
        found = find_watermark(after.crop((edge, edge, 256, 256)))
        assert found is None or found.payload == MARK.payload


@pytest.mark.parametrize("payload", [-1, 2**32, 1.5, "7"])
def test_a_payload_is_32_bits(payload):
    with pytest.raises(PromptError, match="payload"):
        Watermark(payload)


def test_strange_shapes_are_read_without_an_error():
    for size in ((1, 1), (24, 5000), (3000, 30)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert find_watermark(Image.new("L", size)) is None


def test_a_file_tells_its_watermark_and_another_one_contradicts_it():
    content = written(photograph_like(64), {"request": {}}, "png", Marks(watermark=MARK))
    told = verify(content)
    assert "watermark deadbeef" in told.marks
    assert watermark_of(told.recipe) == MARK
    assert told.exit_code == 0
    assert verify(content.replace(b"deadbeef", b"deadbeee")).exit_code == 2  # the chunk's checksum is wrong, too
    other = written(watermarked(photograph_like(64), Watermark(5)), {"watermark": "00000006"})
    assert "another watermark" in verify(other).faults[0]
    secret = verify(written(photograph_like(64), {}, "webp", Marks(watermark=Watermark(5, "mine"))))
    assert watermark_of(secret.recipe) is None
    assert secret.exit_code == 0
