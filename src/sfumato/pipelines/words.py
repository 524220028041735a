"""Prompts as what steers a denoiser: each family of models hears words in its own way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from sfumato.data.prompts import Branch
from sfumato.data.windows import Frame, Words, empty, windows
from sfumato.diffusion.mixing import Weight
from sfumato.errors import CheckpointError
from sfumato.networks.pixart import PixArtConfig
from sfumato.networks.t5 import T5
from sfumato.networks.unet_config import UNetConfig
from sfumato.pipelines.condition import Condition, together
from sfumato.pipelines.model import Model
from sfumato.pipelines.readers import tokenizer_of
from sfumato.pipelines.weighting import Encoded, Reading, layers_skipped, weighted

T5_TOKENS = {"sd3": 256, "flux": 512, "pixart-alpha": 120, "pixart-sigma": 300}  # that it reads, by the kind of words
T5_TOKENS_OF_SCHNELL = 256
AESTHETIC, UNAESTHETIC = 6.0, 2.5  # the refiner's last number, for prompts and for what to go away from


Branches = Sequence[tuple[Condition, Weight]]
"""What prompts say: the condition of all of them, branch by branch, and how much each counts."""


def condition_of(
    model: Model,
    prompts: Sequence[str],
    size: tuple[int, int] = (0, 0),
    reading: Reading = Reading(),
    *,
    negative: bool = False,
) -> Condition:
    """What prompts of one branch say to the model's denoiser; each is encoded by itself.

    Args:
        model: whose family says how words are heard.
        prompts: the texts.
        size: (height, width) of the picture in pixels, for models that hear it.
        reading: by whose rules the texts are read.
        negative: the texts are what to go away from.
    """
    said = {text: _heard(model, text, size, reading, alone=True, negative=negative) for text in dict.fromkeys(prompts)}
    return together([said[text][0][0] for text in prompts])


def branches_of(
    model: Model, prompts: Sequence[str], size: tuple[int, int] = (0, 0), reading: Reading = Reading()
) -> Branches:
    """The branches of prompts, each the condition of all of them and its weight for each, (b,).

    The branches are composed with what is gone away from: negative + scale * sum_i weight_i * (branch_i - negative)
    (Liu et al. 2022, eq. 11). The weights are not made to sum to 1: AND asks for both, it is no mixture. Prompts that
    have fewer branches than others have some without weight.
    """
    read = {text: _heard(model, text, size, reading) for text in dict.fromkeys(prompts)}
    found: list[tuple[Condition, Weight]] = []
    for number in range(max(map(len, read.values()))):
        each = [(read[text][number] if number < len(read[text]) else (read[text][0][0], 0.0)) for text in prompts]
        weights = [weight for _, weight in each]
        same = len(set(weights)) == 1
        found.append((together([said for said, _ in each]), weights[0] if same else torch.tensor(weights)))
    return found


def _heard(
    model: Model, text: str, size: tuple[int, int], reading: Reading, *, alone: bool = False, negative: bool = False
) -> list[tuple[Condition, float]]:
    """The branches of a text, or its one branch `alone`, with their weights."""
    branches = reading.branches(text, negative=alone)
    said = [
        _said(model, branch, size, _filled(model, text, number, reading, alone), negative)
        for number, branch in enumerate(branches)
    ]
    if reading.profile == "a1111":
        longest = max(one.states.shape[1] for one in said)
        said = [_lengthened(one, longest) for one in said]
    return [(one, branch.weight) for one, branch in zip(said, branches, strict=True)]


def _lengthened(condition: Condition, length: int) -> Condition:
    """A1111 makes the branches of a prompt equally long: the last state of a shorter one is said again and again."""
    states = condition.states
    last = states[:, -1:].expand(-1, length - states.shape[1], -1)
    return replace(condition, states=torch.cat([states, last], dim=1)) if last.shape[1] else condition


def _filled(model: Model, text: str, number: int, reading: Reading, alone: bool) -> Reading:
    """The reading of one branch, with as many windows as it takes at any step: A1111 encodes all of them together."""
    if not model.tokenizers or len(reading.starts(text, negative=alone)) == 1:
        return reading
    words, frame = model.tokenizer.numbers, model.tokenizer.frame
    return replace(reading, windows=_most_windows(text, number, replace(reading, step=0), alone, words, frame))


@lru_cache(64)  # asked at every step
def _most_windows(text: str, number: int, reading: Reading, alone: bool, words: Words, frame: Frame) -> int:
    steps = (replace(reading, step=step) for step in reading.starts(text, negative=alone))
    said = (each.branches(text, negative=alone)[number] for each in steps)
    return max(len(windows(branch.chunks, words, frame, reading.profile)) for branch in said)


def t5_length(model: Model) -> int:
    """How many tokens T5 reads for a model that hears it."""
    words = model.family.words
    return T5_TOKENS_OF_SCHNELL if words == "flux" and not model.unet.config.guidance_embeds else T5_TOKENS[words]


def alike(prompts: Sequence[str], reading: Reading) -> list[list[int]]:
    """The places of prompts, those together for which one computation does.

    Their branches have the same weights, and they change at the same steps.
    """
    groups: dict[tuple[tuple[float, ...], tuple[int, ...]], list[int]] = {}
    for place, text in enumerate(prompts):
        weights = tuple(branch.weight for branch in reading.branches(text))
        groups.setdefault((weights, tuple(reading.starts(text))), []).append(place)
    return list(groups.values())


def _said(model: Model, branch: Branch, size: tuple[int, int], reading: Reading, negative: bool) -> Condition:
    condition = READERS[model.family.words](model, branch, reading)
    if negative and model.zero_is_silence and not any(branch.chunks):
        condition = condition.each(torch.zeros_like)
    match model.unet.config if model.denoisers else None:
        case UNetConfig(addition_embed_type="text_time"):
            return _sized(model, condition, size, negative)
        case PixArtConfig(tells_size=True):
            return replace(condition, sizes=torch.tensor([size], dtype=torch.float32, device=model.device))
    return condition


def _clip(model: Model, branch: Branch, reading: Reading) -> Condition:
    """The last layer of one encoder: Stable Diffusion 1 and 2, and ours."""
    return Condition(_read(model, "text_encoder", branch, reading).states[None])


def _pooled_clip(model: Model, branch: Branch, reading: Reading) -> Condition:
    """The last layer of one encoder, and the pooled vector: our own transformers."""
    read = _read(model, "text_encoder", branch, reading)
    return Condition(read.states[None], pooled=_pooled(read))


def _doubler(model: Model, branch: Branch, reading: Reading) -> Condition:
    """The last layer before its normalisation, and the pooled vector: the x2 latent upscaler."""
    read = _read(model, "text_encoder", branch, reading, norm=False)
    return Condition(read.states[None], pooled=_pooled(read))


def _xl(model: Model, branch: Branch, reading: Reading) -> Condition:
    """The last layer but one of two encoders, and the pooled vector of the second (Podell et al. 2023, section 2)."""
    names = [name for name in ("text_encoder", "text_encoder_2") if name in model.parts]
    read = [_read(model, name, branch, reading, usual=1) for name in names]
    length = min(len(one.states) for one in read)
    states = torch.cat([one.states[:length] for one in read], dim=-1)
    return Condition(states[None], pooled=_pooled(read[-1]))


def _sd3(model: Model, branch: Branch, reading: Reading) -> Condition:
    """Two CLIPs side by side, and T5 or nothing behind them (Esser et al. 2024, section 4)."""
    both = [_read(model, name, branch, reading, usual=1, first=True) for name in ("text_encoder", "text_encoder_2")]
    states = torch.cat([one.states for one in both], dim=-1)
    width = model.unet.config.joint_attention_dim
    if "text_encoder_3" in model.parts:
        more, _ = _read_t5(model, "text_encoder_3", branch)
    else:
        more = states.new_zeros(t5_length(model), width)
    states = torch.cat([F.pad(states, (0, width - states.shape[-1])), more])
    return Condition(states[None], pooled=torch.cat([_pooled(one) for one in both], dim=-1))


def _flux(model: Model, branch: Branch, reading: Reading) -> Condition:
    """T5's states, and CLIP's pooled vector (Labs et al. 2025, section 2)."""
    states, _ = _read_t5(model, "text_encoder_2", branch)
    return Condition(states[None], pooled=_pooled(_read(model, "text_encoder", branch, reading, first=True)))


def _pixart(model: Model, branch: Branch, reading: Reading) -> Condition:
    """T5's states alone, those of the padding hidden (Chen et al. 2023, section 2.3)."""
    states, words = _read_t5(model, "text_encoder", branch, masked=True)
    return Condition(states[None], mask=words[None])


