"""Packs of sprites: drawn by a font or by Pillow, carried as one file, refused when broken."""

import struct
import zlib
from pathlib import Path

import pytest
import torch
from PIL import Image, PngImagePlugin

from sfumato.data.scenes import sprites
from sfumato.data.scenes.concepts import concepts, write_table
from sfumato.data.scenes.sprites import Pack, find_font, from_font, pack, shapes
from sfumato.errors import DataError

needs_font = pytest.mark.skipif(find_font() is None, reason="Noto Color Emoji is not installed")


@pytest.fixture(scope="module")
def emoji() -> Pack:
    return from_font()


def test_without_a_font_shapes_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sprites, "find_font", lambda: None)
    assert pack().origin == "shapes"
    assert len(pack().concepts) >= 24
    with pytest.raises(DataError, match="SFUMATO_EMOJI_FONT"):
        from_font()


@needs_font
def test_the_installed_font_is_preferred_and_draws_every_concept(emoji: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sprites, "from_font", lambda path: emoji)
    assert pack() is emoji
    assert emoji.concepts == concepts()
    assert emoji.origin.startswith("Noto Color Emoji Version ")


def test_a_font_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SFUMATO_EMOJI_FONT", str(tmp_path / "none.ttf"))
    with pytest.raises(DataError, match=r"none\.ttf cannot be read"):
        pack()


@pytest.mark.parametrize("name", ["shapes", pytest.param("emoji", marks=needs_font)])
def test_every_sprite_fills_its_square_and_none_looks_like_another(name: str, request: pytest.FixtureRequest) -> None:
    drawn = shapes() if name == "shapes" else request.getfixturevalue("emoji")
    for sprite in drawn.pixels:
        left, top, right, bottom = Image.fromarray((sprite[3] >= 16).numpy()).getbbox()
        assert max(right - left, bottom - top) >= 126
        assert abs(left + right - 128) <= 3
        assert abs(top + bottom - 128) <= 3
        assert (sprite[:3, sprite[3] == 0] == 0).all()
    small = torch.nn.functional.avg_pool2d(drawn.pixels / 255, 8)
    small = torch.cat([small[:, :3] * small[:, 3:], small[:, 3:]], 1).flatten(1)
    apart = torch.cdist(small, small) + 100 * torch.eye(len(small))
    assert apart.min() > 3.5


def test_a_pack_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    drawn = shapes()
    drawn.save(tmp_path / "pack.png")
    loaded = pack(tmp_path / "pack.png")
    assert torch.equal(loaded.pixels, drawn.pixels)
    assert (loaded.concepts, loaded.origin, loaded.fingerprint) == (drawn.concepts, drawn.origin, drawn.fingerprint)


@needs_font
def test_all_emoji_fit_in_fifteen_megabytes(emoji: Pack, tmp_path: Path) -> None:
    emoji.save(tmp_path / "pack.png")
    assert (tmp_path / "pack.png").stat().st_size < 15e6
    assert Pack.load(tmp_path / "pack.png").fingerprint == emoji.fingerprint


def test_the_first_concepts_are_a_pack_of_their_own() -> None:
    few = shapes().first(5)
    assert [concept.name for concept in few.concepts] == ["circle", "square", "triangle", "star", "heart"]
    assert len(few.pixels) == 5
    assert few.fingerprint != shapes().fingerprint


def sheet(path: Path, table: str, size: tuple[int, int] = (4096, 128), mode: str = "RGBA") -> Path:
    text = PngImagePlugin.PngInfo()
    text.add_itxt("origin", "somewhere")
    text.add_itxt("concepts", table, zip=True)
    Image.new(mode, size).save(path, "PNG", pnginfo=text)
    return path


def test_a_sheet_that_does_not_fit_its_concepts_is_refused(tmp_path: Path) -> None:
    table = write_table(shapes().concepts)
    assert len(Pack.load(sheet(tmp_path / "good.png", table)).concepts) == len(shapes().concepts)
    for size, mode in (((4096, 256), "RGBA"), ((4096, 128), "RGB"), ((64, 128), "RGBA")):
        with pytest.raises(DataError, match="no pack of sprites"):
            Pack.load(sheet(tmp_path / "bad.png", table, size, mode))
    with pytest.raises(DataError, match="no table of concepts"):
        Pack.load(sheet(tmp_path / "bad.png", "name"))
    with pytest.raises(DataError, match="for 0 concepts"):
        Pack.load(sheet(tmp_path / "bad.png", write_table([])))


def test_files_that_are_no_packs_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "pack.png"
    with pytest.raises(DataError, match="cannot be read"):
        Pack.load(path)
    path.write_bytes(b"no picture")
    with pytest.raises(DataError, match="cannot be read"):
        Pack.load(path)
    Image.new("RGBA", (8, 8)).save(path)
    with pytest.raises(DataError, match="without a table"):
        Pack.load(path)
    shapes().save(path)
    path.write_bytes(path.read_bytes()[:-20_000])
    with pytest.raises(DataError, match="cannot be read"):
        Pack.load(path)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def test_files_that_would_unpack_to_much_more_are_refused_before_they_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bomb.png"
    signature, end = b"\x89PNG\r\n\x1a\n", chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    table = chunk(b"iTXt", b"concepts\0\1\0\0\0" + zlib.compress(write_table(shapes().concepts).encode()))
    monkeypatch.setattr(Image.Image, "__array_interface__", property(lambda self: pytest.fail("it was unpacked")))
    origin = chunk(b"iTXt", b"origin\0\0\0\0\0here")
    for height in (20_000, 40_000, 1_000_000):
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", 4096, height, 8, 6, 0, 0, 0))
        path.write_bytes(signature + header + table + origin + end)
        with pytest.raises(DataError, match=r"no pack|exceeds limit"):
            Pack.load(path)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 4096, 128, 8, 6, 0, 0, 0))
    long = chunk(b"iTXt", b"concepts\0\1\0\0\0" + zlib.compress(b"cat\n" * 10_000_000))
    path.write_bytes(signature + header + long + origin + end)
    with pytest.raises(DataError, match="too large"):
        Pack.load(path)
    monkeypatch.setattr(sprites, "LARGEST", 100)
    with pytest.raises(DataError, match="larger than"):
        Pack.load(path)
