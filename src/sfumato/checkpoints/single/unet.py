"""The U-Net of Stable Diffusion 1, 2 and XL: CompVis' names beside ours, and its sizes read off the shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sfumato.checkpoints.single.renaming import Entry, View, below
from sfumato.errors import CheckpointError
from sfumato.networks.config import per_block

HEADS = 8  # of every attention in Stable Diffusion 1 and the upscaler
HEAD_WIDTH = 64  # channels of one head in Stable Diffusion 2 and XL
TIME_WIDTH = 256  # of each size and crop coordinate in Stable Diffusion XL
XL_WIDTHS = (2048, 1280)  # of the words' states in Stable Diffusion XL and its refiner

AROUND = [
    Entry("time_embedding.linear_1", "time_embed.0"),
    Entry("time_embedding.linear_2", "time_embed.2"),
    Entry("conv_in", "input_blocks.0.0"),
    Entry("conv_norm_out", "out.0"),
    Entry("conv_out", "out.2"),
]
EMBEDDING = [Entry("linear_1", "0.0"), Entry("linear_2", "0.2")]
RESNET = [
    Entry("norm1", "in_layers.0"),
    Entry("conv1", "in_layers.2"),
    Entry("time_emb_proj", "emb_layers.1"),
    Entry("norm2", "out_layers.0"),
    Entry("conv2", "out_layers.3"),
    Entry("conv_shortcut", "skip_connection"),
]


def table(config: Mapping[str, Any]) -> list[Entry]:
    """Our names of a `UNet` beside CompVis', which number all the layers of a way down or up in one row."""
    levels = len(config["block_out_channels"])
    layers = _each(config["layers_per_block"], levels)
    entries = [*AROUND]
    if config.get("addition_embed_type"):
        entries += below("add_embedding", "label_emb", EMBEDDING)
    elif config.get("class_embed_type"):
        entries += below("class_embedding", "label_emb", EMBEDDING)
    else:
        entries += [Entry("class_embedding", "label_emb")]

    row = 1
    for level, kind in enumerate(config["down_block_types"]):
        block = f"down_blocks.{level}"
        for layer in range(layers[level]):
            entries += _layer(block, layer, f"input_blocks.{row}", kind)
            row += 1
        entries += [Entry(f"{block}.downsamplers.0.conv", f"input_blocks.{row}.0.op")]
        row += level < levels - 1

    entries += below("mid_block.resnets.0", "middle_block.0", RESNET)
    entries += [Entry("mid_block.attentions.0", "middle_block.1")]
    entries += below("mid_block.resnets.1", "middle_block.2", RESNET)

    row = 0
    for level, kind in enumerate(config["up_block_types"]):
        block = f"up_blocks.{level}"
        for layer in range(layers[levels - 1 - level] + 1):
            entries += _layer(block, layer, f"output_blocks.{row}", kind)
            row += 1
        place = 2 if kind.startswith("CrossAttn") else 1
        entries += [Entry(f"{block}.upsamplers.0.conv", f"output_blocks.{row - 1}.{place}.conv")]
    return entries


def _layer(block: str, layer: int, row: str, kind: str) -> list[Entry]:
    attention = [Entry(f"{block}.attentions.{layer}", f"{row}.1")] if kind.startswith("CrossAttn") else []
    return [*below(f"{block}.resnets.{layer}", f"{row}.0", RESNET), *attention]


def _each(value: Any, levels: int) -> tuple[Any, ...]:
    return per_block(tuple(value) if isinstance(value, list) else value, levels)


