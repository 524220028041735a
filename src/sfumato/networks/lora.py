"""LoRA: a network's layers changed by updates of low rank, live or fused.

    W' = W + weight * alpha / r * B A

Hu et al. 2021, "LoRA: Low-rank adaptation of large language models", section 4.1. Live, the update runs beside the
layer and its weight may change at any time; fused, it is added to the layer's weight and costs nothing more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

Layer = nn.Linear | nn.Conv2d

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0", "q_proj", "k_proj", "v_proj", "out_proj")
"""The layers that Hu et al. 2021 change, by the names they have in U-Nets, transformers and text encoders."""


class LowRank(nn.Module):
    """The update of one layer, of rank r; parameters carry the names of PEFT's files.

    Args:
        down: A, (r, inputs) for a linear layer, (r, inputs, height, width) of the kernel for a convolution.
        up: B, (outputs, r), or (outputs, r, 1, 1).
        alpha: the update is scaled by alpha / r; r when None.
        magnitude: (outputs,), for DoRA: the length of each output's row of the changed weight (Liu et al. 2024,
            "DoRA: Weight-decomposed low-rank adaptation", eq. 5); None for LoRA.
    """

    def __init__(self, down: Tensor, up: Tensor, alpha: float | None = None, magnitude: Tensor | None = None):
        super().__init__()
        self.lora_A, self.lora_B = _Weight(down), _Weight(up)
        self.lora_magnitude_vector = None if magnitude is None else nn.Parameter(magnitude)
        self.alpha = float(self.rank if alpha is None else alpha)

    @property
    def rank(self) -> int:
        """The r of the paper: channels in between."""
        return len(self.lora_A.weight)

    def applied(self, whole: Float[Tensor, "k ..."], weight: float) -> Float[Tensor, "k ..."]:
        """The changed weight of a layer whose weight is `whole`, by `weight` times this update; in its precision."""
        down, up = (each.weight.to(whole).flatten(1) for each in (self.lora_A, self.lora_B))
        changed = whole + weight * self.alpha / self.rank * (up @ down).reshape(whole.shape)
        if self.lora_magnitude_vector is None:
            return changed
        return self._stretch(changed).reshape(-1, *[1] * (whole.ndim - 1)) * changed

    def changed(self, layer: Layer, x: Tensor, out: Tensor, weight: float) -> Tensor:
        """What the changed layer makes of `x`, where without this update it makes `out`."""
        added = weight * self.alpha / self.rank * self._through(layer, x).to(out.dtype)
        if self.lora_magnitude_vector is None:
            return out + added
        with torch.no_grad():
            down, up = (each.weight.to(layer.weight).flatten(1) for each in (self.lora_A, self.lora_B))
            whole = layer.weight + weight * self.alpha / self.rank * (up @ down).reshape(layer.weight.shape)
        beside = (-1, 1, 1) if isinstance(layer, nn.Conv2d) else (-1,)
        stretch = self._stretch(whole).to(out.dtype).reshape(beside)
        unbiased = out if layer.bias is None else out - layer.bias.reshape(beside)
        return out + (stretch - 1) * unbiased + stretch * added

    def fits(self, layer: nn.Module) -> bool:
        """Whether the update is of this layer's shape."""
        down, up, magnitude = self.lora_A.weight, self.lora_B.weight, self.lora_magnitude_vector
        if not isinstance(layer, Layer) or getattr(layer, "groups", 1) != 1 or min(down.ndim, up.ndim) < 2:
            return False
        if getattr(layer, "padding_mode", "zeros") != "zeros":
            return False
        outputs = len(layer.weight)
        inner = down.flatten(1).shape[1] == layer.weight[0].numel() and up.flatten(1).shape == (outputs, self.rank)
        return inner and self.rank > 0 and (magnitude is None or magnitude.shape == (outputs,))

    def _through(self, layer: Layer, x: Tensor) -> Tensor:
        down, up = self.lora_A.weight.to(x), self.lora_B.weight.to(x)  # the network may have moved since
        if isinstance(layer, nn.Linear):
            return F.linear(F.linear(x, down.flatten(1)), up.flatten(1))
        kernel = down.reshape(self.rank, *layer.weight.shape[1:])
        inner = F.conv2d(x, kernel, None, layer.stride, layer.padding, layer.dilation)
        return F.conv2d(inner, up.reshape(-1, self.rank, 1, 1))

    def _stretch(self, whole: Float[Tensor, "k ..."]) -> Float[Tensor, " k"]:
        """How much longer each row is to be; a row's length is a constant to the gradient (Liu et al. 2024, 4.3)."""
        assert self.lora_magnitude_vector is not None
        return self.lora_magnitude_vector.to(whole) / whole.detach().flatten(1).norm(dim=1)


class Adapter(nn.Module):
    """Updates of some of one network's layers; a key of its state dict is the layer's name, then that in `LowRank`.

    Its parameters can be learned while it is attached; the network's stay as they are if they take no gradient.
    """

    def __init__(self, updates: Mapping[str, LowRank]):
        super().__init__()
        for name, update in updates.items():
            *path, last = name.split(".")
            parent: nn.Module = self
            for part in path:
                if part not in parent._modules:
                    parent.add_module(part, nn.Module())
                parent = parent.get_submodule(part)
            parent.add_module(last, update)

    def updates(self) -> dict[str, LowRank]:
        """The updates by the names of their layers."""
        return {name: module for name, module in self.named_modules() if isinstance(module, LowRank)}


