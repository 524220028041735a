"""What a language model learns from: text files, captions of pictures, captions of scenes."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from sfumato.data import digits
from sfumato.data.scenes.language import Language
from sfumato.data.scenes.stream import Scenes
from sfumato.data.text.prepare import Prepared, prepare
from sfumato.data.text.sources import Corpus, captions_in, find_texts, spoken
from sfumato.data.text.store import TokenStore
from sfumato.progress import Progress
from sfumato.training.recipe import Data, Recipe
from sfumato.training.source import require_same, sprites_of
from sfumato.training.team import Team
from sfumato.training.workshop import TextWorkshop


def open_workshop(
    data: str | Path, recipe: Recipe, folder: Path, kept: Path, team: Team, progress: Progress
) -> TextWorkshop:
    """Prepare what the stages share: the tokens and the tokenizer.

    Raises DataError when there is no text, RecipeError when it is not that which the training in `kept` began with.
    """
    store, tokenizer = team.first_the_leader(lambda: _prepared(data, recipe, kept, progress))
    return TextWorkshop(recipe, folder, kept, team, progress, store, tokenizer)


def facts_of(data: str | Path, store: TokenStore, stated: Data) -> dict[str, Any]:
    """What a model's `sfumato.json` says of them."""
    licence = digits.LICENCE if str(data) == "digits" and stated.licence == "unknown" else stated.licence
    counts = {"documents": store.documents, "tokens": len(store)}
    return {"data": {"source": Path(data).name, "licence": licence, **counts, "fingerprint": store.fingerprint}}


def corpus_of(data: str | Path, recipe: Recipe) -> Corpus:
    """The texts of a file or folder, or the captions of pictures, of the digits or of scenes."""
    match str(data):
        case "scenes":
            return _scenes(recipe)
        case "digits":
            return captions_in(digits.digits(recipe.data.part_of("digits")), "digits")
        case _:
            return find_texts(Path(data), recipe.language.read)


def _scenes(recipe: Recipe) -> Corpus:
    data, sprites = recipe.data, sprites_of(recipe.data)
    scenes = Scenes(sprites, recipe.seed, language=Language.named(data.language, sprites.concepts), grid=data.grid)

    @cache  # they are read several times
    def texts() -> list[str]:
        return [scenes.caption(number) for number in range(data.scenes)]

    told = f"{sprites.fingerprint} {recipe.seed} {data.scenes} {data.language} {data.grid}"
    return spoken("scenes", hashlib.sha256(told.encode()).hexdigest(), texts)


def _prepared(data: str | Path, recipe: Recipe, kept: Path, progress: Progress) -> Prepared:
    started: list[bool] = []

    def show(done: int, total: int) -> None:
        if not started:
            progress.begin("text", total)
            started.append(True)
        progress.advance(done)

    plan = recipe.language
    made = prepare(corpus_of(data, recipe), kept / "text", plan.tokens, plan.vocabulary, show)
    require_same(made.store.fingerprint, kept, "The texts are")
    return made
