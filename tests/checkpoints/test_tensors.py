"""Headers and indices are looked at before anything is read, and what does not fit is refused naming file and key."""

import json
import os
import struct

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from sfumato.checkpoints import tensors
from sfumato.checkpoints.files import read_json
from sfumato.checkpoints.pickled import Pickled
from sfumato.checkpoints.tensors import DTYPES, Entry, Safetensors, Sharded, read_tensors
from sfumato.errors import CheckpointError


def lay(path, header, data=b""):
    """A safetensors file with any header, given as bytes or as what is written in JSON."""
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
    return path


def told(shape, begin, end, dtype="F32", **more):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end], **more}


def test_names_shapes_and_types_are_known_without_reading(tmp_path):
    weights = {"b": torch.randn(2, 3), "a": torch.arange(4), "c": torch.randn(3).bfloat16()}
    save_file(weights, tmp_path / "w.safetensors", metadata={"format": "pt"})
    source = Safetensors(tmp_path / "w.safetensors")
    assert source.entries["b"] == Entry(torch.float32, (2, 3))
    assert dict(source.entries) == {name: Entry(w.dtype, tuple(w.shape)) for name, w in weights.items()}
    assert all(torch.equal(source.get(name), w) for name, w in weights.items())
    assert source.metadata == {"format": "pt"}


@pytest.mark.parametrize(("word", "dtype"), DTYPES.items())
def test_every_known_type_is_read_as_safetensors_reads_it(tmp_path, word, dtype):
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.arange(6).to(dtype).reshape(2, 3)}, path)
    with safe_open(path, framework="pt") as file:
        assert file.get_slice("a").get_dtype() == word
        assert torch.equal(Safetensors(path).get("a").double(), file.get_tensor("a").double())


def test_numbers_at_odd_places_are_read(tmp_path):
    data = b"\1" + torch.arange(4.0).numpy().tobytes()
    path = lay(tmp_path / "w.safetensors", {"a": told([1], 0, 1, "U8"), "b": told([4], 1, 17)}, data)
    assert Safetensors(path).get("b").tolist() == [0, 1, 2, 3]
    assert Safetensors(path).get("b").data_ptr() % 4 == 0


ONE = b'"dtype":"F32","shape":[4],"data_offsets":[0,16]'


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (b'{"a":{' + ONE + b'},"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}', "'a' stands twice"),
        (b'{"a":{"dtype":"F32","shape":[4],"shape":[2,2],"data_offsets":[0,16]}}', "'shape' stands twice"),
        ({"a": told([4], 0, 16), "b": told([4], 0, 16)}, "offset"),
        ({"a": told([1], 0, 4), "b": told([1], 12, 16)}, "offset"),
        ({"a": told([3], 0, 12)}, "not fully covered"),
        ({"a": told([5], 0, 20)}, "incomplete|cover"),
        ({"a": told([2, 3], 0, 16)}, "a"),
        ({"a": told([-4], 0, 16)}, "-4"),
        ({"a": told([4.0], 0, 16)}, "4.0"),
        ({"a": told([2**33, 2**33], 0, 16)}, "overflow"),
        ({"a": told([4], 0, 16), "b": told([0, 2**63], 16, 16)}, "b has the shape"),
        ({"a": told([4], 0, 16), "b": told([0] * 100, 16, 16)}, "b has the shape"),
        ({"a": told([4], 0, 16, "F99")}, "F99"),
        ({"a": told([2], 0, 16, "C64")}, "a is of the type C64"),
        ({"a": told([32], 0, 16, "F4")}, "a is of the type F4"),
        ({"a" * 5000: told([4], 0, 16)}, "longer than that of any tensor"),
        ({"a": [4]}, "header"),
        ({"__metadata__": {"a": 1}, "a": told([4], 0, 16)}, "header"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "header"),
        (b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,1e999]}}', "no finite number"),
        (b"[1]", "JSON object"),
        (b'{"\xff":{}}', "header"),
    ],
    ids=range(22),
)
def test_a_header_that_does_not_fit_is_refused_naming_the_file(tmp_path, header, said):
    path = lay(tmp_path / "bad.safetensors", header, bytes(16))
    with pytest.raises(CheckpointError, match=said) as caught:
        Safetensors(path)
    assert "bad.safetensors" in str(caught.value)


def test_a_header_larger_than_any_models_is_not_read(tmp_path, monkeypatch):
    path = lay(tmp_path / "bad.safetensors", b" " * (tensors.LARGEST_HEADER + 1))
    monkeypatch.setattr(tensors, "parse_json", None)
    with pytest.raises(CheckpointError, match=r"bad\.safetensors has a header of 8388609 bytes"):
        Safetensors(path)


