"""How each network is asked: what is said to a denoiser, in the words of its own forward pass."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from sfumato.networks.extras import Extras
from sfumato.networks.k_unet import KUNet, upscaling_condition
from sfumato.networks.unet import UNet
from sfumato.pipelines.condition import Condition


def look(
    network: nn.Module,
    noisy: Float[Tensor, "b ..."],
    label: Float[Tensor, " b"],
    condition: Condition,
    blind: Bool[Tensor, " b"] | None = None,
    extras: Extras | None = None,
) -> Float[Tensor, "b ..."]:
    """One look of a denoiser at something noisy, in the network's own precision.

    `blind` samples are for perturbed-attention guidance; only U-Nets know them, and what adapters add, the `extras`.
    """
    dtype = next(network.parameters()).dtype
    x = noisy if condition.beside is None else torch.cat([noisy, condition.beside.to(noisy)], dim=1)
    heard: dict[str, Any] = {}
    if isinstance(network, UNet):
        heard = {"mask": condition.mask, "class_labels": condition.labels, "blind": blind, "extras": extras}
        heard["added"] = added(condition)
    if isinstance(network, KUNet):
        heard = {"mask": condition.mask, "timestep_cond": _told_of_upscaling(network, condition)}
    return network(x.to(dtype), label, condition.states.to(dtype), **heard)[:, : noisy.shape[1]]


def added(condition: Condition) -> dict[str, Tensor] | None:
    """What U-Nets that were trained with the sizes of pictures hear besides the words."""
    if condition.sizes is None or condition.pooled is None:
        return None
    return {"text_embeds": condition.pooled, "time_ids": condition.sizes}


def _told_of_upscaling(network: KUNet, condition: Condition) -> Float[Tensor, "b g"] | None:
    width = network.config.time_cond_proj_dim
    if width is None or condition.pooled is None:
        return None
    return upscaling_condition(condition.pooled, width - condition.pooled.shape[-1])
