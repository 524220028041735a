"""The language model learns which token comes next."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from sfumato.checkpoints.folder import save_part
from sfumato.checkpoints.language import PART
from sfumato.data.text.learned import Learned
from sfumato.data.text.store import Tokens, sequences
from sfumato.errors import DataError
from sfumato.networks.gpt import GPT
from sfumato.networks.initialisation import initialise
from sfumato.networks.llama import Llama, LlamaConfig
from sfumato.pipelines.language.language_model import LanguageModel
from sfumato.training import sizes
from sfumato.training.recipe import Language, Recipe
from sfumato.training.stage import Batch, Draw, Evaluation, Stage
from sfumato.training.workshop import TextWorkshop

LOOKED_AT = 256  # sequences by which it is measured while it learns; at the end by all
AT_ONCE = 64  # sequences that are measured together
SHOWN = 3  # texts that a preview begins
BEGUN = 16  # tokens of each that are given
WRITTEN = 100  # tokens that are added
RULE = 40 * "-"


class Objective(nn.Module):
    """The cross-entropy of the next token, after each of a sequence (Radford et al. 2018, eq. 1)."""

    def __init__(self, network: GPT) -> None:
        super().__init__()
        self.network = network

    def forward(self, ids: Int[Tensor, "b t+1"]) -> dict[str, Tensor]:
        """The mean loss in nats a token."""
        return {"loss": surprise(self.network(ids[:, :-1]), ids[:, 1:])}


def surprise(logits: Float[Tensor, "b t v"], ids: Int[Tensor, "b t"], reduction: str = "mean") -> Tensor:
    """How unexpected tokens are: minus the logarithm of their probability."""
    return F.cross_entropy(logits.float().flatten(0, 1), ids.flatten(), reduction=reduction)


def build(workshop: TextWorkshop, recipe: Recipe) -> Stage:
    """The stage, with a new network of Llama's layout."""
    plan, team, tokenizer = recipe.language, workshop.team, workshop.tokenizer
    learned, kept = workshop.store.split(plan.validation)
    if len(learned) <= plan.block:
        raise DataError(
            f"The text has {len(learned):,} tokens to learn from, and language.block={plan.block} needs "
            f"{plan.block + 1:,} or more: add text, or choose a smaller block."
        )
    with workshop.first_weights("language"):
        network = initialise(Llama(config_of(plan, recipe, tokenizer.vocab_size, tokenizer.end_id)))
    network.dropout = plan.dropout
    objective = Objective(network).to(team.device)

    def batch(draw: Draw) -> Batch:
        places = len(learned) - plan.block
        starts = torch.randint(places, (draw.batch,), generator=draw.generator("places"))
        return (draw.mine(sequences(learned, starts, plan.block + 1)),)

    def measure(most: int | None = LOOKED_AT) -> dict[str, float]:
        with measured(network), team.autocast():
            loss = mean_surprise(network, kept, plan.block, most)
        return {} if loss is None else {"validation_loss": loss}

    def preview() -> str:
        """What is written after the beginnings of some texts that were not learned from."""
        text, length = kept if len(kept) > BEGUN else learned, min(BEGUN, plan.block - 1)
        starts = torch.linspace(0, len(text) - length, SHOWN).long()
        begun = [tokenizer.decode(row) for row in sequences(text, starts, length).tolist()]
        with measured(network):
            texts = LanguageModel(network, tokenizer).write(begun, tokens=WRITTEN, seed=0, slide=True)
        return "".join(f"{each.prompt}|{each.written}\n{RULE}\n" for each in texts)

    def finish() -> dict[str, Any]:
        save_part(workshop.folder, PART, network, workshop.weights)
        tokenizer.save(workshop.folder / PART)
        Learned.of(learned, tokenizer.end_id, plan.block).save(workshop.folder / PART)
        return {name: round(value, 4) for name, value in measure(None).items()}

    return Stage(objective, batch, preview, finish, Evaluation(plan.evaluate_every, measure))


def config_of(plan: Language, recipe: Recipe, vocabulary: int, end: int | None) -> LlamaConfig:
    """The network's configuration: as wide and deep as the plan or its size says, gates of 8/3 its width."""
    width, layers, heads = sizes.writing("language", plan, recipe.size)
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=math.ceil(width / 12) * 32,  # Shazeer 2020: as many weights as with a layer of four times
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=plan.block,
        tie_word_embeddings=True,
        bos_token_id=end,
        eos_token_id=end,
    )


@contextmanager
def measured(network: nn.Module) -> Iterator[None]:
    """Within the block nothing is learned or dropped."""
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        network.train()


def mean_surprise(network: GPT, tokens: Tokens, block: int, most: int | None = None) -> float | None:
    """The mean loss of tokens in nats, each sequence of `block` read by itself; None where there is nothing to tell.

    Args:
        network: in evaluation mode.
        tokens: of a text.
        block: how many are read together at most.
        most: how many sequences are looked at, evenly from all over the text; all when None.
    """
    if len(tokens) < 2:
        return None
    count = (len(tokens) - 1) // block
    starts = torch.arange(count) * block
    if most is not None and count > most:
        starts = starts[torch.linspace(0, count - 1, most).long()]
    pieces = [(some, block) for some in starts.split(AT_ONCE)] if count else []
    rest = len(tokens) - 1 - count * block
    if rest > 0 and (most is None or count < most):
        pieces.append((torch.tensor([count * block]), rest))
    total, seen = 0.0, 0
    for some, length in pieces:
        ids = sequences(tokens, some, length + 1).to(next(network.parameters()).device)
        total += float(surprise(network(ids[:, :-1]), ids[:, 1:], "sum"))
        seen += len(some) * length
    return total / seen
