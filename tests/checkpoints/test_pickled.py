"""Plain checkpoints are read without running anything, or refused with the way to convert them."""

import io
import pickle
import struct
import time
import zipfile

import pytest
import torch

from sfumato.checkpoints.pickled import Pickled, unpickled
from sfumato.checkpoints.tensors import Entry
from sfumato.errors import CheckpointError


class Evil:
    """Touches a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_weights_are_read_plain_or_beside_what_training_left(tmp_path):
    weights = {"a": torch.randn(2, 3), "t": torch.randn(2, 3).T, "n": torch.tensor(3)}
    for name, content in {"plain": weights, "wrapped": {"state_dict": weights, "global_step": 7}}.items():
        torch.save(content, tmp_path / f"{name}.ckpt")
        source = Pickled(tmp_path / f"{name}.ckpt")
        assert source.entries["t"] == Entry(torch.float32, (3, 2))
        for key, tensor in weights.items():
            assert torch.equal(source.get(key), tensor)
            assert source.get(key).is_contiguous()


@pytest.mark.parametrize("old", [False, True])
def test_nothing_is_executed(tmp_path, old):
    path, mark = tmp_path / "evil.ckpt", tmp_path / "mark"
    torch.save({"a": torch.ones(2), "b": Evil(mark)}, path, _use_new_zipfile_serialization=not old)
    with pytest.raises(CheckpointError, match="If you trust where it is from, convert it") as caught:
        Pickled(path)
    assert str(path) in str(caught.value)
    assert not mark.exists()


def test_a_bare_pickle_is_not_opened(tmp_path):
    path, mark = tmp_path / "evil.bin", tmp_path / "mark"
    path.write_bytes(pickle.dumps(Evil(mark)))
    with pytest.raises(CheckpointError, match=r"not of PyTorch 1\.6"):
        Pickled(path)
    assert not mark.exists()


def rezipped(path, compression=zipfile.ZIP_STORED, change=lambda name, content: content):
    """The same archive, written again with other content or compression."""
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in contents.items():
            archive.writestr(name, change(name, content))


def test_a_compressed_archive_is_not_unpacked(tmp_path):
    torch.save({"a": torch.zeros(10**6)}, tmp_path / "bomb.ckpt")
    rezipped(tmp_path / "bomb.ckpt", zipfile.ZIP_DEFLATED)
    assert (tmp_path / "bomb.ckpt").stat().st_size < 10**5
    with pytest.raises(CheckpointError, match=r"not as torch\.save writes it"):
        Pickled(tmp_path / "bomb.ckpt")


HIDDEN = b"\x80\x02}X\x01\x00\x00\x00acbuiltins\nbytearray\nJ\x00\x00\x00\x7f\x85Rs."  # {"a": bytearray(2 GiB)}
SHOWN = b"\x80\x02}X\x01\x00\x00\x00aK\x01s."  # {"a": 1}


def test_a_second_pickle_in_capitals_which_pytorch_would_read_is_refused(tmp_path):
    path = tmp_path / "capitals.ckpt"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {"data.pkl": SHOWN, "version": "3\n", "DATA.PKL": HIDDEN}.items():
            archive.writestr(f"archive/{name}", content)
    with pytest.raises(CheckpointError, match=r"not as torch\.save writes it"):
        unpickled(path)


def test_an_archive_with_one_directory_for_python_and_another_for_pytorch_is_refused(tmp_path):
    """Python takes the directory before the file's end, PyTorch that which the file's end names."""

    def archive(content):
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as file:
            for name, value in {"data.pkl": content, "version": "3\n"}.items():
                file.writestr(f"archive/{name}", value)
        whole = made.getvalue()
        length, start = struct.unpack("<LL", whole[-10:-2])
        return whole[:start], whole[start : start + length], whole[-22:]

    hidden, shown = archive(HIDDEN), archive(SHOWN)
    behind = len(hidden[0]) - len(shown[0])  # Python adds the distance between the two directories to every place
    records = bytearray(shown[1])
    for record in (0, records.index(b"PK\1\2", 1)):
        (place,) = struct.unpack_from("<L", records, record + 42)
        struct.pack_into("<L", records, record + 42, place + behind)
    end = shown[2][:16] + struct.pack("<L", len(hidden[0])) + shown[2][20:]
    path = tmp_path / "two.ckpt"
    path.write_bytes(b"".join((*hidden[:2], shown[0], records, end)))
    with zipfile.ZipFile(path) as file:
        assert file.read("archive/data.pkl") == SHOWN
    with pytest.raises(CheckpointError, match=r"not as torch\.save writes it"):
        unpickled(path)


def test_tensors_larger_than_their_file_are_refused(tmp_path):
    torch.save({"a": torch.ones(1).expand(10**9)}, tmp_path / "wide.ckpt")
    with pytest.raises(CheckpointError, match="larger than the file"):
        Pickled(tmp_path / "wide.ckpt")


def test_a_storage_that_claims_more_than_it_holds_is_refused(tmp_path):
    torch.save({"a": torch.ones(1000)}, tmp_path / "lying.ckpt")
    large = (10**9).to_bytes(4, "little")

    def lie(name, content):
        wrong = content.replace(b"M\xe8\x03", b"J" + large)  # both the storage's size and the shape
        return wrong if name.endswith("data.pkl") else content

    rezipped(tmp_path / "lying.ckpt", change=lie)
    with pytest.raises(CheckpointError):
        Pickled(tmp_path / "lying.ckpt")


def test_a_key_that_takes_for_ever_to_look_up_is_refused_at_once(tmp_path):
    """Pairs of pairs of pairs: few bytes, 2^60 steps to hash, in whatever way the pickle repeats them."""
    for again in (b"2", b"q\x01h\x01"):  # DUP, or BINPUT and BINGET
        path = tmp_path / "pairs.ckpt"
        torch.save({"a": torch.ones(1)}, path)
        pairs = b"\x80\x02})" + (again + b"\x86") * 60 + b"K\x01s."
        rezipped(path, change=lambda name, content, pairs=pairs: pairs if name.endswith("data.pkl") else content)
        began = time.perf_counter()
        with pytest.raises(CheckpointError, match="so often in another"):
            Pickled(path)
        assert time.perf_counter() - began < 1


@pytest.mark.parametrize(
    "content",
    [
        [torch.ones(1)],
        {},
        {"a": 1},
        {1: torch.ones(1)},
        {"a": torch.ones(2, 2).to_sparse()},
        {"a": torch.ones(2, device="meta")},
        {"a": torch.ones(2, dtype=torch.complex64)},
    ],
    ids=range(7),
)
def test_what_is_no_table_of_plain_tensors_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "odd.ckpt")
    with pytest.raises(CheckpointError, match=r"odd\.ckpt"):
        Pickled(tmp_path / "odd.ckpt")


def test_cut_files_are_refused(tmp_path):
    buffer = io.BytesIO()
    torch.save({"a": torch.ones(100)}, buffer)
    for length in range(0, len(buffer.getvalue()), 37):
        (tmp_path / "cut.ckpt").write_bytes(buffer.getvalue()[:length])
        with pytest.raises(CheckpointError, match=r"cut\.ckpt"):
            Pickled(tmp_path / "cut.ckpt")
    with pytest.raises(CheckpointError, match="missing"):
        Pickled(tmp_path / "absent.ckpt")
