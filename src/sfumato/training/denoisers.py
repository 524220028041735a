"""The networks that a denoiser may be, each in the layout of its family."""

from __future__ import annotations

from typing import Any

from torch import nn

from sfumato.errors import RecipeError
from sfumato.networks.flux import FluxConfig, FluxTransformer
from sfumato.networks.initialisation import initialise
from sfumato.networks.pixart import PixArtConfig, PixArtTransformer
from sfumato.networks.sd3 import SD3Config, SD3Transformer
from sfumato.networks.unet import UNet
from sfumato.networks.unet_config import unet_config
from sfumato.training import sizes
from sfumato.training.hearing import Hearing
from sfumato.training.recipe import Denoiser, Size

HEAD = 64  # channels of a head of attention
TURNS = (8, 28, 28)  # channels of a head that turn with each axis of a place


def new_denoiser(plan: Denoiser, size: Size, channels: int, side: int, hearing: Hearing) -> nn.Module:
    """A denoiser with new weights, of maps of so many channels and places a side; RecipeError for what does not fit."""
    if plan.network == "unet":
        widths = plan.channels or sizes.channels(sizes.DENOISER, size, sizes.resolutions(side))
        layout = unet_config(
            widths,
            in_channels=channels,
            attention=plan.attention or (True,) * len(widths),
            cross_attention_dim=hearing.width,
            layers=plan.layers or sizes.DENOISER_LAYERS[size],
            sample_size=side,
        )
        return initialise(UNet(layout))
    if side % 2:
        raise RecipeError(f"denoiser.network {plan.network!r} takes maps of an even size, not {side}.")
    width, layers = sizes.TRANSFORMER[size]
    width, layers = plan.width or width, plan.layers or layers
    build = {"pixart": _pixart, "sd3": _sd3, "flux": _flux}[plan.network]
    return initialise(build(channels, side, width, layers, hearing))


def _pixart(channels: int, side: int, width: int, layers: int, hearing: Hearing) -> nn.Module:
    """Attention to words beside that of patches to one another; one modulation for all blocks."""
    config = PixArtConfig(
        **_of_patches(channels, side, width, layers),
        cross_attention_dim=width,
        caption_channels=hearing.width,
        interpolation_scale=1,
        use_additional_conditions=False,
    )
    return PixArtTransformer(config)


def _sd3(channels: int, side: int, width: int, layers: int, hearing: Hearing) -> nn.Module:
    """Patches and words look at one another, each with weights of its own."""
    config = SD3Config(
        **_of_patches(channels, side, width, layers),
        caption_projection_dim=width,
        joint_attention_dim=hearing.width,
        pooled_projection_dim=hearing.pooled_width,
        pos_embed_max_size=side // 2,
        qk_norm="rms_norm",
    )
    return SD3Transformer(config)


def _of_patches(channels: int, side: int, width: int, layers: int) -> dict[str, Any]:
    """What the configurations of transformers of patches have in common."""
    return {
        "sample_size": side,
        "in_channels": channels,
        "out_channels": channels,
        "num_layers": layers,
        "num_attention_heads": width // HEAD,
        "attention_head_dim": HEAD,
    }


def _flux(channels: int, side: int, width: int, layers: int, hearing: Hearing) -> nn.Module:
    """Patches and words as one row of tokens, in single blocks alone."""
    config = FluxConfig(
        in_channels=channels * 4,
        num_layers=0,
        num_single_layers=layers,
        num_attention_heads=width // HEAD,
        attention_head_dim=HEAD,
        joint_attention_dim=hearing.width,
        pooled_projection_dim=hearing.pooled_width,
        guidance_embeds=False,
        axes_dims_rope=TURNS,
    )
    return FluxTransformer(config)
