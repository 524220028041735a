"""Words to numbers: CLIP's byte-pair encoding, trained on one's own captions or read from a model folder.

The rules are those of A. Radford et al., Learning Transferable Visual Models From Natural Language Supervision, 2021,
section 2.4, as `transformers.CLIPTokenizer` applies them; it reads the saved folder and gives the same numbers.
"""

import gzip
import itertools
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tokenizers
import torch
from jaxtyping import Int64
from tokenizers import AddedToken, Regex, models, normalizers, pre_tokenizers, trainers
from torch import Tensor

from sfumato.data import tokenfiles
from sfumato.data.windows import Frame
from sfumato.errors import CheckpointError, DataError

START, END, WORD_END = "<|startoftext|>", "<|endoftext|>", "</w>"
LENGTH = 77  # tokens that CLIP's text encoders read, with start and end
PIECES = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
CLIP_MERGES = Path(__file__).with_name("clip_merges.txt.gz")  # of OpenAI's CLIP, see NOTICE
CLIP_SIZE = 49_408  # tokens: 256 bytes, the same at the end of a word, the merges, start and end
WORDS_KEPT = 100_000
LONGEST_WORD = 100


class Tokenizer:
    """Byte-pair encoding of prompts, in lower case.

    Args:
        vocabulary: the number of each token.
        merges: pairs of tokens that are joined, the most urgent first.
        length: tokens per text, with start, end and padding.
        pad: the token that fills up.
        words: words the training captions hold, the most frequent first; empty when unknown.
        added: words that came later, from files, and how many tokens each of them stands for; see `with_word`.

    Example:
        >>> tokenizer = Tokenizer.train(["a cat", "a black cat"], vocab_size=600, length=8)
        >>> tokenizer.tokens("A  cat")
        ['a</w>', 'cat</w>']
        >>> tokenizer.encode(["a cat"]).shape
        torch.Size([1, 8])
    """

    def __init__(
        self,
        vocabulary: Mapping[str, int],
        merges: Sequence[tuple[str, str]],
        *,
        length: int = LENGTH,
        pad: str | AddedToken = END,
        words: Sequence[str] = (),
        added: Mapping[str, int] | None = None,
    ) -> None:
        self._vocabulary, self._merges, self._words = dict(vocabulary), list(merges), tuple(words)
        self._known = frozenset(words)
        self._pad = str(pad) if isinstance(pad, str) else pad.content
        self._pad_token = pad
        self.length = length
        self.vocab_size = 1 + max(self._vocabulary.values())
        self.start_id, self.end_id, self.pad_id = (self._vocabulary[token] for token in (START, END, self._pad))
        bpe = models.BPE(self._vocabulary, self._merges, end_of_word_suffix=WORD_END, unk_token=END)
        self._tokenizer = _clip_rules(bpe)
        self._tokenizer.add_special_tokens([START, END, pad])
        self._added = dict(added or {})
        self._runs: dict[int, int] = {}  # how many tokens an added word stands for, by the number of the first
        for word, count in self._added.items():
            # without `special` they are found in lower case too, as transformers finds them
            self._tokenizer.add_tokens([AddedToken(name, normalized=True) for name in _names(word, count)])
            self._runs[self.vocab_size] = count
            self.vocab_size += count
            if self._tokenizer.token_to_id(_names(word, count)[-1]) != self.vocab_size - 1:
                raise DataError(f"the vocabulary leaves numbers out, so the word {word!r} cannot be added to it")

    @classmethod
    def train(cls, captions: Iterable[str], vocab_size: int = 4096, length: int = LENGTH) -> "Tokenizer":
        """Learn a vocabulary from captions; the same captions, in any order, give the same tokenizer.

        Args:
            captions: read once.
            vocab_size: at most this many tokens; 514 of them (each byte inside and at the end of a word, start and
                end) are always there, so that any text can be encoded.
            length: tokens per text.

        Raises:
            DataError: `vocab_size` < 514 or `length` < 3.
        """
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet(), key=_clip_order)
        base = alphabet + [byte + WORD_END for byte in alphabet]
        if vocab_size < len(base) + 2:
            raise DataError(f"a vocabulary needs at least {len(base) + 2} tokens, not {vocab_size}")
        if length < 3:
            raise DataError(f"a text needs at least 3 tokens (start, one word, end), not {length}")
        counts: Counter[str] = Counter()

        def counted() -> Iterator[str]:
            for caption in captions:
                caption = _well_formed(caption)
                counts.update(_words(caption))
                yield caption

        # The alphabet goes in as special tokens because the trainer numbers those in the order given, and all others
        # in an order that changes from run to run.
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size - 2,
            min_frequency=2,
            special_tokens=base,
            end_of_word_suffix=WORD_END,
            show_progress=False,
        )
        learner = _clip_rules(models.BPE(end_of_word_suffix=WORD_END))
        learner.train_from_iterator(counted(), trainer)
        tokens = dict.fromkeys(base)
        merges = []
        for left, right in tokenfiles.pairs(json.loads(learner.to_str())["model"]["merges"]):
            # A merge that begins with "#" would be read as a comment in merges.txt.
            if left in tokens and right in tokens and not left.startswith("#"):
                merges.append((left, right))
                tokens[left + right] = None
        vocabulary = {token: number for number, token in enumerate((*tokens, START, END))}
        words = sorted(counts, key=lambda word: (-counts[word], word))[:WORDS_KEPT]
        return cls(vocabulary, merges, length=length, words=words)

    @classmethod
    def clip(cls, pad: str = END) -> "Tokenizer":
        """CLIP's own, with which the text encoders of Stable Diffusion read, and which no single file holds.

        `pad` is `END` for OpenAI's encoders, "!" for OpenCLIP's as Stable Diffusion 2 and XL have them.

        Example:
            >>> Tokenizer.clip().encode(["a photo of a cat"])[0, :7].tolist()
            [49406, 320, 1125, 539, 320, 2368, 49407]
        """
        merges = tokenfiles.pairs(gzip.decompress(CLIP_MERGES.read_bytes()).decode("utf-8").splitlines())
        base = sorted(pre_tokenizers.ByteLevel.alphabet(), key=_clip_order)
        tokens = [*base, *(byte + WORD_END for byte in base), *(left + right for left, right in merges), START, END]
        return cls({token: number for number, token in enumerate(tokens)}, merges, pad=pad)

    def encode(self, texts: Sequence[str]) -> Int64[Tensor, "b length"]:
        """Token numbers: start, the text (cut when too long), end, padding."""
        rows = torch.full((len(texts), self.length), self.pad_id, dtype=torch.int64)
        for row, text in zip(rows, self._numbers(texts), strict=True):
            numbers = [self.start_id, *(number for number, _ in text[: self.length - 2]), self.end_id]
            row[: len(numbers)] = torch.tensor(numbers)
        return rows

    def decode(self, ids: Iterable[int]) -> str:
        """The text of token numbers, in lower case and without start, end and padding.

        Which blanks stood around signs no token tells: there is none before those that end a part of a sentence.
        Bytes that are no character become U+FFFD.

        Example:
            >>> tokenizer = Tokenizer.train(["a cat, a dog"])
            >>> tokenizer.decode(tokenizer.encode(["A  cat, a dog"])[0].tolist())
            'a cat, a dog'
        """
        silent = {self.start_id, self.end_id, self.pad_id}
        letters = "".join(str(self._tokenizer.id_to_token(number)) for number in ids if number not in silent)
        spelt = letters.replace(WORD_END, " ").strip()
        text = b"".join(_BYTES.get(letter, letter.encode()) for letter in spelt).decode("utf-8", errors="replace")
        return re.sub(r" (?=[,.;:!?])", "", text)

    def tokens(self, text: str) -> list[str]:
        """All tokens of a text, without start and end, as the vocabulary spells them.

        Each byte is a letter (é is Ã©), and the last token of a word ends in `</w>`.
        """
        return [str(self._tokenizer.id_to_token(number)) for number, _ in self._numbers([text])[0]]

    def numbers(self, text: str) -> list[list[int]]:
        """The token numbers of a text, word by word, without start and end."""
        encoding = self._encodings([text])[0]
        return [
            [number for first, _ in word for number in range(first, first + self._runs.get(first, 1))]
            for _, word in itertools.groupby(zip(encoding.ids, encoding.word_ids, strict=True), lambda pair: pair[1])
        ]

    def spans(self, text: str) -> list[list[tuple[int, int, int]]]:
        """The same numbers, each with the characters of the text, from and to, that it stands for."""
        encoding = self._encodings([text])[0]
        read = zip(encoding.ids, encoding.offsets, encoding.word_ids, strict=True)
        return [
            [(number, *span) for first, span, _ in word for number in range(first, first + self._runs.get(first, 1))]
            for _, word in itertools.groupby(read, lambda each: each[2])
        ]

    def spelling(self, number: int) -> str:
        """A token as the vocabulary spells it; empty for a number that it does not have."""
        return self._tokenizer.id_to_token(number) or ""

    @property
    def frame(self) -> Frame:
        """How the numbers of a text are laid out for the encoder."""
        comma = self._vocabulary.get("," + WORD_END)
        return Frame(self.length, self.start_id, self.end_id, self.pad_id, comma)

    def truncated(self, text: str) -> str | None:
        """The end of the text that `encode` leaves out, or None when all of it fits."""
        starts = [start for _, start in self._numbers([text])[0]]
        return text[starts[self.length - 2] :] if len(starts) > self.length - 2 else None

    @property
    def words(self) -> list[str]:
        """The words of the training captions, the commonest first; empty when they are not known."""
        return list(self._words)

    def unknown_words(self, text: str) -> list[str]:
        """The words of a text, in lower case, that no training caption held; empty when the captions are not known."""
        return [word for word in dict.fromkeys(_words(text)) if word not in self._known] if self._known else []

    def with_word(self, word: str, count: int = 1) -> "Tokenizer":
        """A tokenizer that also knows a word of its own, which stands for several tokens in a row.

        They are numbered from `vocab_size`, and the text encoder needs a vector for each (textual inversion, Gal et al.
        2022). The word is found anywhere in a text, in upper or lower case; `word_1` is its second token alone, and so
        on, as diffusers has it.

        Raises:
            DataError: the word is empty, holds blanks, is longer than 100 letters, or is known already.
        """
        if not 1 <= len(word) <= LONGEST_WORD or len(word.split()) != 1 or word != word.strip():
            raise DataError(
                f"{word[:LONGEST_WORD]!r} cannot be a word: it should be 1 to {LONGEST_WORD} letters, no blanks"
            )
        if not 1 <= count <= self.length:
            raise DataError(f"{word!r} stands for {count} tokens; a text has room for {self.length}")
        known = {name.lower() for each in self._added.items() for name in _names(*each)}
        taken = [name for name in _names(word, count) if name.lower() in known]
        if word.lower() in self._vocabulary or word.lower() + WORD_END in self._vocabulary:
            taken.append(word)
        if taken:
            raise DataError(f"{taken[0]!r} is a word that the tokenizer knows already; give the new one another name")
        return Tokenizer(
            self._vocabulary,
            self._merges,
            length=self.length,
            pad=self._pad_token,
            words=self._words,
            added={**self._added, word: count},
        )

    def _numbers(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Each token's number, and where in the text it starts."""
        return [
            [
                (number, start)
                for first, (start, _) in zip(encoding.ids, encoding.offsets, strict=True)
                for number in range(first, first + self._runs.get(first, 1))
            ]
            for encoding in self._encodings(texts)
        ]

    def _encodings(self, texts: Sequence[str]) -> list[tokenizers.Encoding]:
        return self._tokenizer.encode_batch([_well_formed(text) for text in texts], add_special_tokens=False)

    def save(self, folder: Path) -> None:
        """Write the files that `load` and `transformers.CLIPTokenizer` read; raises StorageError when that fails.

        Raises DataError for a tokenizer with added words, which stay in the files that they came from.
        """
        if self._added:
            raise DataError(
                f"the words {', '.join(self._added)} were added to this tokenizer and cannot be saved with it"
            )
        config = {
            "add_prefix_space": False,
            "bos_token": START,
            "do_lower_case": True,
            "eos_token": END,
            "errors": "replace",
            "model_max_length": self.length,
            "pad_token": self._pad,
            "tokenizer_class": "CLIPTokenizer",
            "unk_token": END,
        }
        tokenfiles.write(folder, self._vocabulary, self._merges, config, self._words)

    @classmethod
    def load(cls, folder: Path) -> "Tokenizer":
        """Read a tokenizer folder: ours, or that of any Stable Diffusion model.

        Raises CheckpointError, naming the file, when one is missing, too large or not what it should be.
        """
        vocabulary, merges, config, words = tokenfiles.read(folder)
        length = config.get("model_max_length", LENGTH)
        if not isinstance(length, int | float) or length < 3:
            raise CheckpointError(f"{folder / tokenfiles.CONFIG}: model_max_length is {length!r}")
        pad = _special(config.get("pad_token") or END)
        for token in (START, END, pad.content):
            if token not in vocabulary:
                raise CheckpointError(f"{folder / tokenfiles.VOCABULARY}: lacks the token {token}")
        length = int(length) if length <= 4096 else LENGTH  # a huge number stands for "not said"
        try:
            return cls(vocabulary, merges, length=length, pad=pad, words=words)
        except Exception as error:  # the tokenizers library raises plain Exception
            raise CheckpointError(f"{folder / tokenfiles.MERGES}: {error}") from error


def _clip_rules(model: models.BPE) -> tokenizers.Tokenizer:
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    return tokenizer


def _clip_order(letter: str) -> tuple[bool, int]:
    """CLIP numbers the printable bytes first, then the others, whose stand-ins begin at U+0100."""
    return ord(letter) >= 256, ord(letter)


def _letters_of_bytes() -> dict[str, bytes]:
    """The byte that each letter of a byte-level vocabulary stands for: printable ones themselves, others in order."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet(), key=_clip_order)
    plain = {ord(letter) for letter in alphabet if ord(letter) < 256}
    others = [byte for byte in range(256) if byte not in plain]
    return {letter: bytes([ord(letter) if ord(letter) < 256 else others[ord(letter) - 256]]) for letter in alphabet}


_BYTES = _letters_of_bytes()


def _names(word: str, count: int) -> list[str]:
    """The names of the tokens that an added word stands for, as diffusers gives them."""
    return [word, *(f"{word}_{place}" for place in range(1, count))]


def _special(token: Any) -> AddedToken:
    if isinstance(token, dict):
        return AddedToken(str(token.get("content")), special=True, normalized=bool(token.get("normalized", False)))
    return AddedToken(str(token), special=True)


def _well_formed(text: str) -> str:
    """The text without lone surrogates, which no encoding can hold."""
    return text.encode("utf-8", errors="replace").decode("utf-8")


def _words(text: str) -> Iterator[str]:
    return (match[0] for match in re.finditer(r"[^\W_]+", unicodedata.normalize("NFC", text).lower()))
