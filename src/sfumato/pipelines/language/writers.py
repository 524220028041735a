"""The language model that writes prompts for a model: its own part `language_model`, or another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sfumato.checkpoints.folder import has_part, load_lineage
from sfumato.checkpoints.language import PART, language_folder
from sfumato.errors import CheckpointError


def writer_of(model: Path, writer: str | Path | None = None) -> Path:
    """Where the language model of a model lies.

    Args:
        model: the folder or file of a model for pictures, or of a language model itself.
        writer: a folder with another one, which goes before.

    Raises CheckpointError when there is none, saying how to get one.
    """
    if writer is not None:
        language_folder(Path(writer))
        return Path(writer)
    if has_part(model, PART):
        return model
    data, settings = _captions(model)
    own = f", or make it the model's own: cp -r my-writer/{PART} {model}" if model.is_dir() else ""
    raise CheckpointError(
        f"{model} has no language model that could write prompts. Train one on the captions that it learned from: "
        f"sfumato train {data} --recipe gpt --size tiny --set language.tokens=bytes{settings} --out my-writer\n"
        f"Then name it, --writer my-writer{own}"
    )


def _captions(model: Path) -> tuple[str, str]:
    """What a model learned from, and the settings that give its captions again, as the command line takes them."""
    lineage = load_lineage(model) if model.is_dir() else {}
    scenes, data = lineage.get("scenes"), lineage.get("data")
    if isinstance(scenes, dict):
        told: list[tuple[str, Any]] = [(name, scenes.get(name)) for name in ("concepts", "language")]
        return "scenes", "".join(f" --set data.{name}={value}" for name, value in told if value)
    source = data.get("source") if isinstance(data, dict) else None
    return ("digits", "") if source == "digits" else ("CAPTIONS", "")
