"""How probable the tokens of a text are, and which others would have been."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from sfumato.pipelines.language.language_model import LanguageModel
from sfumato.server.openai.texts import Logprobs


@torch.inference_mode()
def likelihood(writer: LanguageModel, ids: Sequence[int], first: int, top: int) -> Logprobs:
    """The log-probabilities of tokens after those before them, by the model alone.

    Args:
        writer: the model.
        ids: of the whole text, as far as the model reads it.
        first: the first token that is told of; of the very first nothing is known.
        top: how many of the likeliest tokens to tell at each place.
    """
    network, tokenizer = writer.network, writer.tokenizer
    device = next(network.parameters()).device
    scores = network(torch.tensor([list(ids[:-1]) or [0]], device=device))[0, :, : tokenizer.vocab_size].double()
    nats = scores.log_softmax(-1).cpu()
    tokens = [tokenizer.decode([each]) for each in ids[first:]]
    known: list[float | None] = []
    others: list[dict[str, float] | None] = []
    for place in range(first, len(ids)):
        if place == 0:
            known.append(None)
            others.append(None)
            continue
        row = nats[place - 1]
        known.append(float(row[ids[place]]))
        best = row.topk(min(top, len(row)))
        told = zip(best.values.tolist(), best.indices.tolist(), strict=True)
        others.append({tokenizer.decode([each]): value for value, each in told})
    before = len(tokenizer.decode(ids[:first]))
    offsets = [before + sum(map(len, tokens[:place])) for place in range(len(tokens))]
    return Logprobs(tokens=tokens, token_logprobs=known, top_logprobs=others if top else None, text_offset=offsets)
