"""What a language model keeps of the tokens it has read: their keys and values, so that each is computed once."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class KVCache:
    """Room for the keys and values of `capacity` tokens in every layer, taken at once.

    All rows of a batch are written at the same places. Where their texts differ in length the shorter ones are filled
    up with tokens that a mask hides: nobody looks at those, and they do not count as positions.

    Attributes:
        length: tokens that it holds, hidden ones too.
        capacity: tokens that it has room for.
        keys, values: of each layer, (b, heads, capacity, c); beyond `length` they mean nothing.
        read: how many tokens that are not hidden each row has, (b,); None while none is hidden, and all have `length`.
        bias: added to the scores of attention, -inf at hidden tokens, (b, 1, 1, capacity); None while none is hidden.
        rotation: cosine and sine for each position, (capacity, c), of networks that turn their keys by them.
    """

    def __init__(
        self,
        layers: int,
        batch: int,
        heads: int,
        capacity: int,
        width: int,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ):
        shape = (batch, heads, capacity, width)
        self.keys = [torch.empty(shape, dtype=dtype, device=device) for _ in range(layers)]
        self.values = [torch.empty(shape, dtype=dtype, device=device) for _ in range(layers)]
        self.length, self.capacity = 0, capacity
        self.read: Int[Tensor, " b"] | None = None
        self.bias: Float[Tensor, "b 1 1 capacity"] | None = None
        self.rotation: tuple[Float[Tensor, "capacity c"], Float[Tensor, "capacity c"]] | None = None

    def require_room(self, batch: int, tokens: int) -> None:
        """Refuses more tokens than there is room for, and other batches: ValueError."""
        if batch != len(self.keys[0]):
            raise ValueError(f"{batch} rows: this cache is of {len(self.keys[0])}")
        if self.length + tokens > self.capacity:
            raise ValueError(f"{self.length} + {tokens} tokens: this cache has room for {self.capacity}")

    def extend(
        self, layer: int, k: Float[Tensor, "b heads n c"], v: Float[Tensor, "b heads n c"]
    ) -> tuple[Float[Tensor, "b heads t c"], Float[Tensor, "b heads t c"]]:
        """Writes the keys and values of the next tokens and gives all so far, as views; see `advance`."""
        tokens, keys, values = k.shape[2], self.keys[layer], self.values[layer]
        keys.narrow(2, self.length, tokens).copy_(k)
        values.narrow(2, self.length, tokens).copy_(v)
        return keys.narrow(2, 0, self.length + tokens), values.narrow(2, 0, self.length + tokens)

    def advance(self, tokens: int) -> None:
        """Counts tokens that every layer has written."""
        self.length += tokens
        if self.read is not None:
            self.read = self.read + tokens

    def hidden(self, tokens: int, mask: Bool[Tensor, "b n"] | None) -> Float[Tensor, "b 1 1 t"] | None:
        """Gives the bias of all tokens with the next ones, of which those are hidden where `mask` is False."""
        if mask is not None:
            if self.bias is None:
                b = len(self.keys[0])
                self.read = torch.full((b,), self.length, device=mask.device)
                self.bias = torch.zeros(b, 1, 1, self.capacity, dtype=self.keys[0].dtype, device=mask.device)
            assert self.read is not None
            self.bias[:, 0, 0, self.length : self.length + tokens].masked_fill_(~mask, -torch.inf)
            self.read = self.read - (~mask).sum(1)  # of all the tokens that `advance` will count
        return None if self.bias is None else self.bias[..., : self.length + tokens]

    def keep(self, rows: Int[Tensor, " k"]) -> None:
        """Goes on with some of the rows only, in the order given."""
        self.keys = [keys[rows] for keys in self.keys]
        self.values = [values[rows] for values in self.values]
        if self.bias is not None and self.read is not None:
            self.bias, self.read = self.bias[rows], self.read[rows]
