"""Texts that a language model learned from are known again, and damaged files are refused."""

import numpy as np
import pytest

from sfumato.data.text.learned import FILE, Learned
from sfumato.errors import CheckpointError

TOKENS = np.array([5, 6, 0, 7, 0, 1, 2, 3, 4, 5, 6, 0, 8], np.uint16)  # three texts, one of them long, and a rest


def test_texts_are_known_that_ended_and_were_short_enough(tmp_path):
    learned = Learned.of(TOKENS, 0, longest=4)
    learned.save(tmp_path)
    for known in (learned, Learned.load(tmp_path)):
        assert [5, 6] in known
        assert [7] in known
        assert [1, 2, 3, 4, 5, 6] not in known
        assert [8] not in known
        assert [6, 5] not in known


def test_where_nothing_is_known_no_text_is(tmp_path):
    Learned.of(TOKENS, None, 4).save(tmp_path)
    assert not list(tmp_path.iterdir())
    assert [5, 6] not in Learned.load(tmp_path)


def test_of_one_text_that_has_no_end_nothing_is_known():
    assert not len(Learned.of(TOKENS, 9, longest=100).hashes)


@pytest.mark.parametrize("content", [b"", b"junk", b"\x93NUMPY" + bytes(100)])
def test_a_damaged_file_is_refused_and_runs_nothing(tmp_path, content):
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged"):
        Learned.load(tmp_path)


def test_other_numbers_than_hashes_are_refused(tmp_path):
    np.save(tmp_path / FILE, np.array(["text"], object), allow_pickle=True)
    with pytest.raises(CheckpointError, match="damaged"):
        Learned.load(tmp_path)
    np.save(tmp_path / FILE, np.zeros((2, 2)))
    with pytest.raises(CheckpointError, match="row of hashes"):
        Learned.load(tmp_path)
