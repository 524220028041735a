"""The U-Net: looks at something noisy coarsely and finely at once, and listens to the words."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch.nn.functional as F
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from sfumato.networks.attention import Attention, BasicTransformerBlock, hiding
from sfumato.networks.blocks import Upsample2D
from sfumato.networks.config import per_block
from sfumato.networks.extras import Context, Extras
from sfumato.networks.unet_blocks import UpBlock
from sfumato.networks.unet_config import UNetConfig
from sfumato.networks.way_down import WayDown


class UNet(WayDown):
    """A U-Net with attention to words (Ronneberger et al. 2015; Ho et al. 2020; Rombach et al. 2022, section 3.3).

    Parameters carry the names of diffusers' `UNet2DConditionModel`. The network knows nothing of diffusion: it takes
    a picture or a latent, a number and a condition, and gives something of the same size.
    """

    config: UNetConfig

    def __init__(self, config: UNetConfig):
        super().__init__(config, dropout=config.dropout, guidance_width=config.time_cond_proj_dim)
        channels, skips = config.block_out_channels, list(self.skip_channels)
        self.up_blocks = nn.ModuleList()
        below = channels[-1]
        for level, block_type in zip(reversed(range(len(channels))), config.up_block_types, strict=True):
            here, finest = channels[level], level == 0
            layers = per_block(config.layers_per_block, len(channels))[level] + 1
            resnets = [self._resnet((below if i == 0 else here) + skips.pop(), here) for i in range(layers)]
            attentions = self._transformers(level, block_type, per_block(config.depths_up[level], layers))
            self.up_blocks.append(UpBlock(resnets, attentions, [] if finest else [Upsample2D(here)]))
            below = here

        self.conv_norm_out = nn.GroupNorm(config.norm_num_groups, channels[0], eps=config.norm_eps)
        self.conv_out = nn.Conv2d(channels[0], config.out_channels, 3, padding=1)
        self.encoder_hid_proj = None
        if config.encoder_hid_dim is not None:
            assert isinstance(config.cross_attention_dim, int)
            self.encoder_hid_proj = nn.Linear(config.encoder_hid_dim, config.cross_attention_dim)
        for number, attention in enumerate(self.cross_attentions().values()):
            attention.number = number

    def forward(
        self,
        sample: Float[Tensor, "b c h w"],
        timestep: Shaped[Tensor, "*b"] | float,
        encoder_hidden_states: Float[Tensor, "b t d"] | None = None,
        *,
        class_labels: Shaped[Tensor, "b *k"] | None = None,
        mask: Bool[Tensor, "b t"] | None = None,
        added: Mapping[str, Tensor] | None = None,
        timestep_cond: Float[Tensor, "b g"] | None = None,
        extras: Extras | None = None,
        blind: Bool[Tensor, " b"] | None = None,
        blind_stations: Collection[str] = ("mid",),
    ) -> Float[Tensor, "b k h w"]:
        """Looks once.

        Args:
            sample: something noisy, of any height and width.
            timestep: the level's label, one for each sample or one for all; fractions are welcome.
            encoder_hidden_states: the words' states; None for a network without attention to words.
            class_labels: by `config.class_embed_type`: class numbers (b,) for None, numbers like timesteps (b,) for
                "timestep", vectors (b, k) for the others. Needed exactly where the configuration names classes.
            mask: which words to listen to; all by default.
            added: what Stable Diffusion XL also wants: "text_embeds" (b, p) and "time_ids" (b, 6), or (b, 5) for its
                refiner.
            timestep_cond: what a model that is distilled with guidance is told of its scale, by `guidance_waves`.
            extras: what adapters add.
            blind: samples whose pixels do not look at one another, for perturbed-attention guidance (Ahn et al. 2024).
            blind_stations: where they do not: any of "down", "mid" and "up".

        Raises:
            ValueError: `class_labels`, `added` or `timestep_cond` is missing, or there are not as many residuals as
                states that the way down leaves.
        """
        extras = Extras() if extras is None else extras
        embedding = self.embed(sample, timestep, class_labels, added, timestep_cond)
        words = encoder_hidden_states
        if self.encoder_hid_proj is not None:
            words = self.encoder_hid_proj(words)
        bias = None if mask is None else hiding(mask, sample.dtype)
        seen = Context(words, bias, images=extras.images)
        down, mid, up = (
            seen._replace(blind=blind) if station in blind_stations else seen for station in ("down", "mid", "up")
        )
        x = self.conv_in(2 * sample - 1 if self.config.center_input_sample else sample)

        x, skips = self.descend(x, embedding, down, extras.features)
        if self.mid_block is not None:
            x = self.mid_block(x, embedding, mid)
        for feature in extras.features[len(self.down_blocks) :]:
            x = x + feature
        if extras.residuals is not None:
            skips = extras.residuals.added_to(skips)
            x = x + extras.residuals.mid
        for block in self.up_blocks:
            x = block(x, skips, embedding, up)

        return self.conv_out(F.silu(self.conv_norm_out(x)))

    def cross_attentions(self) -> dict[str, Attention]:
        """Names the layers that look at the words, in the order in which IP-Adapters count them: down, up, middle."""
        stations = {"down_blocks": self.down_blocks, "up_blocks": self.up_blocks, "mid_block": self.mid_block}
        return {
            f"{station}.{name}.attn2": block.attn2
            for station, layers in stations.items()
            if layers is not None
            for name, block in layers.named_modules()
            if isinstance(block, BasicTransformerBlock)
        }
