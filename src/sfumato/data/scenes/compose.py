"""Scenes as pictures: sprites cut from the pack, tinted and laid over each other, whole batches at once, on any device.

A sprite is resampled by two matrix products, one for its columns and one for its rows: `rows @ (sprite @ columns)`.
A matrix holds how much of each pixel of the sprite lies under each pixel of the picture, so that what is made smaller
is averaged over the area and what is made larger is interpolated linearly.
"""

from __future__ import annotations

import functools
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
    return Layers(torch.tensor(background), concept, tint, flipped, rows[..., 3:].float())


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
    counts = (layers.concept != NOTHING).sum(1)
    order = counts.argsort(descending=True, stable=True)  # the fullest scenes first: each layer is then a first part
    canvas = backdrops(size, device)[layers.background[order].to(device)].transpose(1, 2).contiguous()  # b h 3 w
    for layer in range(int(counts.max()) if len(counts) else 0):
        there = order[: int((counts > layer).sum())]
        sprite = _cut(_atlas(pack, size, device), layers, there, layer, size)
        canvas[: len(there)].mul_(1 - sprite[:, :, 3:]).add_(sprite[:, :, :3])
    return canvas[order.argsort().to(device)].transpose(1, 2).contiguous().mul_(2).sub_(1)


def _cut(
    atlas: UInt8[Tensor, "n s 4 s"], layers: Layers, there: Int[Tensor, " n"], layer: int, size: int
) -> Float[Tensor, "n size 4 size"]:
    """The sprites of one layer where they stand in the picture, tinted, colours multiplied by alpha."""
    device, source = atlas.device, atlas.shape[-1]
    concept, tint, flipped = (part[there, layer] for part in (layers.concept, layers.tint, layers.flipped))
    x, y, side = layers.box[there, layer].to(device).unbind(1)
    columns = coverage(x, side, size, source).mT
    rows = coverage(y, side, size, source, flipped.to(device).bool()) / 255
    sprites = atlas[concept.to(device)].to(rows.dtype).flatten(1, 2)  # n (s 4) s
    cut = (rows @ (sprites @ columns).view(len(there), source, 4 * size)).unflatten(2, (4, size))
    if (coloured := (tint != NOTHING).nonzero().flatten()).numel():
        where = coloured.to(device)
        cut[where] = _tinted(cut[where].transpose(1, 2), tint[coloured].to(device)).transpose(1, 2)
    return cut


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
        middle: Where the middle of the sprite stands, in picture sides.
        side: How long the sprite is, in picture sides.
        size: Pixels of the picture's row.
        source: Pixels of the sprite's row.
        flipped: Whether the sprite runs backwards.
    """
    scale = (source / (side * size))[:, None]  # pixels of the sprite to one of the picture
    pixels = torch.arange(size, device=middle.device) + 0.5
    centre = (pixels - middle[:, None] * size) * scale
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
