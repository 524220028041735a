"""IP-Adapter: pictures as prompts, by a cross-attention of their own beside that to the words.

Ye et al. 2023, "IP-Adapter: text compatible image prompt adapter for text-to-image diffusion models". The weights stay
out of the U-Net, and what they make of a picture is computed once, not at every step.

Parameters carry the names of the official files. Axis letters besides those of `attention`: i pictures for one
sample, s states of a picture.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sfumato.networks.attention import attend
from sfumato.networks.clip import ImageEncoder
from sfumato.networks.extras import ImagePrompt

HEAD_WIDTH = 64  # of a resampler's heads, in all files


class ImageProjection(nn.Module):
    """Makes a few words of the vector that stands for a picture (Ye et al. 2023, section 3.2.1).

    Args:
        inputs: channels of the vector.
        words: how many to make.
        width: channels of a word.
    """

    takes_states = False

    def __init__(self, inputs: int, words: int, width: int):
        super().__init__()
        self.inputs = inputs
        self.proj = nn.Linear(inputs, words * width)
        self.norm = nn.LayerNorm(width)

    def forward(self, pictures: Float[Tensor, "b p"]) -> Float[Tensor, "b t d"]:
        """Gives the words."""
        return self.norm(self.proj(pictures).unflatten(-1, (-1, *self.norm.normalized_shape)))


class StatesProjection(nn.Module):
    """Makes a word of each state of a picture, as the "full" adapters do.

    Args:
        inputs: channels of a state.
        width: channels of a word.
    """

    takes_states = True

    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.inputs = inputs
        self.proj = nn.Sequential(nn.Linear(inputs, inputs), nn.GELU(), nn.Linear(inputs, width), nn.LayerNorm(width))

    def forward(self, pictures: Float[Tensor, "b s p"]) -> Float[Tensor, "b s d"]:
        """Gives the words."""
        return self.proj(pictures)


class Resampler(nn.Module):
    """Asks the states of a picture for a few words, as the "plus" adapters do (Alayrac et al. 2022, section 3.1.1).

    Args:
        inputs: channels of a state.
        words: how many to make.
        width: channels of a word.
        inner: channels in between.
        heads: of each attention, `HEAD_WIDTH` channels each.
        layers: how often it asks.
    """

    takes_states = True

    def __init__(self, inputs: int, words: int, width: int, *, inner: int, heads: int, layers: int):
        super().__init__()
        self.inputs = inputs
        self.latents = nn.Parameter(torch.randn(1, words, inner) / inner**0.5)
        self.proj_in = nn.Linear(inputs, inner)
        self.proj_out = nn.Linear(inner, width)
        self.norm_out = nn.LayerNorm(width)
        self.layers = nn.ModuleList(nn.ModuleList([_Asking(inner, heads), _Thinking(inner)]) for _ in range(layers))

    def forward(self, pictures: Float[Tensor, "b s p"]) -> Float[Tensor, "b t d"]:
        """Gives the words."""
        states = self.proj_in(pictures)
        words = self.latents.expand(len(states), -1, -1)
        for layer in self.layers:
            words = layer[0](states, words) + words  # type: ignore[index]
            words = layer[1](words) + words  # type: ignore[index]
        return self.norm_out(self.proj_out(words))


class _Asking(nn.Module):
    """Attention from the words to the states and the words."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads, inner = heads, heads * HEAD_WIDTH
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.to_q = nn.Linear(width, inner, bias=False)
        self.to_kv = nn.Linear(width, 2 * inner, bias=False)
        self.to_out = nn.Linear(inner, width, bias=False)

    def forward(self, states: Float[Tensor, "b s c"], words: Float[Tensor, "b t c"]) -> Float[Tensor, "b t c"]:
        words = self.norm2(words)
        keys, values = self.to_kv(torch.cat([self.norm1(states), words], dim=1)).chunk(2, dim=-1)
        return self.to_out(attend(self.to_q(words), keys, values, self.heads))


