"""Was a network that looks at a control picture made for this U-Net?"""

from __future__ import annotations

from fractions import Fraction

from sfumato.networks.config import per_block
from sfumato.networks.controlnet import ControlNet
from sfumato.networks.t2i_adapter import T2IAdapter
from sfumato.networks.unet import UNet
from sfumato.networks.unet_blocks import DownBlock


def channels_of(network: ControlNet | T2IAdapter) -> int:
    """Of the pictures that it looks at."""
    if isinstance(network, T2IAdapter):
        return network.config.in_channels
    return network.config.conditioning_channels


def misfit(network: ControlNet | T2IAdapter, unet: UNet, factor: int) -> str:
    """What is wrong with a network for a U-Net, where a latent is `factor` pixels a side; "" for nothing."""
    if channels_of(network) not in (1, 3):
        return f"it looks at pictures of {channels_of(network)} channels, not of 1 or 3"
    return _adapter(network, unet, factor) if isinstance(network, T2IAdapter) else _controlnet(network, unet, factor)


def _controlnet(network: ControlNet, unet: UNet, factor: int) -> str:
    mine, its = network.config, unet.config
    latents = its.out_channels  # what it sees besides them, such as a mask, a ControlNet does not
    same = {
        "in_channels": (mine.in_channels, latents),
        "the channels on the way down": (tuple(network.skip_channels), tuple(unet.skip_channels)),
        "cross_attention_dim": tuple(
            per_block(each.cross_attention_dim, len(each.block_out_channels)) for each in (mine, its)
        ),
        "addition_embed_type": (mine.addition_embed_type, its.addition_embed_type),
        "how many pixels are a latent": (2 ** (len(mine.conditioning_embedding_out_channels) - 1), factor),
    }
    for name, (here, there) in same.items():
        if here != there:
            return f"{name} should be {there}, not {here}"
    if network.class_embedding is not None and unet.class_embedding is None:
        return "it hears classes, which this model has not"
    return ""


def _adapter(network: T2IAdapter, unet: UNet, factor: int) -> str:
    """Whether the feature maps have the channels and the sizes of the states that they are added to."""
    config, channels = network.config, unet.config.block_out_channels
    blocks = [block for block in unet.down_blocks if isinstance(block, DownBlock)]
    states, state = [], Fraction(1)  # that features are added to: how large, beside the latents
    for block in blocks:
        after = state / 2 if len(block.downsamplers) else state
        states.append(state if block.attentions else after)
        state = after
    states.append(state)
    if len(config.channels) > len(states):
        return f"it makes {len(config.channels)} maps of features, for {len(blocks)} blocks"
    size = Fraction(factor, config.downscale_factor)
    for number, (width, state) in enumerate(zip(config.channels, states, strict=False)):
        size /= 1 + (number == 2 if config.adapter_type == "full_adapter_xl" else number > 0)
        wanted = channels[min(number, len(blocks) - 1)]
        if (width, size) != (wanted, state):
            should = f"{wanted} channels and {state} of the latents' size"
            return f"its features {number} should have {should}, not {width} and {size}"
    return ""
