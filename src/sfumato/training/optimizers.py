"""Optimisers: AdamW from PyTorch, and Muon for the matrices inside a network."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from sfumato.devices import computes_bfloat16
from sfumato.training.recipe import Training


def build(network: nn.Module, recipe: Training) -> list[Optimizer]:
    """The optimisers of a stage: AdamW for everything, or Muon for the inner matrices and AdamW for the rest.

    Only tensors of two or more axes decay. AdamW beside Muon learns at a third of Muon's rate, which is scaled so that
    its updates are as large as AdamW's (Liu et al. 2025, section 2.2).
    """
    inner, plain, bare = [], [], []
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        if parameter.ndim < 2:
            bare.append(parameter)
        elif recipe.optimizer == "muon" and _is_inner(name):
            inner.append(parameter)
        else:
            plain.append(parameter)
    rate = recipe.learning_rate / (3 if inner else 1)
    groups = [{"params": plain, "weight_decay": recipe.weight_decay}, {"params": bare, "weight_decay": 0.0}]
    adamw = AdamW([g for g in groups if g["params"]], lr=rate, betas=(0.9, 0.99), eps=1e-8, fused=True)
    muon = [Muon(inner, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)] if inner else []
    for optimizer in (*muon, adamw):
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return [*muon, adamw]


def _is_inner(name: str) -> bool:
    """Whether a matrix maps features to features; embeddings and the ends of a network are left to AdamW."""
    ends = ("embed", "conv_in", "conv_out", "quant_conv", "classifier", "network.proj_out", "wte", "wpe", "lm_head")
    return not any(part in name for part in ends)


class Muon(Optimizer):
    """Momentum, orthogonalised by Newton-Schulz iteration (Jordan et al. 2024), for tensors of two or more axes.

    Kernels of convolutions count as matrices of (out, in * height * width). Updates are scaled by
    0.2 sqrt(max(rows, columns)), so that learning rates are those of AdamW (Liu et al. 2025, eq. 4).
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float = 2e-3, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            alike = defaultdict(list)  # matrices of one shape are orthogonalised in one batched product
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike[parameter.shape].append(parameter)
            for parameters in alike.values():
                self._step_alike(parameters, group)

    def _step_alike(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        lookahead = []
        for parameter in parameters:
            state = self.state[parameter]
            if not state:
                state["momentum"] = torch.zeros_like(parameter)
            gradient = parameter.grad
            assert gradient is not None
            state["momentum"].lerp_(gradient, 1 - group["momentum"])
            lookahead.append(torch.lerp(gradient, state["momentum"], group["momentum"]).flatten(1))
        updates = orthogonalise(torch.stack(lookahead))
        size = 0.2 * max(updates.shape[1:]) ** 0.5
        for parameter, update in zip(parameters, updates, strict=True):
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
            parameter.add_(update.view_as(parameter).to(parameter.dtype), alpha=-group["lr"] * size)


def orthogonalise(matrices: Float[Tensor, "k m n"], rounds: int = 5) -> Float[Tensor, "k m n"]:
    """The nearest orthogonal matrix, roughly: singular values are moved to about 1.

    A quintic Newton-Schulz iteration with the coefficients of Jordan et al. 2024; in bfloat16 where that is faster.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrices.bfloat16() if computes_bfloat16(matrices.device) else matrices
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(rounds):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x
