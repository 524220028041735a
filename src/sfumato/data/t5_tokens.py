"""Words to numbers for T5: a unigram model of pieces, read from a model folder (Kudo & Richardson 2018)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import tokenizers

from sfumato.data.tokenfiles import ALL_IN_ONE, CONFIG, MAX_BYTES, write_texts
from sfumato.data.windows import Frame
from sfumato.errors import CheckpointError

END, PAD = "</s>", "<pad>"


class T5Tokenizer:
    """The tokenizer of a T5: pieces of words, an end, padding; there is no start."""

    def __init__(self, model: tokenizers.Tokenizer) -> None:
        self._tokenizer = model
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        end, pad = model.token_to_id(END), model.token_to_id(PAD)
        if end is None or pad is None:
            raise ValueError(f"it lacks {END} or {PAD}")
        self.end_id, self.pad_id = end, pad

    @classmethod
    def load(cls, folder: Path) -> T5Tokenizer:
        """Read `tokenizer.json`, or `spiece.model` where transformers can turn it into one.

        Raises CheckpointError, naming the file, when it is missing, too large or not what it should be.
        """
        path = folder / ALL_IN_ONE
        if not path.is_file():
            return cls(_converted(folder))
        if path.stat().st_size > MAX_BYTES:
            raise CheckpointError(f"{path} is larger than any tokenizer should be; it was not read.")
        try:
            return cls(tokenizers.Tokenizer.from_file(str(path)))
        except Exception as error:  # the tokenizers library raises plain Exception
            raise CheckpointError(f"{path} is no tokenizer of T5: {error}") from error

    def save(self, folder: Path) -> None:
        """Write the files that `load` and transformers read; raises StorageError when that fails."""
        config = {"eos_token": END, "model_max_length": 512, "pad_token": PAD, "unk_token": "<unk>"}
        config["tokenizer_class"] = "T5Tokenizer"
        contents = {ALL_IN_ONE: self._tokenizer.to_str(), CONFIG: json.dumps(config, indent=2, sort_keys=True) + "\n"}
        write_texts(folder, contents)

    def numbers(self, text: str) -> list[list[int]]:
        """The token numbers of a text, one by one, without the end."""
        return [[number] for number in self._encoded(text).ids]

    def spans(self, text: str) -> list[list[tuple[int, int, int]]]:
        """The same numbers, each with the characters of the text, from and to, that it stands for."""
        encoding = self._encoded(text)
        return [[(number, *span)] for number, span in zip(encoding.ids, encoding.offsets, strict=True)]

    def spelling(self, number: int) -> str:
        """A token as the vocabulary spells it; empty for a number that it does not have."""
        return self._tokenizer.id_to_token(number) or ""

    def truncated(self, texts: Iterable[str], length: int) -> str | None:
        """What an encoder of `length` tokens does not see of texts one after the other; None when it sees all."""
        room, lost = self.frame(length).room, ""
        for text in texts:
            starts = [start for start, _ in self._encoded(text).offsets]
            lost += text[starts[room] :] if len(starts) > room else ""
            room = max(room - len(starts), 0)
        return lost or None

    def frame(self, length: int) -> Frame:
        """How they are laid out for an encoder of `length` tokens."""
        return Frame(length, None, self.end_id, self.pad_id, endless=True)

    def _encoded(self, text: str) -> tokenizers.Encoding:
        clean = text.encode("utf-8", errors="replace").decode("utf-8")
        return self._tokenizer.encode(clean, add_special_tokens=False)


def _converted(folder: Path) -> tokenizers.Tokenizer:
    if not (folder / "spiece.model").is_file():
        raise CheckpointError(f"{folder / ALL_IN_ONE} is missing: this is not a complete model folder.")
    try:
        from transformers import T5Tokenizer as Theirs

        return Theirs.from_pretrained(folder, local_files_only=True).backend_tokenizer
    except Exception as error:  # whatever a converter of a file from elsewhere may raise
        raise CheckpointError(
            f"{folder / 'spiece.model'} could not be read: {error}. Reading it takes: pip install 'sfumato[t5]'"
        ) from error
