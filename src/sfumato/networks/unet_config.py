"""What a U-Net is made of, and a short way to choose one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sfumato.networks.config import Config, divides, norm_groups, per_block, require

DOWN = ("CrossAttnDownBlock2D", "DownBlock2D")
UP = ("CrossAttnUpBlock2D", "UpBlock2D")
MID = ("UNetMidBlock2DCrossAttn", "UNetMidBlock2D", None)
PER_BLOCK = (
    "only_cross_attention",
    "layers_per_block",
    "cross_attention_dim",
    "transformer_layers_per_block",
    "attention_head_dim",
)
CLASSES = (None, "timestep", "identity", "projection", "simple_projection")

Depths = tuple[int | tuple[int, ...], ...]  # of transformers: one for each block, or for each of a block's layers


@dataclass(frozen=True)
class WayDownConfig(Config):
    """What a `WayDown` is made of: the fields that the files of U-Nets and of ControlNets have in common.

    Where a tuple is allowed it has one value for each of `block_out_channels`, finest first.

    `attention_head_dim` is the *number* of heads: the reference's name is a historical mistake that every file carries.
    `upcast_attention` is kept for the file's sake: the scores are accumulated in float32 whatever it says.
    """

    in_channels: int = 4
    flip_sin_to_cos: bool = True
    freq_shift: float = 0
    down_block_types: tuple[str, ...] = ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",)
    mid_block_type: str | None = "UNetMidBlock2DCrossAttn"
    only_cross_attention: bool | tuple[bool, ...] = False
    block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280)
    layers_per_block: int | tuple[int, ...] = 2
    norm_num_groups: int = 32
    norm_eps: float = 1e-5
    cross_attention_dim: int | tuple[int, ...] = 1280
    transformer_layers_per_block: int | Depths = 1
    attention_head_dim: int | tuple[int, ...] = 8
    use_linear_projection: bool = False
    upcast_attention: bool | None = False
    class_embed_type: str | None = None
    num_class_embeds: int | None = None
    projection_class_embeddings_input_dim: int | None = None
    addition_embed_type: str | None = None
    addition_time_embed_dim: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        blocks = len(self.block_out_channels)
        require(blocks > 0, self, "block_out_channels", why="at least one resolution is needed")
        fits = divides(self.norm_num_groups, *self.block_out_channels)
        require(fits, self, "block_out_channels", "norm_num_groups", why="the groups must divide the channels")
        heads = per_block(self.attention_head_dim, blocks)
        require(min(heads, default=1) > 0, self, "attention_head_dim", why="must be above 0")
        self._require_stations("down_block_types", DOWN)
        for name in PER_BLOCK:
            right = len(per_block(getattr(self, name), blocks)) == blocks
            require(right, self, name, why=f"must be one value, or one for each of {blocks} blocks")
        self._require_depths("transformer_layers_per_block", self.depths)
        require(self.mid_block_type in MID, self, "mid_block_type", why=f"must be one of {MID}")
        require(self.class_embed_type in CLASSES, self, "class_embed_type", why=f"must be one of {CLASSES}")
        require(self.addition_embed_type in (None, "text_time"), self, "addition_embed_type", why="must be text_time")
        if self.class_embed_type in ("projection", "simple_projection") or self.addition_embed_type:
            given = self.projection_class_embeddings_input_dim is not None
            require(given, self, "projection_class_embeddings_input_dim", why="must be given")
        if self.addition_embed_type:
            require(self.addition_time_embed_dim is not None, self, "addition_time_embed_dim", why="must be given")

    def _require_stations(self, name: str, known: tuple[str, ...]) -> None:
        blocks = len(self.block_out_channels)
        right = len(getattr(self, name)) == blocks and set(getattr(self, name)) <= set(known)
        require(right, self, name, why=f"must be {blocks} of {', '.join(known)}")

    def _require_depths(self, name: str, depths: Depths, *, more: int = 0) -> None:
        """Each block's is one depth, or one for each of its layers, of which there are `more` on the way up."""
        layers = per_block(self.layers_per_block, len(self.block_out_channels))
        right = len(depths) == len(layers) and all(
            len(per_block(depth, count + more)) == count + more for depth, count in zip(depths, layers, strict=True)
        )
        require(right, self, name, why="must be one depth, or one for each layer, of each block")

    @property
    def depths(self) -> Depths:
        """How many blocks the transformers of each resolution have on the way down."""
        depth = self.transformer_layers_per_block
        return depth if isinstance(depth, tuple) else (depth,) * len(self.block_out_channels)

    @property
    def factor(self) -> int:
        """How many times smaller than the sample the coarsest feature map is, along each edge."""
        return 2 ** (len(self.block_out_channels) - 1)

    @property
    def class_width(self) -> int:
        """How wide the vectors are that "projection" classes and `addition_embed_type` bring."""
        return self.projection_class_embeddings_input_dim or 0

    def fixed(self) -> dict[str, Any]:
        """Gives the reference's keys that have one supported value."""
        return {
            "act_fn": "silu",
            "addition_embed_type_num_heads": 64,
            "downsample_padding": 1,
            "mid_block_scale_factor": 1,
            "num_attention_heads": None,
            "resnet_time_scale_shift": "default",
        }


