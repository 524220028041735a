"""Maps as rows of patches: how a diffusion transformer cuts them, tells the patches where they lie, and lays them back.

Axis letters as in `attention`; n counts patches in reading order.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from sfumato.networks.attention import to_map, to_tokens
from sfumato.networks.config import Config, divides, require

Size = tuple[int, int]
LARGEST = 65_536  # edge of a map; a file cannot ask for more


@dataclass(frozen=True)
class PatchConfig(Config):
    """What the transformers of patches have in common; `sample_size` is the edge of the maps in training."""

    num_attention_heads: int = 16
    attention_head_dim: int = 72
    in_channels: int = 4
    out_channels: int | None = None
    num_layers: int = 28
    sample_size: int = 128
    patch_size: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        right = 0 < self.patch_size <= self.sample_size <= LARGEST
        require(right, self, "patch_size", "sample_size", why=f"a patch fits in a map of {LARGEST} at most")
        heads = ("num_attention_heads", "attention_head_dim")
        require(divides(4, self.width), self, *heads, why="their product must be a positive multiple of 4")
        require(self.num_layers > 0, self, "num_layers", why="at least one is needed")

    @property
    def width(self) -> int:
        """Channels of a token."""
        return self.num_attention_heads * self.attention_head_dim

    @property
    def factor(self) -> int:
        """What must divide the edges of the sample."""
        return self.patch_size

    @property
    def base(self) -> int:
        """Patches along an edge of the maps in training."""
        return self.sample_size // self.patch_size

    @property
    def token_channels(self) -> int:
        """Channels of a patch as it comes out: those of all its pixels."""
        return self.patch_size**2 * (self.out_channels or self.in_channels)


def patches(sample: Float[Tensor, "b c h w"], patch: int) -> Size:
    """Counts the patches of `patch` x `patch` along the height and the width of a map.

    Raises ValueError where they do not fill it.
    """
    height, width = sample.shape[-2:]
    if height % patch or width % patch:
        raise ValueError(f"sample: a map of {height}x{width} cannot be cut into patches of {patch}x{patch}")
    return height // patch, width // patch


def angles(places: Shaped[Tensor, " n"], width: int) -> Float[Tensor, "n c"]:
    """Multiplies places by the frequencies 10,000 ** (-2 i / width) for i in 0 .. width / 2 - 1, in double precision.

    Source: Vaswani et al. 2017, section 3.5; Su et al. 2021, section 3.2.2.
    """
    exact = torch.float32 if places.device.type == "mps" else torch.float64
    powers = torch.arange(0, width, 2, dtype=exact, device=places.device) / width
    return places.to(exact)[:, None] * 10_000.0**-powers


def positions(
    size: Size, width: int, base: int, stretch: float = 1.0, device: torch.device | None = None
) -> Float[Tensor, "n c"]:
    """Describes where patches lie by sines and cosines, one half of the channels for the column and one for the row.

    Args:
        size: patches along the height and the width; their places are spread over [0, base / stretch).
        width: channels, a multiple of 4.
        base: patches along an edge of the maps in training.
        stretch: in training, how many patches share the place that one had at first (Chen et al. 2024, PixArt-sigma).

    Source: Peebles & Xie 2023, section 3.2.
    """
    h, w = size
    places = (torch.arange(n, device=device) * (base / n / stretch) for n in size)
    row, column = (torch.cat([turn.sin(), turn.cos()], 1).float() for turn in (angles(x, width // 2) for x in places))
    return torch.cat([column.expand(h, -1, -1), row[:, None].expand(-1, w, -1)], dim=-1).flatten(0, 1)


class PatchEmbed(nn.Module):
    """Cuts a map into patches, makes a token of each, and adds where it lies (Peebles & Xie 2023, section 3.2).

    Args:
        config: says how large maps, patches and tokens are.
        stretch: as in `positions`.
        largest: patches along an edge of the largest map. The positions of such a map are then kept beside the
            parameters, and a smaller map takes the middle of them (Esser et al. 2024, section 5.3.2). None spreads
            the positions of the maps in training over maps of any size.
    """

    pos_embed: Tensor | None

    def __init__(self, config: PatchConfig, *, stretch: float = 1.0, largest: int | None = None):
        super().__init__()
        self.patch, self.base, self.stretch, self.largest = config.patch_size, config.base, stretch, largest
        self.proj = nn.Conv2d(config.in_channels, config.width, self.patch, stride=self.patch)
        kept = positions((largest, largest), config.width, self.base)[None] if largest else None
        self.register_buffer("pos_embed", kept)

    def forward(self, sample: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n k"]:
        """Gives a token for each patch; ValueError for a map that is too large or not filled by patches."""
        size = patches(sample, self.patch)
        tokens = to_tokens(self.proj(sample))
        if self.pos_embed is None:
            where = positions(size, tokens.shape[-1], self.base, self.stretch, tokens.device)
        else:
            where = self._middle(size)
        return (tokens + where).to(tokens.dtype)

    def _middle(self, size: Size) -> Float[Tensor, "1 n k"]:
        assert self.pos_embed is not None
        assert self.largest is not None
        h, w = size
        if max(size) > self.largest:
            limit = self.largest * self.patch
            raise ValueError(f"sample: a map of {h * self.patch}x{w * self.patch}; the largest edge is {limit}")
        top, left = (self.largest - h) // 2, (self.largest - w) // 2
        grid = self.pos_embed.unflatten(1, (self.largest, self.largest))
        return grid[:, top : top + h, left : left + w].flatten(1, 2)


def unpatched(tokens: Float[Tensor, "b n k"], size: Size, patch: int) -> Float[Tensor, "b c h w"]:
    """Lays tokens out as a map again; a token holds its patch pixel by pixel, each with all its channels."""
    channels_first = tokens.unflatten(-1, (patch * patch, -1)).transpose(-1, -2).flatten(2)
    return F.pixel_shuffle(to_map(channels_first, size), patch)


def without_variance(predicted: Float[Tensor, "b k h w"], sample: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Leaves out the second half of the channels where they are twice the sample's.

    They say where between its bounds the variance of a step lies (Nichol & Dhariwal 2021, equation 15), which no
    solver here asks for.
    """
    channels = sample.shape[1]
    return predicted[:, :channels] if predicted.shape[1] == 2 * channels else predicted
