"""Pictures are decoded once, nothing is lost or half-made, and batches are what the pictures are."""

import io
import json
import os
import shutil
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from sfumato.data import store as store_module
from sfumato.data.digits import digits
from sfumato.data.pictures import fit, open_picture, to_tensor
from sfumato.data.store import Store, prepare
from sfumato.errors import DataError, StorageError


@pytest.fixture
def folder(tmp_path):
    source = tmp_path / "clothes"
    rng = np.random.default_rng(0)
    for name in ("dress/1.png", "dress/2.jpg", "ankle_boot/3.png", "ankle_boot/4.webp", "hat/5.png"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), np.uint8)).save(source / name)
    return source


def contents(cache) -> list[str]:
    return sorted(path.name for path in cache.iterdir()) if cache.exists() else []


def test_pictures_captions_labels_and_names_are_kept_in_order(folder, tmp_path) -> None:
    store = prepare(folder, 16, tmp_path / "cache")
    assert store.names == ["ankle_boot/3.png", "ankle_boot/4.webp", "dress/1.png", "dress/2.jpg", "hat/5.png"]
    assert store.labels == ["ankle_boot", "ankle_boot", "dress", "dress", "hat"]
    assert store.captions[0][1] == "a photo of an ankle boot"
    assert (len(store), store.size, store.pictures.shape, store.pictures.dtype) == (5, 16, (5, 3, 16, 16), np.uint8)
    for index, name in enumerate(store.names):
        assert np.array_equal(store.pictures[index], fit(open_picture(folder / name), 16))
    assert len(store.report) == 0


@pytest.mark.parametrize("workers", [1, 3])
def test_the_number_of_workers_changes_nothing(folder, tmp_path, workers) -> None:
    one = prepare(folder, 16, tmp_path / "one", workers=workers)
    default = prepare(folder, 16, tmp_path / "default")
    assert one.fingerprint == default.fingerprint
    assert np.array_equal(one.pictures, default.pictures)


def test_a_second_call_decodes_nothing(folder, tmp_path, monkeypatch) -> None:
    first = prepare(folder, 16, tmp_path / "cache")
    monkeypatch.setattr(store_module, "_write", None)
    again = prepare(str(folder), 16, tmp_path / "cache")
    assert (again.fingerprint, again.names) == (first.fingerprint, first.names)


def test_changed_pictures_and_captions_are_noticed(folder, tmp_path) -> None:
    seen = {prepare(folder, 16, tmp_path / "cache").fingerprint}
    Image.new("RGB", (9, 9)).save(folder / "hat/5.png")
    seen.add(prepare(folder, 16, tmp_path / "cache").fingerprint)
    (folder / "hat/5.txt").write_text("a top hat")
    seen.add(prepare(folder, 16, tmp_path / "cache").fingerprint)
    seen.add(prepare(folder, 8, tmp_path / "cache").fingerprint)
    assert len(seen) == 4


def test_the_fingerprint_depends_on_content_alone(folder, tmp_path) -> None:
    first = prepare(folder, 16, tmp_path / "cache").fingerprint
    moved = shutil.copytree(folder, tmp_path / "elsewhere", copy_function=shutil.copyfile)
    os.utime(moved / "hat/5.png", (1, 1))
    assert prepare(moved, 16, tmp_path / "cache").fingerprint == first


def test_broken_pictures_are_reported_and_never_stop_the_run(folder, tmp_path) -> None:
    (folder / "dress/0.png").write_bytes(b"")
    (folder / "dress/3.png").write_bytes(b"nonsense")
    (folder / "dress/4.jpg").write_bytes((folder / "dress/2.jpg").read_bytes()[:800])
    (folder / "lonely.png").write_bytes((folder / "dress/1.png").read_bytes())
    store = prepare(folder, 16, tmp_path / "cache")
    assert len(store) == 5
    assert [(p.where, p.kind) for p in store.report] == [
        ("lonely.png", "no caption"),
        ("dress/0.png", "empty file"),
        ("dress/3.png", "not a picture, or broken at its beginning"),
        ("dress/4.jpg", "broken or truncated"),
    ]
    again = prepare(folder, 16, tmp_path / "cache")
    assert list(again.report) == list(store.report)


