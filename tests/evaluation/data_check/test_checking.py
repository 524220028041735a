"""A data set is checked as a whole: the page, the list, the cleaned copy."""

import io
import json
import sys
import tarfile
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from sfumato.cli.main import main
from sfumato.data.pictures import to_image
from sfumato.data.report import Report
from sfumato.data.scenes.compose import compose
from sfumato.data.scenes.sprites import shapes
from sfumato.data.scenes.stream import Scenes
from sfumato.data.sources import find
from sfumato.errors import CheckpointError, DataError
from sfumato.evaluation.data_check.checking import check
from sfumato.evaluation.data_check.findings import KINDS, Finding, worst_first
from sfumato.evaluation.data_check.page import page

EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>$name {0}"


class Reader(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text.append(data)

    def all(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Twelve good pictures, and one of each fault."""
    folder = tmp_path_factory.mktemp("photos")
    stream = Scenes(shapes(), 3)
    pictures = [to_image(p) for p in compose([stream.scene(n) for n in range(12)], shapes(), 96)]
    captions = {f"{n:02}": f"a quiet scene, number {word}" for n, word in enumerate("abcdefghijkl")}
    for name, picture in zip(captions, pictures, strict=True):
        picture.save(folder / f"{name}.png")
    captions["00"] = "a cafÃ© in MÃ¼nchen"
    captions["01"] = "IMG_2031\na real caption besides"
    captions["02"] = EVIL
    for name, picture, caption in (
        ("copy", pictures[3], "the same again"),
        ("empty", Image.new("RGB", (90, 90), "white"), "nothing at all"),
        ("small", pictures[4].crop((20, 20, 60, 60)), "too small"),
        ("nameless", pictures[5].rotate(90), "DSC00012.JPG"),
    ):
        picture.save(folder / f"{name}.png")
        captions[name] = caption
    (folder / "broken.png").write_bytes(b"no picture")
    captions["broken"] = "broken"
    for name, caption in captions.items():
        (folder / f"{name}.txt").write_text(caption, encoding="utf-8")
    pictures[6].rotate(180).save(folder / "silent.png")  # without a caption
    return folder


@pytest.fixture(scope="module")
def checked(photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    return check(str(photos), out / "page", out / "clean", quiet=True, workers=2)


def test_every_fault_is_found_and_nothing_else(checked):
    found = {(one.where, one.kind) for one in checked.findings}
    assert found == {
        ("00.png", "encoding"),
        ("01.png", "boilerplate"),
        ("02.png", "encoding"),
        ("copy.png", "duplicate"),
        ("empty.png", "plain"),
        ("small.png", "tiny"),
        ("nameless.png", "boilerplate"),
        ("broken.png", "unusable"),
        ("silent.png", "unusable"),
    }
    assert all(0 <= one.score <= 1 and one.reason for one in checked.findings)


def test_the_list_holds_all_findings_the_worst_first(checked):
    lines = [json.loads(line) for line in (checked.folder / "findings.jsonl").read_text().splitlines()]
    assert len(lines) == len(checked.findings)
    assert [KINDS[line["kind"]].rejects is None for line in lines] == sorted(
        KINDS[line["kind"]].rejects is None for line in lines
    )
    copy = next(line for line in lines if line["kind"] == "duplicate")
    assert (copy["where"], copy["other"]) == ("copy.png", "03.png")
    assert next(line["repaired"] for line in lines if line["where"] == "00.png") == "a café in München"


def test_the_page_asks_nothing_of_the_world_and_runs_nothing(checked):
    text = (checked.folder / "report.html").read_text(encoding="utf-8")
    read = Reader(text)
    assert not {"script", "link", "iframe", "object", "form", "base"} & {tag for tag, _ in read.tags}
    assert not any(name.startswith("on") for _, attributes in read.tags for name in attributes)
    assert all(image["src"].startswith("data:image/png;base64,") and image["alt"] for image in read.all("img"))
    assert EVIL in "".join(read.text)
    (policy,) = (meta["content"] for meta in read.all("meta") if "http-equiv" in meta)
    assert policy.startswith("default-src 'none'")


def test_the_page_filters_by_kind_and_says_what_was_not_checked(checked):
    text = (checked.folder / "report.html").read_text(encoding="utf-8")
    read = Reader(text)
    buttons = [one["id"] for one in read.all("input")]
    assert buttons == ["only-all", *(f"only-{k}" for k in ("duplicate", "plain", "tiny", "boilerplate", "encoding"))]
    assert len(read.all("legend")) == 1
    assert "body:has(#only-tiny:checked) .found > li:not(.is-tiny)" in text
    assert "not checked: no model was named" in text
    assert len(read.all("h1")) == 1


def test_the_cleaned_data_are_read_as_data(checked, photos, tmp_path_factory):
    clean = checked.folder.parent / "clean"
    report = Report()
    entries = find(clean, report)
    assert len(report) == 0
    assert len(entries) == checked.kept == 12
    assert checked.left_out == 5
    captions = [entry.captions for entry in entries]
    assert ("a café in München",) in captions
    assert ("a real caption besides",) in captions
    assert all(entry.picture.draw(8).shape == (3, 8, 8) for entry in entries)
    left = {line["where"]: line for line in map(json.loads, (clean / "rejected.jsonl").read_text().splitlines())}
    assert set(left) == {f"{n}.png" for n in ("01", "copy", "empty", "small", "nameless", "broken", "silent")}
    assert left["01.png"]["picture_kept"]
    assert not left["copy.png"]["picture_kept"]
    assert left["nameless.png"]["reasons"][0]["caption"] == "DSC00012.JPG"


def test_the_cleaned_data_are_found_clean(checked, tmp_path):
    clean = checked.folder.parent / "clean"
    again = check(str(clean), tmp_path / "page", quiet=True, workers=1)
    assert {one.kind for one in again.findings} <= {"encoding"}


def test_originals_stay_as_they_are_and_nothing_is_overwritten(checked, photos, tmp_path):
    before = {path.name: path.read_bytes() for path in photos.iterdir()}
    clean = checked.folder.parent / "clean"
    with pytest.raises(DataError, match="is there already"):
        check(str(photos), tmp_path / "page", clean, quiet=True)
    with pytest.raises(DataError, match="lies within"):
        check(str(photos), tmp_path / "page", photos / "clean", quiet=True)
    assert {path.name: path.read_bytes() for path in photos.iterdir()} == before


def test_the_page_is_not_lost_among_cleaned_data(photos, tmp_path):
    for page_folder in (tmp_path / "clean", tmp_path / "clean" / "page"):
        with pytest.raises(DataError, match="takes cleaned data alone"):
            check(str(photos), out=page_folder, fix=tmp_path / "clean", quiet=True)
    assert not (tmp_path / "clean").exists()


def test_kinds_that_are_kept_leave_nothing_out(photos, tmp_path):
    kept = check(str(photos), tmp_path / "page", tmp_path / "clean", keep=("tiny", "plain"), shown=0, quiet=True)
    names = "".join(path.name for path in (tmp_path / "clean" / "pictures").iterdir())
    assert kept.kept == 14
    assert "small" in names
    assert "empty" in names


def test_a_tar_is_checked_and_its_pictures_are_copied(tmp_path):
    content = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (70, 70, 3)).astype(np.uint8)
    Image.fromarray(noise).save(content, format="PNG")
    with tarfile.open(tmp_path / "some.tar", "w") as tar:
        for name, data in (
            ("one.png", content.getvalue()),
            ("one.txt", b"noise"),
            ("two.png", b"x"),
            ("two.txt", b"y"),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    done = check(str(tmp_path / "some.tar"), tmp_path / "page", tmp_path / "clean", quiet=True)
    assert [(one.where, one.kind) for one in done.findings] == [("some.tar/two.png", "unusable")]
    (picture,) = (tmp_path / "clean" / "pictures").iterdir()
    assert picture.read_bytes() == content.getvalue()


def test_what_holds_nothing_to_check_is_refused(photos, tmp_path):
    with pytest.raises(DataError, match="composed"):
        check("scenes", quiet=True)
    with pytest.raises(DataError, match="no such folder"):
        check(str(tmp_path / "none"), quiet=True)
    with pytest.raises(CheckpointError, match="There are no features"):
        check(str(photos), tmp_path / "page", model=str(tmp_path / "none"), quiet=True)
    (tmp_path / "halves").mkdir()
    done = check(str(photos), tmp_path / "page", model=str(tmp_path / "halves"), shown=1, quiet=True)
    assert done.judgement is None
    assert "no image encoder" in (done.folder / "report.html").read_text()


def test_digits_whose_names_are_exchanged_are_found_by_the_embedded_model(tmp_path):
    from sfumato.data.digits import digits

    entries = digits("test")[:150]
    rows = []
    (tmp_path / "data").mkdir()
    for number, entry in enumerate(entries):
        picture = Image.fromarray(entry.picture.draw(64).transpose(1, 2, 0))
        picture.save(tmp_path / "data" / f"{number}.png")
        told = entries[number - 7] if number % 4 == 0 else entry
        rows.append({"file_name": f"{number}.png", "text": f"a handwritten {told.label}", "label": told.label})
    (tmp_path / "data" / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    wrong = {f"{n}.png" for n in range(0, 150, 4) if entries[n - 7].label != entries[n].label}
    done = check(
        str(tmp_path / "data"), tmp_path / "page", model="digits", altered=4, shown=5, device="cpu", quiet=True
    )
    named = {one.where for one in done.findings if one.kind == "lie"}
    assert len(wrong & named) >= 0.8 * len(wrong)
    assert len(named - wrong) <= 0.05 * 150
    assert "lies made for trial" in (done.folder / "report.html").read_text()


def test_all_that_a_page_shows_is_escaped():
    from sfumato.data.digits import digits

    entry = digits()[0]
    evil = [Finding(EVIL, "lie", 0.5, EVIL, 0, EVIL, EVIL), Finding(EVIL, "unusable", 1.0, EVIL)]
    read = Reader(page(EVIL, [EVIL], [EVIL], worst_first(evil), [entry], 5))
    assert not read.all("script")
    assert len(read.all("img")) == 1
    assert "".join(read.text).count("alert(1)") >= 8


def test_the_command_tells_what_it_found(photos, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["sfumato", "data", "check", str(photos), "--shown", "1", "-q"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 0
    told = capsys.readouterr().out.splitlines()
    assert "       2  unusable" in told
    assert told[-1] == f"{photos.name}-check/report.html"
    monkeypatch.setattr(sys, "argv", ["sfumato", "data", "check", str(photos), "--keep", "ugly"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 1
    assert "--keep takes unusable, lie" in capsys.readouterr().err
