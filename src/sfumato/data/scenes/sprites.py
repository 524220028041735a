"""What concepts look like: sprites drawn by a colour-emoji font, or geometric shapes where there is none."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin
from torch import Tensor

from sfumato.data.scenes.concepts import Concept, concepts, read_table, write_table
from sfumato.errors import DataError

SIDE = 128  # pixels of a sprite's square
SEEN = 16  # alpha from which on a pixel belongs to what is seen
COLUMNS = 32  # sprites in a row of a saved sheet
MOST = 2048  # concepts in a pack
LARGEST = 64 * 2**20  # bytes of a saved pack

FONT = "NotoColorEmoji.ttf"
VARIABLE = "SFUMATO_EMOJI_FONT"
STRIKE = 109  # the one size of Noto's bitmaps, in pixels per em
FOLDERS = (
    "~/.local/share/fonts",
    "~/.fonts",
    "/usr/local/share/fonts",
    "/usr/share/fonts",
    "/opt/homebrew/share/fonts",
    "~/Library/Fonts",
    "/Library/Fonts",
    "C:/Windows/Fonts",
)


@dataclass(frozen=True, eq=False)
class Pack:
    """Concepts and their sprites, in one order.

    Args:
        concepts: What there is.
        pixels: Their sprites: red, green, blue (not multiplied by alpha) and alpha, 0..255. Each is cropped to what is
            seen of it; its longer side fills the square, its shorter is centred.
        origin: Who drew them, and under which licence.
    """

    concepts: tuple[Concept, ...]
    pixels: UInt8[Tensor, "n 4 128 128"]
    origin: str

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the concepts and their pixels."""
        digest = hashlib.sha256(write_table(self.concepts).encode())
        digest.update(self.pixels.numpy().tobytes())
        return digest.hexdigest()

    def first(self, count: int) -> Pack:
        """The first `count` concepts only: the best known ones."""
        return Pack(self.concepts[:count], self.pixels[:count], self.origin)

    def save(self, path: Path) -> None:
        """Write one PNG, to be carried to machines without the font: a sheet of all sprites, the concepts in its text.

        About 9 MB for 700 concepts; nothing is lost.
        """
        rows = -(-len(self.concepts) // COLUMNS)
        sprites = np.zeros((rows * COLUMNS, SIDE, SIDE, 4), np.uint8)
        sprites[: len(self.concepts)] = self.pixels.permute(0, 2, 3, 1).numpy()
        sheet = sprites.reshape(rows, COLUMNS, SIDE, SIDE, 4).swapaxes(1, 2).reshape(rows * SIDE, COLUMNS * SIDE, 4)
        text = PngImagePlugin.PngInfo()
        text.add_itxt("origin", self.origin)
        text.add_itxt("concepts", write_table(self.concepts), zip=True)
        buffer = io.BytesIO()
        Image.fromarray(sheet).save(buffer, "PNG", pnginfo=text)
        path.write_bytes(buffer.getvalue())

    @classmethod
    def load(cls, path: Path) -> Pack:
        """Read what `save` wrote. The size is checked before anything is unpacked.

        Raises:
            DataError: When the file is missing, broken, too large, or no pack.
        """
        try:
            if path.stat().st_size > LARGEST:
                raise DataError(f"{path} is no pack of sprites: it is larger than {LARGEST >> 20} MiB.")
            with _bombs_refused(), Image.open(path, formats=["PNG"]) as sheet:
                return _unpacked(sheet, path)
        except DataError:
            raise
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, RuntimeWarning) as error:
            raise DataError(f"{path} cannot be read as a pack of sprites ({error}). Save it anew.") from error


def pack(path: Path | None = None) -> Pack:
    """The pack of this file, if one is given; else what the installed font draws; else shapes. Its `origin` says which.

    Raises:
        DataError: When the given file is no pack.
    """
    if path is not None:
        return Pack.load(path)
    font = find_font()
    return from_font(font) if font else shapes()


def shapes() -> Pack:
    """Two dozen geometric shapes and simple things, for machines without a font."""
    from sfumato.data.scenes.shapes import SHAPES, draw

    drawn = [_squared(draw(name)) for name in SHAPES]
    return Pack(tuple(shape.concept for shape in SHAPES.values()), _stacked(drawn), "shapes")


