"""A GPT: a causal transformer that gives, after each token of a text, a score for every token that may come next.

Radford et al. 2018 and 2019. What all of them do stands here; `gpt2` and `llama` are two layouts of the parameters.

Axis letters in this file: b batch, n tokens read now, t tokens so far, p vectors of a prefix, d width, v vocabulary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sfumato.networks.attention import attend_heads
from sfumato.networks.kv_cache import KVCache

PIECE = 1024  # rows of a table that a processor multiplies at a time, where there are few states
FEW = 64


class GPTConfig(Protocol):
    """What is asked of the configuration of any layout, besides the fields of its own."""

    @property
    def vocab_size(self) -> int:
        """Tokens that there are."""
        ...

    @property
    def tie_word_embeddings(self) -> bool:
        """Whether tokens are scored by the table that embeds them."""
        ...

    @property
    def bos_token_id(self) -> int | None:
        """The token before a text."""
        ...

    @property
    def eos_token_id(self) -> int | tuple[int, ...] | None:
        """The token, or several, that end a text."""
        ...

    @property
    def width(self) -> int:
        """Numbers in the state of a token."""
        ...

    @property
    def layers(self) -> int:
        """Blocks, one after the other."""
        ...

    @property
    def positions(self) -> int:
        """Tokens of the longest text."""
        ...

    @property
    def key_heads(self) -> int:
        """Heads that have keys and values."""
        ...

    @property
    def head_width(self) -> int:
        """Numbers in a key."""
        ...


@dataclass(frozen=True)
class Place:
    """Where the tokens that are read now stand, and what of the text they may look at.

    Attributes:
        positions: their numbers from 0, (n,), or (b, n) where rows differ.
        cache: what was read before them, and where they are written; None where they are the whole text.
        bias: added to the scores of attention; None where nothing, or only what is later, is hidden.
        causal: whether what is later is hidden without a bias.
        rotation: cosine and sine of their positions, for layouts that turn their keys.
    """

    positions: Int[Tensor, "*b n"]
    cache: KVCache | None
    bias: Float[Tensor, "#b 1 n t"] | None
    causal: bool
    rotation: tuple[Tensor, Tensor] | None = None

    def looked(
        self,
        q: Float[Tensor, "b heads n c"],
        k: Float[Tensor, "b groups n c"],
        v: Float[Tensor, "b groups n c"],
        layer: int,
    ) -> Float[Tensor, "b heads n c"]:
        """Lets the tokens look at the text so far; several heads may share the keys and values of a group.

        Grouped heads: Ainslie et al. 2023, section 2.2.
        """
        if self.cache is not None:
            k, v = self.cache.extend(layer, k, v)
        (b, heads, n, c), groups = q.shape, k.shape[1]
        if heads == groups:
            return attend_heads(q, k, v, self.bias, causal=self.causal)
        if n == 1:  # the heads of a group stand as if they were tokens of one head, and no key is copied
            return attend_heads(q.reshape(b, groups, heads // groups, c), k, v, self.bias).reshape(b, heads, 1, c)
        k, v = (x.repeat_interleave(heads // groups, dim=1) for x in (k, v))
        return attend_heads(q, k, v, self.bias, causal=self.causal)


class GPT(nn.Module, ABC):
    """What the layouts share: reading tokens after others, with or without a cache.

    Attributes:
        config: of the layout.
        dropout: share of the numbers that are dropped at random while it learns, of the embedded tokens and of what
            each half of a block adds (Srivastava et al. 2014); the files know nothing of it.
    """

    config: GPTConfig
    dropout = 0.0

    def forward(
        self,
        ids: Int[Tensor, "b n"],
        cache: KVCache | None = None,
        *,
        prefix: Float[Tensor, "b p d"] | None = None,
        mask: Bool[Tensor, "b p+n"] | None = None,
        last: bool = False,
    ) -> Float[Tensor, "b n v"]:
        """Scores what may come after each token: logits, whose softmax over v are the probabilities.

        Args:
            ids: tokens, which follow those in the cache.
            cache: from `new_cache`; it takes the tokens up.
            prefix: vectors that are read before the tokens as if they were embedded tokens, and count as positions.
            mask: False hides a vector or token from all others, and it does not count as a position: what fills up
                rows of different length, on either side.
            last: give the scores after the last token alone, (b, 1, v).

        Raises:
            ValueError: more tokens than there are positions, or than the cache has room for.
        """
        x = self.embed(ids)
        if prefix is not None:
            x = torch.cat([prefix.to(x.dtype), x], dim=1)
        tokens = x.shape[1]
        x, place = self.placed(x, self.place(x, cache, mask))
        x = self._dropped(x)
        for block in self.blocks:
            x = x + self._dropped(block.look(x, place))
            x = x + self._dropped(block.think(x))
        if cache is not None:
            cache.advance(tokens)
        return self.logits(x[:, -1:] if last else x[:, tokens - ids.shape[1] :])

    def place(self, x: Float[Tensor, "b n d"], cache: KVCache | None, mask: Bool[Tensor, "b n"] | None) -> Place:
        """Finds where tokens stand that follow those in the cache; raises ValueError where there is no room."""
        (b, n), before = x.shape[:2], 0 if cache is None else cache.length
        if mask is not None and bool(mask.all()):
            mask = None
        if cache is not None:
            cache.require_room(b, n)
        positions = self._positions(n, cache, mask, x.device)
        hidden = None
        if cache is not None:
            hidden = cache.hidden(n, mask)
        elif mask is not None:
            hidden = torch.zeros(mask.shape, dtype=x.dtype, device=x.device).masked_fill(~mask, -torch.inf)
            hidden = hidden[:, None, None]
        if mask is not None or (n > 1 and (before or hidden is not None)):
            hidden = _nothing_later(n, before + n, hidden, x)
        return Place(positions, cache, hidden, causal=n > 1 and hidden is None)

    def _positions(
        self, n: int, cache: KVCache | None, mask: Bool[Tensor, "b n"] | None, device: torch.device
    ) -> Int[Tensor, "*b n"]:
        before, most = 0 if cache is None else cache.length, self.config.positions
        fits = before + n <= most
        if mask is None and (cache is None or cache.read is None):
            end, positions = before + n, torch.arange(before, before + n, device=device)
        else:  # what is hidden does not count
            already = before if cache is None or cache.read is None else cache.read[:, None]
            steps = torch.arange(1, n + 1, device=device)[None] if mask is None else mask.cumsum(1)
            positions = (already + steps - 1).clamp(min=0)
            end = 0 if fits else int(positions.max()) + 1
        if end > most:
            raise ValueError(f"{end} tokens: this language model reads at most {most}")
        return positions

    def new_cache(self, batch: int, capacity: int) -> KVCache:
        """Makes room for the keys and values of `batch` texts of `capacity` tokens each."""
        config, like = self.config, next(self.parameters())
        sizes = (config.layers, batch, config.key_heads, capacity, config.head_width)
        return KVCache(*sizes, dtype=like.dtype, device=like.device)

    @property
    @abstractmethod
    def blocks(self) -> Sequence[Block]:
        """The blocks, one after the other."""

    @abstractmethod
    def embed(self, ids: Int[Tensor, "b n"]) -> Float[Tensor, "b n d"]:
        """Gives each token its vector, without its position."""

    @abstractmethod
    def placed(self, x: Float[Tensor, "b n d"], place: Place) -> tuple[Float[Tensor, "b n d"], Place]:
        """Tells vectors where they stand: by adding to them, or by the rotation of their keys."""

    @abstractmethod
    def logits(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n v"]:
        """Scores the next token from the last block's states."""

    def _dropped(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout) if self.training and self.dropout else x


