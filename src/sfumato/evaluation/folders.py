"""Where the evaluation of a model lies, unless a person names another place."""

from __future__ import annotations

import re
from pathlib import Path

from sfumato.pipelines.finding import called, find


def usual_folder(model: str | Path | None) -> Path:
    """MODEL-evaluation in the folder where the command is given; `model` is a name that `find` knows.

    Example:
        >>> str(usual_folder("digits"))
        'digits-evaluation'
    """
    path = find(model)
    name = re.sub(r"[^\w.-]+", "-", called(model, path.resolve())).strip("-.")
    return Path(f"{name or 'model'}-evaluation")
