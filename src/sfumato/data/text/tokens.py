"""Texts to numbers and back for language models: by characters, or by byte-level byte pairs (Radford et al. 2019)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import tokenizers
from tokenizers import Regex, decoders, models, pre_tokenizers, trainers

from sfumato.data import tokenfiles
from sfumato.data.tokenfiles import ALL_IN_ONE, CONFIG, MAX_BYTES, SPECIALS
from sfumato.errors import CheckpointError, DataError

END = "<|endoftext|>"
ENDS = (END, "</s>", "<|end_of_text|>", "<eos>")  # as others call it, where a folder does not say
LOOK_BACK = 8  # tokens before a text, by which its first blank is told
BROKEN = "\N{REPLACEMENT CHARACTER}"  # what stands for bytes that are no character

Kind = Literal["characters", "bytes"]


class TextTokenizer:
    """The tokenizer of a language model.

    Attributes:
        kind: "characters" has a number for each character of its vocabulary, "bytes" joins bytes and reads any text.
        vocab_size: one more than the highest number.
        end_id: the token that ends a text; None where there is none.
        start_ids: what stands before every text, as the model's folder says; usually nothing.

    Example:
        >>> tokenizer = TextTokenizer.of_characters(["a black cat"])
        >>> tokenizer.encode("cab"), tokenizer.decode([3, 1, 2])
        ([3, 1, 2], 'cab')
    """

    def __init__(self, model: tokenizers.Tokenizer, end: str | None = None) -> None:
        self._tokenizer = model
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._tokenizer.encode_special_tokens = True  # a text cannot say its own end
        self.end_id: int | None = None if end is None else model.token_to_id(end)
        self._end = end
        numbers = model.get_vocab(with_added_tokens=True)
        self.vocab_size = 1 + max(numbers.values(), default=-1)
        self._characters = _characters(model)
        self.kind: Kind = "bytes" if self._characters is None else "characters"
        before = [] if self._characters is not None else model.encode("", add_special_tokens=True).ids
        self.start_ids: list[int] = [number for number in before if number != self.end_id]

    @classmethod
    def of_characters(cls, texts: Iterable[str], *, end: bool = False) -> TextTokenizer:
        """Number the characters of texts in the order of their code points.

        Args:
            texts: read once.
            end: whether there is a token for the end of a text too, the last.

        Raises:
            DataError: there is no character.
        """
        characters = sorted(set().union(*map(well_formed, texts)))
        if not characters:
            raise DataError("a vocabulary needs at least one character; the text is empty")
        model = tokenizers.Tokenizer(models.WordLevel({each: number for number, each in enumerate(characters)}))
        model.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
        model.decoder = decoders.Fuse()
        if end:
            model.add_special_tokens([END])
        return cls(model, END if end else None)

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int = 4096) -> TextTokenizer:
        """Learn which bytes to join; the same texts give the same tokenizer.

        Args:
            texts: read once.
            vocab_size: at most this many tokens; 257 of them, each byte and the end of a text, are always there.

        Raises:
            DataError: `vocab_size` < 257.
        """
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        if vocab_size <= len(alphabet):
            raise DataError(f"a vocabulary needs at least {len(alphabet) + 1} tokens, not {vocab_size}")
        # The alphabet goes in as special tokens because the trainer numbers those in the order given.
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size - 1, min_frequency=2, special_tokens=alphabet, show_progress=False
        )
        learner = _byte_rules(models.BPE())
        learner.train_from_iterator(map(well_formed, texts), trainer)
        tokens = dict.fromkeys(alphabet)
        merges = []
        for left, right in tokenfiles.pairs(json.loads(learner.to_str())["model"]["merges"]):
            if left in tokens and right in tokens:
                merges.append((left, right))
                tokens[left + right] = None
        return cls._of_bytes({token: number for number, token in enumerate((*tokens, END))}, merges, END)

    @classmethod
    def load(cls, folder: Path) -> TextTokenizer:
        """Read `tokenizer.json`, or `vocab.json` and `merges.txt` as GPT-2 has them.

        Raises CheckpointError, naming the file, when it is missing, too large or not what it should be.
        """
        path = folder / ALL_IN_ONE
        if not path.is_file():
            if not (folder / tokenfiles.VOCABULARY).is_file():
                raise CheckpointError(f"{path} is missing, as is {tokenfiles.VOCABULARY}: there is no tokenizer.")
            vocabulary, merges, config, _ = tokenfiles.read(folder)
            return cls._of_bytes(vocabulary, merges, _end(config, vocabulary))
        if path.stat().st_size > MAX_BYTES:
            raise CheckpointError(f"{path} is larger than any tokenizer should be; it was not read.")
        try:
            model = tokenizers.Tokenizer.from_file(str(path))
            config = _described(folder)
            return cls(model, _end(config, model.get_vocab(with_added_tokens=True)))
        except CheckpointError:
            raise
        except Exception as error:  # the tokenizers library raises plain Exception
            raise CheckpointError(f"{path} is no tokenizer that can be read: {error}") from error

    @classmethod
    def _of_bytes(
        cls, vocabulary: Mapping[str, int], merges: Sequence[tuple[str, str]], end: str | None
    ) -> TextTokenizer:
        try:
            model = _byte_rules(models.BPE(dict(vocabulary), list(merges)))
        except Exception as error:  # the tokenizers library raises plain Exception
            raise CheckpointError(f"the merges do not fit the vocabulary: {error}") from error
        if end is not None:
            model.add_special_tokens([end])
        return cls(model, end)

    def save(self, folder: Path) -> None:
        """Write files that `load` and transformers' `PreTrainedTokenizerFast` read; StorageError when that fails."""
        config = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
        if self._end is not None:
            config["eos_token"] = self._end
        contents = {ALL_IN_ONE: self._tokenizer.to_str(), CONFIG: json.dumps(config, indent=2, sort_keys=True) + "\n"}
        tokenfiles.write_texts(folder, contents)

    def encode(self, text: str) -> list[int]:
        """Token numbers of a text, without `start_ids` and end.

        Raises:
            DataError: a character is not in a vocabulary of characters; the message names it and its position.
        """
        text = well_formed(text)
        if self._characters is None:
            ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
            return ids
        try:
            return [self._characters[character] for character in text]
        except KeyError:
            at = next(place for place, character in enumerate(text) if character not in self._characters)
            raise DataError(
                f"The character {text[at]!r} (U+{ord(text[at]):04X}), number {at + 1} of the text, is not among the "
                f"{len(self._characters)} that this language model has learned; leave it out or write it otherwise."
            ) from None

    def decode(self, ids: Iterable[int]) -> str:
        """The text of token numbers, without the end; bytes that are no character become U+FFFD."""
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=True)
        return text


