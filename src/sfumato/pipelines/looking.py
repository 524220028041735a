"""How each network is asked: what is said to a denoiser, in the words of its own forward pass."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from sfumato.networks.unet import UNet
from sfumato.pipelines.condition import Condition


def look(
    network: nn.Module,
    noisy: Float[Tensor, "b ..."],
    label: Float[Tensor, " b"],
    condition: Condition,
    blind: Bool[Tensor, " b"] | None = None,
) -> Float[Tensor, "b ..."]:
    """One look of a denoiser at something noisy, in the network's own precision.

    `blind` samples are for perturbed-attention guidance; only U-Nets know them.
    """
    dtype = next(network.parameters()).dtype
    x = noisy if condition.beside is None else torch.cat([noisy, condition.beside.to(noisy)], dim=1)
    heard: dict[str, Any] = {}
    if isinstance(network, UNet):
        heard = {"mask": condition.mask, "class_labels": condition.labels, "blind": blind}
        if condition.sizes is not None:
            heard["added"] = {"text_embeds": condition.pooled, "time_ids": condition.sizes}
    return network(x.to(dtype), label, condition.states.to(dtype), **heard)
