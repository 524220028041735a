"""The starting point of training: every weight's distribution, stated as a table and drawn in that order.

Loading a file needs none of this; a network that is to learn from nothing is passed through `initialise` once.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TypeVar

import torch
from torch import nn

from sfumato.networks.captioner import Captioner
from sfumato.networks.clip import ImageEncoder, TextEncoder
from sfumato.networks.controlnet import ControlNet
from sfumato.networks.dit import DiT
from sfumato.networks.flux import FluxTransformer
from sfumato.networks.gpt import GPT
from sfumato.networks.pixart import PixArtTransformer
from sfumato.networks.sd3 import SD3Transformer
from sfumato.networks.unet import UNet
from sfumato.networks.vae import AutoencoderKL
from sfumato.networks.vector_autoencoder import VectorAutoencoder
from sfumato.networks.vector_denoiser import VectorDenoiser

Network = TypeVar("Network", bound=nn.Module)
Table = dict[str, float]  # pattern of parameter names: standard deviation of a normal distribution, 0 for zeros


def initialise(network: Network) -> Network:
    """Draws the weights that the network's table names; the others keep PyTorch's defaults.

    Args:
        network: one that `table_of` knows; others are left as they are.

    Returns:
        The same network.
    """
    table = table_of(network)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            for pattern, deviation in table.items():
                if fnmatchcase(name, pattern):
                    parameter.normal_(std=deviation) if deviation else parameter.zero_()
    return network


def table_of(network: nn.Module) -> Table:
    """Gives the table by which `initialise` draws the weights of this kind of network."""
    match network:
        case UNet():
            return UNET
        case ControlNet():
            return CONTROLNET
        case AutoencoderKL() | VectorAutoencoder():
            return AUTOENCODER
        case VectorDenoiser():
            return VECTOR_DENOISER
        case DiT() | SD3Transformer() | FluxTransformer():
            return TRANSFORMER
        case PixArtTransformer():
            return PIXART
        case TextEncoder() | ImageEncoder():
            return clip_table(network.config.hidden_size, network.config.num_hidden_layers)
        case GPT():
            return gpt_table(network.config.layers)
        case Captioner():
            return CAPTIONER | gpt_table(network.config.num_hidden_layers)
        case _:
            return {}


# Each residual branch begins as nothing, and the network as a constant: Ho et al. 2020 and Dhariwal & Nichol 2021.
# Inside a transformer the branches keep their weights, since a zero within a zero learns nothing.
UNET: Table = {
    "*.conv2.*": 0,
    "*.proj_out.*": 0,
    "conv_out.*": 0,
}

# Zero convolutions: a new ControlNet changes nothing (Zhang et al. 2023, section 3.1).
CONTROLNET: Table = {
    "controlnet_down_blocks.*": 0,
    "controlnet_mid_block.*": 0,
    "controlnet_cond_embedding.conv_out.*": 0,
}

AUTOENCODER: Table = {
    "*.conv2.*": 0,
    "*.to_out.0.*": 0,
}

# adaLN-Zero: the level and the condition begin by changing nothing (Peebles & Xie 2023, section 3.2).
VECTOR_DENOISER: Table = {
    "*.norm.linear.*": 0,
    "norm_out.linear.*": 0,
    "proj_out.*": 0,
}

# The same for whole transformers, whose blocks begin as nothing and whose output as zero.
TRANSFORMER: Table = {
    "*norm*.linear.*": 0,
    "proj_out*": 0,
    "*_embedder.linear_*.weight": 0.02,
    "*.embedding_table.weight": 0.02,
}

# Where the blocks share one modulation their gates are open, and attention to words begins as nothing instead:
# Chen et al. 2023, section 2.3.
PIXART: Table = {
    "adaln_single.linear.weight": 0.02,
    "*.attn2.to_out.*": 0,
    "proj_out.*": 0,
    "*_embedder.linear_*.weight": 0.02,
    "caption_projection.linear_*.weight": 0.02,
}

# What is seen is as loud as the words (the GPT's own table follows).
CAPTIONER: Table = {
    "projection.weight": 0.02,
    "position_embedding": 0.02,
}


def clip_table(width: int, layers: int) -> Table:
    """Gives the deviations of CLIP: Radford et al. 2021, section 2.4, with the scaling of GPT-2 for its residuals."""
    attention, residual = width**-0.5, (2 * width * layers) ** -0.5
    return {
        "*.bias": 0,
        "*.token_embedding.weight": 0.02,
        "text_model.*.position_embedding.weight": 0.01,
        "vision_model.*.position_embedding.weight": attention,
        "*.class_embedding": attention,
        "*.[qkv]_proj.weight": attention,
        "*.out_proj.weight": residual,
        "*.fc1.weight": (2 * width) ** -0.5,
        "*.fc2.weight": residual,
        "*_projection.weight": attention,
    }


def gpt_table(layers: int) -> Table:
    """Gives the deviations of GPT-2: Radford et al. 2019, section 2.3, for both layouts."""
    residual = 0.02 * (2 * layers) ** -0.5
    return {
        "*.bias": 0,
        "*_proj.weight": 0.02,
        "*.c_*.weight": 0.02,
        "*.wte.weight": 0.02,
        "*.wpe.weight": 0.02,
        "*embed_tokens.weight": 0.02,
        "lm_head.weight": 0.02,
        "*.c_proj.weight": residual,  # what the blocks add grows with their number
        "*.o_proj.weight": residual,
        "*.down_proj.weight": residual,
    }