def fresh(network: nn.Module, rank: int, alpha: float | None = None, targets: Iterable[str] = ATTENTION) -> Adapter:
    """An adapter that changes nothing yet: A is drawn from a normal distribution, B is 0 (Hu et al. 2021, section 4.1).

    Args:
        network: whose layers are to be changed.
        rank: of every update.
        alpha: as in `LowRank`.
        targets: how the names of the layers end.

    Raises:
        ValueError: no layer has such a name.
    """
    ends = tuple(targets)
    chosen = {name: layer for name, layer in layers(network) if any(f".{name}".endswith(f".{each}") for each in ends)}
    if not chosen:
        raise ValueError(f"no layer of this network has a name that ends in {', '.join(ends)}")
    updates = {}
    for name, layer in chosen.items():
        outputs, *inputs = layer.weight.shape
        down = torch.randn(rank, *inputs, device=layer.weight.device) / rank
        up = torch.zeros(outputs, rank, *[1] * (len(inputs) - 1), device=layer.weight.device)
        updates[name] = LowRank(down, up, alpha)
    return Adapter(updates)


def layers(network: nn.Module) -> Iterator[tuple[str, Layer]]:
    """The layers that can be changed, by name."""
    return ((name, module) for name, module in network.named_modules() if isinstance(module, Layer))


def attach(network: nn.Module, adapter: Adapter, weight: float = 1.0) -> Attached:
    """Let an adapter run beside the layers of a network, until it is detached; several add up.

    The network's parameters keep their names and values. The adapter moves to the network's device, and is computed in
    the precision of what comes in.

    Raises:
        ValueError: an update fits no layer; it is named.
    """
    return Attached(_pairs(network, adapter), weight)


class Attached(AbstractContextManager["Attached"]):
    """An adapter that runs beside its network, by `weight`: 0 leaves it out, and below 0 it does the opposite."""

    def __init__(self, pairs: Sequence[tuple[Layer, LowRank]], weight: float):
        self.weight = weight
        self._hooks: list[RemovableHandle] = []
        for layer, update in pairs:
            update.to(layer.weight.device)
            self._hooks.append(layer.register_forward_hook(partial(self._change, update)))

    def detach(self) -> None:
        """Take it away from the network."""
        while self._hooks:
            self._hooks.pop().remove()

    def __exit__(self, *_: object) -> None:
        self.detach()

    def _change(self, update: LowRank, layer: Layer, inputs: tuple[Tensor, ...], out: Tensor) -> Tensor:
        return update.changed(layer, inputs[0], out, self.weight) if self.weight else out


@torch.no_grad()
def fuse(network: nn.Module, adapters: Iterable[tuple[Adapter, float]]) -> Fused:
    """Make adapters, each by a weight, a part of the weights of a network, until they are taken out again.

    Sums are formed in float32 and rounded once. The old weights are kept aside, as many bytes as the changed layers
    have, so that they come back exactly.

    Raises:
        ValueError: an update fits no layer; it is named, and nothing is changed.
    """
    sums: dict[Layer, list[tuple[LowRank, float]]] = {}
    for adapter, weight in adapters:
        for layer, update in _pairs(network, adapter):
            if weight:
                sums.setdefault(layer, []).append((update, weight))
    exchanged: dict[Layer, tuple[Tensor, Tensor]] = {}
    for layer, updates in sums.items():
        old = layer.weight
        whole = old.to(torch.promote_types(old.dtype, torch.float32))
        for update, weight in updates:
            whole = update.applied(whole, weight)
        layer.weight = nn.Parameter(whole.to(old.dtype), requires_grad=old.requires_grad)
        exchanged[layer] = old, layer.weight
    return Fused(exchanged)


class Fused(AbstractContextManager["Fused"]):
    """Adapters that are part of their network's weights, and the weights that were there before."""

    def __init__(self, exchanged: dict[Layer, tuple[Tensor, Tensor]]):
        self._exchanged = exchanged

    def unfuse(self) -> None:
        """Put the old weights back, bit by bit; on the device and in the precision that the network has now.

        Raises:
            RuntimeError: others were put in their place since, such as by adapters that were fused later; undo that
                first.
        """
        if any(layer.weight is not new for layer, (_, new) in self._exchanged.items()):
            raise RuntimeError("the weights were exchanged since these adapters were fused; undo that first")
        for layer, (old, new) in self._exchanged.items():
            old.data = old.data.to(new)
            layer.weight = old
        self._exchanged = {}

    def __exit__(self, *_: object) -> None:
        self.unfuse()


class _Weight(nn.Module):
    """A weight alone, under the name that PEFT's files give it."""

    def __init__(self, weight: Tensor):
        super().__init__()
        self.weight = nn.Parameter(weight)


def _pairs(network: nn.Module, adapter: Adapter) -> list[tuple[Layer, LowRank]]:
    """Each update with its layer."""
    known = dict(layers(network))
    pairs = []
    for name, update in adapter.updates().items():
        if name not in known:
            raise ValueError(f"{name}: the network has no such layer")
        if not update.fits(known[name]):
            raise ValueError(f"{name}: the update is not of the layer's shape, {[*known[name].weight.shape]}")
        pairs.append((known[name], update))
    return pairs
