"""What a model folder says of itself, without loading its weights."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open

from sfumato.checkpoints.families import family_of
from sfumato.checkpoints.files import read_json
from sfumato.checkpoints.folder import DIFFUSERS_WEIGHTS, TRANSFORMERS_WEIGHTS, has_part, load_diffusion, load_lineage
from sfumato.errors import CheckpointError
from sfumato.pipelines.model import find, fingerprint

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
    """Read the facts of a model folder or an embedded model; CheckpointError says what is wrong with it."""
    folder = find(model)
    parts = [_part(path) for path in sorted(folder.glob("*/*.safetensors")) if _weighs(path)]
    lineage = load_lineage(folder)
    way, process = family_of(folder).way, []
    if has_part(folder, "unet"):
        diffusion = load_diffusion(folder)
        words = [diffusion.config.get(key, flow) for key, flow in FLOW.items()]
        process = [("process", ", ".join(words))]
        if diffusion.experts:
            process += [("experts", f"hand over at t = {', '.join(map(str, diffusion.experts))}")]
    summary = [
        ("model", str(lineage.get("name", folder.name))),
        ("folder", str(folder)),
        ("fingerprint", fingerprint(folder)),
        ("licence", str(lineage.get("licence", "not stated"))),
        ("way", way),
        *process,
        ("parameters", f"{sum(part.parameters for part in parts):,}, {sum(part.bytes for part in parts) / 1e6:.1f} MB"),
    ]
    return Facts(summary + _lineage(lineage), parts)


def _lineage(lineage: dict[str, Any]) -> list[tuple[str, str]]:
    if not lineage:
        return [("lineage", "not known: the folder has no sfumato.json")]
    try:
        data = lineage["data"]
        lines = [
            ("pictures", f"{lineage['size']} pixels a side, enlarged to {lineage['final_size']}"),
            ("data", f"{data['source']}, {data['pictures']:,} pictures, fingerprint {data['fingerprint'][:16]}"),
            ("data licence", str(data.get("licence", "unknown"))),
        ]
        for name, stage in lineage["training"].items():
            lines.append((name, f"{stage['steps']:,} steps, {stage['samples']:,} samples"))
        return lines
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"sfumato.json does not tell a lineage as sfumato writes it: {error!r}") from error


def _weighs(path: Path) -> bool:
    """Whether a file holds the weights of a part."""
    return (path.parent / "config.json").is_file() and path.stem in (DIFFUSERS_WEIGHTS, TRANSFORMERS_WEIGHTS)


def _part(path: Path) -> PartFacts:
    config = read_json(path.parent / "config.json")
    try:
        with safe_open(path, framework="pt") as file:
            slices = [file.get_slice(name) for name in file.keys()]  # noqa: SIM118  a safetensors handle is no mapping
            count = sum(math.prod(piece.get_shape()) for piece in slices)
            dtypes = sorted({piece.get_dtype() for piece in slices})
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path} is not a whole safetensors file: {error}") from error
    network = config.get("_class_name") or (config.get("architectures") or ["?"])[0]
    return PartFacts(path.parent.name, network, count, "/".join(dtypes), path.stat().st_size)
