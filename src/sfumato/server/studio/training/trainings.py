"""Trainings as processes of their own: started, found again, stopped, gone on with; the server stays what it is."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Literal

from sfumato.checkpoints.files import write_json
from sfumato.errors import TrainingError
from sfumato.server.studio.training.asked import Asked
from sfumato.server.studio.training.places import Places
from sfumato.server.studio.training.process import killed

RUN = "run"  # of a model folder: everything but the model
ASKED, LOG, LOCK = "asked.json", "said.log", "trains.lock"
LONGEST_TAIL = 16 * 1024  # bytes of what a training said last
MOST_LISTED = 100
INTERRUPTED = 130  # exit code of a training that a person stopped

State = Literal["running", "stopping", "stopped", "failed", "done"]
STATES_THAT_RUN: tuple[State, ...] = ("running", "stopping")


class Training:
    """One model folder, and the process that trains it while one does.

    Whether one does is told by a lock that the process inherits and keeps until its end, however that comes: so a
    training is found again after the server was started anew.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.name = folder, folder.name
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = False
        self._one_at_a_time = threading.Lock()

    @property
    def run(self) -> Path:
        """The folder of its run."""
        return self.folder / RUN

    @property
    def asked(self) -> Asked | None:
        """What was asked for; None where it was not begun here."""
        try:
            return Asked.from_dict(json.loads((self.run / ASKED).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, AttributeError):
            return None

    @property
    def state(self) -> State:
        """How it stands."""
        code = self._process.poll() if self._process else None
        if self._is_locked():
            return "stopping" if self._stopping else "running"
        if (self.folder / "model_index.json").is_file() and code in (None, 0):
            return "done"
        return "stopped" if code in (None, INTERRUPTED, -signal.SIGINT) else "failed"

    @property
    def is_ours(self) -> bool:
        """Whether a process trains it that this server began."""
        return self._process is not None and self._process.poll() is None

    @property
    def said(self) -> str:
        """The last of what the process said."""
        try:
            with (self.run / LOG).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - LONGEST_TAIL))
                return file.read().decode(errors="replace").strip()
        except OSError:
            return ""

    @property
    def error(self) -> str:
        """Why it failed, in its own words; "" unless it did."""
        if self.state != "failed" or self._process is None:
            return ""
        last = self.said.rsplit("\n\n", 1)[-1].splitlines()
        return "\n".join(last[-6:]) if self._process.returncode > 0 and last else killed(self._process.returncode)

    def start(self, asked: Asked) -> None:
        """Train, or go on with what was asked for before. Raises TrainingError when it is being trained already."""
        with self._one_at_a_time:
            self.run.mkdir(parents=True, exist_ok=True)
            with (self.run / LOCK).open("a") as lock:
                if not _locked(lock):
                    raise TrainingError(f"{self.name} is being trained already.")
                write_json(self.run / ASKED, asked.to_dict())
                self._stopping = False
                self._process = self._begun(asked, lock)
                write_json(self.run / "pid.json", {"pid": self._process.pid})

    def stop(self) -> None:
        """Ask it to keep what it has and to end; it goes on from there with `go_on`."""
        if self.state == "running":
            self._stopping = True
            with suppress(OSError, ValueError, KeyError):  # it may be over already
                os.kill(json.loads((self.run / "pid.json").read_text())["pid"], signal.SIGINT)

    def go_on(self) -> None:
        """Go on where it was stopped, or again after what made it fail is mended."""
        asked = self.asked
        if asked is None:
            raise TrainingError(f"{self.name} was not begun here; go on with the command that began it.")
        self.start(asked)

    def wait(self, seconds: float) -> None:
        """Until the process has ended, at most so long."""
        if self._process:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)

    def _begun(self, asked: Asked, lock: IO[str]) -> subprocess.Popen[bytes]:
        with (self.run / LOG).open("wb") as log:  # which is another's until the lock is ours
            return subprocess.Popen(
                asked.command(self.folder),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C at the server is not meant for it
                pass_fds=(lock.fileno(),),
            )

    def _is_locked(self) -> bool:
        try:
            with self._one_at_a_time, (self.run / LOCK).open("a") as lock:
                return not _locked(lock)
        except OSError:
            return False


class Trainings:
    """All trainings in the places' folder of models."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self._known: dict[str, Training] = {}

    def named(self, name: str) -> Training:
        """A training by the name of its model, begun or not; DataError when that is no name."""
        folder = self.places.model(name)
        return self._known.setdefault(name, Training(folder))

    def begun(self) -> list[Training]:
        """Those that have a run folder, the newest first."""
        try:
            folders = [each for each in self.places.models.iterdir() if _is_run(each / RUN)]
        except OSError:
            return []
        newest = sorted(folders, key=lambda folder: -(folder / RUN).stat().st_mtime)[:MOST_LISTED]
        found = []
        for folder in newest:
            with suppress(ValueError):  # a name that cannot be typed here
                found.append(self.named(folder.name))
        return found

    def stop(self, seconds: float = 30) -> None:
        """Stop those that this server began, as when it ends, and wait so long for all; each keeps what it has."""
        until = time.monotonic() + seconds
        running = [training for training in self._known.values() if training.is_ours]
        for training in running:
            training.stop()
        for training in running:
            training.wait(max(0.0, until - time.monotonic()))


def _is_run(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("recipe.json", ASKED))


def _locked(file: IO[str]) -> bool:
    """Take the lock of an open file if nobody has it; it lasts as long as the file is open here or in a child."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
