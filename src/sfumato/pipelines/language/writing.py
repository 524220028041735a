"""Writing: one token after the other, for many texts at once, as an iterator of pieces of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sfumato.data.text.tokens import Decodes, Decoding
from sfumato.networks.gpt import GPT
from sfumato.networks.kv_cache import KVCache
from sfumato.pipelines.language.choosing import Sampling, choose
from sfumato.pipelines.language.constraints import Owed
from sfumato.pipelines.language.ending import Ending
from sfumato.seeds import derived_seed


@dataclass(frozen=True)
class Piece:
    """What one token adds to a text.

    Attributes:
        row: which of the texts.
        token: its number.
        log_probability: of this token after those before it, in nats, by the model alone: without temperature and cuts.
        text: the whole characters that are certain now; empty while a character or a stop word may be incomplete.
        reason: why the text ends here, "end" (the model's own), "stop" (a stop word) or "limit"; None if it goes on.
    """

    row: int
    token: int
    log_probability: float
    text: str
    reason: str | None


@dataclass
class Row:
    """A text that is being written.

    Attributes:
        number: which of the texts.
        ids: its tokens, with the prompt's.
        begun: how many of them are the prompt's.
        generator: where its random numbers come from, on the CPU.
        decoding: turns tokens into characters.
        ending: finds stop words.
        limit: tokens that may be written.
        owed: words that it must contain.
        first: the first token that the network still sees; later ones only where the window slid.
        prefix: vectors that the network reads before the text, such as what it saw of a picture; of all texts that are
            written together, or of none.
    """

    number: int
    ids: list[int]
    begun: int
    generator: torch.Generator
    decoding: Decoding
    ending: Ending
    limit: int
    owed: Owed | None = None
    first: int = 0
    prefix: Float[Tensor, "p d"] | None = None

    @classmethod
    def open(
        cls,
        number: int,
        prompt: Sequence[int],
        seed: int,
        tokenizer: Decodes,
        stop: Sequence[str],
        limit: int,
        owed: Owed | None = None,
        prefix: Float[Tensor, "p d"] | None = None,
    ) -> Row:
        """Begins a text after the tokens of its prompt."""
        generator = torch.Generator().manual_seed(derived_seed(seed, "writing"))
        decoding = Decoding(tokenizer, prompt)
        return cls(number, list(prompt), len(prompt), generator, decoding, Ending(stop), limit, owed, prefix=prefix)

    @property
    def window(self) -> list[int]:
        """The tokens that the network sees."""
        return self.ids[self.first :]

    @property
    def written(self) -> int:
        """Tokens that have been written."""
        return len(self.ids) - self.begun

    def decide(self, token: int) -> tuple[int, bool]:
        """The token that comes next, and whether it is the one that was chosen."""
        return (token, True) if self.owed is None else self.owed.decide(self.ids, token, self.written)

    def take(self, token: int, log_probability: float, ends: frozenset[int], *, chosen: bool) -> Piece:
        """Adds a token; one that was not chosen but owed belongs to no stop word."""
        self.ids.append(token)
        ended, full = token in ends, self.written == self.limit
        piece = "" if ended else self.decoding.add(token)
        if ended or full:
            piece += self.decoding.end()
        text = self.ending.add(piece) if chosen else self.ending.release() + piece
        if self.ending.found:
            return Piece(self.number, token, log_probability, text, "stop")
        if ended or full:
            text += self.ending.release()
        reason = "end" if ended else "limit" if full else None
        return Piece(self.number, token, log_probability, text, reason)

    def slide(self, most: int) -> bool:
        """Where the window is full, forgets all but its newer half; says whether it did."""
        if len(self.ids) - self.first <= most:
            return False
        self.first = len(self.ids) - most // 2
        return True


def write(network: GPT, rows: list[Row], sampling: Sampling, vocabulary: int, ends: frozenset[int]) -> Iterator[Piece]:
    """Writes texts to their ends, a token of each at a time.

    A text depends on (model, prompt, settings, seed) alone: where the network computes in float32, a choice that is so
    close that the rounding of another batch might change it is made anew from the text alone, by itself. In half
    precision, where most choices would be, texts are those of another batch up to rounding.

    Args:
        network: on its device; its texts go on beyond its positions by a window that slides.
        rows: the texts, each of one token at least.
        sampling: how tokens are chosen.
        vocabulary: tokens that may be chosen, from 0.
        ends: tokens that end a text.

    Yields:
        Pieces, in the order of the rows for each token.
    """
    exactly = next(network.parameters()).dtype in (torch.float32, torch.float64)
    table = _Table(network, rows, sampling, vocabulary)
    while True:
        decided = [row.decide(token) for row, token in zip(table.rows, table.choose(exactly), strict=True)]
        told = table.log_probabilities([token for token, _ in decided])
        going = []
        for place, (row, (token, chosen), nats) in enumerate(zip(table.rows, decided, told, strict=True)):
            if row.number in table.done:
                continue
            piece = row.take(token, nats, ends, chosen=chosen)
            yield piece
            if piece.reason:
                table.done.add(row.number)
            else:
                going.append(place)
        if not going:
            return
        table.read(going)


class _Table:
    """The texts that are written together, what the network keeps of them, and what it says comes next."""

    def __init__(self, network: GPT, rows: list[Row], sampling: Sampling, vocabulary: int) -> None:
        self.network, self.rows, self.sampling, self.vocabulary = network, rows, sampling, vocabulary
        self.done: set[int] = set()
        self.device = next(network.parameters()).device
        self._noise = torch.empty(len(rows), vocabulary, dtype=torch.float64)
        self._before = 0 if rows[0].prefix is None else len(rows[0].prefix)
        self._most = network.config.positions - self._before  # tokens of a text that the network sees
        for row in rows:
            row.slide(self._most)
        self._cache, self.logits = self._read_all()
        self._seen = self._all_seen() if sampling.repetition_penalty != 1 else None

    @torch.inference_mode()
    def choose(self, exactly: bool) -> list[int]:
        """Chooses each text's next token."""
        noise = None
        if self.sampling.temperature:
            for out, row in zip(self._noise, self.rows, strict=True):
                out.uniform_(generator=row.generator)
            noise = self._noise[: len(self.rows)].to(self.device)
        choice = choose(self._favouring(self.logits), self.sampling, noise, self._seen)
        tokens: list[int] = choice.tokens.tolist()
        if exactly and not bool(choice.sure.all()):
            for place in (~choice.sure).nonzero()[:, 0].tolist():
                if self.rows[place].number not in self.done:
                    self.logits[place] = self._alone(place)
                    tokens[place] = self._chosen_alone(place, noise)
        return tokens

    @torch.inference_mode()
    def log_probabilities(self, tokens: list[int]) -> list[float]:
        """How probable each text's token was, in nats."""
        logits = self.logits.float()
        taken = logits.gather(1, torch.tensor(tokens, device=self.device)[:, None])
        told: list[float] = (taken - logits.logsumexp(1, keepdim=True))[:, 0].tolist()
        return told

    @torch.inference_mode()
    def read(self, going: list[int]) -> None:
        """Lets the network read the last token of the texts that go on, which stand at these places."""
        if 2 * len(going) <= len(self.rows):  # texts that are done are carried along until they are half of all
            self.rows = [self.rows[place] for place in going]
            places = torch.tensor(going, device=self.device)
            self._cache.keep(places)
            self._noise = self._noise[: len(going)]
            self._seen = None if self._seen is None else self._seen[places]
        step = torch.tensor([[row.ids[-1]] for row in self.rows], device=self.device)
        if self._seen is not None:
            self._seen.scatter_(1, step.clamp(max=self.vocabulary - 1), True)
        slid = [row.slide(self._most) for row in self.rows if row.number not in self.done]
        if any(slid) or self._cache.length == self._cache.capacity:
            self.rows = [row for row in self.rows if row.number not in self.done]
            self._noise = self._noise[: len(self.rows)]
            self._seen = None if self._seen is None else self._all_seen()
            self._cache, self.logits = self._read_all()
        else:
            self.logits = self._scored(self.network(step, self._cache, last=True))

    @torch.inference_mode()
    def _read_all(self) -> tuple[KVCache, Float[Tensor, "b v"]]:
        windows = [row.window for row in self.rows]
        longest = max(map(len, windows))
        left = max(row.limit - row.written for row in self.rows)
        cache = self.network.new_cache(len(windows), self._before + min(longest + left, self._most))
        ids = torch.tensor([[0] * (longest - len(window)) + window for window in windows], device=self.device)
        mask = None
        if any(len(window) < longest for window in windows):
            lengths = torch.tensor([len(window) for window in windows], device=self.device)
            mask = torch.arange(longest, device=self.device) >= longest - lengths[:, None]
            mask = torch.nn.functional.pad(mask, (self._before, 0), value=True)
        return cache, self._scored(self.network(ids, cache, prefix=self._prefixes(self.rows), mask=mask, last=True))

    def _alone(self, place: int) -> Float[Tensor, " v"]:
        """What comes next by the text alone: in no batch, and without what was kept."""
        ids = torch.tensor([self.rows[place].window], device=self.device)
        return self._scored(self.network(ids, prefix=self._prefixes([self.rows[place]]), last=True))[0]

    def _prefixes(self, rows: Sequence[Row]) -> Float[Tensor, "b p d"] | None:
        """What stands before the texts."""
        prefixes = [row.prefix for row in rows if row.prefix is not None]
        return torch.stack(prefixes) if prefixes else None

    def _chosen_alone(self, place: int, noise: Float[Tensor, "b v"] | None) -> int:
        one = slice(place, place + 1)
        logits = self._favouring(self.logits)[one]
        seen = None if self._seen is None else self._seen[one]
        return int(choose(logits, self.sampling, None if noise is None else noise[one], seen).tokens)

    def _scored(self, logits: Float[Tensor, "b 1 v"]) -> Float[Tensor, "b v"]:
        """Scores of the tokens that there are: some networks have room for more, that fills up."""
        return logits[:, -1, : self.vocabulary]

    def _favouring(self, logits: Float[Tensor, "b v"]) -> Float[Tensor, "b v"]:
        """The scores, with those of owed words raised."""
        favoured = [(place, row) for place, row in enumerate(self.rows) if row.owed is not None]
        if not favoured:
            return logits
        logits = logits.clone()
        for place, row in favoured:
            if row.owed is not None and (tokens := row.owed.favoured(row.ids)):
                logits[place, tokens] += row.owed.strength(row.written)
        return logits

    def _all_seen(self) -> Bool[Tensor, "b v"]:
        seen = torch.zeros(len(self.rows), self.vocabulary, dtype=torch.bool)
        for out, row in zip(seen, self.rows, strict=True):
            out[[token for token in row.ids if token < self.vocabulary]] = True
        return seen.to(self.device)
