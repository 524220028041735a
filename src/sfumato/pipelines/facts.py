"""What a model folder says of itself, without loading its weights."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

from sfumato.checkpoints.folder import class_of, load_lineage
from sfumato.checkpoints.single.writing import TYPES
from sfumato.errors import CheckpointError
from sfumato.pipelines.digests import fingerprint
from sfumato.pipelines.finding import called, find
from sfumato.pipelines.package import Described, opened

FLOW = {"beta_schedule": "flow", "prediction_type": "velocity"}  # what a scheduler of rectified flow leaves unsaid


class PartFacts(NamedTuple):
    """One network of a model."""

    name: str
    network: str
    parameters: int
    dtype: str
    bytes: int


class Facts(NamedTuple):
    """A model: lines of (name, value), and its parts."""

    summary: list[tuple[str, str]]
    parts: list[PartFacts]


def facts(model: str | Path | None) -> Facts:
    """Read the facts of a model that `find` knows by this name; CheckpointError says what is wrong with it."""
    path = find(model)
    package = opened(path)
    parts = [_part(name, part) for name, part in sorted(package.parts.items())]
    lineage = load_lineage(path)
    process = []
    if denoiser := next((name for name in ("unet", "transformer") if name in package.parts), None):
        diffusion = package.diffusion(denoiser)
        words = [diffusion.config.get(key, flow) for key, flow in FLOW.items()]
        process = [("process", ", ".join(words))]
        if diffusion.experts:
            process += [("experts", f"hand over at t = {', '.join(map(str, diffusion.experts))}")]
    summary = [
        ("model", str(lineage.get("name", called(model, path)))),
        ("file" if path.is_file() else "folder", str(path)),
        *package.told,
        ("fingerprint", fingerprint(path)),
        ("licence", str(lineage.get("licence", "not stated"))),
        ("way", package.family.way),
        *process,
        ("parameters", f"{sum(part.parameters for part in parts):,}, {sum(part.bytes for part in parts) / 1e6:.1f} MB"),
    ]
    return Facts(summary + (_lineage(lineage) if path.is_dir() else []), parts)


def _lineage(lineage: dict[str, Any]) -> list[tuple[str, str]]:
    if not lineage:
        return [("lineage", "not known: the folder has no sfumato.json")]
    try:
        data = lineage["data"]
        lines = []
        if "size" in lineage:
            lines.append(("pictures", f"{lineage['size']} pixels a side, enlarged to {lineage['final_size']}"))
        amount = "pictures" if "pictures" in data else "tokens"
        lines += [
            ("data", f"{data['source']}, {data[amount]:,} {amount}, fingerprint {data['fingerprint'][:16]}"),
            ("data licence", str(data.get("licence", "unknown"))),
        ]
        for name, stage in lineage["training"].items():
            measured = f", validation loss {stage['validation_loss']:.4f}" if "validation_loss" in stage else ""
            lines.append((name, f"{stage['steps']:,} steps, {stage['samples']:,} samples{measured}"))
        return lines
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"sfumato.json does not tell a lineage as sfumato writes it: {error!r}") from error


def _part(name: str, part: Described) -> PartFacts:
    entries = part.source().entries.values()
    count = sum(math.prod(entry.shape) for entry in entries)
    size = sum(math.prod(entry.shape) * entry.dtype.itemsize for entry in entries)
    dtypes = "/".join(sorted({TYPES.get(entry.dtype, str(entry.dtype)) for entry in entries}))
    return PartFacts(name, str(class_of(part.config(), name)), count, dtypes, size)
