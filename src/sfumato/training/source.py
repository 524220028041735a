"""What a training learns from: a store of pictures, or scenes that are composed as they are asked for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sfumato.checkpoints.files import read_json, storage_errors, whole_folder, write_json
from sfumato.data import digits
from sfumato.data.report import Report
from sfumato.data.scenes.sprites import Pack, pack
from sfumato.data.scenes.store import SceneStore
from sfumato.data.store import Store, prepare
from sfumato.data.tokens import Tokenizer
from sfumato.errors import RecipeError
from sfumato.progress import Progress
from sfumato.training.captions import Captions, SceneCaptions
from sfumato.training.recipe import Data, Recipe
from sfumato.training.team import Team
from sfumato.training.workshop import PictureWorkshop

AnyStore = Store | SceneStore

DATA = "data.json"  # what is trained on, in the run folder
WORKERS = 12  # processes that draw scenes, at most


def open_workshop(
    data: str | Path, recipe: Recipe, folder: Path, cache: Path, team: Team, progress: Progress
) -> PictureWorkshop:
    """Prepare what all stages share: the pictures, the tokenizer and the captions. Raises what `open_store` does."""
    store = team.first_the_leader(lambda: open_store(data, recipe, cache, team, progress))
    begins = team.leads and not (cache / DATA).is_file()  # and a tokenizer that is there is of an earlier training
    tokenizer = team.first_the_leader(lambda: _tokenizer(store, recipe, folder, anew=begins))
    return PictureWorkshop(recipe, folder, cache, team, progress, store, tokenizer, captions_of(store))


def write_down(cache: Path, facts: dict[str, Any], report: Report, progress: Progress) -> None:
    """Say what is trained on in `cache`, and what is wrong with the rest of the data."""
    write_json(cache / DATA, facts)
    if len(report):
        with storage_errors(cache):
            report.save(cache / "problems.jsonl")
        progress.say(f"{report.summary()}\nAll of it is in {cache / 'problems.jsonl'}")


def require_same(fingerprint: str, cache: Path, what: str) -> None:
    """Refuse to go on with other data than those that the training in `cache` began with, by RecipeError."""
    path = cache / DATA
    if path.is_file() and read_json(path)["fingerprint"] != fingerprint:
        raise RecipeError(
            f"{what} not those that this training began with. Put them back, choose another --out, or remove {cache} "
            "to begin again."
        )


def open_store(data: str | Path, recipe: Recipe, cache: Path, team: Team, progress: Progress) -> AnyStore:
    """The pictures of a data set, a folder, a tar, "digits" or "scenes".

    Raises RecipeError when they are not those that the training in `cache` began with.
    """
    store = _scenes(recipe, team) if str(data) == "scenes" else _prepared(data, recipe, cache, progress)
    require_same(store.fingerprint, cache, "The pictures are")
    return store


def sprites_of(data: Data) -> Pack:
    """What scenes are composed of."""
    return pack(Path(data.sprites) if data.sprites else None).first(data.concepts)


def _scenes(recipe: Recipe, team: Team) -> SceneStore:
    workers = min(WORKERS, (os.cpu_count() or 1) - 1) if team.device.type == "cuda" else 0
    data = recipe.data
    return SceneStore(sprites_of(data), data.scenes, recipe.seed, team.device, workers, data.language, data.grid)


def _prepared(data: str | Path, recipe: Recipe, cache: Path, progress: Progress) -> Store:
    started: list[bool] = []

    def show(done: int, total: int) -> None:
        if not started:
            progress.begin("pictures", total)
            started.append(True)
        progress.advance(done)

    return prepare(data, recipe.final_size, cache / "pictures", split=recipe.data.part_of(str(data)), progress=show)


def _tokenizer(store: AnyStore, recipe: Recipe, folder: Path, anew: bool) -> Tokenizer:
    path = folder / "tokenizer"
    if anew or not (path / "vocab.json").is_file():
        texts = store.texts()
        with whole_folder(path) as temporary:
            Tokenizer.train(texts, recipe.data.vocabulary, recipe.data.length).save(temporary)
    return Tokenizer.load(path)


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
