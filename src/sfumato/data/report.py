"""What was wrong with the data: every problem is kept with its place and reason, none is fatal, none silent."""

import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

NAMES_SHOWN = 3


@dataclass(frozen=True)
class Problem:
    """One thing that was wrong.

    Args:
        where: the picture, or the file and line.
        reason: `kind` or `kind: details`; the summary counts kinds.
        kept: True when the sample is used all the same, False when it was set aside.
    """

    where: str
    reason: str
    kept: bool

    @property
    def kind(self) -> str:
        """The reason without its details."""
        return self.reason.partition(": ")[0]


class Report:
    """The problems met so far, in order; safe to share between threads.

    Example:
        >>> report = Report()
        >>> report.set_aside("cat.jpg", "empty file")
        >>> print(report.summary())
        1 set aside: empty file (cat.jpg).
    """

    def __init__(self) -> None:
        self._problems: list[Problem] = []
        self._lock = threading.Lock()

    def set_aside(self, where: str, reason: str) -> None:
        """Record a sample that is not used."""
        self._append(Problem(where, reason, kept=False))

    def note(self, where: str, reason: str) -> None:
        """Record something odd about a sample that is used all the same."""
        self._append(Problem(where, reason, kept=True))

    def _append(self, problem: Problem) -> None:
        with self._lock:
            self._problems.append(problem)

    def __len__(self) -> int:
        return len(self._problems)

    def __iter__(self) -> Iterator[Problem]:
        with self._lock:
            return iter(list(self._problems))

    def summary(self) -> str:
        """A short paragraph: how many problems of each kind, with the first few names; empty without problems."""
        kept, lost = (self._counts(kept) for kept in (True, False))
        sentences = []
        if lost:
            sentences.append(f"{sum(map(len, lost.values())):,} set aside: {_listed(lost)}.")
        if kept:
            sentences.append(f"{sum(map(len, kept.values())):,} used with a note: {_listed(kept)}.")
        return " ".join(sentences)

    def _counts(self, kept: bool) -> dict[str, list[str]]:
        places = defaultdict(list)
        for problem in self:
            if problem.kept == kept:
                places[problem.kind].append(problem.where)
        return dict(sorted(places.items(), key=lambda item: -len(item[1])))

    def save(self, path: Path) -> None:
        """Write all problems as JSON lines. Raises OSError when the file cannot be written."""
        with path.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(asdict(problem)) + "\n" for problem in self)

    @classmethod
    def load(cls, path: Path) -> "Report":
        """Read what `save` wrote."""
        report = cls()
        with path.open(encoding="utf-8") as file:
            report._problems = [Problem(**json.loads(line)) for line in file]
        return report


def _listed(places: dict[str, list[str]]) -> str:
    return "; ".join(
        (f"{len(names):,} x " if len(names) > 1 else "")
        + f"{kind} ({', '.join(names[:NAMES_SHOWN])}{', ...' if len(names) > NAMES_SHOWN else ''})"
        for kind, names in places.items()
    )
