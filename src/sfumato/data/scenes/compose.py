"""Scenes as pictures: sprites cut from the pack, tinted and laid over each other, whole batches at once, on any device.

A sprite is resampled by two matrix products, one for its rows and one for its columns: `(rows @ sprite) @ columns`.
A matrix holds how much of each pixel of the sprite lies under each pixel of the picture, so that what is made smaller
is averaged over the area and what is made larger is interpolated linearly.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn import functional as F

from sfumato.data.scenes.colours import BACKGROUNDS, TINTS, backdrops, recolour
from sfumato.data.scenes.scene import Scene, Thing
from sfumato.data.scenes.sprites import SIDE, Pack
from sfumato.errors import DataError

NOTHING = -1  # no thing in this layer; no tint
TOGETHER = 1024  # things of about one size that are painted at once
TOGETHER_ON_CPU = 64  # smaller: what they need stays in its caches

Indices = Int[Tensor, " n"]


@dataclass(frozen=True)
class Layers:
    """Scenes as arrays, as worker processes hand them over. Layer 0 is the furthest back; a scene may have fewer.

    Args:
        background: Its number in `BACKGROUNDS`.
        concept: The thing's number in the pack, or -1 for nothing.
        tint: Its number in `TINTS`, or -1.
        flipped: Whether the thing is upside down.
        box: x and y of its middle and its side, in picture sides.
    """

    background: Int[Tensor, " b"]
    concept: Int[Tensor, "b layers"]
    tint: Int[Tensor, "b layers"]
    flipped: Int[Tensor, "b layers"]
    box: Float[Tensor, "b layers 3"]

    def __len__(self) -> int:
        return len(self.background)


def pack_scenes(scenes: Sequence[Scene]) -> Layers:
    """Scenes as arrays.

    Raises:
        DataError: When a scene names a background or a colour that there is not.
    """
    backgrounds, tints = list(BACKGROUNDS), [*TINTS, None]
    try:
        background = [backgrounds.index(scene.background) for scene in scenes]
        things = [[_row(thing, tints) for thing in scene.things] for scene in scenes]
    except ValueError as error:
        raise DataError(f"A scene cannot be composed: {error}.") from error
    deepest = max((len(rows) for rows in things), default=0)
    empty = (float(NOTHING), float(NOTHING), 0.0, 0.0, 0.0, 1.0)
    padded = [rows + [empty] * (deepest - len(rows)) for rows in things]
    rows = torch.tensor(padded, dtype=torch.float64).reshape(len(scenes), deepest, 6)
    concept, tint, flipped = rows[..., :3].long().unbind(-1)
    return Layers(torch.tensor(background, dtype=torch.long), concept, tint, flipped, rows[..., 3:].float())


def _row(thing: Thing, tints: list[str | None]) -> tuple[float, ...]:
    tint = tints.index(thing.colour)
    return (thing.concept, NOTHING if thing.colour is None else tint, thing.upside_down, thing.x, thing.y, thing.size)


def compose(
    scenes: Sequence[Scene] | Layers, pack: Pack, size: int, device: torch.device | str = "cpu"
) -> Float[Tensor, "b 3 size size"]:
    """The pictures of scenes, in [-1, 1]; a scene is the same picture at every size and in every batch.

    Args:
        scenes: What is seen, or the same as `Layers`, which must lie in the processor's memory.
        pack: What things look like.
        size: Pixels a side.
        device: Where the pictures are made.

    Raises:
        DataError: When a scene names a concept, a background or a colour that there is not.
    """
    layers = scenes if isinstance(scenes, Layers) else pack_scenes(scenes)
    if layers.concept.numel() and int(layers.concept.max()) >= len(pack.concepts):
        raise DataError(f"A scene shows concept {int(layers.concept.max())}; the pack has {len(pack.concepts)}.")
    device = torch.device(device)
    canvas = backdrops(size, device)[layers.background.to(device)].transpose(1, 2).contiguous()  # b h 3 w
    atlas = _atlas(pack, size, device)
    for layer in range(layers.concept.shape[1]):
        there = (layers.concept[:, layer] != NOTHING).nonzero().flatten()
        by_size = there[layers.box[there, layer, 2].argsort()]
        for alike in by_size.split(TOGETHER_ON_CPU if device.type == "cpu" else TOGETHER):
            _paint(canvas, atlas, layers, alike, layer)
    return canvas.transpose(1, 2).contiguous().mul_(2).sub_(1)


def _paint(
    canvas: Float[Tensor, "b size 3 size"], atlas: UInt8[Tensor, "k s 4 s"], layers: Layers, scene: Indices, layer: int
) -> None:
    """Lay one thing over each of these scenes. Only as many rows of the pictures are touched as the largest needs."""
    size, source, device = canvas.shape[-1], atlas.shape[-1], canvas.device
    box = layers.box[scene, layer] * size
    margin = 1 + math.ceil(size / source / 2)  # how far linear interpolation reaches
    height = min(size, math.ceil(float(box[:, 2].max())) + 2 * margin)
    top = (box[:, 1] - box[:, 2] / 2).floor().long().sub(margin - 1).clamp(0, size - height)
    concept, tint, flipped = (part[scene, layer] for part in (layers.concept, layers.tint, layers.flipped))
    x, y, side = torch.stack([box[:, 0], box[:, 1] - top, box[:, 2]]).to(device)
    rows = coverage(y, side, height, source, flipped.to(device).bool()) / 255
    columns = coverage(x, side, size, source).mT
    sprites = atlas.index_select(0, concept.to(device)).to(rows.dtype).flatten(2)  # n s (4 s)
    cut = ((rows @ sprites).view(len(scene), 4 * height, source) @ columns).view(-1, height, 4, size)
    if (coloured := (tint != NOTHING).nonzero().flatten()).numel():
        where = coloured.to(device)
        cut[where] = _tinted(cut[where].transpose(1, 2), tint[coloured].to(device)).transpose(1, 2)
    lines = ((scene * size + top)[:, None] + torch.arange(height)).flatten().to(device)
    under = canvas.flatten(0, 1).index_select(0, lines)
    over = under.mul_(1 - cut[:, :, 3:].flatten(0, 1)).add_(cut[:, :, :3].flatten(0, 1))
    canvas.flatten(0, 1).index_copy_(0, lines, over)


def coverage(
    middle: Float[Tensor, " n"],
    side: Float[Tensor, " n"],
    size: int,
    source: int,
    flipped: Bool[Tensor, " n"] | None = None,
) -> Float[Tensor, "n size source"]:
    """How much of each pixel of a picture's row is what pixel of a sprite: shares that add up to 1 within the sprite.

    Each pixel of the picture averages the span of the sprite that it covers, but never less than one of its pixels,
    which is linear interpolation.

    Args:
        middle: Where the middle of the sprite stands, in pixels from the start of the row.
        side: How long the sprite is, in pixels of the picture.
        size: Pixels of the picture's row.
        source: Pixels of the sprite's row.
        flipped: Whether the sprite runs backwards.
    """
    scale = (source / side)[:, None]  # pixels of the sprite to one of the picture
    centre = (torch.arange(size, device=middle.device) + 0.5 - middle[:, None]) * scale
    if flipped is not None:
        centre = torch.where(flipped[:, None], -centre, centre)
    span = scale.clamp(min=1)[:, :, None]
    distance = (centre[:, :, None] - (torch.arange(source, device=middle.device) + 0.5 - source / 2)).abs_()
    return ((span + 1) / 2 - distance).clamp_(0, 1).div_(span)  # how two intervals of lengths span and 1 overlap


def _tinted(cut: Float[Tensor, "n 4 h w"], tint: Int[Tensor, " n"]) -> Float[Tensor, "n 4 h w"]:
    """Recoloured; colours are multiplied by alpha before and after."""
    alpha = cut[:, 3:]
    straight = torch.cat([cut[:, :3] / alpha.clamp(min=1e-4), alpha], 1).clamp_(0, 1)
    tinted = recolour(straight, tint)
    return torch.cat([tinted[:, :3] * alpha, alpha], 1)


@functools.lru_cache(maxsize=4)
def _atlas(pack: Pack, size: int, device: torch.device) -> UInt8[Tensor, "n s 4 s"]:
    """All sprites on the device, colours multiplied by alpha, no larger than the picture needs."""
    parts = []
    for pixels in pack.pixels.split(64):
        sprites = pixels.to(device, torch.float32)
        sprites[:, :3] *= sprites[:, 3:] / 255
        for _ in range(_halvings(size)):
            sprites = F.avg_pool2d(sprites, 2)
        parts.append(sprites.round().to(torch.uint8).transpose(1, 2).contiguous())
    return torch.cat(parts)


def _halvings(size: int) -> int:
    side, count = SIDE, 0
    while side // 2 >= size:
        side, count = side // 2, count + 1
    return count
