"""What a training learns from: a store of pictures, or scenes that are composed as they are asked for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sfumato.checkpoints.files import read_json
from sfumato.data import digits
from sfumato.data.scenes.sprites import pack
from sfumato.data.scenes.store import SceneStore
from sfumato.data.store import Store, prepare
from sfumato.errors import RecipeError
from sfumato.progress import Progress
from sfumato.training.captions import Captions, SceneCaptions
from sfumato.training.recipe import Data, Recipe
from sfumato.training.team import Team

AnyStore = Store | SceneStore

WORKERS = 12  # processes that draw scenes, at most


def open_store(data: str | Path, recipe: Recipe, cache: Path, team: Team, progress: Progress) -> AnyStore:
    """The pictures of a data set, a folder, a tar, "digits" or "scenes".

    Raises RecipeError when they are not those that the training in `cache` began with.
    """
    store = _scenes(recipe, team) if str(data) == "scenes" else _prepared(data, recipe, cache, progress)
    path = cache / "data.json"
    if path.is_file() and read_json(path)["fingerprint"] != store.fingerprint:
        raise RecipeError(
            f"The pictures are not those that this training began with. Put them back, choose another --out, or "
            f"remove {cache} to begin again."
        )
    return store


def _scenes(recipe: Recipe, team: Team) -> SceneStore:
    sprites = pack(Path(recipe.data.sprites) if recipe.data.sprites else None).first(recipe.data.concepts)
    workers = min(WORKERS, (os.cpu_count() or 1) - 1) if team.device.type == "cuda" else 0
    data = recipe.data
    return SceneStore(sprites, data.scenes, recipe.seed, team.device, workers, data.language, data.grid)


def _prepared(data: str | Path, recipe: Recipe, cache: Path, progress: Progress) -> Store:
    started: list[bool] = []

    def show(done: int, total: int) -> None:
        if not started:
            progress.begin("pictures", total)
            started.append(True)
        progress.advance(done)

    return prepare(data, recipe.final_size, cache / "pictures", split=recipe.data.part_of(str(data)), progress=show)


def captions_of(store: AnyStore) -> Captions | SceneCaptions:
    """Their captions."""
    return SceneCaptions(store) if isinstance(store, SceneStore) else Captions(store.captions, store.labels)


def facts_of(data: str | Path, store: AnyStore, stated: Data) -> dict[str, Any]:
    """What a model's `sfumato.json` says of them."""
    source, licence, scenes = Path(data).name, stated.licence, {}
    if isinstance(store, SceneStore):
        told = {"concepts": len(store.pack.concepts), "sprites": store.pack.fingerprint, "language": stated.language}
        scenes = {"scenes": told}
        licence = store.pack.origin if licence == "unknown" else licence
    elif str(data) == "digits" and licence == "unknown":
        licence = digits.LICENCE
    facts = {"source": source, "licence": licence, "pictures": len(store), "fingerprint": store.fingerprint}
    return {"data": facts, **scenes}