def test_nothing_usable_is_an_error_and_leaves_nothing(tmp_path) -> None:
    (tmp_path / "data/cat").mkdir(parents=True)
    (tmp_path / "data/cat/1.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"none of 1 pictures.*empty file \(cat/1\.png\)"):
        prepare(tmp_path / "data", 16, tmp_path / "cache")
    assert contents(tmp_path / "cache") == []


def test_the_digits_come_by_name_and_split(tmp_path) -> None:
    store = prepare("digits", 16, tmp_path, split="test")
    entries = digits("test")
    assert store.names == [entry.picture.name for entry in entries]
    assert np.array_equal(store.pictures[7], entries[7].picture.draw(16))
    assert store.captions[7] == entries[7].captions


def test_a_split_is_a_sub_folder_or_the_start_of_a_shards_name(folder, tmp_path) -> None:
    (tmp_path / "whole").mkdir()
    folder.rename(tmp_path / "whole/train")
    with tarfile.open(tmp_path / "whole/test-000.tar", "w") as tar:
        for name, content in (("1.png", (tmp_path / "whole/train/hat/5.png").read_bytes()), ("1.txt", b"a hat")):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    lengths = {
        split: len(prepare(tmp_path / "whole", 8, tmp_path / "cache", split=split)) for split in ("train", "test")
    }
    assert lengths == {"train": 5, "test": 1}
    with pytest.raises(DataError, match=r"no split 'dev'; there are test-000\.tar, train"):
        prepare(tmp_path / "whole", 8, tmp_path / "cache", split="dev")


def test_progress_counts_to_the_end(folder, tmp_path) -> None:
    calls = []
    prepare(folder, 16, tmp_path / "cache", progress=lambda done, total: calls.append((done, total)))
    assert calls == [(done, 5) for done in range(1, 6)]


def test_an_interrupted_run_leaves_nothing(folder, tmp_path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(folder, 16, tmp_path / "cache", progress=interrupt)
    assert contents(tmp_path / "cache") == []


def test_what_a_killed_process_left_is_cleared_when_it_is_old(folder, tmp_path) -> None:
    for name in (".old.1.unfinished", ".live.2.unfinished"):
        (tmp_path / "cache" / name).mkdir(parents=True)
        (tmp_path / "cache" / name / "pictures.u8").write_bytes(b"half")
    for path in (tmp_path / "cache/.old.1.unfinished/pictures.u8", tmp_path / "cache/.old.1.unfinished"):
        os.utime(path, (1, 1))
    prepare(folder, 16, tmp_path / "cache")
    assert [name for name in contents(tmp_path / "cache") if name.startswith(".")] == [".live.2.unfinished"]


def test_a_full_disk_is_a_storage_error_and_leaves_nothing(folder, tmp_path) -> None:
    resource = pytest.importorskip("resource")
    import signal  # only where resource limits exist

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # writes beyond fail as on a full disk
    try:
        with pytest.raises(StorageError, match="cannot be written: File too large"):
            prepare(folder, 16, tmp_path / "cache")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert contents(tmp_path / "cache") == []


def test_too_little_space_is_refused_before_any_work(folder, tmp_path) -> None:
    with pytest.raises(StorageError, match="the disk is too full"):
        prepare(folder, 10_000_000, tmp_path / "cache")


def test_a_cache_that_cannot_be_made_is_a_storage_error(folder, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        prepare(folder, 16, tmp_path / "file" / "cache")


@pytest.mark.parametrize("name", ["pictures.u8", "entries.jsonl", "store.json", "problems.jsonl"])
@pytest.mark.parametrize("damage", ["delete", "cut", "garbage"])
def test_a_damaged_store_is_made_again(folder, tmp_path, name, damage) -> None:
    first = prepare(folder, 16, tmp_path / "cache")
    pictures = first.pictures.copy()
    (made,) = (tmp_path / "cache").iterdir()
    path = made / name
    if damage == "delete":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-7] if damage == "cut" else b"\xff\x00 garbage")
    again = prepare(folder, 16, tmp_path / "cache")
    assert again.fingerprint == first.fingerprint
    assert np.array_equal(again.pictures, pictures)
    assert contents(tmp_path / "cache") == [made.name]


def test_a_store_that_another_process_finished_first_is_used(folder, tmp_path) -> None:
    first = prepare(folder, 16, tmp_path / "cache")
    (made,) = (tmp_path / "cache").iterdir()
    ours = shutil.copytree(made, tmp_path / "cache/.copy")
    assert store_module._publish(ours, made).fingerprint == first.fingerprint


def test_batches_are_the_pictures_in_minus_one_to_one(folder, tmp_path) -> None:
    store = prepare(folder, 16, tmp_path / "cache")
    batch = store.batch(torch.tensor([3, 0, 3]))
    assert (batch.dtype, batch.shape) == (torch.float32, (3, 3, 16, 16))
    assert torch.equal(batch[0], batch[2])
    assert torch.equal(batch[1], to_tensor(store.pictures[0].copy()))
    assert batch.min() >= -1
    assert batch.max() <= 1


def test_batches_are_mirrored_where_asked(folder, tmp_path) -> None:
    store = prepare(folder, 16, tmp_path / "cache")
    plain, mirrored = store.batch(torch.tensor([0, 0]), flips=torch.tensor([False, True]))
    assert torch.equal(mirrored, plain.flip(-1))


def test_smaller_batches_are_averages_of_blocks(folder, tmp_path) -> None:
    store = prepare(folder, 16, tmp_path / "cache")
    small = store.batch(torch.tensor([1]), size=4)
    assert torch.allclose(small[0, 2, 1, 3], store.batch(torch.tensor([1]))[0, 2, 4:8, 12:16].mean(), atol=1e-6)
    for size in (5, 32, 0):
        with pytest.raises(DataError, match="averaged"):
            store.batch(torch.tensor([1]), size=size)


def test_files_are_plain_and_readable(folder, tmp_path) -> None:
    (folder / "hat/5.txt").write_text("ein Käfer")
    prepare(folder, 16, tmp_path / "cache")
    (made,) = (tmp_path / "cache").iterdir()
    assert made.name.startswith("clothes-16-")
    last = (made / "entries.jsonl").read_text(encoding="utf-8").splitlines()[-1]
    assert json.loads(last) == {"name": "hat/5.png", "captions": ["ein Käfer"], "label": None}
    assert "Käfer" in last
    assert (made / "pictures.u8").stat().st_size == 5 * 3 * 16 * 16


def test_opening_no_store_is_an_error(tmp_path) -> None:
    with pytest.raises(DataError, match="damaged picture store"):
        Store.open(tmp_path)
