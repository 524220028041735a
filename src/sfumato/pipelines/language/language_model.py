"""A language model: a network and its tokenizer, which write texts and say how probable they are."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.checkpoints.language import language_folder, load_language_model, save_language_model
from sfumato.data.text.learned import Learned
from sfumato.data.text.tokens import TextTokenizer
from sfumato.devices import choose_device, usual_dtype
from sfumato.errors import CheckpointError, DataError, PromptError
from sfumato.networks.gpt import GPT
from sfumato.pipelines.finding import find, is_embedded
from sfumato.pipelines.language.choosing import Sampling
from sfumato.pipelines.language.constraints import Owed
from sfumato.pipelines.language.writing import Piece, Row, write

TOKENS = 200  # written where nothing else is asked for, and there is room


@dataclass(frozen=True)
class Text:
    """A text that a model wrote.

    Attributes:
        prompt: what it goes on from.
        written: what was written; without the stop word, if one came.
        seed: with which it is written again.
        tokens: numbers of what was written, with the token of the end.
        log_probabilities: of each of them after those before it, in nats, by the model alone.
        reason: why it ends: "end", "stop" or "limit".
    """

    prompt: str
    written: str
    seed: int
    tokens: tuple[int, ...]
    log_probabilities: tuple[float, ...]
    reason: str

    def __str__(self) -> str:
        return self.prompt + self.written


class LanguageModel:
    """Writes texts token by token, and scores them.

    Args:
        network: in evaluation mode, on its device.
        tokenizer: whose tokens it was trained on.
        texts_a_pass: how many texts are written together.
        learned: the texts that it learned from, where that is known.

    Raises:
        CheckpointError: the tokenizer has more tokens than the network.

    Example:
        >>> from sfumato.networks.llama import Llama, LlamaConfig
        >>> tokenizer = TextTokenizer.of_characters(["to be or not to be"])
        >>> sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
        >>> network = Llama(LlamaConfig(vocab_size=tokenizer.vocab_size, **sizes)).eval()
        >>> model = LanguageModel(network, tokenizer)
        >>> text, = model.write("to be", tokens=8, seed=1)
        >>> len(text.written), text.reason
        (8, 'limit')
    """

    def __init__(
        self, network: GPT, tokenizer: TextTokenizer, texts_a_pass: int = 16, learned: Learned = Learned()
    ) -> None:
        if tokenizer.vocab_size > network.config.vocab_size:
            raise CheckpointError(
                f"The tokenizer has {tokenizer.vocab_size} tokens and the language model {network.config.vocab_size}: "
                "they do not belong together."
            )
        self.network, self.tokenizer, self.texts_a_pass = network, tokenizer, texts_a_pass
        self.learned = learned
        self.ends = _ends(network, tokenizer)

    @classmethod
    def load(
        cls, folder: str | Path | None = None, device: str = "auto", dtype: torch.dtype | None = None
    ) -> LanguageModel:
        """Read a model folder that has a `language_model`, or a GPT-2 or Llama as transformers saves it.

        Args:
            folder: of the model, or the name of an embedded one; the default when None.
            device: auto, cpu, cuda, ...
            dtype: of the weights; by default as suits the device.

        Raises:
            CheckpointError: a file is missing, broken or not supported; the message names it.
        """
        where, path = choose_device(device), find(folder) if is_embedded(folder) else Path(str(folder))
        network = load_language_model(path, dtype or usual_dtype(where), str(where))
        place = language_folder(path)
        return cls(network, TextTokenizer.load(place), learned=Learned.load(place))

    def save(self, folder: str | Path) -> None:
        """Write a folder that `load` and transformers open: configuration, weights, tokenizer."""
        save_language_model(Path(folder), self.network)
        self.tokenizer.save(Path(folder))
        self.learned.save(Path(folder))

    def knows(self, text: str) -> bool:
        """Whether it learned from just this text; False too where that is not known."""
        return self.tokenizer.encode(text) in self.learned

    def write(
        self,
        prompts: str | Sequence[str],
        *,
        number: int = 1,
        tokens: int | None = None,
        sampling: Sampling = Sampling(),
        stop: Sequence[str] = (),
        must: Sequence[str] = (),
        seed: int | None = None,
        slide: bool = False,
    ) -> list[Text]:
        """Write texts that go on from prompts.

        A text depends on (model, prompt, settings, seed) alone; see `sfumato.pipelines.language.writing.write`.

        Args:
            prompts: one or several; an empty one lets the model begin.
            number: texts for each prompt.
            tokens: written at most; by default 200, or as many as there is room for.
            sampling: how tokens are chosen.
            stop: strings before which a text ends.
            must: words that each text contains when it ends, the prompt counted; see `constraints.Owed`.
            seed: of the first text; the next ones have seed + 1, ... By default a random one.
            slide: let go of the text's older half whenever the model's positions are full, and write on.

        Returns:
            The texts, `number` of each prompt, in order.

        Raises:
            PromptError: a setting is out of range, a text cannot be begun, or the prompt and `tokens` are more than the
                model reads.
            DataError: a character is not among those of the model; the message names it.
        """
        asked = self.asked(prompts, number, seed)
        return self.texts(asked, tokens=tokens, sampling=sampling, stop=stop, must=must, slide=slide)

    def texts(
        self,
        asked: Sequence[tuple[str, int]],
        *,
        tokens: int | None = None,
        sampling: Sampling = Sampling(),
        stop: Sequence[str] = (),
        must: Sequence[str] = (),
        slide: bool = False,
    ) -> list[Text]:
        """Write a text for each prompt and seed; all else as in `write`."""
        pieces: list[list[Piece]] = [[] for _ in asked]
        for piece in self.stream(asked, tokens=tokens, sampling=sampling, stop=stop, must=must, slide=slide):
            pieces[piece.row].append(piece)
        return [_joined(prompt, of, row) for (prompt, of), row in zip(asked, pieces, strict=True)]

    def asked(self, prompts: str | Sequence[str], number: int = 1, seed: int | None = None) -> list[tuple[str, int]]:
        """The texts to write, each a prompt and a seed."""
        every = [prompts] if isinstance(prompts, str) else list(prompts)
        if number < 1:
            raise PromptError(f"number={number!r} is out of its range: it is at least 1.")
        first = secrets.randbelow(2**31) if seed is None else seed
        return [(prompt, first + place) for place, prompt in enumerate(each for each in every for _ in range(number))]

    def stream(
        self,
        asked: Sequence[tuple[str, int]],
        *,
        tokens: int | None = None,
        sampling: Sampling = Sampling(),
        stop: Sequence[str] = (),
        must: Sequence[str] = (),
        slide: bool = False,
    ) -> Iterator[Piece]:
        """Write texts as `write` does, and give each piece as soon as it is there.

        Args:
            asked: a prompt and a seed for each text; up to `texts_a_pass` of them are written at a time.
            tokens, sampling, stop, must, slide: as in `write`, and with the same errors.
        """
        if "" in stop:
            raise PromptError("A stop word is empty; it would end every text at once.")
        rows = []
        for number, (prompt, seed) in enumerate(asked):
            ids = self.opening(prompt)
            limit = self._limit(len(ids), tokens, slide)
            owed = Owed(must, self.tokenizer, self.ends, stop, limit) if must else None
            rows.append(Row.open(number, ids, seed, self.tokenizer, stop, limit, owed))
        return self._streamed(rows, sampling)

    def _streamed(self, rows: list[Row], sampling: Sampling) -> Iterator[Piece]:
        for first in range(0, len(rows), self.texts_a_pass):
            some = rows[first : first + self.texts_a_pass]
            yield from write(self.network, some, sampling, self.tokenizer.vocab_size, self.ends)

    def log_probability(self, texts: Sequence[str], *, ended: bool = False) -> list[float]:
        """How probable each text is: the natural logarithm, summed over its tokens; see `log_probabilities`."""
        return [float(nats.sum()) for nats in self.log_probabilities(texts, ended=ended)]

    @torch.inference_mode()
    def log_probabilities(self, texts: Sequence[str], *, ended: bool = False) -> list[Float[Tensor, " t"]]:
        """How probable each token of texts is after those before it, in nats, as float64.

        A text begins as the model's texts do, after its token for that or for the end of another text; where there is
        none the first token is taken as given, and has no number.

        Args:
            texts: each at most as long as the model reads.
            ended: whether the end belongs to the text.

        Raises:
            PromptError: a text is too long, or has no end.
            DataError: a character is not among those of the model.
        """
        if ended and self.tokenizer.end_id is None:
            raise PromptError("This language model knows no end of a text; score texts without it.")
        before = self._before()
        end = [self.tokenizer.end_id] if ended and self.tokenizer.end_id is not None else []
        return [self._scored([*before, *self.tokenizer.encode(text), *end], max(1, len(before))) for text in texts]

    def _scored(self, ids: list[int], given: int) -> Float[Tensor, " t"]:
        most = self.network.config.positions
        if len(ids) > most + 1:  # the last is not read
            raise PromptError(f"The text has {len(ids)} tokens, and this language model reads at most {most}.")
        if len(ids) <= given:
            return torch.zeros(0, dtype=torch.float64)
        device = next(self.network.parameters()).device
        logits = self.network(torch.tensor([ids[:-1]], device=device))[0, given - 1 :]
        logits = logits[:, : self.tokenizer.vocab_size].double()
        taken = logits.gather(1, torch.tensor(ids[given:], device=device)[:, None])[:, 0]
        return (taken - logits.logsumexp(1)).cpu()

    def _before(self) -> list[int]:
        """What stands before the first token of a text: nothing for models that know no beginning."""
        if self.tokenizer.start_ids:
            return self.tokenizer.start_ids
        named = (self.network.config.bos_token_id,) if self.tokenizer.kind == "bytes" else ()
        known = (each for each in (*named, self.tokenizer.end_id) if each is not None)
        return [each for each in known if each < self.network.config.vocab_size][:1]

    def opening(self, prompt: str) -> list[int]:
        """The tokens of a prompt; of an empty one, what stands before a text, or a line's end."""
        ids = [*self.tokenizer.start_ids, *self.tokenizer.encode(prompt)] or self._before()
        if ids:
            return ids
        try:
            return self.tokenizer.encode("\n")
        except DataError:
            raise PromptError(
                "This language model knows no beginning of a text; give it at least one character to go on from."
            ) from None

    def _limit(self, begun: int, tokens: int | None, slide: bool) -> int:
        """How many tokens may be written after so many."""
        most = self.network.config.positions
        if tokens is not None and tokens < 1:
            raise PromptError(f"tokens={tokens!r} is out of its range: it is at least 1.")
        if slide:
            return TOKENS if tokens is None else tokens
        wanted = 1 if tokens is None else tokens
        if begun + wanted > most:
            raise PromptError(
                f"The prompt has {begun} tokens and {wanted} more are to be written; this language model reads at most "
                f"{most}. Shorten the prompt, write fewer, or let the window slide."
            )
        return min(TOKENS, most - begun) if tokens is None else tokens


def _joined(prompt: str, seed: int, pieces: list[Piece]) -> Text:
    written = "".join(piece.text for piece in pieces)
    tokens, nats = (tuple(getattr(piece, name) for piece in pieces) for name in ("token", "log_probability"))
    return Text(prompt, written, seed, tokens, nats, pieces[-1].reason or "limit")


def _ends(network: GPT, tokenizer: TextTokenizer) -> frozenset[int]:
    """The tokens that end a text, by the tokenizer and, where it is of a model from elsewhere, by its configuration."""
    named = network.config.eos_token_id if tokenizer.kind == "bytes" else None
    others = named if isinstance(named, tuple) else (named,)
    return frozenset(each for each in (tokenizer.end_id, *others) if each is not None)
