"""Which folders a person may choose on the page, and where the models are made."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from sfumato.errors import DataError

BUILT_IN = {"digits": "handwritten digits, built in", "scenes": "composed scenes, built in"}
"""Data that lie in no folder."""

MOST_FILES = 300_000  # in a folder to train on, with those around and below
MOST_TOLD = 40  # folders told of as completions

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True)
class Places:
    """Folders within which everything happens.

    Attributes:
        roots: folders that may be chosen, with all below them but hidden ones.
        models: the folder in which models are made.
    """

    roots: tuple[Path, ...]
    models: Path

    def data(self, text: str) -> str:
        """What a training is told of data typed by a person: a built-in name, or the full path of a folder or tar.

        Raises DataError when it is outside the roots, hidden, or not there.
        """
        text = text.strip()
        if text in BUILT_IN:
            return text
        if not text:
            raise DataError("Name a folder of captioned pictures, or choose built-in data.")
        path = self._inside(text)
        if not (path.is_dir() or (path.is_file() and path.suffix.lower() == ".tar")):
            raise DataError(f"There is no folder or .tar file {path}.")
        return str(path)

    def model(self, name: str) -> Path:
        """The folder of a model by its name; DataError when that is no plain name."""
        if not _NAME.fullmatch(name):
            raise DataError(
                "A model's name has letters, digits, - and _, at most 64, and begins with none of these two."
            )
        return self.models / name

    def completions(self, typed: str) -> list[str]:
        """Folders that what was typed may become: those beside it that begin so, or all within it."""
        try:
            whole = typed.endswith(os.sep)
            folder = self._inside(typed) if whole else self._inside(str(Path(typed).expanduser().parent))
            beginning = "" if whole else Path(typed).name
            with os.scandir(folder) as entries:
                names = [each.name for each in entries if each.is_dir() and each.name.startswith(beginning)]
        except (DataError, OSError):
            return [str(root) for root in self.roots]
        return [str(folder / name) for name in sorted(names) if not name.startswith(".")][:MOST_TOLD]

    def _inside(self, text: str) -> Path:
        """A path below one of the roots, wherever links lead."""
        refused = DataError(
            f"Only what lies in {' or '.join(map(str, self.roots))} can be chosen here, nothing hidden."
        )
        try:
            path = Path(text).expanduser().resolve()
        except (OSError, ValueError, RuntimeError):
            raise refused from None
        for root in self.roots:
            if path.is_relative_to(root.resolve()):
                if any(part.startswith(".") for part in path.relative_to(root.resolve()).parts):
                    raise refused
                return path
        raise refused


def require_bounded(data: str) -> None:
    """Refuse a folder of so many files that it is hardly meant, such as a home; DataError."""
    count = 0
    for _, folders, files in os.walk(data):
        folders[:] = [name for name in folders if not name.startswith(".")]
        count += len(files)
        if count > MOST_FILES:
            raise DataError(
                f"{data} holds more than {MOST_FILES:,} files; pack pictures into .tar files, or choose less."
            )
