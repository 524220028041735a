"""Pictures: opened safely from any still-image file, fitted to a square, turned into tensors and back."""

import io
import math
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageCms, UnidentifiedImageError
from torch import Tensor

from sfumato.errors import DataError

Image.init()

# Still pictures only: others (EPS, WMF, PSD, FITS ...) start programs or parse far more than a picture needs.
FORMATS = tuple(name for name in ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF") if name in Image.OPEN)
SUFFIXES = frozenset(suffix for suffix, name in Image.EXTENSION.items() if name in FORMATS)
NOT_READ = frozenset({".heic", ".heif", ".jxl", ".jp2", ".psd", ".svg"})

MAX_PIXELS = 178_956_970 // 2
LARGE = 25_000_000  # pixels; above this, pictures are decoded one at a time so that threads do not add up
MAX_PROFILE = 4 * 2**20  # bytes
ORIENTATION = 0x0112  # EXIF tag
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_one_large_at_a_time = threading.Lock()


class PictureError(DataError):
    """A file that cannot be used as a picture; the message is the reason, without the file's name."""


def not_read(suffix: str) -> str:
    """What reports say of a picture in one of the formats `NOT_READ`."""
    return f"format not read: {suffix}; save it as PNG, JPEG or WebP"


def open_picture(
    source: Path | BinaryIO | bytes,
    *,
    max_pixels: int = MAX_PIXELS,
    background: tuple[int, int, int] = (255, 255, 255),
    at_least: int | None = None,
) -> Image.Image:
    """Open a picture as a person would see it: upright, in sRGB, on an opaque background, its first frame.

    Args:
        source: a file, an open binary file, or a file's bytes; PNG, JPEG, WebP, BMP, GIF, TIFF, PPM or AVIF.
        max_pixels: larger pictures are refused before they are decoded; at most 178,956,970.
        background: the RGB colour (0..255) behind transparent parts.
        at_least: sides in pixels below which a JPEG may not shrink; lets huge ones be decoded at 1/2, 1/4 or 1/8 size.

    Returns:
        A decoded picture of mode RGB.

    Raises:
        PictureError: the file is empty, truncated, not a picture, too large or cannot be read.
    """
    try:
        with _without_pillow_warnings(), _opened(source) as file, Image.open(file, formats=FORMATS) as picture:
            pixels = picture.width * picture.height
            if pixels > max_pixels:
                raise PictureError(
                    f"too large: {picture.width} x {picture.height} pixels, at most {max_pixels:,} in all"
                )
            with _one_large_at_a_time if pixels > LARGE else nullcontext():
                if at_least:
                    picture.draft(None, (at_least, at_least))
                picture.load()
                return _upright(_in_srgb(_eight_bit(picture), background), picture)
    except PictureError:
        raise
    except Exception as error:  # Pillow's decoders raise nearly every kind of exception on broken files.
        raise PictureError(_reason(error)) from error


@contextmanager
def _opened(source: Path | BinaryIO | bytes) -> Iterator[BinaryIO]:
    file = (
        source.open("rb") if isinstance(source, Path) else io.BytesIO(source) if isinstance(source, bytes) else source
    )
    try:
        if not file.seek(0, io.SEEK_END):
            raise PictureError("empty file")
        file.seek(0)
        yield file
    finally:
        if file is not source:
            file.close()


def _reason(error: Exception) -> str:
    match error:
        case UnidentifiedImageError():
            return f"not a picture, or broken at its beginning: none of {', '.join(FORMATS)}"
        case Image.DecompressionBombError():
            return f"too large: {error}"
        case MemoryError():
            return "too large: not enough memory"
        case OSError(errno=int()):
            return f"cannot be read: {error.strerror}"
    return f"broken or truncated: {error or type(error).__name__}"


_silence = threading.Lock()
_silenced = 0
_filters = warnings.catch_warnings()


@contextmanager
def _without_pillow_warnings() -> Iterator[None]:
    """Ignore what Pillow says about files it can read; warning filters are global, so threads share one silence."""
    global _silenced, _filters
    with _silence:
        if _silenced == 0:
            _filters = warnings.catch_warnings()
            _filters.__enter__()
            warnings.filterwarnings("ignore", module=r"PIL\.")
        _silenced += 1
    try:
        yield
    finally:
        with _silence:
            _silenced -= 1
            if _silenced == 0:
                _filters.__exit__(None, None, None)


def _eight_bit(picture: Image.Image) -> Image.Image:
    """Deeper greyscale as 8 bits: scaled by the range it was written in, where Pillow would clip."""
    if not (picture.mode.startswith("I") or picture.mode == "F"):
        return picture
    values = np.nan_to_num(np.asarray(picture).astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = values.min(), values.max()
    ceilings = (65535,) if picture.mode.startswith("I;16") else (255, 65535) if picture.mode == "I" else (1, 255, 65535)
    ceiling = next((c for c in ceilings if high <= c and low >= 0), None)
    if ceiling is None:  # no usual range: the darkest becomes black, the lightest white
        values, ceiling = values - low, (high - low) or 1
    return Image.fromarray(np.round(values * (255 / ceiling)).astype(np.uint8))


def _in_srgb(picture: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    if picture.has_transparency_data:
        picture = _to_srgb(picture if picture.mode == "RGBA" else picture.convert("RGBA"), picture)
        paper = Image.new("RGBA", picture.size, (*background, 255))
        return Image.alpha_composite(paper, picture).convert("RGB")
    return _to_srgb(picture, picture).convert("RGB")


def _to_srgb(picture: Image.Image, original: Image.Image) -> Image.Image:
    """Apply the colour profile of the file, when it has a sound one that is not sRGB already."""
    data = original.info.get("icc_profile")
    if not data or len(data) > MAX_PROFILE or picture.mode not in ("RGB", "RGBA", "CMYK"):
        return picture
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        if "sRGB" in ImageCms.getProfileDescription(profile):
            return picture
        mode = "RGBA" if picture.mode == "RGBA" else "RGB"
        converted = ImageCms.profileToProfile(picture, profile, ImageCms.createProfile("sRGB"), outputMode=mode)
    except Exception:  # A wrong profile makes colours a little off; the picture is still worth having.
        return picture
    return converted or picture


def _upright(picture: Image.Image, original: Image.Image) -> Image.Image:
    try:
        turn = UPRIGHT.get(original.getexif().get(ORIENTATION, 1))
    except Exception:  # Broken EXIF says nothing about the picture itself.
        return picture
    return picture if turn is None else picture.transpose(turn)


def fit(
    picture: Image.Image, size: int | tuple[int, int], *, flip: bool = False
) -> UInt8[np.ndarray, "3 height width"]:
    """Scale it so that it just covers `size` (Lanczos, up or down) and cut the middle out.

    Args:
        picture: any size of at least 1 x 1.
        size: (width, height) in pixels, each at least 1, or one number for both.
        flip: mirror left and right.

    Returns:
        RGB values 0..255, channels first.
    """
    width, height = (size, size) if isinstance(size, int) else size
    if min(width, height) < 1:
        raise DataError(f"a picture cannot have {width} x {height} pixels")
    across = min(float(picture.width), picture.height * width / height)
    down = min(float(picture.height), picture.width * height / width)
    left, top = (picture.width - across) / 2, (picture.height - down) / 2
    box = (left, top, left + across, top + down)
    middle = picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)
    values = np.asarray(middle).transpose(2, 0, 1)
    return np.ascontiguousarray(values[:, :, ::-1] if flip else values)


def to_tensor(
    picture: UInt8[np.ndarray, "*batch 3 h w"] | UInt8[Tensor, "*batch 3 h w"],
) -> Float[Tensor, "*batch 3 h w"]:
    """Bytes 0..255 as float32 in [-1, 1]."""
    return torch.as_tensor(picture).to(torch.float32) / 127.5 - 1


def from_images(pictures: Sequence[Image.Image]) -> Float[Tensor, "n 3 h w"]:
    """RGB pictures of one size as float32 in [-1, 1]; `to_image` is the way back."""
    return to_tensor(np.stack([np.asarray(picture).transpose(2, 0, 1) for picture in pictures]))


def to_image(picture: Float[Tensor, "3 h w"]) -> Image.Image:
    """A tensor in [-1, 1] as a picture of mode RGB; values outside are clipped, NaN becomes black.

    Raises DataError when the shape is not (3, H, W).
    """
    if picture.ndim != 3 or picture.shape[0] != 3:
        raise DataError(f"a picture has the shape (3, height, width), not {tuple(picture.shape)}")
    values = torch.nan_to_num(picture.detach().float(), nan=-1.0).clamp(-1, 1)
    return Image.fromarray(((values + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy())


def grid(
    pictures: Sequence[Image.Image],
    columns: int | None = None,
    gap: int = 2,
    background: tuple[int, int, int] = (255, 255, 255),
) -> Image.Image:
    """Lay pictures out row by row on one sheet, `gap` pixels apart; as square as possible unless `columns` is given.

    Raises DataError when there is no picture, or columns < 1.
    """
    if not pictures:
        raise DataError("a grid needs at least one picture")
    columns = math.ceil(math.sqrt(len(pictures))) if columns is None else min(columns, len(pictures))
    if columns < 1:
        raise DataError(f"a grid needs at least one column, not {columns}")
    rows = math.ceil(len(pictures) / columns)
    width, height = max(p.width for p in pictures), max(p.height for p in pictures)
    sheet = Image.new("RGB", (columns * (width + gap) - gap, rows * (height + gap) - gap), background)
    for index, picture in enumerate(pictures):
        row, column = divmod(index, columns)
        sheet.paste(picture, (column * (width + gap), row * (height + gap)))
    return sheet
