"""Prompts as what steers a denoiser: each family of models hears words in its own way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from sfumato.errors import CheckpointError
from sfumato.networks.clip import TextStates
from sfumato.pipelines.condition import Condition, together
from sfumato.pipelines.model import Model, tokenizer_of

T5_OF_SD3 = 256  # tokens
AESTHETIC, UNAESTHETIC = 6.0, 2.5  # the refiner's last number, for prompts and for what to go away from


def condition_of(
    model: Model, prompts: Sequence[str], size: tuple[int, int] = (0, 0), *, negative: bool = False
) -> Condition:
    """What the prompts say to the model's denoiser; each is encoded by itself.

    Args:
        model: whose family says how words are heard.
        prompts: the texts.
        size: (height, width) of the picture in pixels, for models that hear it.
        negative: the texts are what to go away from.
    """
    read = READERS[model.family.words]
    said = {text: read(model, text) for text in dict.fromkeys(prompts)}
    if negative and model.zero_is_silence and "" in said:
        said[""] = said[""].each(torch.zeros_like)
    condition = together([said[text] for text in prompts])
    hears_sizes = getattr(model.unet.config, "addition_embed_type", None) == "text_time" if model.denoisers else False
    return _sized(model, condition, size, negative) if hears_sizes else condition


def _clip(model: Model, text: str) -> Condition:
    """The last layer of one encoder: Stable Diffusion 1 and 2, and ours."""
    return Condition(_read(model, "text_encoder", text).states)


def _xl(model: Model, text: str) -> Condition:
    """The last layer but one of two encoders, and the pooled vector of the second (Podell et al. 2023, section 2)."""
    names = [name for name in ("text_encoder", "text_encoder_2") if name in model.parts]
    read = [_read(model, name, text, skip=1, norm=False) for name in names]
    return Condition(torch.cat([states.states for states in read], dim=-1), pooled=read[-1].projected)


def _sd3(model: Model, text: str) -> Condition:
    """Two CLIPs side by side, and T5 or nothing behind them (Esser et al. 2024, section 4)."""
    both = [_read(model, name, text, skip=1, norm=False) for name in ("text_encoder", "text_encoder_2")]
    states = torch.cat([one.states for one in both], dim=-1)
    width = model.unet.config.joint_attention_dim
    if "text_encoder_3" in model.parts:
        more, _ = _t5(model, "text_encoder_3", text, T5_OF_SD3, masked=False)
    else:
        more = states.new_zeros(1, T5_OF_SD3, width)
    states = torch.cat([F.pad(states, (0, width - states.shape[-1])), more], dim=1)
    return Condition(states, pooled=torch.cat([_projected(one) for one in both], dim=-1))


def _flux(model: Model, text: str) -> Condition:
    """T5's states, and CLIP's pooled vector (Labs et al. 2025, section 2)."""
    states, _ = _t5(model, "text_encoder_2", text, 512 if model.unet.config.guidance_embeds else 256, masked=False)
    return Condition(states, pooled=_read(model, "text_encoder", text).pooled)


def _pixart(model: Model, text: str) -> Condition:
    """T5's states alone, without the padding (Chen et al. 2023, section 2.3)."""
    states, mask = _t5(model, "text_encoder", text, 120 if model.unet.config.hears_sizes else 300)
    return Condition(states, mask)


READERS: dict[str, Callable[[Model, str], Condition]] = {
    "clip": _clip,
    "xl": _xl,
    "sd3": _sd3,
    "flux": _flux,
    "pixart": _pixart,
}


def _read(model: Model, name: str, text: str, *, skip: int = 0, norm: bool = True) -> TextStates:
    tokenizer = model.tokenizers[tokenizer_of(name)]
    return model.part(name)(tokenizer.encode([text]).to(model.device), skip=skip, norm=norm)


def _t5(
    model: Model, name: str, text: str, length: int, *, masked: bool = True
) -> tuple[Float[Tensor, "1 t d"], Bool[Tensor, "1 t"]]:
    """T5's states, and which of them are words; without `masked` the words see the padding, as some were trained."""
    ids, mask = model.t5_tokenizers[tokenizer_of(name)].encode([text], length)
    mask = mask.to(model.device)
    return model.part(name)(ids.to(model.device), mask if masked else None), mask


def _projected(states: TextStates) -> Float[Tensor, "1 p"]:
    if states.projected is None:
        raise CheckpointError("A text encoder of this model should be a CLIPTextModelWithProjection.")
    return states.projected


def _sized(model: Model, condition: Condition, size: tuple[int, int], negative: bool) -> Condition:
    """With the size of the picture, as if it had been that of a training picture, uncut (Podell et al. 2023, 2.2)."""
    height, width = size
    numbers: list[float] = [height, width, 0, 0, height, width]
    config = model.unet.config
    if condition.pooled is None:
        raise CheckpointError("The U-Net of this model hears a pooled vector, which its text encoder does not give.")
    heard = (config.class_width - condition.pooled.shape[-1]) // config.addition_time_embed_dim
    if heard == len(numbers) - 1:  # the refiner
        numbers[4:] = [UNAESTHETIC if negative else AESTHETIC]
    sizes = torch.tensor([numbers], dtype=torch.float32, device=model.device)
    return replace(condition, sizes=sizes.expand(len(condition), -1))
