"""Forward passes that are shared by threads, each of which makes a picture in its own way.

A thread that makes a picture *sits*. Its code, that of the pipeline, is the same as for one picture alone; when it
looks at a network, it is put aside with what it asks for (`Passes.ask`). Of those that sit, one at a time runs: what
they do between two looks is little, and would only be slowed by company. When all have asked, a worker takes calls that
can be one, makes one forward pass for them, and they go on. So pictures share passes whatever their steps, guidance and
solver are, and come and go between passes.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from sfumato.devices import on_threads
from sfumato.errors import SfumatoError
from sfumato.server.batching.call import Call, made_together
from sfumato.server.batching.sharing import Sharing
from sfumato.server.batching.turns import in_turn


class Stopped(SfumatoError):
    """What sits is to stop: nobody wants its picture any more, or no more passes are made."""

    def __init__(self) -> None:
        super().__init__("The picture was given up: it was cancelled, or the server stops.")


@dataclass(eq=False)
class Sitting:
    """A picture that is being made.

    Attributes:
        owner: who has it made.
        number: those that began earlier have lower ones.
        stopped: set to have it stop, at its next look at the latest.
    """

    owner: str
    number: int
    stopped: bool = False

    def require_going(self) -> None:
        """Raises Stopped when it is to stop."""
        if self.stopped:
            raise Stopped


@dataclass
class Tally:
    """What was done: forward passes, the calls that they answered, the rows of these."""

    passes: int = 0
    calls: int = 0
    rows: int = 0


@dataclass(eq=False)
class _Asked:
    """A call that waits for its answer, and the thread that waits with it."""

    call: Call
    sitting: Sitting | None
    turn: threading.Lock
    answer: Any = None
    error: Exception | None = None


@dataclass
class _Room:
    """What all threads see, under one lock."""

    asked: list[_Asked] = field(default_factory=list)
    ready: deque[threading.Lock] = field(default_factory=deque)  # the turns of those that sit and can go on
    quiet: bool = True  # nobody who sits runs
    since: float = 0.0  # when somebody asked last
    free: set[int] = field(default_factory=set)  # the numbers of the workers that make no pass
    open: bool = True


class Passes:
    """Makes the forward passes of many threads together; see the beginning of this file.

    A call that fails fails for the one who asked, alone. Where memory is too small for a pass, it is made in halves,
    and later passes of the kind have half as many rows.
    """

    def __init__(self, sharing: Sharing) -> None:
        self.sharing, self.tally = sharing, Tally()
        self._change, self._here = threading.Condition(), threading.local()
        self._room = _Room(free=set(range(sharing.workers)))
        self._served: dict[str, int] = {}  # the number of the last pass that an owner had a part in
        self._most: dict[Any, int] = {}  # rows, of kinds of calls of which fewer fit into memory
        self._workers = [
            threading.Thread(target=self._work, args=(number,), name="passes", daemon=True)
            for number in range(sharing.workers)
        ]

    def start(self) -> None:
        """Begin to answer."""
        for worker in self._workers:
            worker.start()

    def stop(self) -> None:
        """Answer no more: what waits, and whatever asks from now on, raises Stopped. Waits for passes under way."""
        with self._change:
            self._room.open = False
            self._let_go(list(self._room.asked))
            self._change.notify_all()
        for worker in self._workers:
            if worker.ident is not None:
                worker.join()

    # --- those who ask --------------------------------------------------------------------------------------------

    @contextmanager
    def sitting(self, sitting: Sitting) -> Iterator[None]:
        """The code within is one of those of which one at a time runs; its calls are those of `sitting`."""
        turn = _turn()
        with self._change:
            if self._room.quiet:
                self._room.quiet = False
                turn.release()
            else:
                self._room.ready.append(turn)
        turn.acquire()
        self._here.sitting = sitting
        try:
            yield
        finally:
            self._here.sitting = None
            with self._change:
                self._next_one()

    def ask(self, call: Call) -> Any:
        """What a network gives, when a worker has made the pass; threads that do not sit may ask too.

        Raises what the network raised, or Stopped.
        """
        asked = _Asked(replace(call, key=None) if self.sharing.exact else call, self._now(), _turn())
        with self._change:
            if not self._room.open:
                raise Stopped
            self._room.since = time.monotonic()
            self._room.asked.append(asked)
            if asked.sitting is not None:
                self._next_one()
            if self._room.quiet or len(self._room.asked) == 1:
                self._change.notify_all()
        asked.turn.acquire()
        if asked.error is not None:
            raise asked.error
        return asked.answer

    def _now(self) -> Sitting | None:
        sitting: Sitting | None = getattr(self._here, "sitting", None)
        if sitting is not None:
            sitting.require_going()
        return sitting

    def _next_one(self) -> None:
        """The one who runs stops to; the next of those who are ready goes on."""
        if self._room.ready:
            self._room.ready.popleft().release()
        else:
            self._room.quiet = True
            self._change.notify_all()

    def _go_on(self, asked: _Asked) -> None:
        """One whose answer is there goes on, when it is its turn."""
        if asked.sitting is None:
            asked.turn.release()
        elif self._room.quiet:
            self._room.quiet = False
            asked.turn.release()
        else:
            self._room.ready.append(asked.turn)

    # --- those who answer -----------------------------------------------------------------------------------------

    def _work(self, number: int) -> None:
        while taken := self._taken(number):
            some, threads = taken
            with on_threads(threads):
                self._make(some)
            with self._change:
                self._room.free.add(number)
                for asked in some:
                    self._go_on(asked)
                self._change.notify_all()

    def _taken(self, number: int) -> tuple[list[_Asked], int] | None:
        """The calls of a worker's next pass, when it is time for it, and the threads it has; None at the end.

        Of the workers that are free the first one takes them: only its crew of threads is large.
        """
        with self._change:
            while self._room.open:
                self._let_go([each for each in self._room.asked if each.sitting is not None and each.sitting.stopped])
                if self._room.asked and self._is_time() and number == min(self._room.free):
                    some = self._chosen()
                    self._room.asked = [asked for asked in self._room.asked if asked not in some]
                    self._room.free.remove(number)
                    if self._room.asked:
                        self._change.notify_all()
                    return some, self._share()
                self._change.wait(self.sharing.patience if self._room.asked else None)
            return None

    def _share(self) -> int:
        """The threads of a pass that begins, beside those under way and one that begins now because more waits."""
        passes = self.sharing.workers - len(self._room.free) + bool(self._room.asked and self._room.free)
        return max(1, self.sharing.threads // passes)

    def _is_time(self) -> bool:
        patience = self.sharing.patience
        return self._room.quiet or (patience is not None and time.monotonic() - self._room.since >= patience)

    def _let_go(self, some: Sequence[_Asked]) -> None:
        for asked in some:
            self._room.asked.remove(asked)
            asked.error = Stopped()
            self._go_on(asked)

    def _chosen(self) -> list[_Asked]:
        """Whose turn it is, and those who can come along; what waits is shared with the other workers that are free."""
        waiting = sorted(self._room.asked, key=lambda asked: asked.sitting.number if asked.sitting else -1)
        first, *others = in_turn(waiting, lambda asked: asked.sitting.owner if asked.sitting else "", last=self._served)
        key = first.call.key
        alike = [first, *(other for other in others if key is not None and other.call.key == key)]
        even = math.ceil(sum(each.call.rows for each in alike) / len(self._room.free))
        room = min(self._most.get(key, self.sharing.rows), even)
        some, rows = [first], first.call.rows
        for other in alike[1:]:
            if rows + other.call.rows <= room:
                some.append(other)
                rows += other.call.rows
        self.tally.passes += 1
        self.tally.calls += len(some)
        self.tally.rows += rows
        for asked in some:
            if asked.sitting is not None:
                self._served[asked.sitting.owner] = self.tally.passes
        return some

    def _make(self, some: Sequence[_Asked]) -> None:
        """Answer several by one pass; where that fails, in halves, down to the one who is to blame."""
        try:
            with torch.inference_mode():
                answers = made_together([asked.call for asked in some])
            for asked, answer in zip(some, answers, strict=True):
                asked.answer = answer
            return
        except Exception as error:
            if len(some) == 1:
                some[0].error = error
                return
            full = is_out_of_memory(error)
        if full:  # what the failed pass had is free only now
            self._most[some[0].call.key] = sum(asked.call.rows for asked in some) // 2
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        middle = len(some) // 2
        self._make(some[:middle])
        self._make(some[middle:])


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was too small, on any device."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def _turn() -> threading.Lock:
    """A lock that is held: who acquires it waits until somebody releases it."""
    lock = threading.Lock()
    lock.acquire()
    return lock
