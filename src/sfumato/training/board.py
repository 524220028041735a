"""Training curves as TensorBoard reads them.

Events are written at once and by this thread: tensorboardX's own SummaryWriter hands them to another, which a full disk
kills silently.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.summary import scalar


class Board:
    """An event file in `folder`; what earlier files say of steps from `first` on is superseded."""

    def __init__(self, folder: Path, first: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.writer = EventsWriter(str(folder / "events"))
        start = SessionLog(status=SessionLog.START)
        self.writer.write_event(Event(wall_time=time.time(), step=first, session_log=start))

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """A point on each curve."""
        for name, value in values.items():
            self.writer.write_event(Event(wall_time=time.time(), step=step, summary=scalar(name, value)))
        self.writer.flush()

    def close(self) -> None:
        """No more points."""
        self.writer.close()
