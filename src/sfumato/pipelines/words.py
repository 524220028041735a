"""Prompts as the states that steer a denoiser."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.pipelines.model import Model


def states_of(model: Model, prompts: Sequence[str]) -> Float[Tensor, "b t d"]:
    """The text states of the prompts; each is encoded by itself."""
    states = {text: model.text_encoder(model.tokenizer.encode([text]).to(model.device)).states for text in set(prompts)}
    return torch.cat([states[text] for text in prompts])
