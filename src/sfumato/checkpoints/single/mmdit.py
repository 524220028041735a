"""The transformers of Stable Diffusion 3 and FLUX: their makers' names beside ours, and sizes read off the shapes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sfumato.checkpoints.single.renaming import QKV, SWAPPED, Entry, View, below, cut
from sfumato.errors import CheckpointError

SD3_HEAD_WIDTH = 64

OUT = [Entry("norm_out.linear", "final_layer.adaLN_modulation.1", SWAPPED), Entry("proj_out", "final_layer.linear")]

SD3_AROUND = [
    Entry("pos_embed.pos_embed", "pos_embed"),
    Entry("pos_embed.proj", "x_embedder.proj"),
    Entry("time_text_embed.timestep_embedder.linear_1", "t_embedder.mlp.0"),
    Entry("time_text_embed.timestep_embedder.linear_2", "t_embedder.mlp.2"),
    Entry("time_text_embed.text_embedder.linear_1", "y_embedder.mlp.0"),
    Entry("time_text_embed.text_embedder.linear_2", "y_embedder.mlp.2"),
    Entry("context_embedder", "context_embedder"),
    *OUT,
]
SD3_PICTURE = [
    Entry("attn.to_q attn.to_k attn.to_v", "attn.qkv", QKV),
    Entry("attn.norm_q", "attn.ln_q"),
    Entry("attn.norm_k", "attn.ln_k"),
    Entry("attn.to_out.0", "attn.proj"),
    Entry("attn2.to_q attn2.to_k attn2.to_v", "attn2.qkv", QKV),
    Entry("attn2.norm_q", "attn2.ln_q"),
    Entry("attn2.norm_k", "attn2.ln_k"),
    Entry("attn2.to_out.0", "attn2.proj"),
    Entry("norm1.linear", "adaLN_modulation.1"),
    Entry("ff.net.0.proj", "mlp.fc1"),
    Entry("ff.net.2", "mlp.fc2"),
]
SD3_WORDS = [
    Entry("attn.add_q_proj attn.add_k_proj attn.add_v_proj", "attn.qkv", QKV),
    Entry("attn.norm_added_q", "attn.ln_q"),
    Entry("attn.norm_added_k", "attn.ln_k"),
    Entry("attn.to_add_out", "attn.proj"),
    Entry("norm1_context.linear", "adaLN_modulation.1"),
    Entry("ff_context.net.0.proj", "mlp.fc1"),
    Entry("ff_context.net.2", "mlp.fc2"),
]
# the last block only listens to the words, and its modulation is that of an output
SD3_LAST_WORDS = [
    Entry("norm1_context.linear", "adaLN_modulation.1", SWAPPED) if entry.theirs == "adaLN_modulation.1" else entry
    for entry in SD3_WORDS
]

FLUX_AROUND = [
    Entry("time_text_embed.timestep_embedder.linear_1", "time_in.in_layer"),
    Entry("time_text_embed.timestep_embedder.linear_2", "time_in.out_layer"),
    Entry("time_text_embed.text_embedder.linear_1", "vector_in.in_layer"),
    Entry("time_text_embed.text_embedder.linear_2", "vector_in.out_layer"),
    Entry("time_text_embed.guidance_embedder.linear_1", "guidance_in.in_layer"),
    Entry("time_text_embed.guidance_embedder.linear_2", "guidance_in.out_layer"),
    Entry("context_embedder", "txt_in"),
    Entry("x_embedder", "img_in"),
    *OUT,
]
FLUX_DOUBLE = [
    Entry("norm1.linear", "img_mod.lin"),
    Entry("norm1_context.linear", "txt_mod.lin"),
    Entry("attn.to_q attn.to_k attn.to_v", "img_attn.qkv", QKV),
    Entry("attn.add_q_proj attn.add_k_proj attn.add_v_proj", "txt_attn.qkv", QKV),
    Entry("attn.norm_q.weight", "img_attn.norm.query_norm.scale"),
    Entry("attn.norm_k.weight", "img_attn.norm.key_norm.scale"),
    Entry("attn.norm_added_q.weight", "txt_attn.norm.query_norm.scale"),
    Entry("attn.norm_added_k.weight", "txt_attn.norm.key_norm.scale"),
    Entry("attn.to_out.0", "img_attn.proj"),
    Entry("attn.to_add_out", "txt_attn.proj"),
    Entry("ff.net.0.proj", "img_mlp.0"),
    Entry("ff.net.2", "img_mlp.2"),
    Entry("ff_context.net.0.proj", "txt_mlp.0"),
    Entry("ff_context.net.2", "txt_mlp.2"),
]
FLUX_SINGLE = [
    Entry("norm.linear", "modulation.lin"),
    Entry("attn.to_q attn.to_k attn.to_v proj_mlp", "linear1", cut(1, 1, 1, 4)),
    Entry("attn.norm_q.weight", "norm.query_norm.scale"),
    Entry("attn.norm_k.weight", "norm.key_norm.scale"),
    Entry("proj_out", "linear2"),
]


def sd3_table(config: Mapping[str, Any]) -> list[Entry]:
    """Our names of a `SD3Transformer2DModel` beside Stability's."""
    entries = [*SD3_AROUND]
    for block in range(config["num_layers"]):
        ours, theirs = f"transformer_blocks.{block}", f"joint_blocks.{block}"
        words = SD3_LAST_WORDS if block == config["num_layers"] - 1 else SD3_WORDS
        entries += below(ours, f"{theirs}.x_block", SD3_PICTURE) + below(ours, f"{theirs}.context_block", words)
    return entries