def test_every_cut_and_every_change_of_a_length_is_refused(tmp_path):
    whole = tmp_path / "whole.safetensors"
    save_file({"a": torch.ones(2), "b": torch.ones(3)}, whole)
    content, path = whole.read_bytes(), tmp_path / "cut.safetensors"
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError):
            Safetensors(path)
    for bit in range(64):
        path.write_bytes(struct.pack("<Q", struct.unpack("<Q", content[:8])[0] ^ (1 << bit)) + content[8:])
        with pytest.raises(CheckpointError):
            Safetensors(path)


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zeros").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("absent", "pipe", "zeros", "loop", "."):
        for read in (read_tensors, read_json, Pickled, Sharded):
            with pytest.raises(CheckpointError, match="is missing"):
                read(tmp_path / name)


def test_whatever_safetensors_refuses_is_refused_and_what_is_read_is_equal(tmp_path):
    """A thousand changes of single bytes: the two readers agree, or ours is the stricter."""
    whole, path = tmp_path / "whole.safetensors", tmp_path / "changed.safetensors"
    save_file({"a": torch.ones(2, 3), "b": torch.arange(5)}, whole)
    content, read = whole.read_bytes(), 0
    for place in range(len(content)):
        for change in (1, 0x20, 0x80):
            path.write_bytes(content[:place] + bytes([content[place] ^ change]) + content[place + 1 :])
            try:
                ours = read_tensors(path)
            except CheckpointError:
                continue
            with safe_open(path, framework="pt") as file:
                assert set(ours) == set(file.keys())
                for name, tensor in ours.items():
                    assert tensor.numpy().tobytes() == file.get_tensor(name).numpy().tobytes()
            read += 1
    assert read > len(content) / 4
    with pytest.raises(SafetensorError):
        safe_open(lay(path, {"a": told([4], 0, 16)}), framework="pt")


@pytest.fixture
def sharded(tmp_path):
    """Two files and their index, in a folder of their own."""
    folder = tmp_path / "part"
    folder.mkdir()
    save_file({"a": torch.ones(2)}, folder / "m-00001-of-00002.safetensors")
    save_file({"b": torch.zeros(3), "c": torch.ones(1)}, folder / "m-00002-of-00002.safetensors")
    path = folder / "m.safetensors.index.json"
    names = {"a": "m-00001-of-00002.safetensors"} | dict.fromkeys("bc", "m-00002-of-00002.safetensors")
    path.write_text(json.dumps({"metadata": {"total_size": 24}, "weight_map": names}))
    return path


def map_to(path, **names):
    index = json.loads(path.read_text())
    index["weight_map"] |= names
    path.write_text(json.dumps(index))


def test_shards_are_read_as_one(sharded):
    source = Sharded(sharded)
    assert list(source.entries) == ["a", "b", "c"]
    assert source.entries["b"] == Entry(torch.float32, (3,))
    assert source.get("c").tolist() == [1.0]


@pytest.mark.parametrize(
    "name",
    ["../out.safetensors", "/tmp/out.safetensors", "x/../y.safetensors", "..", "", "a\\b", "a\0b", "x" * 9000, "."],
)
def test_an_index_names_files_beside_it_alone(sharded, name):
    save_file({"d": torch.ones(1)}, sharded.parent.parent / "out.safetensors")
    map_to(sharded, d=name)
    with pytest.raises(CheckpointError, match=r"m\.safetensors\.index\.json"):
        Sharded(sharded)


def test_an_index_that_does_not_fit_its_files_is_refused_naming_the_keys(sharded):
    map_to(sharded, d="m-00001-of-00002.safetensors")
    with pytest.raises(CheckpointError, match=r"missing d\.$"):
        Sharded(sharded)
    map_to(sharded, d="m-00003-of-00002.safetensors")
    with pytest.raises(CheckpointError, match=r"m-00003-of-00002\.safetensors is missing"):
        Sharded(sharded)


def test_a_shard_with_more_than_the_index_says_is_refused(sharded):
    index = json.loads(sharded.read_text())
    del index["weight_map"]["c"]
    sharded.write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="not expected c in m-00002-of-00002"):
        Sharded(sharded)


@pytest.mark.parametrize("index", [{}, {"weight_map": []}, {"weight_map": {}}, {"weight_map": {"a": 1}}])
def test_an_index_without_files_is_refused(sharded, index):
    sharded.write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="weight_map"):
        Sharded(sharded)


def test_a_link_out_of_the_folder_is_not_followed(sharded, tmp_path):
    shard = sharded.parent / "m-00001-of-00002.safetensors"
    shard.rename(tmp_path / "elsewhere.safetensors")
    shard.symlink_to(tmp_path / "elsewhere.safetensors")
    with pytest.raises(CheckpointError, match="is a link to"):
        Sharded(sharded)
    shard.unlink()
    shard.symlink_to(shard)
    with pytest.raises(CheckpointError, match=r"is missing"):
        Sharded(sharded)


def test_links_to_the_blobs_of_a_hub_cache_are_followed(sharded, tmp_path):
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "abc"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    for number, path in enumerate(sorted(sharded.parent.iterdir())):
        path.rename(blobs / str(number))
        (snapshot / path.name).symlink_to(f"../../blobs/{number}")
    assert list(Sharded(snapshot / sharded.name).entries) == ["a", "b", "c"]
