"""What a person sees of long work: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

SECONDS_BETWEEN_LINES = 15.0


class Progress:
    """Bars on a terminal, log lines elsewhere; `quiet` shows nothing."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self.console = Console(stderr=True, quiet=quiet, highlight=False, soft_wrap=True)
        self.bars: Bars | None = None
        self.task: TaskID | None = None
        self.name, self.total, self.first, self.began, self.spoke = "", 0, 0, 0.0, 0.0

    def __enter__(self) -> Self:
        if self.console.is_terminal and not self.quiet:
            columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[text]}"))
            self.bars = Bars(*columns, TimeRemainingColumn(), console=self.console)
            self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bars:
            self.bars.stop()

    def say(self, text: str) -> None:
        """A line that stays."""
        self.console.print(text, markup=False)
        sys.stderr.flush()

    def begin(self, name: str, total: int, done: int = 0) -> None:
        """Start a piece of work of `total` steps, `done` of them done before."""
        self.name, self.total, self.first, self.began = name, total, done, time.monotonic()
        self.spoke = self.began
        if self.bars:
            self.task = self.bars.add_task(name, total=total, completed=done, text="")

    def advance(self, done: int, text: str = "") -> None:
        """`done` steps are done in all; `text` says how it goes."""
        now = time.monotonic()
        speed = (done - self.first) / max(now - self.began, 1e-9)
        if self.bars and self.task is not None:
            self.bars.update(self.task, completed=done, text=f"{text}  {speed:.1f}/s")
        elif now - self.spoke >= SECONDS_BETWEEN_LINES or done == self.total:
            self.spoke = now
            left = (self.total - done) / speed if speed else float("nan")
            self.say(f"{self.name}: {done}/{self.total}  {text}  {speed:.1f}/s, {left:.0f} s left")

    def of(self, name: str) -> Callable[[int, int], None]:
        """For work that tells (done, total) itself: it begins when it is first told."""

        def show(done: int, total: int) -> None:
            if (self.name, self.total) != (name, total):
                self.begin(name, total)
            self.advance(done)

        return show
