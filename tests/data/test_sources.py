"""Every format people keep captioned pictures in is found, and what cannot be used is reported."""

import json
import os
from pathlib import Path

import pytest
from PIL import Image

from sfumato.data.entries import Entry, Where
from sfumato.data.pictures import PictureError
from sfumato.data.report import Report
from sfumato.data.sources import find
from sfumato.errors import DataError


def picture(path: Path, colour: str = "red") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), colour).save(path)


def found(path: Path, report: Report | None = None) -> dict[str, tuple[str, ...]]:
    entries = find(path, Report() if report is None else report)
    return {entry.picture.name: entry.captions for entry in entries}


def reasons(report: Report) -> dict[str, str]:
    return {problem.where: problem.reason for problem in report}


def test_captions_lie_beside_the_pictures(tmp_path) -> None:
    for name in ("b.jpg", "a.png", "deep/er/c.WEBP", "d.jpg"):
        picture(tmp_path / name)
    (tmp_path / "a.txt").write_text("a cat\na pet\n")
    (tmp_path / "b.json").write_text('{"captions": ["a dog", "an animal"], "score": 1}')
    (tmp_path / "deep/er/c.TXT").write_text("a bird")
    (tmp_path / "d.json").write_text('{"prompt": "a fish"}')
    report = Report()
    assert list(found(tmp_path, report).items()) == [
        ("a.png", ("a cat", "a pet")),
        ("b.jpg", ("a dog", "an animal")),
        ("d.jpg", ("a fish",)),
        ("deep/er/c.WEBP", ("a bird",)),
    ]
    assert len(report) == 0


def test_class_folders_give_captions_and_labels_whatever_the_split(tmp_path) -> None:
    for name in ("dress/1.jpg", "train/ankle_boot/2.jpg", "jeans/test/3.jpg", "dress/4.jpg"):
        picture(tmp_path / name)
    (tmp_path / "dress/4.txt").write_text("a red one")
    entries = {entry.picture.name: entry for entry in find(tmp_path, Report())}
    assert entries["dress/1.jpg"].captions == ("dress", "a photo of a dress", "a picture of a dress")
    assert entries["train/ankle_boot/2.jpg"].label == "ankle_boot"
    assert entries["jeans/test/3.jpg"].captions[1] == "a photo of jeans"
    assert (entries["dress/4.jpg"].captions, entries["dress/4.jpg"].label) == (("a red one",), "dress")


def test_a_folder_that_names_no_picture_is_no_class(tmp_path) -> None:
    picture(tmp_path / "part-0001/1.jpg")
    (tmp_path / "part-0001/1.txt").write_text("a cat")
    (entry,) = find(tmp_path, Report())
    assert (entry.captions, entry.label) == (("a cat",), None)


def test_a_picture_without_caption_is_set_aside_with_its_reason(tmp_path) -> None:
    picture(tmp_path / "lonely.jpg")
    picture(tmp_path / "blank.jpg")
    picture(tmp_path / "train/split.jpg")
    picture(tmp_path / "cat/1.jpg")
    (tmp_path / "blank.txt").write_text(" \n")
    report = Report()
    assert list(found(tmp_path, report)) == ["cat/1.jpg"]
    expected = {"blank.jpg": "empty caption", "lonely.jpg": "no caption", "train/split.jpg": "no caption"}
    assert reasons(report) == expected


