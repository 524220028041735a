"""The captioner learns to say what a picture shows, in the words of its captions."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sfumato.checkpoints.folder import save_part
from sfumato.data.augmentation import random_moves, shifted
from sfumato.data.tokens import Tokenizer
from sfumato.networks.captioner import Captioner, CaptionerConfig
from sfumato.networks.initialisation import initialise
from sfumato.pipelines.language.captioning import PART, CaptionModel, said
from sfumato.training import recipe as recipes
from sfumato.training import sizes
from sfumato.training.recipe import Recipe
from sfumato.training.stage import Batch, Draw, Stage
from sfumato.training.stages.language import measured
from sfumato.training.team import Team
from sfumato.training.workshop import PictureWorkshop

SHOWN = 8  # pictures of a preview


class Objective(nn.Module):
    """The cross-entropy of the next token of a caption, given the picture (Vinyals et al. 2015, equation 2).

    The mean is that over the tokens of all processes, of which some may have the longer captions.
    """

    def __init__(self, network: Captioner, team: Team) -> None:
        super().__init__()
        self.network, self.team = network, team

    def forward(self, pictures: Float[Tensor, "b c h w"], ids: Int[Tensor, "b t+1"]) -> dict[str, Tensor]:
        """The mean loss in nats a token, and how many tokens are guessed right; padding counts for neither."""
        logits, following = self.network(pictures, ids[:, :-1]), ids[:, 1:]
        counted = said(ids, self.network.config.eos_token_id)
        hits = (logits.argmax(-1) == following)[counted]
        tokens = counted.sum().float()
        share = tokens / self.team.mean(tokens)
        return {"loss": share * _surprise(logits, following, counted), "accuracy": share * hits.float().mean()}


def _surprise(logits: Float[Tensor, "b t v"], ids: Int[Tensor, "b t"], counted: Bool[Tensor, "b t"]) -> Tensor:
    return F.cross_entropy(logits[counted].float(), ids[counted])


def build(workshop: PictureWorkshop, recipe: Recipe) -> Stage:
    """The stage, with a new captioner."""
    plan, team, tokenizer = recipe.captioner, workshop.team, workshop.tokenizer
    with workshop.first_weights("captioner"):
        network = initialise(Captioner(config_of(plan, recipe, tokenizer)))
    network.language_model.dropout = plan.dropout
    objective = Objective(network, team).to(team.device)

    def batch(draw: Draw) -> Batch:
        chosen = draw.indices(len(workshop.store))
        captions = workshop.captions.choose(chosen, draw.generator("captions"))
        pictures = workshop.pictures(draw)
        if plan.jitter:
            moves = draw.mine(random_moves(draw.batch, draw.generator("jitter")))
            pictures = shifted(pictures, moves, plan.jitter)
        return pictures, draw.mine(workshop.tokens(captions))

    def preview() -> str:
        """What it says of some pictures, below what is said of them."""
        captions = workshop.captions.choose(workshop.example_indices(SHOWN), torch.Generator().manual_seed(0))
        with measured(network):
            told = CaptionModel(network, tokenizer).caption(workshop.examples(SHOWN))
        pairs = zip(workshop.captions.some(captions), told, strict=True)
        return "".join(f"{caption}\n  -> {text}\n" for caption, text in pairs)

    def finish() -> dict[str, Any]:
        save_part(workshop.folder, PART, network, workshop.weights)
        return {}

    return Stage(objective, batch, preview, finish)


def config_of(plan: recipes.Captioner, recipe: Recipe, tokenizer: Tokenizer) -> CaptionerConfig:
    """The network's configuration: as wide and deep as the plan or its size says."""
    size, side = plan.size or recipe.size, recipe.data.size
    width, layers, heads = sizes.writing("captioner", plan, recipe.size)
    halvings = min(len(sizes.CAPTIONER[size]), sizes.resolutions(side // plan.patch))
    return CaptionerConfig(
        image_size=side,
        patch_size=plan.patch,
        channels=plan.channels or sizes.channels(sizes.CAPTIONER, size, halvings),
        vocab_size=tokenizer.vocab_size,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        caption_length=tokenizer.length,
        bos_token_id=tokenizer.start_id,
        eos_token_id=tokenizer.end_id,
    )