def config(file: View) -> dict[str, Any]:
    """What the shapes say of a U-Net; the number of heads they do not say, it is that of the published models.

    Where attention projects by linear layers a head is 64 channels wide; where it does so by convolutions, and in the
    upscaler, there are 8. The groups of the normalisations are 32.

    Raises:
        CheckpointError: transformers whose number of blocks differs within one resolution.
    """
    channels, layers, depths, only_cross = _way_down(file)
    _agree(file, layers, depths)
    middle = "middle_block.1"
    linear = len(file.shape(f"{middle}.proj_in.weight")) == 2
    context = file.sizes(f"{middle}.transformer_blocks.0.attn2.to_k.weight", 2)[1]
    classes = file.sizes("label_emb.weight", 2)[0] if "label_emb.weight" in file else None
    heads: Any = [width // HEAD_WIDTH for width in channels] if linear and classes is None else HEADS
    attends = [bool(depth) for depth in depths]
    # the middle is as deep as the coarsest level, which may have no attention itself
    reached = [depth or 1 for depth in depths[:-1]] + [file.blocks(f"{middle}.transformer_blocks")]
    return {
        "_class_name": "UNet2DConditionModel",
        "in_channels": file.sizes("input_blocks.0.0.weight", 4)[1],
        "out_channels": file.sizes("out.2.weight", 4)[0],
        "block_out_channels": channels,
        "layers_per_block": _one(layers),
        "down_block_types": ["CrossAttnDownBlock2D" if here else "DownBlock2D" for here in attends],
        "mid_block_type": "UNetMidBlock2DCrossAttn",
        "up_block_types": ["CrossAttnUpBlock2D" if here else "UpBlock2D" for here in reversed(attends)],
        "cross_attention_dim": context,
        "transformer_layers_per_block": _one(reached),
        "attention_head_dim": heads,
        "use_linear_projection": linear,
        "only_cross_attention": only_cross if any(only_cross) else False,
        "norm_num_groups": 32,
        "num_class_embeds": classes,
        **_added(file, context),
    }


def _added(file: View, context: int) -> dict[str, Any]:
    if "label_emb.0.0.weight" not in file:
        return {"class_embed_type": None, "addition_embed_type": None}
    added = {"projection_class_embeddings_input_dim": file.sizes("label_emb.0.0.weight", 2)[1]}
    if context in XL_WIDTHS:
        return {"addition_embed_type": "text_time", "addition_time_embed_dim": TIME_WIDTH, **added}
    return {"class_embed_type": "projection", **added}


def _way_down(file: View) -> tuple[list[int], list[int], list[int], list[bool]]:
    """The channels, residual layers and transformer depth of each level, and whether it looks at the words alone."""
    channels: list[int] = []
    layers: list[int] = []
    depths: list[int] = []
    only_cross: list[bool] = []
    begins = True
    for row in range(1, file.blocks("input_blocks")):
        block = f"input_blocks.{row}"
        if f"{block}.0.op.weight" in file:
            begins = True
            continue
        depth = file.blocks(f"{block}.1.transformer_blocks")
        if begins:
            width = file.sizes(f"{block}.0.out_layers.3.weight", 4)[0]
            channels, layers, depths = [*channels, width], [*layers, 0], [*depths, depth]
            only_cross = [*only_cross, bool(depth) and _looks_at_words_alone(file, f"{block}.1.transformer_blocks.0")]
            begins = False
        layers[-1] += 1
        if depth != depths[-1]:
            raise _uneven(block, depth, depths[-1])
    if not channels:
        raise CheckpointError("the tensor input_blocks.1.0.out_layers.3.weight is missing")
    return channels, layers, depths, only_cross


def _looks_at_words_alone(file: View, block: str) -> bool:
    """Whether the first attention takes what the second does; where both are of one width it is taken not to."""
    own, words = (file.sizes(f"{block}.{attention}.to_k.weight", 2)[1] for attention in ("attn1", "attn2"))
    return own == words != file.sizes(f"{block}.norm1.weight", 1)[0]


def _agree(file: View, layers: list[int], depths: list[int]) -> None:
    """The way up has one layer more at each level, of the same depth."""
    row = 0
    for count, depth in zip(reversed(layers), reversed(depths), strict=True):
        for _ in range(count + 1):
            found = file.blocks(f"output_blocks.{row}.1.transformer_blocks")
            if found != depth:
                raise _uneven(f"output_blocks.{row}", found, depth)
            row += 1


def _uneven(block: str, found: int, depth: int) -> CheckpointError:
    return CheckpointError(
        f"{block} has {found} transformer blocks where its level has {depth}; such thinned-out models are not supported"
    )


def _one(values: list[int]) -> int | list[int]:
    return values[0] if len(set(values)) == 1 else values
