"""Which prompts a model for pictures can follow: of words that it learned, as long as it reads, of scenes it knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sfumato.checkpoints.folder import load_lineage
from sfumato.data.scenes.concepts import Concept, concepts
from sfumato.data.scenes.reading import Reader, ReadingError
from sfumato.data.scenes.shapes import SHAPES
from sfumato.data.tokens import Tokenizer
from sfumato.errors import PromptError
from sfumato.pipelines.model import Model
from sfumato.pipelines.package import Package
from sfumato.pipelines.readers import readers
from sfumato.pipelines.weighting import Reading

EMPTY = "they are empty"
LONG = "they are longer than the model reads at once"
UNKNOWN = "they have words that the model never saw"
INVALID = "they are not what its captions can say"


@dataclass(frozen=True)
class Hearing:
    """What is asked of a prompt.

    Attributes:
        tokenizer: of the model's text encoder; None asks nothing of words and length.
        valid: says whether a text is a caption such as the model learned from; None asks nothing.
    """

    tokenizer: Tokenizer | None = None
    valid: Callable[[str], bool] | None = None

    @classmethod
    def of(cls, model: Model) -> Hearing:
        """What a model that is loaded can follow."""
        return _hearing(model.tokenizers, model.folder)

    @classmethod
    def of_package(cls, package: Package) -> Hearing:
        """What a model on disk can follow; of its files only the tokenizers are read. A language model hears all."""
        if package.family.way == "words":
            return cls()
        return _hearing(readers(package, package.needed).tokenizers, package.path)

    def fault(self, text: str, given: str = "") -> str | None:
        """Why a text is no prompt for the model, None where nothing is wrong.

        Args:
            text: to judge.
            given: a part of it whose words are taken as they are.
        """
        if not text.strip():
            return EMPTY
        if self.tokenizer is not None:
            if self.tokenizer.truncated(text):
                return LONG
            if set(self.tokenizer.unknown_words(text)) - set(self.tokenizer.unknown_words(given)):
                return UNKNOWN
        return None if self.valid is None or self.valid(text) else INVALID


def plain(prompt: str, reading: Reading = Reading()) -> str | None:
    """The words of a prompt without weights and brackets; None for one of several parts, or that changes on the way.

    Raises PromptError for a prompt that cannot be read.
    """
    chunks = [chunk for branch in reading.all_branches(prompt) for chunk in branch.chunks]
    return "".join(piece.text for piece in chunks[0]) if len(chunks) == 1 else None


def says(prompt: str, words: str, reading: Reading = Reading()) -> bool:
    """Whether a prompt, read by its rules, has just these words."""
    try:
        return plain(prompt, reading) == words
    except PromptError:
        return False


def reads(reader: Reader, text: str) -> bool:
    """Whether a text is a caption of a scene."""
    try:
        reader.read(text)
    except ReadingError:
        return False
    return True


def _hearing(tokenizers: Mapping[str, Tokenizer], folder: Path) -> Hearing:
    tokenizer = next(iter(tokenizers.values()), None)
    known = None if tokenizer is None or folder.is_file() else _concepts(tokenizer, load_lineage(folder))
    return Hearing(tokenizer, None if known is None else partial(reads, Reader(known)))


def _concepts(tokenizer: Tokenizer, lineage: Mapping[str, Any]) -> tuple[Concept, ...] | None:
    """The concepts of a model of scenes, by its words; None for others, and where its sprites are of another kind."""
    told = lineage.get("scenes")
    count = told.get("concepts") if isinstance(told, dict) else None
    if not isinstance(count, int) or count < 1:
        return None
    for table in (concepts(), tuple(shape.concept for shape in SHAPES.values())):
        known = [each for each in table if not tokenizer.unknown_words(f"{each.name} {each.plural}")]
        if len(known) >= count:
            return tuple(known[:count])
    return None