@dataclass(frozen=True)
class UNetConfig(WayDownConfig):
    """What a `UNet` is made of, under the names of its `config.json`.

    Tuples and the oddities of some names are as in `WayDownConfig`. `time_cond_proj_dim` is the width of what models
    that are distilled with guidance are told of it (Luo et al. 2023, section 4.2); `encoder_hid_dim` is that of words'
    states which have to be projected to `cross_attention_dim` first. `reverse_transformer_layers_per_block` is for a
    way up that is not as deep as the way down, coarsest first.
    """

    sample_size: int | tuple[int, int] | None = None
    out_channels: int = 4
    center_input_sample: bool = False
    up_block_types: tuple[str, ...] = ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3
    reverse_transformer_layers_per_block: Depths | None = None
    dropout: float = 0.0
    time_cond_proj_dim: int | None = None
    encoder_hid_dim: int | None = None
    encoder_hid_dim_type: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_stations("up_block_types", UP)
        names = "transformer_layers_per_block", "reverse_transformer_layers_per_block"
        told = self.reverse_transformer_layers_per_block is not None
        plain = all(isinstance(depth, int) for depth in self.depths)
        require(told or plain, self, *names, why="depths of single layers on the way down need those of the way up")
        self._require_depths(names[told], self.depths_up, more=1)
        require(self.encoder_hid_dim_type in (None, "text_proj"), self, "encoder_hid_dim_type", why="must be text_proj")
        if self.encoder_hid_dim_type:
            require(self.encoder_hid_dim is not None, self, "encoder_hid_dim", why="must be given")
        if self.encoder_hid_dim:
            one = isinstance(self.cross_attention_dim, int)
            require(one, self, "cross_attention_dim", "encoder_hid_dim", why="words are projected to one width")

    @property
    def depths_up(self) -> Depths:
        """How many they have on the way up, finest first."""
        backwards = self.reverse_transformer_layers_per_block
        return self.depths if backwards is None else backwards[::-1]

    def fixed(self) -> dict[str, Any]:
        """Gives the reference's keys that have one supported value."""
        return super().fixed() | {
            "_class_name": "UNet2DConditionModel",
            "attention_type": "default",
            "class_embeddings_concat": False,
            "conv_in_kernel": 3,
            "conv_out_kernel": 3,
            "cross_attention_norm": None,
            "dual_cross_attention": False,
            "mid_block_only_cross_attention": None,
            "resnet_out_scale_factor": 1.0,
            "resnet_skip_time_act": False,
            "time_embedding_act_fn": None,
            "time_embedding_dim": None,
            "time_embedding_type": "positional",
            "timestep_post_act": None,
        }


def unet_config(
    channels: tuple[int, ...] = (64, 128),
    *,
    in_channels: int = 4,
    out_channels: int | None = None,
    attention: tuple[bool, ...] | None = None,
    cross_attention_dim: int = 256,
    head_dim: int = 64,
    layers: int = 1,
    depth: int = 1,
    **more: Any,
) -> UNetConfig:
    """Chooses a U-Net by its widths.

    Args:
        channels: of each resolution, finest first.
        in_channels: channels of what it looks at.
        out_channels: channels of what it gives; `in_channels` when None.
        attention: at which resolutions transformers stand; by default at all but the finest, which has the most
            pixels. The middle has one wherever any resolution has.
        cross_attention_dim: width of the words' states.
        head_dim: channels of one head; 64 keeps the fast attention kernels and tensor cores busy.
        layers: residual blocks per resolution.
        depth: transformer blocks after each residual block.
        more: any other field of `UNetConfig`.
    """
    attention = attention or (len(channels) == 1,) + (True,) * (len(channels) - 1)
    settings: dict[str, Any] = {
        "block_out_channels": channels,
        "in_channels": in_channels,
        "out_channels": in_channels if out_channels is None else out_channels,
        "down_block_types": tuple("CrossAttnDownBlock2D" if here else "DownBlock2D" for here in attention),
        "mid_block_type": "UNetMidBlock2DCrossAttn" if any(attention) else "UNetMidBlock2D",
        "up_block_types": tuple("CrossAttnUpBlock2D" if here else "UpBlock2D" for here in reversed(attention)),
        "cross_attention_dim": cross_attention_dim,
        "attention_head_dim": tuple(max(1, width // head_dim) for width in channels),
        "layers_per_block": layers,
        "transformer_layers_per_block": depth,
        "use_linear_projection": True,
        "norm_num_groups": norm_groups(channels),
    }
    return UNetConfig(**settings | more)
