"""A model with all that people put beside it, and how recipes tell of it, so that a picture can be made again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict

import torch

from sfumato.checkpoints.textual_inversion import read_embedding
from sfumato.errors import CheckpointError, PromptError
from sfumato.pipelines.adapters import weighted, with_loras, with_words
from sfumato.pipelines.digests import fingerprint, sha256
from sfumato.pipelines.finding import find, found
from sfumato.pipelines.model import Model, load

Lora = str | Path | tuple[str | Path, float]
"""A LoRA's file, "FILE:WEIGHT", or (file, weight)."""


class Beside(TypedDict, total=False):
    """What may be given beside a model: see `sfumato.pipelines.model.load` for the first three."""

    variant: str | None
    base: str | Path | None
    vae: str | Path | None
    loras: Sequence[Lora]
    embeddings: Sequence[str | Path]  # files of textual inversion


def load_with(
    name: str | Path | None,
    device: torch.device,
    dtype: torch.dtype,
    *,
    loras: Sequence[Lora] = (),
    embeddings: Sequence[str | Path] = (),
    variant: str | None = None,
    base: str | Path | None = None,
    vae: str | Path | None = None,
) -> Model:
    """Read a model and what is beside it; LoRA is fused into its weights for good.

    Raises CheckpointError saying what is wrong with which file.
    """
    model = load(name, device, dtype, variant=variant, base=base, vae=vae)
    pairs = [_pair(lora) for lora in loras]
    with_loras(model, pairs)  # what would undo it is let go, and with it the old weights
    words = [Path(path) for path in embeddings]
    model = with_words(model, [read_embedding(path) for path in words])
    told: dict[str, Any] = dict(model.additions)
    if pairs:
        told["loras"] = [{"file": str(path), "sha256": sha256(path), "weight": weight} for path, weight in pairs]
    if words:
        told["embeddings"] = [{"file": str(path), "sha256": sha256(path)} for path in words]
    return replace(model, additions=told)


def given_again(recipe: Mapping[str, Any]) -> Beside:
    """What was given beside the model of a picture; nothing is fetched for it.

    Raises CheckpointError for a file that is missing or has changed since, PromptError for a damaged recipe.
    """
    told = recipe.get("additions", {})
    try:
        for what, entry in _entries(told):
            _require_same(what, entry)
        base = told.get("base")
        if base and fingerprint(find(base["model"], fetch=False)) != base["fingerprint"]:
            raise CheckpointError(f"The picture was made with --base {base['model']}, which has changed since.")
        return Beside(
            variant=told.get("variant"),
            base=base and base["model"],
            vae=told["vae"]["file"] if "vae" in told else None,
            loras=[(entry["file"], float(entry["weight"])) for entry in told.get("loras", ())],
            embeddings=[entry["file"] for entry in told.get("embeddings", ())],
        )
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise _damaged(error) from error


def require_additions(model: Model, recipe: Mapping[str, Any]) -> None:
    """Refuse to make a picture again with other additions than it was made with; where their files lie is the same."""
    made_with, has = (_essence(told) for told in (recipe.get("additions", {}), model.additions))
    if made_with != has:
        raise CheckpointError(
            f"The picture was made with {made_with or 'nothing'} beside its model, this one has {has or 'nothing'}: "
            "load the model as the recipe's additions say."
        )


def _pair(lora: Lora) -> tuple[Path, float]:
    if isinstance(lora, tuple):
        return Path(lora[0]), float(lora[1])
    return weighted(lora) if isinstance(lora, str) else (lora, 1.0)


def _entries(told: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield from ((name, told[name]) for name in ("vae",) if name in told)
    yield from (("lora", entry) for entry in told.get("loras", ()))
    yield from (("embedding", entry) for entry in told.get("embeddings", ()))


def _require_same(what: str, entry: Mapping[str, Any]) -> None:
    name, before = str(entry["file"]), str(entry["sha256"])
    there = f"The picture was made with --{what} {name}, sha256 {before[:16]}"
    try:
        now = sha256(found(name, fetch=False) if what == "vae" else Path(name))
    except CheckpointError as error:
        raise CheckpointError(f"{there}, which is not there: put it back. {error}") from error
    if now != before:
        raise CheckpointError(f"{there}, which has changed since: it has {now[:16]} now.")


def _essence(told: Any) -> dict[str, Any]:
    """What additions do to a picture, without where they lie."""
    try:
        essence: dict[str, Any] = {name: told[name] for name in ("variant",) if name in told}
        if "base" in told:
            essence["base"] = told["base"]["fingerprint"]
        for what, entry in _entries(told):
            essence.setdefault(what, []).append((entry["sha256"][:16], entry.get("weight", 1.0)))
    except (TypeError, KeyError, AttributeError) as error:
        raise _damaged(error) from error
    return essence


def _damaged(error: Exception) -> PromptError:
    return PromptError(f"The recipe is damaged in its additions: {error!r:.200}.")