READERS: dict[str, Callable[[Model, Branch, Reading], Condition]] = {
    "clip": _clip,
    "pooled clip": _pooled_clip,
    "doubler": _doubler,
    "xl": _xl,
    "sd3": _sd3,
    "flux": _flux,
    "pixart-alpha": _pixart,
    "pixart-sigma": _pixart,
}

WITHOUT_LAYERS = ("flux", "pixart-alpha", "pixart-sigma")
"""Those that hear no layer of a CLIP, of which some could be left out."""


def _read(
    model: Model,
    name: str,
    branch: Branch,
    reading: Reading,
    usual: int = 0,
    *,
    first: bool = False,
    norm: bool | None = None,
) -> Encoded:
    """What an encoder of CLIP makes of a branch; `usual` layers are left out, and then the last normalisation too.

    With `first` what is behind the first window is lost.
    """
    encoder, tokenizer = model.part(name), model.tokenizers[tokenizer_of(name)]
    skip = layers_skipped(reading.clip_skip, encoder.config.num_hidden_layers, usual, reading.profile)

    def encode(ids: Tensor) -> tuple[Tensor, Tensor | None]:
        read = encoder(ids.to(model.device), skip=skip, norm=not usual if norm is None else norm)
        return read.states, read.pooled if read.projected is None else read.projected

    rows = windows(branch.chunks, tokenizer.numbers, tokenizer.frame, reading.profile)
    rows += (empty(tokenizer.frame),) * (reading.windows - len(rows))
    return weighted(rows[:1] if first else rows, tokenizer.frame, encode, reading.profile)


def _read_t5(
    model: Model, name: str, branch: Branch, *, masked: bool = False
) -> tuple[Float[Tensor, "t d"], Bool[Tensor, " t"]]:
    """T5's states of a branch, and which of them are no padding; `masked` hides that from the words too."""
    encoder: T5 = model.part(name)
    tokenizer = model.t5_tokenizers[tokenizer_of(name)]
    frame = tokenizer.frame(t5_length(model))
    rows = windows(branch.chunks, tokenizer.numbers, frame)

    def words(ids: Tensor) -> Tensor:
        return (ids != frame.pad).to(model.device)

    def encode(ids: Tensor) -> tuple[Tensor, None]:
        return encoder(ids.to(model.device), words(ids) if masked else None), None

    return weighted(rows, frame, encode).states, words(torch.tensor(rows[0].ids))


def _pooled(read: Encoded) -> Tensor:
    assert read.pooled is not None
    return read.pooled[None]


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
