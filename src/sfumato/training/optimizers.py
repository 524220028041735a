"""The optimisers of a stage: AdamW from PyTorch, and Muon for the matrices inside a network."""

from __future__ import annotations

from torch import nn
from torch.optim import AdamW, Optimizer

from sfumato.training.muon import Muon
from sfumato.training.recipe import Training


def build(network: nn.Module, recipe: Training) -> list[Optimizer]:
    """The optimisers of a stage: AdamW for everything, or Muon for the inner matrices and AdamW for the rest.

    Only tensors of two or more axes decay. AdamW beside Muon learns at a third of Muon's rate, which is scaled so that
    its updates are as large as AdamW's (Liu et al. 2025, section 2.2). Where the recipe says so, a part of the network
    learns more slowly.
    """
    kinds: dict[str, dict[float, list[nn.Parameter]]] = {"inner": {}, "plain": {}, "bare": {}}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            kind = _kind(name, parameter, recipe.optimizer)
            kinds[kind].setdefault(recipe.share_of_rate(name), []).append(parameter)
    rate, decay = recipe.learning_rate, {"plain": recipe.weight_decay, "bare": 0.0}
    beside = rate / (3 if kinds["inner"] else 1)
    groups = [
        {"params": some, "lr": beside * share, "weight_decay": decay[kind]}
        for kind in decay
        for share, some in kinds[kind].items()
    ]
    adamw = AdamW(groups, lr=beside, betas=(0.9, 0.99), eps=1e-8, fused=True)
    inner = [{"params": some, "lr": rate * share} for share, some in kinds["inner"].items()]
    muon = [Muon(inner, lr=rate, weight_decay=recipe.weight_decay)] if inner else []
    for optimizer in (*muon, adamw):
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return [*muon, adamw]


def _kind(name: str, parameter: nn.Parameter, optimizer: str) -> str:
    """A matrix for Muon is "inner", another tensor that decays "plain", one that does not "bare"."""
    if parameter.ndim < 2:
        return "bare"
    return "inner" if optimizer == "muon" and _is_inner(name) else "plain"


def _is_inner(name: str) -> bool:
    """Whether a matrix maps features to features; embeddings and the ends of a network are left to AdamW."""
    ends = ("embed", "conv_in", "conv_out", "quant_conv", "classifier", "network.proj_out", "wte", "wpe", "lm_head")
    return not any(part in name for part in ends)
