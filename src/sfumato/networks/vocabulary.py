"""New words for a text encoder that is ready: rows after the last of its table of tokens (Gal et al. 2022)."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sfumato.networks.clip import TextEncoder

HIGHEST_ID_ENDS = 2  # what `TextConfig.eos_token_id` says where the end of a text is its highest number


@torch.no_grad()
def add_vectors(encoder: TextEncoder, vectors: Float[Tensor, "n d"], first: int, end: int) -> None:
    """Give tokens their vectors, in place.

    An encoder that finds the end of a text as its highest number would take a new token for it; from now on it looks
    for `end`. (diffusers leaves that as it is, and pools Stable Diffusion XL's prompts at the first new token.)

    Args:
        encoder: its other rows stay as they are; rows behind `first`, which no token has, are given up.
        vectors: a row for each new token, in any precision.
        first: the number of the first new token.
        end: the number of the token that ends a text.

    Raises:
        ValueError: the vectors have another width than the encoder's, or there are tokens before `first` that have
            none.
    """
    table = encoder.text_model.embeddings.token_embedding
    rows, width = table.weight.shape
    if vectors.ndim != 2 or vectors.shape[1] != width:
        raise ValueError(f"vectors of shape {[*vectors.shape]}: this text encoder's have {width} numbers")
    if first > rows:
        raise ValueError(
            f"token {first} is to be added to a text encoder that has {rows}: those between have no vector"
        )
    weight = torch.cat([table.weight[:first], vectors.to(table.weight)])
    encoder.text_model.embeddings.token_embedding = nn.Embedding.from_pretrained(
        weight, freeze=not table.weight.requires_grad
    )
    eos = encoder.config.eos_token_id
    encoder.config = replace(
        encoder.config, vocab_size=len(weight), eos_token_id=end if eos == HIGHEST_ID_ENDS else eos
    )