def test_metadata_jsonl_describes_its_folder(tmp_path) -> None:
    picture(tmp_path / "train/a.png")
    picture(tmp_path / "train/sub/b.png")
    picture(tmp_path / "train/unlisted.png")
    rows = [
        {"file_name": "a.png", "text": "a cat", "caption": "a pet", "label": 3},
        {"file_name": "sub\\b.png", "captions": ["a dog"]},
        {"file_name": "a.png", "prompt": "felix"},
    ]
    (tmp_path / "train/metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    report = Report()
    entries = find(tmp_path, report)
    assert [(e.picture.name, e.captions, e.label) for e in entries] == [
        ("train/a.png", ("a cat", "a pet", "felix"), "3"),
        ("train/sub/b.png", ("a dog",), None),
    ]
    assert reasons(report) == {"train/unlisted.png": "no caption"}


def test_of_several_tables_the_one_nearest_to_a_picture_counts_whatever_folders_are_called(tmp_path) -> None:
    for folder in ("a", "z"):
        picture(tmp_path / folder / "1.png")
        (tmp_path / folder / "metadata.jsonl").write_text('{"file_name": "1.png", "text": "near"}')
    rows = [json.dumps({"file_name": f"{folder}/1.png", "text": "far"}) for folder in ("a", "z")]
    (tmp_path / "metadata.jsonl").write_text("\n".join(rows))
    assert found(tmp_path) == {"a/1.png": ("near",), "z/1.png": ("near",)}


def test_bad_rows_are_reported_with_file_and_line(tmp_path) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path.parent / f"{tmp_path.name}-outside.png")
    outside = f"../{tmp_path.name}-outside.png"
    absolute = str(tmp_path / "a.png")
    rows = ['{"file_name": "a.png", "text": "a cat"}', "{oops", "[]", "", '{"text": "a"}', '{"file_name": 5}']
    rows += [json.dumps({"file_name": n, "text": "a"}) for n in (outside, absolute, "C:\\a.png", "gone.png", ".h.png")]
    rows += ['{"file_name": "a.png"}', '{"file_name": "a.png", "text": "  "}']
    (tmp_path / "metadata.jsonl").write_text("\n".join(rows))
    report = Report()
    assert found(tmp_path, report) == {"a.png": ("a cat",)}
    kinds = {problem.where: problem.kind for problem in report}
    escape = "file_name leads out of its folder"
    assert kinds == {
        "metadata.jsonl:2": "not JSON",
        "metadata.jsonl:3": "not a JSON object",
        "metadata.jsonl:5": "no file_name",
        "metadata.jsonl:6": "no file_name",
        "metadata.jsonl:7": escape,
        "metadata.jsonl:8": escape,
        "metadata.jsonl:9": escape,
        "metadata.jsonl:10": "missing file",
        "metadata.jsonl:11": "missing file",
        "metadata.jsonl:12": "no caption",
        "metadata.jsonl:13": "empty caption",
    }


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_metadata_csv_is_read_as_spreadsheets_write_it(tmp_path, delimiter, encoding) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png")
    table = 'file_name,text,caption_2\r\na.png,"a Käfer\r\nin red",x\r\n\r\nb.png,blue\r\n'.replace(",", delimiter)
    (tmp_path / "metadata.csv").write_bytes(table.encode(encoding))
    assert found(tmp_path) == {"a.png": ("a Käfer in red", "x"), "b.png": ("blue",)}


def test_a_caption_that_an_unquoted_comma_cuts_is_told_of(tmp_path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "metadata.csv").write_text("file_name,text\na.png,a cat, asleep\na.png,a pet,,\n")
    report = Report()
    assert found(tmp_path, report) == {"a.png": ("a cat", "a pet")}
    assert [(p.where, p.kind, p.kept) for p in report] == [("metadata.csv:2", "more fields than columns", True)]


def test_a_csv_without_the_needed_columns_is_refused_by_name(tmp_path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "metadata.csv").write_text("picture,text\na.png,a cat\n")
    with pytest.raises(DataError, match=r"metadata\.csv:1: needs a column 'file_name'"):
        find(tmp_path, Report())


def test_a_table_of_the_other_byte_order_is_read_too(tmp_path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "metadata.csv").write_bytes(b"\0\0\xfe\xff" + "file_name,text\na.png,Käfer".encode("utf-32-be"))
    assert found(tmp_path) == {"a.png": ("Käfer",)}


@pytest.mark.parametrize("header", [f"{'x' * 200_000},file_name,text\n", "file_name,text\rb.png,a dog\r"])
def test_a_csv_whose_header_is_none_is_refused_by_name(tmp_path, header) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "metadata.csv").write_bytes(header.encode())
    with pytest.raises(DataError, match=r"metadata\.csv:1: not CSV"):
        find(tmp_path, Report())


def test_a_table_that_cannot_be_opened_is_refused_by_name(tmp_path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "metadata.jsonl").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"^metadata\.jsonl: cannot be read"):
        find(tmp_path, Report())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_table_that_is_a_pipe_does_not_block(tmp_path) -> None:
    picture(tmp_path / "a.png")
    os.mkfifo(tmp_path / "metadata.jsonl")
    with pytest.raises(DataError, match=r"^metadata\.jsonl: not a regular file"):
        find(tmp_path, Report())


def test_captions_within_captions_without_end_cost_their_row_alone(tmp_path) -> None:
    picture(tmp_path / "a.png")
    deep = '{"text": ' * 900 + '"x"' + "}" * 900
    rows = [f'{{"file_name": "a.png", "text": {deep}}}', '{"file_name": "a.png", "text": "a cat"}']
    (tmp_path / "metadata.jsonl").write_text("\n".join(rows))
    report = Report()
    assert found(tmp_path, report) == {"a.png": ("a cat",)}
    assert [p.where for p in report] == ["metadata.jsonl:1"]


