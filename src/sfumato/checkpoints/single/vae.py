"""The autoencoder of every family: CompVis' names beside ours, and its sizes read off the shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sfumato.checkpoints.single.renaming import CONVOLUTION, Entry, View, below

ATTENTION = [
    Entry("group_norm", "norm"),
    Entry("to_q", "q", CONVOLUTION),
    Entry("to_k", "k", CONVOLUTION),
    Entry("to_v", "v", CONVOLUTION),
    Entry("to_out.0", "proj_out", CONVOLUTION),
]
SHORTCUT = [Entry("conv_shortcut", "nin_shortcut")]


def table(config: Mapping[str, Any]) -> list[Entry]:
    """Our names of an `AutoencoderKL` beside CompVis', whose decoder counts its blocks from the finest."""
    blocks, layers = len(config["block_out_channels"]), config["layers_per_block"]
    entries = [Entry("quant_conv", "quant_conv"), Entry("post_quant_conv", "post_quant_conv")]
    for half in ("encoder", "decoder"):
        entries += [Entry(f"{half}.{name}", f"{half}.{name}") for name in ("conv_in", "conv_out")]
        entries += [Entry(f"{half}.conv_norm_out", f"{half}.norm_out")]
        entries += _resnet(f"{half}.mid_block.resnets.0", f"{half}.mid.block_1")
        entries += below(f"{half}.mid_block.attentions.0", f"{half}.mid.attn_1", ATTENTION)
        entries += _resnet(f"{half}.mid_block.resnets.1", f"{half}.mid.block_2")
    for block in range(blocks):
        down, up = f"encoder.down_blocks.{block}", f"decoder.up_blocks.{blocks - 1 - block}"
        for layer in range(layers):
            entries += _resnet(f"{down}.resnets.{layer}", f"encoder.down.{block}.block.{layer}")
        for layer in range(layers + 1):
            entries += _resnet(f"{up}.resnets.{layer}", f"decoder.up.{block}.block.{layer}")
        entries += [
            Entry(f"{down}.downsamplers.0", f"encoder.down.{block}.downsample"),
            Entry(f"{up}.upsamplers.0", f"decoder.up.{block}.upsample"),
        ]
    return entries


def _resnet(ours: str, theirs: str) -> list[Entry]:
    return [Entry(ours, theirs), *below(ours, theirs, SHORTCUT)]


def config(file: View) -> dict[str, Any]:
    """What the shapes say of an autoencoder; scale and shift of the latents they do not say.

    The groups of its normalisations are 32, as in every published one.
    """
    blocks = file.blocks("encoder.down")
    layers = file.blocks("encoder.down.0.block")
    return {
        "_class_name": "AutoencoderKL",
        "act_fn": "silu",
        "in_channels": file.sizes("encoder.conv_in.weight", 4)[1],
        "out_channels": file.sizes("decoder.conv_out.weight", 4)[0],
        "block_out_channels": [
            file.sizes(f"encoder.down.{block}.block.0.conv2.weight", 4)[0] for block in range(blocks)
        ],
        "down_block_types": ["DownEncoderBlock2D"] * blocks,
        "up_block_types": ["UpDecoderBlock2D"] * blocks,
        "layers_per_block": layers,
        "latent_channels": file.sizes("decoder.conv_in.weight", 4)[1],
        "norm_num_groups": 32,
        "use_quant_conv": "quant_conv.weight" in file,
        "use_post_quant_conv": "post_quant_conv.weight" in file,
        "mid_block_add_attention": "encoder.mid.attn_1.q.weight" in file,
    }