def flux_table(config: Mapping[str, Any]) -> list[Entry]:
    """Our names of a `FluxTransformer2DModel` beside Black Forest Labs'."""
    entries = [*FLUX_AROUND]
    for block in range(config["num_layers"]):
        entries += below(f"transformer_blocks.{block}", f"double_blocks.{block}", FLUX_DOUBLE)
    for block in range(config["num_single_layers"]):
        entries += below(f"single_transformer_blocks.{block}", f"single_blocks.{block}", FLUX_SINGLE)
    return entries


def sd3_config(file: View) -> dict[str, Any]:
    """What the shapes say of a Stable Diffusion 3; a head is 64 channels wide where no normalisation tells it."""
    width, channels, patch, _ = file.sizes("x_embedder.proj.weight", 4)
    positions = file.sizes("pos_embed", 3)[1]
    layers, query = file.blocks("joint_blocks"), "joint_blocks.0.x_block.attn.ln_q.weight"
    head = file.sizes(query, 1)[0] if query in file else SD3_HEAD_WIDTH
    words, context = file.sizes("context_embedder.weight", 2)
    return {
        "_class_name": "SD3Transformer2DModel",
        "sample_size": 128,
        "patch_size": patch,
        "in_channels": channels,
        "out_channels": file.sizes("final_layer.linear.weight", 2)[0] // max(1, patch * patch),
        "num_layers": layers,
        "attention_head_dim": head,
        "num_attention_heads": _heads(width, head),
        "joint_attention_dim": context,
        "caption_projection_dim": words,
        "pooled_projection_dim": file.sizes("y_embedder.mlp.0.weight", 2)[1],
        "pos_embed_max_size": math.isqrt(positions),
        "dual_attention_layers": [
            block for block in range(layers) if f"joint_blocks.{block}.x_block.attn2.qkv.weight" in file
        ],
        "qk_norm": "rms_norm" if query in file else None,
    }


def flux_config(file: View) -> dict[str, Any]:
    """What the shapes say of a FLUX.1; an eighth of a head turns by the index, the rest by the place."""
    width, channels = file.sizes("img_in.weight", 2)
    head = file.sizes("double_blocks.0.img_attn.norm.query_norm.scale", 1)[0]
    out = file.sizes("final_layer.linear.weight", 2)[0]
    return {
        "_class_name": "FluxTransformer2DModel",
        "patch_size": 1,
        "in_channels": channels,
        "out_channels": None if out == channels else out,
        "num_layers": file.blocks("double_blocks"),
        "num_single_layers": file.blocks("single_blocks"),
        "attention_head_dim": head,
        "num_attention_heads": _heads(width, head),
        "joint_attention_dim": file.sizes("txt_in.weight", 2)[1],
        "pooled_projection_dim": file.sizes("vector_in.in_layer.weight", 2)[1],
        "guidance_embeds": "guidance_in.in_layer.weight" in file,
        "axes_dims_rope": [head // 8, head * 7 // 16, head * 7 // 16],
    }


def _heads(width: int, head: int) -> int:
    if not head or width % head:
        raise CheckpointError(f"{width} channels are not made of heads of {head}")
    return width // head
