"""A store on a disk that fills up, in a process with mounts of its own.

unshare --map-root-user --mount sh -c 'mount -t tmpfs -o size=2m tmpfs /mnt && exec python tests/small_disk.py /mnt'
"""

import sys
from pathlib import Path

import pytest

from doomed import finish, picture
from sfumato.errors import StoreFull
from sfumato.pipelines.request import Request
from sfumato.server.store import Store


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
        first, second = (store.add("local", "digits", Request("a red cat", seed=n)) for n in (1, 2))
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
        assert {job.id for job in store.jobs(limit=500)} == {first.id, second.id, *accepted}
        assert not list((folder / "store" / "partial").iterdir())
        assert not list((folder / "store" / "given").iterdir())

        store.forget(first.id)  # works on a full disk, and makes room
        (folder / "ballast").unlink()
        finish(store, second, quiet)
        third = store.add("local", "digits", with_picture)
        assert store.job(third.id).asked().picture.open().size == (256, 256)
    with Store(folder / "store") as store:
        assert {job.id for job in store.jobs(limit=500)} == {second.id, third.id, *accepted}
        assert store.job(second.id).state == "done"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
