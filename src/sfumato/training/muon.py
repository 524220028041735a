"""Muon: momentum whose singular values are all made one. A team shares the work, which costs more than the rest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor
from torch.optim import Optimizer

from sfumato.devices import computes_bfloat16


class Muon(Optimizer):
    """Momentum, orthogonalised by Newton-Schulz iteration (Jordan et al. 2024), for tensors of two or more axes.

    Kernels of convolutions count as matrices of (out, in * height * width). Updates are scaled by
    0.2 sqrt(max(rows, columns)), so that learning rates are those of AdamW (Liu et al. 2025, eq. 4). Processes that
    train together orthogonalise a share each.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 2e-3,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            updates = shared([self._lookahead(parameter, group["momentum"]) for parameter in parameters])
            for parameter, update in zip(parameters, updates, strict=True):
                size = 0.2 * max(update.shape) ** 0.5
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(update.view_as(parameter).to(parameter.dtype), alpha=-group["lr"] * size)

    def _lookahead(self, parameter: Tensor, momentum: float) -> Float[Tensor, "m n"]:
        """Where the momentum is going (Nesterov), as a matrix."""
        gradient, state = parameter.grad, self.state[parameter]
        assert gradient is not None
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].lerp_(gradient, 1 - momentum)
        return torch.lerp(gradient, state["momentum"], momentum).flatten(1)


def shared(matrices: Sequence[Float[Tensor, "m n"]]) -> list[Float[Tensor, "m n"]]:
    """Orthogonalises matrices of any shapes, in `working` precision; each process of a team every so many of them."""
    together = dist.is_initialized() and dist.get_world_size() > 1
    rank, world = (dist.get_rank(), dist.get_world_size()) if together else (0, 1)
    order = sorted(range(len(matrices)), key=lambda number: matrices[number].shape)
    shares = [order[rank::world] for rank in range(world)]  # of about equal work
    alike = defaultdict(list)  # matrices of one shape are orthogonalised in one batched product
    for number in shares[rank]:
        alike[matrices[number].shape].append(number)
    done: dict[int, Tensor] = {}
    for numbers in alike.values():
        done.update(zip(numbers, orthogonalise(torch.stack([matrices[number] for number in numbers])), strict=True))
    if together:
        sizes = [[matrices[number].numel() for number in share] for share in shares]
        rows = gathered([done[number].flatten() for number in shares[rank]], sizes, matrices[0].device)
        for share, pieces in zip(shares, rows, strict=True):
            done.update((n, piece.view(matrices[n].shape)) for n, piece in zip(share, pieces, strict=True))
    return [done[number] for number in range(len(matrices))]


def gathered(
    mine: Sequence[Float[Tensor, " n"]], sizes: Sequence[Sequence[int]], device: torch.device
) -> list[list[Float[Tensor, " n"]]]:
    """The vectors of all processes by their ranks, each vector's length being in `sizes`; the same bytes everywhere."""
    longest = max(map(sum, sizes))
    own = torch.cat([*mine, torch.zeros(longest - sum(map(len, mine)), dtype=working(device), device=device)])
    rows = [torch.empty_like(own) for _ in sizes]
    dist.all_gather([row.view(torch.uint8) for row in rows], own.view(torch.uint8))  # bytes: gloo knows few types
    return [list(row[: sum(lengths)].split(list(lengths))) for row, lengths in zip(rows, sizes, strict=True)]


def working(device: torch.device) -> torch.dtype:
    """The precision in which matrices are orthogonalised: bfloat16 where that is faster."""
    return torch.bfloat16 if computes_bfloat16(device) else torch.float32


def orthogonalise(matrices: Float[Tensor, "k m n"], rounds: int = 5) -> Float[Tensor, "k m n"]:
    """The nearest orthogonal matrix, roughly: singular values are moved to about 1.

    A quintic Newton-Schulz iteration with the coefficients of Jordan et al. 2024; in `working` precision.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrices.to(working(matrices.device))
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(rounds):
        square = x @ x.mT
        polynomial = torch.baddbmm(square, square, square, beta=b, alpha=c)  # in one pass over memory
        x = torch.baddbmm(x, polynomial, x, beta=a)
    return x.mT if tall else x
