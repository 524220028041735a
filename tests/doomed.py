"""Processes that use a store until they are killed, and what must be true of it after each death.

    python tests/doomed.py FOLDER ROUNDS

One process imports what is needed and forks a child for each round.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

from PIL import Image

from sfumato.pipelines.keepsake import read_recipe
from sfumato.pipelines.request import Request
from sfumato.server.store import Store


def picture(seed, side=48):
    return Image.frombytes("RGB", (side, side), random.Random(seed).randbytes(3 * side * side))


def work(folder, tell):
    """Accept and finish jobs for ever; tell of each step once the store has it."""
    with Store(folder) as store:
        for job in store.unfinished():
            finish(store, job, tell)
        while True:
            asked = Request("a red cat", seed=random.randrange(10**6), picture=picture(random.randrange(3)))
            job = store.add("local", "digits", asked, count=2)
            tell(f"added {job.id}")
            if random.random() < 0.7:
                finish(store, job, tell)


def finish(store, job, tell):
    store.mark(job.id, "running")
    for number in range(job.count):
        request = job.asked(number)
        if request.picture:
            request.picture.open()
        store.keep(job.id, number, picture(request.seed), {"request": {"seed": request.seed}})
        tell(f"kept {job.id} {number}")
    store.mark(job.id, "done")
    tell(f"done {job.id}")


def round_of(folder, steps):
    """What a child told that was killed some time after so many steps."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            work(folder, lambda line: os.write(writing, f"{line}\n".encode()))
        finally:
            os._exit(1)  # only a kill ends it rightly
    os.close(writing)
    with os.fdopen(reading) as told:
        lines = [told.readline() for _ in range(steps)]
        time.sleep(random.uniform(0, 0.02))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, "it died of itself"
        return [line.split() for line in (*lines, *told)]


def check(folder, told):
    """All that was told is true; what was begun is whole or not there."""
    with Store(folder) as store:
        for what, id, *number in told:
            job = store.job(id)
            assert job is not None, f"an accepted job is gone: {id}"
            assert what != "kept" or int(number[0]) in store.kept(id)
            assert what != "done" or job.state == "done"
        jobs = store.jobs(limit=500)
        for job in jobs:
            assert job.state != "done" or store.kept(job.id) == [0, 1]
            for number in store.kept(job.id):
                file = store.path(job.id, number)
                assert Image.open(file).tobytes() == picture(job.asked(number).seed).tobytes()
                assert read_recipe(file)["request"]["seed"] == job.asked(number).seed
        assert not list((Path(folder) / "partial").iterdir())
        needed = {job.request["picture"]["sha256"] for job in jobs}
        assert {file.name for file in (Path(folder) / "given").iterdir()} == needed


def main(folder, rounds):
    told = []
    for _ in range(rounds):
        told += round_of(folder, random.randint(1, 8))
        check(folder, told)
    print(len(told))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
