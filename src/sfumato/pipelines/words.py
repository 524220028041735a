"""Prompts as the states that steer a denoiser."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.data.prompts import parse
from sfumato.data.windows import windows
from sfumato.pipelines.model import Model
from sfumato.pipelines.weighting import layers_skipped, weighted


def states_of(model: Model, prompts: Sequence[str]) -> Float[Tensor, "b t d"]:
    """The text states of the prompts; each is encoded by itself."""
    states = {text: model.text_encoder(model.tokenizer.encode([text]).to(model.device)).states for text in set(prompts)}
    return torch.cat([states[text] for text in prompts])


def branches_of(
    model: Model, text: str, profile: str = "sfumato", *, clip_skip: int | None = None, negative: bool = False
) -> list[tuple[Float[Tensor, "t d"], float]]:
    """The text states of every branch of a prompt, and its weight.

    The branches are composed with what is gone away from: negative + scale * sum_i weight_i * (branch_i - negative)
    (Liu et al. 2022, eq. 11). The weights are not made to sum to 1: AND asks for both, it is no mixture. Lengths may
    differ between branches (`sfumato.pipelines.weighting.same_length`).

    Args:
        model: whose tokenizer and text encoder read it.
        text: a prompt, without syntax and no longer than a window the same as for `states_of`.
        profile: a name in `sfumato.data.prompts.PROFILES`.
        clip_skip: as that profile's users mean it; None for the model's own.
        negative: whether it is what is gone away from, which has one branch.

    Raises:
        PromptError: what `parse`, `windows` or `layers_skipped` refuse.
    """
    encoder, tokenizer = model.text_encoder, model.tokenizer
    skip = layers_skipped(clip_skip, encoder.config.num_hidden_layers, profile=profile)

    def encode(ids: Tensor) -> tuple[Tensor, Tensor | None]:
        return encoder(ids.to(model.device), skip=skip).states, None

    found = []
    for branch in parse(text, profile, negative=negative):
        rows = windows(branch.chunks, tokenizer.numbers, tokenizer.frame, profile)
        found.append((weighted(rows, tokenizer.frame, encode, profile).states, branch.weight))
    return found