class _Thinking(nn.Sequential):
    """Two layers on each word alone, four times wider in between."""

    def __init__(self, width: int):
        super().__init__(
            nn.LayerNorm(width),
            nn.Linear(width, 4 * width, bias=False),
            nn.GELU(),
            nn.Linear(4 * width, width, bias=False),
        )


class IPAdapter(nn.Module):
    """Words made of pictures, and the keys and values of them for every cross-attention of a U-Net.

    Args:
        image_proj: makes the words.
        layers: the U-Net's cross-attentions by name, as `UNet.cross_attentions` orders them, and how many channels
            their contexts and their keys have.
    """

    def __init__(
        self, image_proj: ImageProjection | StatesProjection | Resampler, layers: Mapping[str, tuple[int, int]]
    ):
        super().__init__()
        self.layers = tuple(layers)
        self.image_proj = image_proj
        # The files count self-attentions too, which have the even numbers.
        self.ip_adapter = nn.ModuleDict(
            {str(2 * number + 1): _KeysAndValues(*widths) for number, widths in enumerate(layers.values())}
        )

    def forward(self, pictures: Float[Tensor, "b i *s p"], scale: float | Mapping[str, float] = 1.0) -> ImagePrompt:
        """Gives the prompt for `Extras`.

        Args:
            pictures: what `look` gives of each; several for one sample are seen side by side.
            scale: how much of them is wanted, 1 as in training, or different ones for parts of the U-Net: by the
                beginnings of the layers' names, where the longest that fits counts, and none for layers not named.
                {"down_blocks.2.attentions.1": 1.0, "up_blocks.0.attentions.1": 1.0} takes layout and style alone in
                Stable Diffusion XL (Wang et al. 2024, "InstantStyle").

        Raises:
            ValueError: no layer's name begins like one of those given.
        """
        words = self.image_proj(pictures.flatten(0, 1)).unflatten(0, pictures.shape[:2]).flatten(1, 2)
        keys, values = zip(*(layer(words) for layer in self.ip_adapter.values()), strict=True)
        return ImagePrompt(keys, values, self._scales(scale))

    def look(self, encoder: ImageEncoder, pixels: Float[Tensor, "b c h w"]) -> Float[Tensor, "b *s p"]:
        """Gives what the adapter is to know of pictures: their vectors, or their states before the last layer."""
        return encoder.states(pixels, skip=1) if self.image_proj.takes_states else encoder(pixels)

    def look_away(self, encoder: ImageEncoder, pixels: Float[Tensor, "b c h w"]) -> Float[Tensor, "b *s p"]:
        """Gives the same for no pictures, as many, from which guidance leads away (Ye et al. 2023, section 3.2.2)."""
        if self.image_proj.takes_states:
            return encoder.states(torch.zeros_like(pixels), skip=1)
        return pixels.new_zeros(len(pixels), encoder.config.projection_dim)

    def _scales(self, scale: float | Mapping[str, float]) -> tuple[float, ...]:
        if not isinstance(scale, Mapping):
            return (float(scale),) * len(self.layers)
        for name in scale:
            if not any(_begins(layer, name) for layer in self.layers):
                raise ValueError(f"{name!r}: no cross-attention of this U-Net is called so; there are {self.layers}")
        fitting = ([name for name in scale if _begins(layer, name)] for layer in self.layers)
        return tuple(float(scale[max(names, key=len)]) if names else 0.0 for names in fitting)


class _KeysAndValues(nn.Module):
    def __init__(self, context_width: int, width: int):
        super().__init__()
        self.to_k_ip = nn.Linear(context_width, width, bias=False)
        self.to_v_ip = nn.Linear(context_width, width, bias=False)

    def forward(self, words: Float[Tensor, "b t d"]) -> tuple[Float[Tensor, "b t c"], Float[Tensor, "b t c"]]:
        return self.to_k_ip(words), self.to_v_ip(words)


def _begins(layer: str, name: str) -> bool:
    return f"{layer}.".startswith(f"{name}.")
