"""Seeing where the layers of a denoiser look: hooks on its attention while it makes one look at something noisy.

Cross-attention (Rombach et al. 2022, section 3.3) compares each place of the picture with the words. Joint attention
(Esser et al. 2024, section 4) compares it with the words and all other places; only the words are kept of it here, so
that both tell the same: the probability of each word at each place.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float16
from torch import Tensor, nn

from sfumato.networks.attention import Attention
from sfumato.networks.transformer_blocks import JointAttention

Size = tuple[int, int]
Places = Mapping[int, Sequence[Sequence[int]]]
"""By branch: for each of the words, which of the states are its own; nothing for those that are not of the branch."""

Maps = dict[str, Float16[np.ndarray, "groups words h w"]]
"""By layer the probability of each word at each place, by groups of heads."""

SCORES = 2**24  # that are computed at once


def attentions(network: nn.Module) -> dict[str, Attention | JointAttention]:
    """The layers of a denoiser that look, by name."""
    return {name: module for name, module in network.named_modules() if isinstance(module, Attention | JointAttention)}


@contextmanager
def seeing(
    network: nn.Module, size: Size, text: int, places: Places, words: int, groups: int, side: int
) -> Iterator[Maps]:
    """Sees the looks that the network makes inside, in this thread.

    Args:
        network: the denoiser.
        size: of the sample that it looks at.
        text: states of words that it listens to.
        places: the words' own states.
        words: how many words there are, of all branches.
        groups: of heads, that are kept apart; fewer where they do not divide the heads.
        side: the maps are made no larger than this.
    """
    eye = _Eye(network, size, text, places, words, groups, side)
    with ExitStack() as hooks:
        for name, layer in attentions(network).items():
            handle = layer.register_forward_pre_hook(eye.hook(name), with_kwargs=True)
            hooks.callback(handle.remove)
        yield eye.maps


@dataclass
class _Eye:
    network: Any
    size: Size
    text: int
    places: Places
    words: int
    groups: int
    side: int
    maps: Maps = field(default_factory=dict)
    known: dict[tuple[int, int], Tensor] = field(default_factory=dict)

    def hook(self, name: str) -> Callable[..., None]:
        """What a layer calls before it looks."""
        thread = threading.get_ident()

        def look(layer: Attention | JointAttention, given: tuple[Any, ...], named: dict[str, Any]) -> None:
            if threading.get_ident() == thread:  # others may use the network at the same time
                with torch.no_grad():
                    for branch in self.places:
                        self._look(name, layer, branch, given, named)

        return look

    def _look(
        self,
        name: str,
        layer: Attention | JointAttention,
        branch: int,
        given: tuple[Any, ...],
        named: dict[str, Any],
    ) -> None:
        """Keeps how probable each word of a branch is at each place; nothing of layers that look at the picture."""
        x, second, third = (*given, None, None)[:3]
        row, bias = slice(branch, branch + 1), None
        if isinstance(layer, JointAttention):
            text, rotation = named.get("text", second), named.get("rotation", third)
            if text is None and x.shape[1] == prod(edge // self.network.config.factor for edge in self.size):
                return  # places alone
            q, k = layer.queries_and_keys(x[row], None if text is None else text[row], rotation)
            q, k = q[:, self.text :], k[:, : self.text]
        else:
            context, bias = named.get("context", second), named.get("bias", third)
            if context is None:
                return
            q, k = layer.queries_and_keys(x[row], context[row])
        if grid := grid_of(q.shape[1], self.size):
            self._keep(name, branch, grid, q[0], k[0], layer.heads, None if bias is None else bias[row][0, 0, 0])

    def _keep(
        self,
        name: str,
        branch: int,
        grid: Size,
        q: Float[Tensor, "n c"],
        k: Float[Tensor, "t c"],
        heads: int,
        bias: Float[Tensor, " t"] | None,
    ) -> None:
        belongs = self._belongs(branch, len(k)).to(k.device)
        found = torch.cat([chances @ belongs for chances in probabilities(q, k, heads, bias)])  # heads n words
        grouped = found.unflatten(0, (largest_divisor(heads, self.groups), -1)).mean(1)
        maps = shrunk(grouped.mT.unflatten(-1, grid), self.side).to(torch.float16).cpu().numpy()
        self.maps[name] = self.maps[name] + maps if name in self.maps else maps  # each branch has words of its own

    def _belongs(self, branch: int, states: int) -> Float[Tensor, "t words"]:
        """Which states are which word's."""
        if (branch, states) not in self.known:
            belongs = np.zeros((states, self.words), np.float32)
            for word, places in enumerate(self.places[branch]):
                belongs[[place for place in places if place < states], word] = 1
            self.known[branch, states] = torch.from_numpy(belongs)
        return self.known[branch, states]


def probabilities(
    q: Float[Tensor, "n c"], k: Float[Tensor, "t c"], heads: int, bias: Float[Tensor, " t"] | None = None
) -> Iterator[Float[Tensor, "heads n t"]]:
    """What attention computes: softmax(q k' / sqrt(c) + bias), some heads at a time (Vaswani et al. 2017, eq. 1)."""
    q, k = (part.float().unflatten(-1, (heads, -1)).transpose(0, 1) for part in (q, k))
    some = max(1, SCORES // (q.shape[1] * k.shape[1]))
    for few, keys in zip(q.split(some), k.split(some), strict=True):
        scores = few @ keys.mT * q.shape[-1] ** -0.5
        yield (scores if bias is None else scores + bias.float()).softmax(-1)


def grid_of(tokens: int, size: Size) -> Size | None:
    """How `tokens` lie on a sample of `size` that was halved, or cut into patches; None where it cannot be so."""
    for by in range(1, max(size) + 1):
        grid = (-(-size[0] // by), -(-size[1] // by))
        if grid[0] * grid[1] <= tokens:
            return grid if grid[0] * grid[1] == tokens else None
    return None


def shrunk(maps: Float[Tensor, "*b h w"], side: int) -> Float[Tensor, "*b h2 w2"]:
    """The same averaged over areas, so that no edge is longer than `side`; the proportions stay about as they are."""
    h, w = maps.shape[-2:]
    if max(h, w) <= side:
        return maps
    by = side / max(h, w)
    size = (max(1, round(h * by)), max(1, round(w * by)))
    return F.adaptive_avg_pool2d(maps.reshape(-1, 1, h, w), size).reshape(*maps.shape[:-2], *size)


def largest_divisor(number: int, most: int) -> int:
    """The largest number up to `most` that divides another."""
    return max(each for each in range(1, min(number, max(most, 1)) + 1) if number % each == 0)
