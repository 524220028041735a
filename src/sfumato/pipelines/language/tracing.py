"""How a text was written: at each step the tokens that might have come next, and what the rules of sampling left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.errors import PromptError
from sfumato.pipelines.language.choosing import Sampling, chances
from sfumato.pipelines.language.language_model import LanguageModel, Text

TOP = 10  # tokens that are told of each step
MOST_TOP = 1000
TOGETHER = 32  # steps whose scores are in memory at once


@dataclass(frozen=True)
class Candidate:
    """A token that might have come next.

    Attributes:
        token: its number.
        text: as it reads alone; a part of a character is U+FFFD.
        probability: by the model alone.
        chance: that it is chosen, by the rules of sampling; 0 where they cut it away.
    """

    token: int
    text: str
    probability: float
    chance: float


@dataclass(frozen=True)
class NextToken:
    """One step of writing.

    Attributes:
        chosen: what was written.
        rank: how many tokens the model found more probable.
        candidates: the most probable ones, in their order.
        kept: how many tokens the rules left in the race.
        cut: the probability, by the model alone, of all that they cut away.
        entropy: how undecided the model was, in nats.
    """

    chosen: Candidate
    rank: int
    candidates: tuple[Candidate, ...]
    kept: int
    cut: float
    entropy: float


@dataclass(frozen=True)
class TextTrace:
    """A text, and the choice of each of its tokens."""

    text: Text
    steps: tuple[NextToken, ...]


def trace_text(
    model: LanguageModel,
    prompt: str,
    *,
    tokens: int | None = None,
    sampling: Sampling = Sampling(),
    stop: Sequence[str] = (),
    seed: int | None = None,
    top: int = TOP,
) -> TextTrace:
    """Write a text that goes on from a prompt, and tell of each step what might have come.

    Args:
        model: who writes.
        prompt, tokens, sampling, stop, seed: as in `LanguageModel.write`, with the same errors.
        top: candidates told of each step, 1 to 1000.

    Raises:
        PromptError: `top` is out of range, or what `LanguageModel.write` refuses.
    """
    if not 1 <= top <= MOST_TOP:
        raise PromptError(f"top={top!r} is out of its range: it is from 1 to {MOST_TOP}.")
    (text,) = model.write(prompt, tokens=tokens, sampling=sampling, stop=stop, seed=seed)
    return TextTrace(text, tuple(_steps(model, text, sampling, top)))


@torch.inference_mode()
def _steps(model: LanguageModel, text: Text, sampling: Sampling, top: int) -> Iterator[NextToken]:
    begun = model.opening(text.prompt)
    ids = torch.tensor([*begun, *text.tokens], device=next(model.network.parameters()).device)
    seen = torch.zeros(1, model.tokenizer.vocab_size, dtype=torch.bool, device=ids.device)
    for at, logits in _scores(model, ids, len(begun)):
        seen[0, [token for token in ids[:at].tolist() if token < seen.shape[1]]] = True
        yield _step(model, logits, chances(logits[None], sampling, seen)[0], int(ids[at]), top)


def _scores(model: LanguageModel, ids: Tensor, begun: int) -> Iterator[tuple[int, Float[Tensor, " v"]]]:
    """The scores of what comes at each place from the first written one on."""
    cache = model.network.new_cache(1, len(ids))
    place = 0
    for few in ids[:-1].split(TOGETHER):
        for logits in model.network(few[None], cache)[0, :, : model.tokenizer.vocab_size]:
            place += 1
            if place >= begun:
                yield place, logits


def _step(
    model: LanguageModel, logits: Float[Tensor, " v"], left: Float[Tensor, " v"], chosen: int, top: int
) -> NextToken:
    nats = logits.double().log_softmax(0)
    likely = nats.exp()

    def told(token: int) -> Candidate:
        return Candidate(token, model.tokenizer.decode([token]), float(likely[token]), float(left[token]))

    best: Any = likely.topk(min(top, len(likely))).indices.tolist()
    in_race = left > 0
    return NextToken(
        chosen=told(chosen),
        rank=int((likely > likely[chosen]).sum()),
        candidates=tuple(map(told, best)),
        kept=int(in_race.sum()),
        cut=float(likely[~in_race].sum()),
        entropy=float(-(likely * nats).nan_to_num().sum()),
    )
