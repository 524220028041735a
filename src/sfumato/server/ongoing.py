"""Jobs that are not finished, and which of their pictures comes next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from math import ceil

from sfumato.server.batching.passes import Sitting
from sfumato.server.batching.turns import in_turn
from sfumato.server.job import Event, Job
from sfumato.server.preview import Preview


@dataclass(eq=False)
class Picture:
    """A picture that is under way.

    Attributes:
        number: which of its job's, from 0.
        sitting: by which its looks at networks are known, and by which it is stopped.
        steps: that it has done, of all stages.
        news: the last that was told of it.
    """

    number: int
    sitting: Sitting
    preview: Preview = field(default_factory=Preview)
    steps: int = 0
    news: Event | None = None


@dataclass(eq=False)
class Ongoing:
    """A job that is not finished.

    Attributes:
        job: as the store has it.
        steps: of one of its pictures, about.
        waiting: the numbers of its pictures that were not begun, in order.
        under_way: those that were, by their numbers.
        until: when it is given up, on the clock of `time.monotonic`; None until it is begun.
        place: how many pictures were last told to come before it.
    """

    job: Job
    steps: int
    waiting: list[int]
    under_way: dict[int, Picture] = field(default_factory=dict)
    until: float | None = None
    place: int = -1

    @classmethod
    def of(cls, job: Job, kept: Collection[int]) -> Ongoing:
        """A job of which some pictures are kept already."""
        steps = job.request.get("num_inference_steps", 1) + job.request.get("upsampler_steps", 0)
        return cls(job, steps, [number for number in range(job.count) if number not in kept])

    @property
    def is_queued(self) -> bool:
        """Whether nothing of it was begun since the server started."""
        return not self.under_way and self.until is None

    @property
    def left(self) -> int:
        """Steps that are still to be made."""
        done = sum(min(self.steps, picture.steps) for picture in self.under_way.values())
        return max(1, self.steps * (len(self.waiting) + len(self.under_way)) - done)


def next_one(jobs: Iterable[Ongoing], served: Mapping[str, int]) -> Ongoing | None:
    """Which job's picture is begun next: the oldest one's of the owner who has the fewest under way, or waits longest.

    `jobs` are given oldest first; `served` says, as a rising number, when each owner's last picture was begun.
    """
    had, first = Counter[str](), dict[str, Ongoing]()
    for one in jobs:
        had[one.job.owner] += len(one.under_way)
        if one.waiting:
            first.setdefault(one.job.owner, one)
    order = in_turn(list(first.values()), lambda one: one.job.owner, had, served)
    return order[0] if order else None


def places(jobs: Iterable[Ongoing], served: Mapping[str, int]) -> dict[str, int]:
    """How many pictures that wait come before the first of each job that waits, by the id of the job."""
    had, waiting = Counter[str](), list[Ongoing]()
    for one in jobs:
        had[one.job.owner] += len(one.under_way)
        waiting += [one] * len(one.waiting)
    found: dict[str, int] = {}
    for place, one in enumerate(in_turn(waiting, lambda one: one.job.owner, had, served)):
        found.setdefault(one.job.id, place)
    return found


def seconds_until_room(jobs: Iterable[Ongoing], steps_a_second: float | None, otherwise: int = 10) -> int:
    """In how many seconds the first of some jobs should be finished, from 1 to 3600.

    All that is under way has an equal part of the steps that are made in a second. `otherwise` is said before it is
    known how many these are.
    """
    some = list(jobs)
    parts = sum(len(one.under_way) for one in some)
    if not steps_a_second or not parts:
        return otherwise
    soonest = min(one.left / len(one.under_way) for one in some if one.under_way)
    return min(3600, max(1, ceil(soonest * parts / steps_a_second)))
