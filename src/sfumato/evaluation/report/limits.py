"""What a model's own page says that it cannot do."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = "README.md"
LARGEST = 2**20  # bytes
TITLES = re.compile(r"#+\s*(known (failures|limits|limitations|weaknesses)|limitations|limits|known issues)\b", re.I)
BULLET = re.compile(r"\s*[-*+]\s+")
MOST = 40  # lines


def known_limits(model: Path) -> list[str]:
    """The points or paragraphs under "Known failures", "Limitations" or such a title, as plain text; it may be none."""
    path = model / PAGE
    if not path.is_file():
        return []
    with path.open("rb") as file:
        lines = file.read(LARGEST).decode("utf-8", errors="replace").splitlines()
    start = next((number for number, line in enumerate(lines) if TITLES.match(line)), None)
    if start is None:
        return []
    points: list[str] = []
    fresh = True
    for line in lines[start + 1 :]:
        if line.startswith("#"):
            break
        if not line.strip():
            fresh = True
        elif fresh or BULLET.match(line):
            points.append(BULLET.sub("", line, count=1).strip())
            fresh = False
        else:
            points[-1] += f" {line.strip()}"
    return [point.replace("`", "").replace("**", "") for point in points[:MOST]]