class Decodes(Protocol):
    """Whatever turns token numbers into text, a `TextTokenizer` or CLIP's `Tokenizer`."""

    def decode(self, ids: Iterable[int]) -> str:
        """The text of token numbers."""


class Decoding:
    """Text from tokens that come one by one, in pieces of whole characters.

    Args:
        tokenizer: of the tokens.
        after: tokens that stand before the first.

    Example:
        >>> decoding = Decoding(TextTokenizer.train([]))
        >>> [decoding.add(byte) for byte in TextTokenizer.train([]).encode("né")]
        ['n', '', 'é']
    """

    def __init__(self, tokenizer: Decodes, after: Sequence[int] = ()) -> None:
        self._tokenizer, self._ids = tokenizer, list(after)[-LOOK_BACK:]
        self._told, self._new = 0, len(self._ids)

    def add(self, token: int) -> str:
        """The text that a token completes: none while a character is not whole."""
        self._ids.append(token)
        # decoded after the piece before, since some tokenizers begin a text without the blank of its first word
        before = self._tokenizer.decode(self._ids[self._told : self._new])
        now = self._tokenizer.decode(self._ids[self._told :])
        if len(now) <= len(before) or now.endswith(BROKEN):
            return ""
        self._told, self._new = self._new, len(self._ids)
        return now[len(before) :]

    def end(self) -> str:
        """What is left at the end of a text: U+FFFD for bytes that never became a character."""
        before = self._tokenizer.decode(self._ids[self._told : self._new])
        return self._tokenizer.decode(self._ids[self._told :])[len(before) :]


def well_formed(text: str) -> str:
    """The text with a question mark for each half of a character, which UTF-8 cannot hold."""
    return text.encode("utf-8", errors="replace").decode("utf-8")


def _byte_rules(model: models.BPE) -> tokenizers.Tokenizer:
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _characters(model: tokenizers.Tokenizer) -> dict[str, int] | None:
    """The numbers of the characters, of a tokenizer that has one for each; None for others."""
    if not isinstance(model.model, models.WordLevel):
        return None
    numbers: dict[str, int] = model.get_vocab(with_added_tokens=False)
    if any(len(word) != 1 for word in numbers):
        raise CheckpointError("a tokenizer of whole words is not supported, only of characters or of bytes")
    return numbers


def _described(folder: Path) -> dict[str, Any]:
    """What the files beside `tokenizer.json` say of it; empty when there are none."""
    told: dict[str, Any] = {}
    for name in (SPECIALS, CONFIG):
        if (folder / name).is_file():
            told |= tokenfiles.read_object(folder / name)
    return told


def _end(config: Mapping[str, Any], numbers: Mapping[str, int]) -> str | None:
    """The token that ends a text, which a folder's files name or which is called as usual."""
    named = config.get("eos_token")
    named = named.get("content") if isinstance(named, dict) else named
    candidates: Iterator[Any] = iter((named, *ENDS))
    return next((each for each in candidates if isinstance(each, str) and each in numbers), None)
