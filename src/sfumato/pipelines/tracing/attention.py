"""Seeing where the layers of a denoiser look: hooks on its attention while it makes one look at something noisy.

Cross-attention (Rombach et al. 2022, section 3.3) compares each place of the picture with the words. Joint attention
(Esser et al. 2024, section 4) compares it with the words and all other places; only the words are kept of it here, so
that both tell the same: the probability of each word at each place.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float16
from torch import Tensor, nn

from sfumato.networks.attention import Attention
from sfumato.networks.k_unet import KUNet
from sfumato.networks.transformer_blocks import JointAttention
from sfumato.networks.unet import UNet

Size = tuple[int, int]
Places = Mapping[int, Sequence[Sequence[int]]]
"""By branch: for each of the words, which of the states are its own; nothing for those that are not of the branch."""

SCORES = 2**24  # that are computed at once
AMONG_SIDE = 32  # of the grid on which it is kept how places look at one another


@dataclass
class Seen:
    """What was seen in one look.

    Attributes:
        maps: for each layer the probability of each word at each place, by groups of heads.
        among: by the grid of a layer how much each place looks at each other one, summed over layers and heads.
        counts: how many are summed there.
    """

    maps: dict[str, Float16[np.ndarray, "groups words h w"]] = field(default_factory=dict)
    among: dict[Size, Float[Tensor, "n n"]] = field(default_factory=dict)
    counts: dict[Size, int] = field(default_factory=dict)


def attentions(network: nn.Module) -> dict[str, Attention | JointAttention]:
    """The layers of a denoiser that look, by name."""
    return {
        name: module for name, module in network.named_modules() if isinstance(module, Attention | JointAttention)
    }


@contextmanager
def seeing(
    network: nn.Module, size: Size, text: int, places: Places, words: int, groups: int, side: int
) -> Iterator[Seen]:
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
    seen = Seen()
    patch = 0 if isinstance(network, UNet | KUNet) else network.config.factor
    eye = _Eye(seen, size, text, places, words, groups, side, patch)
    with ExitStack() as hooks:
        for name, layer in attentions(network).items():
            handle = layer.register_forward_pre_hook(eye.hook(name), with_kwargs=True)
            hooks.callback(handle.remove)
        yield seen


@dataclass
class _Eye:
    seen: Seen
    size: Size
    text: int
    places: Places
    words: int
    groups: int
    side: int
    patch: int  # edge of what a transformer sees as one token, whose layers all have one grid; 0 for U-Nets

    def hook(self, name: str) -> Any:
        thread = threading.get_ident()

        def look(layer: Attention | JointAttention, given: tuple[Any, ...], named: dict[str, Any]) -> None:
            if threading.get_ident() == thread:  # others may use the network at the same time
                with torch.no_grad():
                    self._look(name, layer, given, named)

        return look

    def _look(
        self, name: str, layer: Attention | JointAttention, given: tuple[Any, ...], named: dict[str, Any]
    ) -> None:
        x, second, third = (*given, None, None)[:3]
        for branch in self.places:
            row = slice(branch, branch + 1)
            if isinstance(layer, JointAttention):
                text = named.get("text", second)
                rotation = named.get("rotation", third)
                q, k = layer.queries_and_keys(x[row], None if text is None else text[row], rotation)
                self._joint(name, layer.heads, q[0], k[0], branch)
                continue
            context, bias = named.get("context", second), named.get("bias", third)
            if context is None:
                if grid := self._kept_grid(x.shape[1]):
                    self._among(layer.heads, *(part[0] for part in layer.queries_and_keys(x[row])), grid)
            elif grid_of(x.shape[1], self.size):
                q, k = layer.queries_and_keys(x[row], context[row])
                self._across(name, layer.heads, q[0], k[0], None if bias is None else bias[row][0, 0, 0], branch)

    def _joint(
        self, name: str, heads: int, q: Float[Tensor, "s c"], k: Float[Tensor, "s c"], branch: int
    ) -> None:
        if len(q) > (self.size[0] // self.patch) * (self.size[1] // self.patch):
            self._across(name, heads, q[self.text :], k[: self.text], None, branch)
            q, k = q[self.text :], k[self.text :]
        if grid := self._kept_grid(len(q)):
            self._among(heads, q, k, grid)

    def _across(
        self, name: str, heads: int, q: Float[Tensor, "n c"], k: Float[Tensor, "t c"], bias: Tensor | None, branch: int
    ) -> None:
        """Keeps how probable each word of a branch is at each place."""
        grid = grid_of(len(q), self.size)
        mine = self.places[branch]
        if grid is None:
            return
        belongs = torch.zeros(len(k), self.words, device=k.device)
        for word, states in enumerate(mine):
            for state in states:
                belongs[min(state, len(k) - 1), word] = 1
        found = torch.cat([chosen @ belongs for chosen in probabilities(q, k, heads, bias)])  # heads n words
        groups = largest_divisor(heads, self.groups)
        maps = found.unflatten(0, (groups, -1)).mean(1).mT.unflatten(-1, grid)
        small = shrunk(maps, self.side).to(torch.float16).cpu().numpy()
        if name in self.seen.maps:  # of an earlier branch, whose words are others
            small = self.seen.maps[name] + small
        self.seen.maps[name] = small

    def _among(self, heads: int, q: Float[Tensor, "n c"], k: Float[Tensor, "n c"], grid: Size) -> None:
        """Adds how much each place looks at each other one."""
        if len(q) > AMONG_SIDE**2:
            step = -(-max(grid) // AMONG_SIDE)
            q, k = (part.unflatten(0, grid)[::step, ::step].flatten(0, 1) for part in (q, k))
            grid = (-(-grid[0] // step), -(-grid[1] // step))
        total = torch.stack([chosen.sum(0) for chosen in probabilities(q, k, heads)]).sum(0) / heads
        before = self.seen.among.get(grid)
        self.seen.among[grid] = total if before is None else before + total
        self.seen.counts[grid] = self.seen.counts.get(grid, 0) + 1

    def _kept_grid(self, tokens: int) -> Size | None:
        grid = grid_of(tokens, self.size)
        return grid if grid and (self.patch or tokens <= AMONG_SIDE**2) else None


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
        if grid[0] * grid[1] == tokens:
            return grid
        if grid[0] * grid[1] < tokens:
            return None
    return None


def shrunk(maps: Float[Tensor, "*b h w"], side: int) -> Float[Tensor, "*b h2 w2"]:
    """The same averaged over areas, so that none is larger than `side`."""
    h, w = maps.shape[-2:]
    if max(h, w) <= side:
        return maps
    size = (min(side, h), min(side, w))
    return F.adaptive_avg_pool2d(maps.reshape(-1, 1, h, w), size).reshape(*maps.shape[:-2], *size)


def largest_divisor(number: int, most: int) -> int:
    """The largest number up to `most` that divides another."""
    return max(each for each in range(1, min(number, max(most, 1)) + 1) if number % each == 0)
