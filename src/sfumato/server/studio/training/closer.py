"""Data looked at closely: every picture opened, by `sfumato data check` in a process of its own."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sfumato.evaluation.data_check.findings import KINDS
from sfumato.server.studio.training.asked import COMMAND
from sfumato.server.studio.training.process import output_of

PAGE, FINDINGS = "report.html", "findings.jsonl"


@dataclass(frozen=True)
class Found:
    """How many findings there are of a kind, what it is, and why it matters."""

    title: str
    meaning: str
    count: int


def folder_of(checks: Path, data: str) -> Path:
    """Where the report about data lies."""
    return checks / hashlib.sha256(data.encode()).hexdigest()[:24]


async def look_closely(data: str, folder: Path) -> list[Found]:
    """Open every picture, and tell what is wrong, worst first; `folder` then holds the report.

    Raises TrainingError with what the process said when it failed. Cancelling ends the process.
    """
    await output_of([*COMMAND, "data", "check", f"--out={folder}", "--quiet", "--", data])
    return found(folder)


def found(folder: Path) -> list[Found]:
    """What a report holds."""
    with (folder / FINDINGS).open(encoding="utf-8") as lines:
        return counted(json.loads(line)["kind"] for line in lines)


def counted(kinds: Iterable[str]) -> list[Found]:
    """Findings by their kinds: what keeps a picture or a caption out first, then the commonest."""
    counts = Counter(kind for kind in kinds if kind in KINDS)
    ordered = sorted(counts, key=lambda kind: (KINDS[kind].rejects is None, -counts[kind]))
    return [Found(KINDS[kind].title, KINDS[kind].meaning, counts[kind]) for kind in ordered]
