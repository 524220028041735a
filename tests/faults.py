"""A server that is killed again and again while it works, and whose disk fills up; and what must be true in the end.

    python tests/faults.py FOLDER [--kills 2] [--jobs 6] [--fill]

Each life of the server is `sfumato serve` on the digits, forked from one process that has imported all it needs. With
`--fill` the disk of FOLDER is filled to the last byte once: then it should be a small one.
"""

import argparse
import base64
import io
import os
import random
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

import sfumato.cli.serve
import sfumato.server.app
import sfumato.server.engine
import sfumato.server.listening  # noqa: F401 - before the forks
from doomed import picture
from sfumato.cli.main import main as sfumato_command
from sfumato.pipelines.keepsake import read_recipe
from sfumato.pipelines.text_to_image import Pipeline
from sfumato.server.store import Store
from small_disk import fill

PROMPTS = ["a handwritten seven", "a handwritten three", "a handwritten zero"]
PATIENCE = 300  # seconds for anything at all
ROUNDING = 1  # of 255: a picture that shared forward passes, beside the one made alone


def asked(chance):
    """A job such as people ask for."""
    settings = {
        "prompt": chance.choice(PROMPTS),
        "seed": chance.randrange(2**32),
        "num_inference_steps": chance.randint(2, 6),
        "count": chance.randint(1, 3),
        "private": chance.random() < 0.2,
    }
    if chance.random() < 0.3:
        written = io.BytesIO()
        picture(settings["seed"], side=32).save(written, "PNG")
        settings |= {"picture": base64.b64encode(written.getvalue()).decode(), "strength": 0.7}
    return settings


class Server:
    """A life of the server, until it is killed or the block ends, which asks it to stop."""

    def __init__(self, folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE)
        self.process = os.fork()
        if self.process == 0:
            try:
                store = str(folder / "store")
                sys.argv = ["sfumato", "serve", "--model", "digits", "--port", str(port), "--store", store]
                sfumato_command()
            finally:
                os._exit(1)

    def __enter__(self):
        try:
            until(lambda: answers(self.client, "/ready") == 200)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.process:
            os.kill(self.process, signal.SIGINT)
            self.ended()
        self.client.close()

    def ended(self):
        """How it ended."""
        _, status = os.waitpid(self.process, 0)
        self.process = None
        return os.waitstatus_to_exitcode(status)


def answers(client, path):
    with suppress(httpx.TransportError):
        return client.get(path).status_code
    return None


def until(happens):
    latest = time.monotonic() + PATIENCE
    while not happens():
        assert time.monotonic() < latest, "it takes too long"
        time.sleep(0.02)


def kill_soon(process, folder, accepted, wanted, seconds):
    """Kill a process some time after it has accepted a job and so many pictures are kept."""
    try:
        until(lambda: accepted and len(kept(folder)) >= wanted)
        time.sleep(seconds)
    finally:
        os.kill(process, signal.SIGKILL)


def life(folder, chance, jobs):
    """The jobs that a server accepted until it was killed at any moment, and how many it gave no answer about."""
    accepted = {}
    with Server(folder) as server:
        wanted = len(kept(folder)) + chance.randrange(jobs)
        how = (server.process, folder, accepted, wanted, chance.uniform(0, 0.3))
        killing = threading.Thread(target=kill_soon, args=how)
        killing.start()
        try:
            while len(accepted) < jobs:
                settings = asked(chance)
                answer = server.client.post("/jobs", json=settings)
                if answer.status_code == 202:
                    accepted[answer.json()["id"]] = settings
                else:
                    assert answer.status_code == 429, answer.text
                    time.sleep(0.05)
            unanswered = 0
        except httpx.TransportError:
            unanswered = 1
        killing.join()
        assert server.ended() == -signal.SIGKILL, "it died of itself"
    return accepted, unanswered


def full_disk(client, ballast, chance):
    """Jobs before, while and after the disk was full, when the server says so and lives."""
    accepted = accepted_by(client, asked(chance))
    wait_for(client, accepted)
    fill(ballast)
    while more := accepted_by(client, asked(chance) | {"full": True}):  # what room there was in the database
        accepted |= more
        fill(ballast)
    assert client.get("/health").status_code == 200
    ballast.unlink()
    more = accepted_by(client, asked(chance))
    assert more, "there is room again"
    return accepted | more


def accepted_by(client, settings):
    """A job by its id, if the server accepts it; else it must have no room."""
    answer = client.post("/jobs", json={name: value for name, value in settings.items() if name != "full"})
    if answer.status_code == 507:
        return {}
    assert answer.status_code == 202, answer.text
    return {answer.json()["id"]: settings}


def wait_for(client, accepted):
    """Until these jobs are finished."""
    for id in accepted:
        until(lambda id=id: client.get(f"/jobs/{id}").json()["finished"])


def kept(folder):
    """The pictures that there are, and when each was put there."""
    return {file: file.stat().st_mtime_ns for file in (folder / "store" / "pictures").glob("*/*.png")}


def check(folder, accepted, unanswered):
    """Every job that was accepted is finished, once, and its pictures are those that are made alone."""
    pipeline = Pipeline.load("digits")
    with Store(folder / "store") as store:
        jobs = {job.id: job for job in store.jobs(limit=500)}
        assert set(accepted) <= set(jobs), "an accepted job is gone"
        assert len(jobs) <= len(accepted) + unanswered, "a job is there twice"
        assert not store.unfinished()
        for id, settings in accepted.items():
            if settings.get("full") and jobs[id].state == "failed":
                assert "full" in jobs[id].error
                continue
            assert jobs[id].state == "done", jobs[id].error
            assert store.kept(id) == list(range(settings["count"]))
            for number in store.kept(id):
                same(store.path(id, number), settings, number, pipeline)
    return sum(settings["count"] for settings in accepted.values())


def same(file, settings, number, pipeline):
    """A picture is the one that is made alone, and tells its recipe."""
    own = {name: value for name, value in settings.items() if name not in ("count", "private", "picture", "full")}
    if "picture" in settings:
        own["picture"] = Image.open(io.BytesIO(base64.b64decode(settings["picture"]))).convert("RGB")
    own["seed"] += number
    alone = np.asarray(pipeline(**own).pictures[0], dtype=int)
    assert np.abs(np.asarray(Image.open(file), dtype=int) - alone).max() <= ROUNDING
    told = read_recipe(file)["request"]
    assert told["seed"] == own["seed"]
    assert told.get("prompt", "") == ("" if settings["private"] else own["prompt"])


def run(folder, kills=2, jobs=6, filling=False):
    """All of it; tells what was seen."""
    chance, accepted, unanswered, before = random.Random(), {}, 0, {}
    for number in range(kills):
        more, lost = life(folder, chance, jobs)
        accepted |= more
        unanswered += lost
        now = kept(folder)
        assert before.items() <= now.items(), "a picture that was kept was made again"
        before = now
        print(f"kill {number + 1}: {len(accepted)} jobs accepted, {len(now)} pictures kept", flush=True)
    with Server(folder) as server:
        if filling:
            accepted |= full_disk(server.client, folder / "ballast", chance)
        wait_for(server.client, accepted)
    assert before.items() <= kept(folder).items(), "a picture that was kept was made again"
    pictures = check(folder, accepted, unanswered)
    print(f"{len(accepted)} accepted jobs, {pictures} pictures: each finished once, each as it is made alone")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=6, help="accepted in each life at most")
    parser.add_argument("--fill", action="store_true", help="fill the disk")
    given = parser.parse_args()
    run(given.folder, given.kills, given.jobs, given.fill)


if __name__ == "__main__":
    main()
