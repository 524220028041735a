"""Small changes to training pictures that leave their meaning."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Generator, Tensor


def shifted(pictures: Float[Tensor, "b c s s"], moves: Float[Tensor, "b 2"], reach: float) -> Float[Tensor, "b c s s"]:
    """Square pictures moved down and right, borders repeated.

    Args:
        pictures: of any scale.
        moves: how far each is moved, down and right, from 0 to 1: 0 is `reach` to one side, 1 to the other.
        reach: the farthest move, in sides of the picture.
    """
    size = pictures.shape[-1]
    most = round(reach * size)
    if most == 0:
        return pictures
    corners = (moves.to(pictures.device) * (2 * most + 1)).long().clamp(max=2 * most)
    padded = F.pad(pictures, (most,) * 4, mode="replicate").movedim(1, -1)
    along = torch.arange(size, device=pictures.device)
    rows, columns = (corners[:, axis, None] + along for axis in (0, 1))  # (b, s)
    each = torch.arange(len(pictures), device=pictures.device)[:, None, None]
    return padded[each, rows[:, :, None], columns[:, None, :]].movedim(-1, 1).contiguous()


def random_moves(count: int, generator: Generator) -> Float[Tensor, "b 2"]:
    """Moves for `shifted`, on the CPU."""
    return torch.rand(count, 2, generator=generator)
