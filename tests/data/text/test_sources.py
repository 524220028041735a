"""Texts are found where people have them, and what cannot be used is named."""

import json

import numpy as np
import pytest
from PIL import Image

from sfumato.data.report import Report
from sfumato.data.text.sources import find_texts
from sfumato.data.text.survey import documents_of, survey
from sfumato.errors import DataError


def texts(corpus):
    return ["".join(document.read()) for document in corpus.documents(Report())]


def files(root, **contents):
    for name, content in contents.items():
        path = root / name.replace("__", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def test_a_file_is_one_document(tmp_path):
    files(tmp_path, a__txt="one\r\ntwo")
    assert texts(find_texts(tmp_path / "a.txt")) == ["one\r\ntwo"]


def test_lines_of_json_are_documents_of_their_own(tmp_path):
    lines = ['{"text": "one\\ntwo"}', "", '"three"', '{"caption": "four", "size": 3}']
    files(tmp_path, a__jsonl="\n".join(lines))
    assert texts(find_texts(tmp_path / "a.jsonl")) == ["one\ntwo", "three", "four"]


def test_a_folder_holds_all_text_files_below_it_in_order(tmp_path):
    files(tmp_path, b__txt="b", a__md="a", c__jsonl='{"text": "c"}', __hidden__txt="no", d__pdf="no")
    files(tmp_path / "deep", e__TXT="e")
    assert texts(find_texts(tmp_path)) == ["a", "b", "c", "e"]


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    for i, captions in enumerate(["a red cat\na cat", "a dog", "a tree"]):
        files(folder, **{f"{i}__txt": captions})
        Image.fromarray(np.full((8, 8, 3), 40 * i, np.uint8)).save(folder / f"{i}.png")
    return files(folder, README__md="about them")


def test_of_a_folder_of_pictures_the_captions_are_read(pictures):
    corpus = find_texts(pictures)
    assert sorted(texts(corpus)) == ["a cat", "a dog", "a red cat", "a tree"]
    assert texts(corpus) == texts(find_texts(pictures))
    assert len(texts(find_texts(pictures, "text"))) == 4  # the files themselves


def test_captions_do_not_follow_each_other_by_class(tmp_path):
    for kind in ("hat", "shoe"):
        (tmp_path / kind).mkdir()
        for i in range(10):
            Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / kind / f"{i}.png")
    firsts = ["hat" in text for text in texts(find_texts(tmp_path))]
    assert 10 < sum(firsts[:30]) < 20 and not all(firsts[:30])  # noqa: PT018


def test_the_stamp_changes_with_the_files(tmp_path):
    before = find_texts(files(tmp_path, a__txt="one")).stamp
    assert find_texts(tmp_path).stamp == before
    assert find_texts(files(tmp_path, a__txt="one more")).stamp != before


def test_broken_documents_are_set_aside_and_the_others_read(tmp_path):
    files(tmp_path, a__txt="good", b__txt=b"bad \0", c__txt=b"bad \xff", d__txt=" \n", e__jsonl='{"text": 3}\n[1\n"ok"')
    corpus = find_texts(tmp_path)
    found = survey(corpus)
    assert ["".join(each.read()) for each in documents_of(corpus, found)] == ["good", "ok"]
    reasons = {problem.where: problem.reason for problem in found.report}
    assert reasons.keys() == {"b.txt", "c.txt", "d.txt", "e.jsonl:1", "e.jsonl:2"}
    assert reasons["b.txt"].startswith("byte 4 is zero")
    assert reasons["c.txt"].startswith("not UTF-8 at byte 4")
    assert reasons["d.txt"] == "holds no text"
    assert "none under text, caption, prompt" in reasons["e.jsonl:1"]
    assert reasons["e.jsonl:2"].startswith("not a line of JSON in UTF-8")


def test_broken_documents_do_not_change_what_the_others_are(tmp_path):
    alone = survey(find_texts(files(tmp_path / "a", a__txt="good", c__txt="too")))
    beside = survey(find_texts(files(tmp_path / "b", a__txt="good", b__txt=b"bad \xff", c__txt="too")))
    assert (alone.fingerprint, alone.alphabet) == (beside.fingerprint, beside.alphabet)
    assert alone.fingerprint != survey(find_texts(files(tmp_path / "c", a__txt="goodtoo"))).fingerprint
    assert (alone.documents, alone.characters) == (2, 7)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", b"", r"a\.txt: holds no text"),
        ("a.txt", b" \r\n\t", r"a\.txt: holds no text"),
        ("a.txt", b"abc\0", r"a\.txt: byte 3 is zero"),
        ("a.jsonl", b"", r"a\.jsonl: holds no text to learn from"),
        ("a.jsonl", b'{"size": 3}', "1 set aside: no text"),
        ("a.jsonl", b'{"text": "\\ud800"}', "1 set aside: not a line of JSON"),  # half a character
    ],
)
def test_a_file_without_text_is_refused(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said):
        survey(find_texts(tmp_path / name))


def test_a_huge_line_of_json_is_set_aside_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("sfumato.data.text.sources.MAX_LINE", 100)
    lines = ["one", "x" * 1000, "two"]
    found = find_texts(files(tmp_path, a__jsonl="\n".join(map(json.dumps, lines))) / "a.jsonl")
    report = Report()
    assert ["".join(each.read()) for each in found.documents(report)] == ["one", "two"]
    assert [(problem.where, problem.reason) for problem in report] == [
        ("a.jsonl:2", "a line of more than 100 bytes"),
    ]


def test_where_there_is_nothing_it_is_said_what_was_looked_for(tmp_path):
    with pytest.raises(DataError, match=r"found no text: no \.txt, \.md, \.jsonl"):
        find_texts(tmp_path)
    with pytest.raises(DataError, match="no such file or folder"):
        find_texts(tmp_path / "nothing.txt")


def test_a_pipe_is_not_waited_for(tmp_path):
    import os

    files(tmp_path, a__txt="good")
    os.mkfifo(tmp_path / "b.txt")
    found = survey(find_texts(tmp_path))
    assert found.documents == 1
    assert [problem.reason for problem in found.report] == ["not a regular file"]