class Block(Protocol):
    """One block in two halves, each of which says what to add to the states."""

    def look(self, x: Float[Tensor, "b n d"], place: Place) -> Float[Tensor, "b n d"]:
        """Attention: what each token finds in the text so far."""
        ...

    def think(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """What each token makes of itself."""
        ...


def scored(x: Float[Tensor, "b n d"], table: Float[Tensor, "v d"]) -> Float[Tensor, "b n v"]:
    """Scores every token of a table, whose rows stay in a processor's cache where few states meet a long one."""
    few = x.device.type == "cpu" and x.shape[0] * x.shape[1] <= FEW and not torch.is_grad_enabled()
    return torch.cat([F.linear(x, rows) for rows in table.split(PIECE)], -1) if few else F.linear(x, table)


def _nothing_later(n: int, t: int, hidden: Tensor | None, like: Tensor) -> Float[Tensor, "#b 1 {n} {t}"]:
    """Hides what comes after each of the last `n` of `t` tokens, besides what is `hidden`; all see themselves."""
    own = torch.arange(t - n, t, device=like.device)[:, None]
    every = torch.arange(t, device=like.device)
    bias = torch.zeros(n, t, dtype=like.dtype, device=like.device).masked_fill(every > own, -torch.inf)
    if hidden is not None:
        bias = (hidden + bias).masked_fill(every == own, 0)  # a row that sees nothing would be no number
    return bias if bias.ndim == 4 else bias[None, None]
