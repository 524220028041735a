"""Training curves as TensorBoard reads them.

Events are written at once and by this thread: tensorboardX's own SummaryWriter hands them to another, which a full disk
kills silently.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from pathlib import Path

from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.record_writer import RecordWriter
from tensorboardX.summary import scalar

VERSION = "brain.Event:2"  # of the format, told first


class Board:
    """An event file in `folder`; what earlier files say of steps from `first` on is superseded."""

    def __init__(self, folder: Path, first: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.writer = RecordWriter(str(folder / f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}"))
        self._write(Event(file_version=VERSION))
        self._write(Event(step=first, session_log=SessionLog(status=SessionLog.START)))

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """A point on each curve."""
        for name, value in values.items():
            self._write(Event(step=step, summary=scalar(name, value)))
        self.writer.flush()

    def close(self) -> None:
        """No more points."""
        self.writer.close()

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        self.writer.write(event.SerializeToString())
