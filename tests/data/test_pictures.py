"""Pictures look as a person would see them, and bad files are refused with a reason, cheaply."""

import io
import itertools
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from contextlib import suppress

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from sfumato.data.pictures import PictureError, fit, grid, open_picture, to_image, to_tensor
from sfumato.errors import DataError


def encoded(picture: Image.Image, format: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


def ramp(width: int = 40, height: int = 30) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([x * 6, y * 8, (x + y) * 3], -1).astype(np.uint8))


def noise(width: int = 40, height: int = 30) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


def png(width: int, height: int, rows: bytes, depth: int = 8, colour: int = 0) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def bomb(width: int, height: int) -> bytes:
    """A valid picture, all black, one bit a pixel, that is thousands of times larger than its file."""
    packer = zlib.compressobj(9)
    row = b"\0" * (1 + (width + 7) // 8)
    return png(width, height, b"".join(packer.compress(row) for _ in range(height)) + packer.flush(), depth=1)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM"])
def test_each_still_format_opens_from_path_file_and_bytes(tmp_path, format) -> None:
    data = encoded(ramp(), format)
    path = tmp_path / "picture"
    path.write_bytes(data)
    pictures = [open_picture(path), open_picture(io.BytesIO(data)), open_picture(data)]
    for picture in pictures:
        assert (picture.mode, picture.size) == ("RGB", (40, 30))
        assert picture.tobytes() == pictures[0].tobytes()
        assert np.abs(np.asarray(picture).astype(int) - np.asarray(ramp())).mean() < 12


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_once(orientation, format) -> None:
    upright = Image.new("RGB", (40, 24), "white")
    upright.paste("red", (0, 0, 20, 12))  # a red corner at the top left, where a viewer must see it
    stored = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(upright if stored is None else upright.transpose(stored), format, exif=exif)
    seen = np.asarray(open_picture(data)).astype(int)
    assert seen.shape == (24, 40, 3)
    assert np.abs(seen - np.asarray(upright)).mean() < 6


@pytest.mark.parametrize("dtype", ["<u2", ">u2"])
def test_sixteen_bits_are_scaled_not_clipped(dtype) -> None:
    grey = np.linspace(1000, 40000, 64).astype(np.uint16).reshape(8, 8)
    expected = np.round(grey / 257)
    for format in ("PNG", "TIFF"):
        picture = open_picture(encoded(Image.fromarray(grey.astype("<u2")), format))
        assert np.array_equal(np.asarray(picture)[..., 0], expected)
    header = b"P5 8 8 65535\n"
    assert np.abs(np.asarray(open_picture(header + grey.astype(">u2").tobytes()))[..., 1] - expected).max() <= 1


@pytest.mark.parametrize("top", [1, 255, 65535])
def test_float_pictures_are_scaled_by_the_range_they_use(top) -> None:
    values = np.linspace(0, top, 64, dtype=np.float32).reshape(8, 8)
    seen = np.asarray(open_picture(encoded(Image.fromarray(values), "TIFF")))[..., 0]
    assert np.abs(seen - np.linspace(0, 255, 64).reshape(8, 8)).max() <= 0.51


def test_numbers_of_no_usual_range_are_stretched_and_nan_is_survived() -> None:
    values = np.array([[-5, 0, 5], [np.nan, np.inf, 5]], np.float32)
    seen = np.asarray(open_picture(encoded(Image.fromarray(values), "TIFF")))[..., 0]
    assert seen.tolist() == [[0, 128, 255], [128, 128, 255]]
    whole = np.array([[-100000, 100000]], np.int32)
    assert np.asarray(open_picture(encoded(Image.fromarray(whole), "TIFF")))[0, :, 0].tolist() == [0, 255]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_lies_over_the_background(mode) -> None:
    picture = Image.new("RGBA", (2, 1), (255, 0, 0, 255))
    picture.putpixel((1, 0), (0, 0, 0, 0))
    if mode == "P":
        picture = picture.convert("RGB").quantize(4)
        data = encoded(picture, transparency=picture.getpixel((1, 0)))
    else:
        data = encoded(picture.convert(mode))
    assert open_picture(data).getpixel((1, 0)) == (255, 255, 255)
    assert open_picture(data, background=(0, 128, 0)).getpixel((1, 0)) == (0, 128, 0)
    assert open_picture(data).getpixel((0, 0))[0] == (76 if mode == "LA" else 255)


def test_half_transparent_mixes() -> None:
    assert open_picture(encoded(Image.new("RGBA", (1, 1), (255, 0, 0, 128)))).getpixel((0, 0)) == (255, 127, 127)


def test_cmyk_jpeg_has_its_colours() -> None:
    red, white = Image.new("CMYK", (16, 16), (0, 255, 255, 0)), Image.new("CMYK", (16, 16), (0, 0, 0, 0))
    for picture, colour in ((red, (255, 0, 0)), (white, (255, 255, 255))):
        seen = open_picture(encoded(picture, "JPEG", quality=95)).getpixel((8, 8))
        assert np.abs(np.array(seen) - colour).max() < 6


def test_an_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    for format in ("GIF", "WEBP", "PNG"):
        data = encoded(frames[0], format, save_all=True, append_images=frames[1:])
        assert open_picture(data).getpixel((4, 4))[0] > 240


def test_a_colour_profile_is_converted_and_a_broken_one_ignored() -> None:
    plain = Image.new("RGB", (4, 4), (100, 150, 200))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (srgb, b"nonsense" * 20):
        assert open_picture(encoded(plain, icc_profile=profile)).getpixel((0, 0)) == (100, 150, 200)
    swapped = srgb.replace(b"rXYZ", b"____").replace(b"bXYZ", b"rXYZ").replace(b"____", b"bXYZ")
    swapped = swapped.replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))
    for mode in ("RGB", "RGBA"):
        seen = open_picture(encoded(plain.convert(mode), icc_profile=swapped)).getpixel((0, 0))
        assert np.abs(np.array(seen) - (200, 150, 100)).max() <= 1


