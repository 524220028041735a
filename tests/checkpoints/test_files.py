"""Files are whole or not there, and what cannot be read is refused by name."""

import json
import resource
import struct

import pytest
import torch

from sfumato.checkpoints import files
from sfumato.checkpoints.tensors import read_tensors
from sfumato.errors import CheckpointError, StorageError


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "weights.safetensors"
    files.write_tensors(path, {"a": torch.ones(4)})
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(StorageError, match=r"weights\.safetensors: the disk is full"):
            files.write_tensors(path, {"a": torch.ones(4000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_folder_takes_its_place_only_when_it_is_complete(tmp_path):
    folder = tmp_path / "part"
    with files.whole_folder(folder) as temporary:
        (temporary / "a").write_text("first")

    def stop_halfway():
        with files.whole_folder(folder) as temporary:
            (temporary / "a").write_text("second")
            raise RuntimeError("halfway")

    with pytest.raises(RuntimeError, match="halfway"):
        stop_halfway()
    assert (folder / "a").read_text() == "first"
    with files.whole_folder(folder) as temporary:
        (temporary / "b").write_text("third")
    assert [path.name for path in folder.iterdir()] == ["b"]
    assert [path.name for path in tmp_path.iterdir()] == ["part"]


def test_a_folder_that_lies_elsewhere_is_replaced_there_and_its_link_stays(tmp_path):
    (tmp_path / "large disk" / "part").mkdir(parents=True)
    (tmp_path / "run").mkdir()
    link = tmp_path / "run" / "part"
    link.symlink_to(tmp_path / "large disk" / "part")
    for content in ("first", "second"):
        with files.whole_folder(link) as temporary:
            (temporary / "a").write_text(content)
        assert (tmp_path / "large disk" / "part" / "a").read_text() == content
    assert link.is_symlink()
    assert [path.name for place in ("run", "large disk") for path in (tmp_path / place).iterdir()] == ["part", "part"]


def test_weights_are_as_readable_as_any_file_of_their_user(tmp_path):
    (tmp_path / "plain").touch()
    files.write_tensors(tmp_path / "weights", {"a": torch.ones(2)})
    assert (tmp_path / "weights").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_equal_tensors_give_equal_bytes_in_any_order(tmp_path):
    a, b = torch.randn(3), torch.randn(2, 2)
    files.write_tensors(tmp_path / "1", {"a": a, "b": b})
    files.write_tensors(tmp_path / "2", {"b": b.clone(), "a": a.clone()})
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


HUGE = struct.pack("<Q", 2**62) + b"{}"
LYING = (lambda header: struct.pack("<Q", len(header)) + header)(
    json.dumps({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode()
)


@pytest.mark.parametrize("content", [b"", b"1234", HUGE, LYING, b"\x80\x04\x95pickle"], ids=range(5))
def test_what_is_no_safetensors_file_is_refused_by_name(tmp_path, content):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"bad\.safetensors"):
        read_tensors(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[1]",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 500 + b"1" + b"}" * 500,
        b'{"a": 1' + b"0" * 400 + b"}",
    ],
    ids=range(7),
)
def test_what_is_no_json_object_is_refused_by_name(tmp_path, content):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        files.read_json(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"config\.json is missing"):
        files.read_json(tmp_path / "config.json")
    with pytest.raises(CheckpointError, match=r"w\.safetensors is missing"):
        read_tensors(tmp_path / "w.safetensors")
