"""How each network is asked: what is said to a denoiser, in the words of its own forward pass."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from sfumato.networks.flux import FluxTransformer
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
) -> Float[Tensor, "b ..."]:
    """One look of a denoiser at something noisy, in the network's own precision.

    `blind` samples are for perturbed-attention guidance; only U-Nets know them.
    """
    dtype = next(network.parameters()).dtype
    x = noisy if condition.beside is None else torch.cat([noisy, condition.beside.to(noisy)], dim=1)
    said = condition.in_precision(dtype)
    heard: dict[str, Any] = {}
    match network:
        case UNet():
            heard = {"mask": said.mask, "class_labels": said.labels, "blind": blind}
            if said.sizes is not None:
                heard["added"] = {"text_embeds": said.pooled, "time_ids": said.sizes}
            if said.guidance is not None:
                heard["timestep_cond"] = guidance_waves(said.guidance, network.config.time_cond_proj_dim or 0)
        case SD3Transformer():
            heard = {"pooled": said.pooled}
        case FluxTransformer():
            heard = {"pooled": said.pooled, "guidance": said.guidance}
        case PixArtTransformer():
            heard = {"mask": said.mask, "picture_size": said.sizes}
    return network(x.to(dtype), label, said.states, **heard)


def guides_itself(network: nn.Module) -> bool:
    """Whether a denoiser learned from a guided one, and is told the scale instead (Meng et al. 2023, section 3.1)."""
    config: Any = network.config
    return bool(getattr(config, "guidance_embeds", False) or getattr(config, "time_cond_proj_dim", None))
