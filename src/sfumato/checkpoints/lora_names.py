"""How LoRA files spell the layers of a network: diffusers', kohya's, and the original Stable Diffusion's and FLUX's."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from torch import nn

from sfumato.networks.lora import layers


class Place(NamedTuple):
    """A layer of a part of a model."""

    part: str
    layer: str


KOHYA = {
    "unet": ("lora_unet",),
    "transformer": ("lora_transformer",),
    "text_encoder": ("lora_te", "lora_te1"),
    "text_encoder_2": ("lora_te2",),
    "text_encoder_3": ("lora_te3",),
}
"""How kohya's names of a part's layers begin; underscores stand for all dots after that."""

UNNAMED = ("unet", "transformer")  # parts whose layers some files name without the part
TEXT_MODEL = "text_model."  # newer text encoders of transformers have left this out of their names


def spellings(networks: Mapping[str, nn.Module]) -> dict[str, tuple[Place, ...]]:
    """Every spelling of every layer of these parts; a few of FLUX's stand for several layers, one under the other."""
    table: dict[str, tuple[Place, ...]] = {}
    for part, network in networks.items():
        names = [name for name, _ in layers(network)]
        for name in names:
            table |= dict.fromkeys(_spelled(part, name), (Place(part, name),))
        if part == "unet":
            table |= {
                f"lora_unet_{original.replace('.', '_')}": (Place(part, name),) for name, original in ldm(names).items()
            }
        if part == "transformer":
            present = set(names)
            for original, fused in stacked(names):
                if present.issuperset(fused):
                    places = tuple(Place(part, name) for name in fused)
                    table |= {f"lora_unet_{original.replace('.', '_')}": places, f"diffusion_model.{original}": places}
    return table


def _spelled(part: str, layer: str) -> Iterator[str]:
    for name in _with_and_without(layer) if part.startswith("text_encoder") else (layer,):
        yield f"{part}.{name}"
        yield from (f"{prefix}_{name.replace('.', '_')}" for prefix in KOHYA.get(part, ()))
    if part in UNNAMED:
        yield layer


def _with_and_without(layer: str) -> tuple[str, str]:
    bare = layer.removeprefix(TEXT_MODEL)
    return bare, TEXT_MODEL + bare


RESNET = {
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
OUTSIDE = {
    "conv_in": "input_blocks.0.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}


def ldm(names: Iterable[str]) -> dict[str, str]:
    """A U-Net's layers by the names of the original Stable Diffusion, which numbers its blocks through."""
    names = list(names)
    blocks = _ldm_blocks(names)
    table = {}
    for name in names:
        match = re.match(r"(?P<block>\w+_blocks?(?:\.\d+)?\.\w+\.\d+)\.(?P<rest>.+)", name)
        if name in OUTSIDE:
            table[name] = OUTSIDE[name]
        elif match and match["block"] in blocks:
            rest = "op" if ".downsamplers." in name else RESNET.get(match["rest"], match["rest"])
            table[name] = f"{blocks[match['block']]}.{rest}"
    return table


def _ldm_blocks(names: list[str]) -> dict[str, str]:
    """The original name of each "down_blocks.1.attentions.0" and the like."""
    there = {match[0] for name in names if (match := re.match(r"\w+_blocks?(?:\.\d+)?\.\w+\.\d+", name))}
    blocks = {"mid_block.resnets.0": "middle_block.0", "mid_block.attentions.0": "middle_block.1"}
    blocks["mid_block.resnets.1"] = f"middle_block.{1 + ('mid_block.attentions.0' in there)}"
    for way, original, number in (("down_blocks", "input_blocks", 1), ("up_blocks", "output_blocks", 0)):
        for level in itertools.takewhile(lambda i: f"{way}.{i}.resnets.0" in there, itertools.count()):  # noqa: B023
            stem, last = f"{way}.{level}", 0
            for layer in itertools.takewhile(lambda i: f"{stem}.resnets.{i}" in there, itertools.count()):  # noqa: B023
                blocks[f"{stem}.resnets.{layer}"] = f"{original}.{number}.0"
                blocks[f"{stem}.attentions.{layer}"] = f"{original}.{number}.1"
                last = 1 + (f"{stem}.attentions.{layer}" in there)
                number += 1
            blocks[f"{stem}.upsamplers.0"] = f"{original}.{number - 1}.{last}"
            if f"{stem}.downsamplers.0" in there:
                blocks[f"{stem}.downsamplers.0"] = f"{original}.{number}.0"
                number += 1
    return blocks


DOUBLE = {
    "img_attn.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
    "txt_attn.qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
    "img_attn.proj": ("attn.to_out.0",),
    "txt_attn.proj": ("attn.to_add_out",),
    "img_mlp.0": ("ff.net.0.proj",),
    "img_mlp.2": ("ff.net.2",),
    "txt_mlp.0": ("ff_context.net.0.proj",),
    "txt_mlp.2": ("ff_context.net.2",),
    "img_mod.lin": ("norm1.linear",),
    "txt_mod.lin": ("norm1_context.linear",),
}
SINGLE = {
    "linear1": ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"),
    "linear2": ("proj_out",),
    "modulation.lin": ("norm.linear",),
}
JOINT = {
    "x_block.attn.qkv": DOUBLE["img_attn.qkv"],
    "context_block.attn.qkv": DOUBLE["txt_attn.qkv"],
    "x_block.attn.proj": DOUBLE["img_attn.proj"],
    "context_block.attn.proj": DOUBLE["txt_attn.proj"],
    "x_block.mlp.fc1": DOUBLE["img_mlp.0"],
    "x_block.mlp.fc2": DOUBLE["img_mlp.2"],
    "x_block.attn2.qkv": ("attn2.to_q", "attn2.to_k", "attn2.to_v"),
    "x_block.attn2.proj": ("attn2.to_out.0",),
    "x_block.adaLN_modulation.1": ("norm1.linear",),  # the context's are not the same in the last block, and left out
    "context_block.mlp.fc1": DOUBLE["txt_mlp.0"],
    "context_block.mlp.fc2": DOUBLE["txt_mlp.2"],
}
STREAMS = (
    ("transformer_blocks", "double_blocks", DOUBLE),  # FLUX
    ("single_transformer_blocks", "single_blocks", SINGLE),
    ("transformer_blocks", "joint_blocks", JOINT),  # Stable Diffusion 3
)


def stacked(names: Iterable[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The names that FLUX and SD 3 had first, each with the layers that it holds, one under the other."""
    numbers = {(match[1], match[2]) for name in names if (match := re.match(r"(\w+)\.(\d+)\.", name))}
    for ours, original, table in STREAMS:
        for number in sorted(number for stream, number in numbers if stream == ours):
            for name, fused in table.items():
                yield f"{original}.{number}.{name}", tuple(f"{ours}.{number}.{each}" for each in fused)