def from_font(path: Path | None = None) -> Pack:
    """The sprites of Noto Color Emoji, of all concepts that this version of it can draw.

    Args:
        path: The font's file; found where systems keep fonts if None.

    Raises:
        DataError: When there is no such font or it cannot be read.
    """
    path = path or find_font()
    if path is None:
        raise DataError(
            f"No {FONT} was found. Install it (Debian: apt install fonts-noto-color-emoji) or set {VARIABLE} to it."
        )
    try:
        font = ImageFont.truetype(path, STRIKE)
    except OSError as error:
        raise DataError(f"{path} cannot be read as a colour-emoji font ({error}).") from error
    known, sprites = [], []
    for concept in concepts():
        if (glyph := _glyph(font, concept.emoji)) is not None:
            known.append(concept)
            sprites.append(_squared(glyph))
    if not known:
        raise DataError(f"{path} draws none of the concepts: it is no colour-emoji font.")
    return Pack(tuple(known), _stacked(sprites), f"{font.getname()[0]} {_version(path)}, SIL Open Font License 1.1")


def find_font() -> Path | None:
    """Where Noto Color Emoji is: what `SFUMATO_EMOJI_FONT` names, or in a folder where systems keep fonts."""
    if named := os.environ.get(VARIABLE):
        return Path(named)
    return next(_fonts(), None)


def _fonts() -> Iterator[Path]:
    for folder in FOLDERS:
        yield from sorted(Path(folder).expanduser().rglob(FONT))


def _version(path: Path) -> str:
    """The version that the font's name table tells, in UTF-16: "Version 2.042"."""
    found = re.search("Version ".encode("utf-16-be") + rb"(?:\0[0-9.])+", path.read_bytes())
    return found[0].decode("utf-16-be") if found else "of unknown version"


def _glyph(font: ImageFont.FreeTypeFont, emoji: str) -> Image.Image | None:
    """What is seen of a glyph, or None where the font has none for it or draws its parts one by one."""
    picture = Image.new("RGBA", (2 * STRIKE, 2 * STRIKE))
    ImageDraw.Draw(picture).text((STRIKE // 4, STRIKE // 4), emoji, font=font, embedded_color=True)
    seen = picture.getchannel("A").point(lambda alpha: 255 * (alpha >= SEEN)).getbbox()
    alone = font.getlength(emoji) <= 1.5 * STRIKE
    return picture.crop(seen) if seen and alone else None


def _squared(picture: Image.Image) -> Image.Image:
    """Enlarged until the longer side fills the square; Pillow resizes RGBA with colours multiplied by alpha."""
    scale = SIDE / max(picture.size)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    square = Image.new("RGBA", (SIDE, SIDE))
    square.paste(picture.resize((width, height), Image.Resampling.BICUBIC), ((SIDE - width) // 2, (SIDE - height) // 2))
    return square


def _stacked(pictures: Sequence[Image.Image]) -> UInt8[Tensor, "n 4 128 128"]:
    pixels = np.stack([np.asarray(picture) for picture in pictures])
    pixels[pixels[..., 3] == 0] = 0  # colours that nobody sees
    return torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())


@contextlib.contextmanager
def _bombs_refused() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _unpacked(sheet: Image.Image, path: Path) -> Pack:
    assert isinstance(sheet, PngImagePlugin.PngImageFile)
    table, origin = sheet.info.get("concepts"), sheet.info.get("origin")
    if not isinstance(table, str) or not isinstance(origin, str):
        raise DataError(f"{path} is no pack of sprites: it is a picture without a table of concepts.")
    known = read_table(table, f"{path}'s table")
    rows = -(-len(known) // COLUMNS)
    if not 0 < len(known) <= MOST or sheet.mode != "RGBA" or sheet.size != (COLUMNS * SIDE, rows * SIDE):
        raise DataError(
            f"{path} is no pack of sprites: a sheet {sheet.mode} of {sheet.size} for {len(known)} concepts."
        )
    pixels = np.asarray(sheet).reshape(rows, SIDE, COLUMNS, SIDE, 4).swapaxes(1, 2).reshape(-1, SIDE, SIDE, 4)
    return Pack(known, torch.from_numpy(pixels[: len(known)].transpose(0, 3, 1, 2).copy()), origin)
