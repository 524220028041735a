"""The optimisers of a stage: AdamW from PyTorch, and Muon for the matrices inside a network."""

from __future__ import annotations

from torch import nn
from torch.optim import AdamW, Optimizer

from sfumato.training.muon import Muon
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
