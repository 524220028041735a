"""A small disk that a process has for itself; and what must be true of a store on one that fills up.

    python tests/small_disk.py FOLDER

The disk of FOLDER is filled to the last byte.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from doomed import finish, picture
from sfumato.errors import StoreFull
from sfumato.pipelines.request import Request
from sfumato.server.store import Store


def own_disk(folder, size):
    """The words before a command that give it a disk of this size at a folder; None where that is not allowed.

    The disk is gone with the process, and nobody else sees it.
    """
    own_mounts = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    if not shutil.which("unshare") or subprocess.call([*own_mounts, "mount -t tmpfs tmpfs /tmp"]):
        return None
    return [*own_mounts, 'mount -t tmpfs -o size="$2" tmpfs "$1" && shift 2 && exec "$@"', "-", folder, size]


def quiet(_):
    pass


def fill(path):
    """Take all the room there is, to the last byte."""
    with path.open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while file.write(b"x" * size) == size:
                    pass
            except OSError:
                pass


def refused(call):
    with pytest.raises(StoreFull, match="make room"):
        call()


def main(folder):
    with Store(folder / "store") as store:
        first, second, third = (store.add("local", "digits", Request("a red cat", seed=n)) for n in (1, 2, 3))
        finish(store, first, quiet)
        fill(folder / "ballast")

        accepted = []

        def add_until_refused():
            while True:
                accepted.append(store.add("local", "digits", Request("a blue dog " * 300)).id)

        refused(add_until_refused)
        with_picture = Request("a red cat", picture=picture(3, side=256))
        refused(lambda: store.add("local", "digits", with_picture))
        refused(lambda: store.keep(second.id, 0, picture(2, side=256), {}))
        assert store.kept(second.id) == []
        assert {job.id for job in store.jobs(limit=500)} == {first.id, second.id, third.id, *accepted}
        assert not list((folder / "store" / "partial").iterdir())
        assert not list((folder / "store" / "given").iterdir())

        store.forget(first.id)  # there is always room to forget and to give up
        store.mark(third.id, "cancelled")
        assert store.job(first.id) is None
        refused(add_until_refused)
        (folder / "ballast").unlink()
        finish(store, second, quiet)
        fourth = store.add("local", "digits", with_picture)
        assert store.job(fourth.id).asked().picture.open().size == (256, 256)
        assert (folder / "store" / "reserve").exists(), "it is held again"
    with Store(folder / "store") as store:
        assert {job.id for job in store.jobs(limit=500)} == {second.id, third.id, fourth.id, *accepted}
        assert store.job(second.id).state == "done"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
