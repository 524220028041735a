"""Tar files are indexed, not unpacked; broken ones give what is intact."""

import gzip
import io
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from sfumato.data.report import Report
from sfumato.data.shards import read
from sfumato.data.sources import find
from sfumato.errors import DataError


def picture(colour: str = "red", format: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(file, format)
    return file.getvalue()


def write(path: Path, members: dict[str, bytes], format: int = tarfile.GNU_FORMAT) -> Path:
    with tarfile.open(path, "w", format=format) as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


MEMBERS = {
    "000.jpg": picture("red", "JPEG"),
    "000.txt": b"a red square\na square",
    "dir.v1/001.image.png": picture("lime"),
    "dir.v1/001.json": b'{"caption": "a green square"}',
    "002.webp": picture("blue", "WEBP"),
    "002.cls": b"blue_square",
    "003.txt": b"words without picture",
    "004.png": picture(),
    "__MACOSX/005.png": picture(),
    "./006.png": picture("white"),
    "./006.txt": b"a white square",
}


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_of_one_name_make_a_sample(tmp_path, format) -> None:
    path = write(tmp_path / "shard.tar", MEMBERS, format)
    report = Report()
    for entries in (find(path, report), find(tmp_path, Report())):
        assert [(entry.picture.name, entry.captions, entry.label) for entry in entries] == [
            ("shard.tar/000.jpg", ("a red square", "a square"), None),
            ("shard.tar/dir.v1/001.png", ("a green square",), None),
            ("shard.tar/002.webp", ("blue square", "a photo of a blue square", "a picture of a blue square"),
             "blue_square"),
            ("shard.tar/006.png", ("a white square",), None),
        ]  # fmt: skip
    assert [(p.where, p.reason) for p in report] == [("shard.tar/004.png", "no caption")]


def test_members_are_read_in_any_order_from_their_offsets(tmp_path) -> None:
    entries = find(write(tmp_path / "shard.tar", MEMBERS), Report())
    for index, name in ((1, "dir.v1/001.image.png"), (3, "./006.png"), (0, "000.jpg")):
        with entries[index].picture.open() as file:
            assert file.read() == MEMBERS[name]
    assert entries[1].picture.draw(4)[:, 0, 0].tolist() == [0, 255, 0]


def test_long_names_are_read(tmp_path) -> None:
    stem = "a/" * 80 + "b" * 120
    for format in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        path = write(tmp_path / "shard.tar", {f"{stem}.png": picture(), f"{stem}.txt": b"deep"}, format)
        assert read(path, "shard.tar", Report())[0].captions == ("deep",)


@pytest.mark.parametrize("pack", [gzip.compress, lambda data: b"\x28\xb5\x2f\xfd" + data, lambda data: b"BZh9" + data])
@pytest.mark.parametrize("name", ["shard.tar.gz", "shard.tar"])
def test_compressed_tars_are_refused_with_what_to_do(tmp_path, name, pack) -> None:
    path = tmp_path / name
    path.write_bytes(pack(write(tmp_path / "plain", MEMBERS).read_bytes()))
    with pytest.raises(DataError, match=r"compressed with .*unpack it"):
        find(path, Report())
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat/1.png").write_bytes(picture())
    report = Report()
    assert len(find(tmp_path, report)) == 1
    assert [(p.where, p.kind) for p in report] == [(name, next(iter(report)).kind)]


def test_of_a_truncated_tar_the_intact_samples_are_kept(tmp_path) -> None:
    path = write(tmp_path / "shard.tar", {f"{n:03}.{kind}": c for n in range(10) for kind, c in SAMPLE.items()})
    whole = path.read_bytes()
    with tarfile.open(path) as tar:
        cuts = {member.name: member.offset_data for member in tar.getmembers()}
    for cut in (cuts["007.png"] + 10, cuts["007.png"] - 100, cuts["007.txt"] + 2):
        path.write_bytes(whole[:cut])
        report = Report()
        names = [entry.picture.name for entry in read(path, "shard.tar", report)]
        assert names == [f"shard.tar/{n:03}.png" for n in range(7)]
        assert any(p.kind == "broken tar file" for p in report)


SAMPLE = {"png": picture(), "txt": b"a square"}


def test_of_pictures_that_share_a_sample_none_is_lost_without_a_word(tmp_path) -> None:
    named = {"IMG.001.png": picture("red"), "IMG.001.txt": b"red", "IMG.002.png": picture("lime"), "IMG.002.txt": b"g"}
    masked = {"0.mask.png": picture("white"), "0.png": picture("blue"), "0.txt": b"a blue square"}
    report = Report()
    entries = read(write(tmp_path / "shard.tar", named | masked), "shard.tar", report)
    assert [(entry.picture.name, entry.captions) for entry in entries] == [
        ("shard.tar/IMG.png", ("red",)),
        ("shard.tar/0.png", ("a blue square",)),
    ]
    assert [entry.picture.draw(2)[:, 0, 0].tolist() for entry in entries] == [[255, 0, 0], [0, 0, 255]]
    assert [p.where for p in report] == ["shard.tar/IMG.002.png", "shard.tar/0.mask.png"]


def test_of_a_member_that_was_written_again_the_later_one_counts(tmp_path) -> None:
    path = write(tmp_path / "shard.tar", {"0.png": picture("red"), "0.txt": b"a square"})
    with tarfile.open(path, "a") as tar:
        again = tarfile.TarInfo("0.png")
        again.size = len(picture("blue"))
        tar.addfile(again, io.BytesIO(picture("blue")))
    report = Report()
    (entry,) = read(path, "shard.tar", report)
    assert entry.picture.draw(2)[:, 0, 0].tolist() == [0, 0, 255]
    assert len(report) == 0


def test_formats_that_are_not_read_are_reported(tmp_path) -> None:
    path = write(tmp_path / "shard.tar", {"0.png": picture(), "0.txt": b"a", "1.heic": b"x", "1.txt": b"b"})
    report = Report()
    assert len(read(path, "shard.tar", report)) == 1
    assert [(p.where, p.kind) for p in report] == [("shard.tar/1.heic", "format not read")]


def test_a_damaged_header_ends_the_shard_with_a_report(tmp_path) -> None:
    path = write(tmp_path / "shard.tar", {f"{n}.{kind}": c for n in range(4) for kind, c in SAMPLE.items()})
    with tarfile.open(path) as tar:
        place = tar.getmember("2.png").offset
    damaged = bytearray(path.read_bytes())
    damaged[place : place + 40] = b"\xff" * 40
    path.write_bytes(damaged)
    report = Report()
    assert len(read(path, "shard.tar", report)) == 2
    assert [p.reason for p in report] == ["broken tar file: a damaged header; what comes before is used"]


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
@pytest.mark.parametrize("size", [-512, 2**48, 2**70])
def test_a_header_that_claims_an_impossible_size_ends_the_shard_with_a_report(tmp_path, kind, size) -> None:
    path = write(tmp_path / "shard.tar", {f"0.{kind}": content for kind, content in SAMPLE.items()})
    header = bytearray(tarfile.TarInfo("1.png").tobuf(tarfile.USTAR_FORMAT))
    header[156:157] = kind
    header[124:136] = (size % 2**95 | 2**95 if size >= 0 else size % 2**96).to_bytes(12, "big")
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + 8 * ord(" ") + sum(header[156:]))
    with tarfile.open(path) as tar:
        end = tar.getmembers()[-1].offset_data + tarfile.BLOCKSIZE
    path.write_bytes(path.read_bytes()[:end] + header + bytes(1024))
    report = Report()
    assert len(read(path, "shard.tar", report)) == 1
    assert [p.kind for p in report] == ["broken tar file"]


@pytest.mark.parametrize("content", [b"", b"no tar at all" * 100])
def test_what_is_no_tar_is_reported(tmp_path, content) -> None:
    (tmp_path / "shard.tar").write_bytes(content)
    with pytest.raises(DataError, match="1 set aside: broken tar file"):
        find(tmp_path / "shard.tar", Report())


def test_links_and_devices_inside_are_not_followed(tmp_path) -> None:
    with tarfile.open(tmp_path / "shard.tar", "w") as tar:
        for name, kind in (("0.png", tarfile.SYMTYPE), ("1.png", tarfile.LNKTYPE), ("2.png", tarfile.CHRTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
    assert read(tmp_path / "shard.tar", "shard.tar", Report()) == []


def test_a_finished_tar_without_end_blocks_is_whole(tmp_path) -> None:
    path = write(tmp_path / "shard.tar", {"0.txt": b"a square", "0.png": picture()})
    with tarfile.open(path) as tar:
        last = tar.getmember("0.png")
    path.write_bytes(path.read_bytes()[: last.offset_data + (last.size + 511) // 512 * 512])
    report = Report()
    assert len(read(path, "shard.tar", report)) == 1
    assert len(report) == 0
