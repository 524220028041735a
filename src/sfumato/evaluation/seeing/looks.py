"""All that a pack's sprites can look like: each concept in each tint, upright and upside-down."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from sfumato.data.scenes.colours import TINTS, recolour
from sfumato.data.scenes.sprites import Pack

SIDE = 64  # pixels of the sprites that are fitted
CELLS = 10  # a side of what windows are compared at
RANK = 128  # of the comparisons, of 9 * CELLS^2 numbers
CHUNK = 512  # looks that are drawn at a time

COLOURS: tuple[str | None, ...] = (None, *TINTS)


@dataclass(frozen=True)
class Look:
    """A concept by its number in the pack, its tint or None, and which way up it is."""

    concept: int
    colour: str | None = None
    upside_down: bool = False


class Looks:
    """The looks of a pack on a device, numbered.

    A window of a picture is compared with all of them at once by one product of matrices. A look with premultiplied
    colours P and cover A changes a canvas C to P + (1 - A) C = C + T with T = P - A C; in a picture I it takes away

        sum w (|I - C|^2 - |I - C - T|^2) = sum w (2 (I - C) T - T^2)

    of the weighted squared error. That is linear in features of the picture, (w (I - C), w (I - C) C, w, w C, w C^2),
    and in features of the look, (P, A, P^2, P A, A^2); a basis of the latter keeps the product small.
    """

    def __init__(self, pack: Pack, device: str | torch.device = "cpu") -> None:
        self.concepts, self.device = len(pack.concepts), torch.device(device)
        whole = pack.pixels.to(self.device)
        self.sprites = torch.cat([_halved(some.float() / 255) for some in whole.split(64)])
        features = torch.cat([self._features(some) for some in torch.arange(len(self)).split(CHUNK)])
        self.basis, to_looks = _bases(features, _examples(features), RANK)  # (features, rank) of windows, and of looks
        self.features = features @ to_looks  # (looks, rank)

    def __len__(self) -> int:
        return 2 * len(COLOURS) * self.concepts

    def __getitem__(self, number: int) -> Look:
        rest, concept = divmod(number, self.concepts)
        way_up, colour = divmod(rest, len(COLOURS))
        return Look(concept, COLOURS[colour], bool(way_up))

    def number(self, look: Look) -> int:
        """Where a look stands."""
        return (int(look.upside_down) * len(COLOURS) + COLOURS.index(look.colour)) * self.concepts + look.concept

    def pixels(self, numbers: Int[Tensor, " k"]) -> Float[Tensor, "k 4 s s"]:
        """Looks as pictures: colours in [-1, 1] times cover, and cover in [0, 1]."""
        numbers = numbers.to(self.device)
        way_up, colour = numbers // self.concepts // len(COLOURS), numbers // self.concepts % len(COLOURS)
        sprites = self.sprites[numbers % self.concepts]
        for tint in colour.unique().tolist():
            if tint:
                mine = colour == tint
                sprites[mine] = recolour(sprites[mine], torch.full((int(mine.sum()),), tint - 1, device=self.device))
        sprites = torch.where(way_up.bool()[:, None, None, None], sprites.flip(2), sprites)
        return torch.cat([(2 * sprites[:, :3] - 1) * sprites[:, 3:], sprites[:, 3:]], 1)

    def _features(self, numbers: Int[Tensor, " k"]) -> Float[Tensor, "k f"]:
        small = F.adaptive_avg_pool2d(self.pixels(numbers), CELLS)
        colours, cover = small[:, :3], small[:, 3:]
        parts = (colours, cover, colours.square().sum(1, keepdim=True), colours * cover, cover.square())
        return torch.cat(parts, 1).flatten(1)


def picture_features(
    pictures: Float[Tensor, "b 3 h w"], canvas: Float[Tensor, "b 3 h w"], weights: Float[Tensor, "b 1 h w"]
) -> Float[Tensor, "b 9 h w"]:
    """What windows are cut from, for a product with `Looks.features`; weights say how much each pixel counts."""
    rest = weights * (pictures - canvas)
    crossed = (rest * canvas).sum(1, keepdim=True)
    squared = (weights * canvas.square()).sum(1, keepdim=True)
    return torch.cat([2 * rest, -2 * crossed, -weights, 2 * weights * canvas, -squared], 1)


def _halved(sprites: Float[Tensor, "n 4 h w"]) -> Float[Tensor, "n 4 s s"]:
    """Smaller, each pixel's colour the mean of those that cover it."""
    cover = F.adaptive_avg_pool2d(sprites[:, 3:], SIDE)
    colours = F.adaptive_avg_pool2d(sprites[:, :3] * sprites[:, 3:], SIDE)
    return torch.cat([colours / cover.clamp_min(1e-6), cover], 1)


def _examples(features: Float[Tensor, "k f"], number: int = 4096) -> Float[Tensor, "n f"]:
    """Features of windows that hold a look before a background of any one colour."""
    chance = torch.Generator().manual_seed(0)
    some = features[torch.randint(len(features), (number,), generator=chance).to(features.device)]
    maps = some.unflatten(1, (9, CELLS, CELLS))
    canvas = (torch.rand(number, 3, 1, 1, generator=chance) * 2 - 1).to(features.device).expand(-1, 3, CELLS, CELLS)
    picture = maps[:, :3] + (1 - maps[:, 3:4]) * canvas
    return picture_features(picture, canvas, torch.ones_like(maps[:, :1])).flatten(1)


def _bases(
    looks: Float[Tensor, "k f"], windows: Float[Tensor, "n f"], rank: int
) -> tuple[Float[Tensor, "f r"], Float[Tensor, "f r"]]:
    """Bases U for windows and V for looks so that (windows U) (looks V)^T is near windows looks^T.

    The singular vectors of the looks where windows are white: what windows seldom differ in is left out first.
    """
    spread, axes = torch.linalg.eigh(_gram(windows) / len(windows))
    spread = (spread + 1e-3 * spread.mean()).clamp_min(1e-12).sqrt()
    root, inverse = (axes * spread) @ axes.T, (axes / spread) @ axes.T
    main = torch.linalg.eigh(root @ _gram(looks) @ root)[1][:, -rank:]
    return (inverse @ main).float(), (root @ main).float()


def _gram(rows: Float[Tensor, "k f"]) -> Float[Tensor, "f f"]:
    return sum((some.T @ some for some in rows.split(4096)), rows.new_zeros((rows.shape[1],) * 2)).double()
