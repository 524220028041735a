"""How each network is asked: what is said to a denoiser, in the words of its own forward pass."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from sfumato.networks.extras import Extras
from sfumato.networks.flux import FluxTransformer
from sfumato.networks.k_unet import KUNet, upscaling_condition
from sfumato.networks.pixart import PixArtTransformer
from sfumato.networks.sd3 import SD3Transformer
from sfumato.networks.unet import UNet
from sfumato.networks.way_down import guidance_waves
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
    said = condition.in_precision(dtype)
    heard: dict[str, Any] = {}
    match network:
        case UNet():
            heard = {"mask": said.mask, "class_labels": said.labels, "blind": blind, "extras": extras}
            heard["added"] = added(said)
            if said.guidance is not None:
                heard["timestep_cond"] = guidance_waves(said.guidance, network.config.time_cond_proj_dim or 0)
        case KUNet():
            heard = {"mask": said.mask, "timestep_cond": _told_of_upscaling(network, said)}
        case SD3Transformer():
            heard = {"pooled": said.pooled}
        case FluxTransformer():
            heard = {"pooled": said.pooled, "guidance": said.guidance}
        case PixArtTransformer():
            heard = {"mask": said.mask, "picture_size": said.sizes}
    return network(x.to(dtype), label, said.states, **heard)[:, : noisy.shape[1]]


def guides_itself(network: nn.Module) -> bool:
    """Whether a denoiser learned from a guided one, and is told the scale instead (Meng et al. 2023, section 3.1)."""
    if isinstance(network, KUNet):  # which is told something else there
        return False
    config: Any = network.config
    return bool(getattr(config, "guidance_embeds", False) or getattr(config, "time_cond_proj_dim", None))


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