def test_one_pixel_is_a_picture() -> None:
    picture = open_picture(encoded(Image.new("RGB", (1, 1), (9, 8, 7))))
    assert fit(picture, 16).shape == (3, 16, 16)
    assert (fit(picture, 16)[:, 5, 5] == (9, 8, 7)).all()


def test_a_huge_jpeg_is_decoded_smaller_when_that_is_enough() -> None:
    data = encoded(Image.new("RGB", (1600, 1200), "navy"), "JPEG")
    assert open_picture(data, at_least=128).size == (200, 150)
    assert open_picture(data, at_least=2000).size == (1600, 1200)
    assert open_picture(data).size == (1600, 1200)


REFUSED = {
    "empty": (b"", "empty file"),
    "text": (b"this is no picture at all, only text", "not a picture"),
    "html": (b"<!DOCTYPE html><html>404</html>", "not a picture"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "not a picture"),
    "half a PNG": (encoded(noise())[:200], "broken or truncated"),
    "half a JPEG": (encoded(noise(), "JPEG")[:700], "broken or truncated"),
    "half a WebP": (encoded(noise(), "WEBP")[:100], "(broken or truncated|not a picture)"),
    "half a GIF": (encoded(noise(), "GIF")[:900], "broken or truncated"),
    "wrong checksum": (encoded(noise())[:300] + b"XXXX" + encoded(noise())[304:], "broken or truncated"),
    "a PNG that ends after its header": (encoded(noise())[:33], "not a picture, or broken at its beginning"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_whole_picture_is_refused_with_its_reason(name) -> None:
    data, reason = REFUSED[name]
    with pytest.raises(PictureError, match=f"^{reason}"):
        open_picture(data)


def test_a_missing_file_or_folder_is_refused_with_its_reason(tmp_path) -> None:
    for path in (tmp_path / "none.png", tmp_path):
        with pytest.raises(PictureError, match=r"^cannot be read: "):
            open_picture(path)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_file_gives_a_picture_or_a_reason_and_nothing_else(data) -> None:
    format = data.draw(st.sampled_from(["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM"]))
    damaged = bytearray(DAMAGEABLE[format])
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, min(len(damaged), 400) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(1, len(damaged)))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with suppress(PictureError):
            assert open_picture(bytes(damaged[:end]), max_pixels=4_000_000).mode == "RGB"
    assert said == []


DAMAGEABLE = {
    format: encoded(ramp(), format, **({"exif": Image.Exif()} if format == "JPEG" else {}))
    for format in ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
}


def test_size_is_checked_before_decoding() -> None:
    with pytest.raises(PictureError, match="too large: 300 x 200 pixels"):
        open_picture(bomb(300, 200), max_pixels=59_999)
    assert open_picture(bomb(300, 200), max_pixels=60_000).size == (300, 200)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a limit on memory")
@pytest.mark.parametrize(("width", "height"), [(40_000, 40_000), (12_000, 12_000)])
def test_a_decompression_bomb_takes_no_memory_and_no_warning(tmp_path, width, height) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb(width, height))
    assert path.stat().st_size < 1_000_000
    script = """
import resource, sys
from pathlib import Path
from sfumato.data.pictures import PictureError, open_picture
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 10_000_000, -1))
try:
    open_picture(Path(sys.argv[1]), max_pixels=int(sys.argv[2]))
except PictureError as error:
    print(error)
"""

    def reason(max_pixels: int) -> str:
        command = [sys.executable, "-W", "always", "-c", script, path, str(max_pixels)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.stderr == ""
        return done.stdout.strip()

    assert reason(89_000_000).startswith("too large: ")
    assert "not enough memory" not in reason(89_000_000)
    if width == 12_000:  # the proof that decoding would have been noticed
        assert reason(170_000_000) == "too large: not enough memory"


def test_warning_filters_are_as_before_after_many_threads_opened_pictures() -> None:
    data, before = encoded(ramp()), list(warnings.filters)
    threads = [threading.Thread(target=lambda: [open_picture(data) for _ in range(20)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before


def test_fit_cuts_the_middle_out() -> None:
    picture = Image.new("RGB", (30, 10), "red")
    picture.paste("lime", (10, 0, 20, 10))
    assert (fit(picture, 10) == np.array([0, 255, 0])[:, None, None]).all()
    assert (fit(picture.transpose(Image.Transpose.ROTATE_90), 10) == np.array([0, 255, 0])[:, None, None]).all()


def test_fit_mirrors() -> None:
    assert np.array_equal(fit(ramp(), 16, flip=True), fit(ramp(), 16)[:, :, ::-1])


@pytest.mark.parametrize(("width", "height"), [(1, 20_000), (20_000, 1), (3, 5), (1, 1)])
def test_fit_takes_any_shape(width, height) -> None:
    values = fit(Image.new("RGB", (width, height), (1, 2, 3)), 32)
    assert (values.shape, values.dtype, values.flags["C_CONTIGUOUS"]) == ((3, 32, 32), np.uint8, True)
    assert (values[:, 0, 0] == (1, 2, 3)).all()


def test_fit_smooths_where_it_shrinks() -> None:
    stripes = Image.fromarray(np.tile(np.uint8([[0, 255]]), (64, 32)))
    assert np.abs(fit(stripes, 8).astype(int) - 127).max() <= 3


def test_fit_refuses_no_pixels() -> None:
    with pytest.raises(DataError, match="0 pixels"):
        fit(ramp(), 0)


def test_bytes_survive_the_way_to_a_tensor_and_back() -> None:
    values = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    tensor = to_tensor(values.transpose(2, 0, 1).copy())
    assert (tensor.dtype, tensor.min().item(), tensor.max().item()) == (torch.float32, -1, 1)
    assert np.array_equal(np.asarray(to_image(tensor)), values)
    assert np.array_equal(np.asarray(to_image(tensor.bfloat16().double())).shape, values.shape)


def test_to_image_clips_and_refuses_other_shapes() -> None:
    tensor = torch.tensor([5.0, -5.0, float("nan")]).view(3, 1, 1)
    assert to_image(tensor).getpixel((0, 0)) == (255, 0, 0)
    for shape in ((1, 3, 4, 4), (4, 4), (1, 4, 4)):
        with pytest.raises(DataError, match="shape"):
            to_image(torch.zeros(shape))


def test_grid_lays_out_row_by_row() -> None:
    pictures = [Image.new("RGB", (4, 3), (index + 1, 0, 0)) for index in range(5)]
    sheet = grid(pictures)
    assert sheet.size == (3 * 4 + 2 * 2, 2 * 3 + 2)
    for index, (row, column) in zip(range(5), itertools.product(range(2), range(3)), strict=False):
        assert sheet.getpixel((column * 6, row * 5)) == (index + 1, 0, 0)
    assert sheet.getpixel((4, 0)) == sheet.getpixel((15, 7)) == (255, 255, 255)
    assert grid(pictures, columns=1, gap=0).size == (4, 15)
    assert grid(pictures[:1], columns=8, background=(0, 0, 0)).size == (4, 3)


def test_grid_refuses_nothing() -> None:
    with pytest.raises(DataError, match="at least one picture"):
        grid([])
    with pytest.raises(DataError, match="at least one column"):
        grid([ramp()], columns=0)