def test_a_label_is_text_as_captions_are(tmp_path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.png", "text": "a cat", "label": "c\\ud800\\u0000at "}')
    assert [entry.label for entry in find(tmp_path, Report())] == ["cat"]


def test_an_oversized_csv_field_is_reported_with_its_line(tmp_path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "metadata.csv").write_text(f"file_name,text\na.png,{'x' * 200_000}\na.png,a cat\n")
    report = Report()
    assert found(tmp_path, report) == {"a.png": ("a cat",)}
    assert [(p.where, p.kind) for p in report] == [("metadata.csv:2", "not CSV")]


def test_debris_is_ignored(tmp_path) -> None:
    picture(tmp_path / "cat/1.jpg")
    for name in (".hidden/1.jpg", "__MACOSX/cat/._1.jpg", "cat/.2.jpg"):
        picture(tmp_path / name)
    (tmp_path / "cat/Thumbs.db").write_bytes(b"x")
    (tmp_path / "cat/notes.docx").write_bytes(b"x")
    report = Report()
    assert list(found(tmp_path, report)) == ["cat/1.jpg"]
    assert len(report) == 0


def test_formats_that_are_not_read_are_reported(tmp_path) -> None:
    picture(tmp_path / "cat/1.jpg")
    (tmp_path / "cat/2.HEIC").write_bytes(b"x")
    (tmp_path / "metadata.parquet").write_bytes(b"x")
    report = Report()
    assert list(found(tmp_path, report)) == ["cat/1.jpg"]
    assert {p.where: p.kind for p in report} == {
        "cat/2.HEIC": "format not read",
        "metadata.parquet": "parquet tables are not read",
    }


def test_links_do_not_lead_in_circles(tmp_path) -> None:
    picture(tmp_path / "cat/1.jpg")
    (tmp_path / "cat/loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "cat/self").symlink_to(tmp_path / "cat", target_is_directory=True)
    (tmp_path / "cat/dead.jpg").symlink_to(tmp_path / "nowhere")
    (tmp_path / "cat/ring.jpg").symlink_to(tmp_path / "cat/ring.jpg")
    report = Report()
    assert list(found(tmp_path, report)) == ["cat/1.jpg"]
    assert {p.where: p.kind for p in report} == {
        "cat/loop": "link to a folder that is read already",
        "cat/self": "link to a folder that is read already",
        "cat/dead.jpg": "cannot be read",
        "cat/ring.jpg": "cannot be read",
    }


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_does_not_block(tmp_path) -> None:
    picture(tmp_path / "cat/1.jpg")
    picture(tmp_path / "cat/3.jpg")
    os.mkfifo(tmp_path / "cat/2.jpg")
    os.mkfifo(tmp_path / "cat/3.txt")
    os.mkfifo(tmp_path / "cat/4.tar")
    report = Report()
    assert list(found(tmp_path, report)) == ["cat/1.jpg"]
    assert set(reasons(report).values()) == {"not a regular file"}
    assert len(report) == 3


def test_file_names_that_are_no_text_are_reported_as_text(tmp_path) -> None:
    picture(tmp_path / "cat/1.jpg")
    try:
        Path(os.fsdecode(bytes(tmp_path) + b"/cat/\xff.jpg")).write_bytes((tmp_path / "cat/1.jpg").read_bytes())
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    entries = find(tmp_path, Report())
    assert [entry.picture.name for entry in entries] == ["cat/1.jpg", "cat/\ufffd.jpg"]
    assert entries[1].picture.draw(4).shape == (3, 4, 4)


def test_nothing_usable_is_an_error_that_says_what_was_looked_for(tmp_path) -> None:
    picture(tmp_path / "a.jpg")
    with pytest.raises(DataError, match=r"metadata\.jsonl.*class folders.*1 set aside: no caption \(a\.jpg\)"):
        find(tmp_path, Report())
    with pytest.raises(DataError, match="no such folder"):
        find(tmp_path / "none", Report())
    with pytest.raises(DataError, match="neither a folder nor"):
        find(tmp_path / "a.jpg", Report())


def test_an_entry_opens_and_draws_its_picture(tmp_path) -> None:
    picture(tmp_path / "cat/1.png", "lime")
    (entry,) = find(tmp_path, Report())
    assert isinstance(entry, Entry)
    with entry.picture.open() as file:
        assert file.read() == (tmp_path / "cat/1.png").read_bytes()
    assert entry.picture.draw(4)[:, 0, 0].tolist() == [0, 255, 0]
    before = entry.picture.stamp()
    picture(tmp_path / "cat/1.png", "blue")
    assert entry.picture.stamp() != before
    (tmp_path / "cat/1.png").unlink()
    assert entry.picture.stamp() == "missing"
    with pytest.raises(PictureError, match="cannot be read"):
        entry.picture.draw(4)


def test_a_file_beyond_all_bounds_is_not_read(tmp_path) -> None:
    with (tmp_path / "vast.png").open("wb") as file:
        file.truncate(2**31)  # sparse
    with pytest.raises(PictureError, match="too large"):
        Where(tmp_path / "vast.png", "vast.png").draw(4)
