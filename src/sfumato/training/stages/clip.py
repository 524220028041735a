"""Stage 2: CLIP learns which words belong to which picture."""

from __future__ import annotations

import math
import random
import shutil
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor, nn

from sfumato.checkpoints.folder import save_part
from sfumato.data.alterations import Alterations
from sfumato.data.augmentation import random_moves, shifted
from sfumato.data.pictures import grid, to_image
from sfumato.networks.clip import (
    MAX_LOGIT_SCALE,
    ImageConfig,
    ImageEncoder,
    TextConfig,
    TextEncoder,
    alteration_loss,
    contrastive_loss,
)
from sfumato.networks.initialisation import initialise
from sfumato.seeds import derived_seed
from sfumato.training import sizes
from sfumato.training.recipe import Recipe
from sfumato.training.stage import Batch, Draw, Stage
from sfumato.training.team import Team
from sfumato.training.workshop import PictureWorkshop

PATCHES = 8  # along each side of a picture
TEMPERATURE = 0.07  # at the start (Radford et al. 2021, section 2.5)


class Objective(nn.Module):
    """The symmetric contrastive loss over the batch of all processes, and that of altered captions if there are any."""

    def __init__(self, text: TextEncoder, image: ImageEncoder, team: Team) -> None:
        super().__init__()
        self.text, self.image, self.team = text, image, team
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / TEMPERATURE)))

    def forward(
        self,
        pictures: Float[Tensor, "b c h w"],
        ids: Int[Tensor, "b t"],
        meanings: Int[Tensor, " b"],
        altered: Int[Tensor, "b k t"] | None = None,
    ) -> dict[str, Tensor]:
        """The loss, and how often a picture finds a caption of its own meaning in the batch."""
        with torch.no_grad():
            self.logit_scale.clamp_(max=MAX_LOGIT_SCALE)  # beyond it there is no gradient that leads back
        seen, read = self.image(pictures), self.text(ids).projected
        seen, read, meanings = self.team.gather(seen), self.team.gather(read), self.team.gather(meanings)
        same = meanings[:, None] == meanings
        loss = contrastive_loss(seen, read, self.logit_scale, same)
        if altered is not None:
            others = self.team.gather(self.text(altered.flatten(0, 1)).projected.unflatten(0, altered.shape[:2]))
            loss = loss + alteration_loss(seen, read, others, self.logit_scale)
        found = (F.normalize(seen, dim=1) @ F.normalize(read, dim=1).T).argmax(1)
        hits = same.gather(1, found[:, None]).float().mean()
        return {"loss": loss, "retrieval": hits, "temperature": (-self.logit_scale).exp()}


def build(workshop: PictureWorkshop, recipe: Recipe) -> Stage:
    """The stage, with new encoders."""
    plan, team, tokenizer = recipe.clip, workshop.team, workshop.tokenizer
    size = plan.size or recipe.size
    text_width, text_layers = sizes.TEXT[size]
    image_width, image_layers = sizes.IMAGE[size]
    text_config = TextConfig(
        vocab_size=tokenizer.vocab_size,
        max_position_embeddings=tokenizer.length,
        projection_dim=plan.projection,
        bos_token_id=tokenizer.start_id,
        eos_token_id=tokenizer.end_id,
        pad_token_id=tokenizer.pad_id,
        **transformer(plan.width or text_width, plan.layers or text_layers),
    )
    image_config = ImageConfig(
        image_size=recipe.data.size,
        patch_size=max(1, recipe.data.size // PATCHES),
        projection_dim=plan.projection,
        **transformer(plan.width or image_width, plan.layers or image_layers),
    )
    with workshop.first_weights("clip"):
        text, image = initialise(TextEncoder(text_config)), initialise(ImageEncoder(image_config))
    objective = Objective(text, image, team).to(team.device)
    known = Alterations.of(workshop.store.texts()) if plan.altered else None

    def batch(draw: Draw) -> Batch:
        chosen = draw.indices(len(workshop.store))
        captions = workshop.captions.choose(chosen, draw.generator("captions"))
        moves = draw.mine(random_moves(draw.batch, draw.generator("jitter")))
        pictures = shifted(workshop.pictures(draw), moves, plan.jitter)
        meanings = workshop.captions.meanings(chosen)
        told = pictures, draw.mine(workshop.tokens(captions)), draw.mine(meanings)
        if known is None:
            return told
        texts = altered(workshop.captions.some(captions), known, plan.altered, draw)
        return *told, draw.mine(tokenizer.encode(texts).unflatten(0, (-1, plan.altered)))

    @torch.no_grad()
    def preview() -> Image.Image:
        """For eight captions, the four pictures that fit each best, a row a caption."""
        pictures = workshop.examples(256)
        captions = workshop.captions.choose(workshop.example_indices(8), torch.Generator().manual_seed(0))
        read = F.normalize(text(workshop.tokens(captions).to(team.device)).projected, dim=1)
        best = (read @ F.normalize(image(pictures), dim=1).T).topk(min(4, len(pictures))).indices
        return grid([to_image(pictures[i].cpu()) for i in best.flatten().tolist()], columns=best.shape[1])

    def finish() -> dict[str, Any]:
        shutil.rmtree(workshop.folder / "clip_text_encoder", ignore_errors=True)  # of an earlier training
        save_part(workshop.folder, "text_encoder", text, workshop.weights)
        save_part(workshop.folder, "image_encoder", image, workshop.weights)
        return {"logit_scale": round(objective.logit_scale.item(), 4)}

    return Stage(objective, batch, preview, finish)


def altered(captions: Sequence[str], known: Alterations, count: int, draw: Draw) -> list[str]:
    """So many captions for each, which differ from it by a word or so; where they run out, those of the next ones."""
    seed = derived_seed(draw.seed, draw.stage, draw.attempt, "altered", draw.step)
    texts = []
    for place, caption in enumerate(captions):
        found = known.altered(caption, count, random.Random(derived_seed(seed, place)))
        following = (captions[(place + step) % len(captions)] for step in range(1, count + 1))
        texts += [*found, *following][:count]
    return texts


def transformer(width: int, layers: int) -> dict[str, Any]:
    """The shape of a transformer in CLIP's terms: heads of 64, four times as wide inside."""
    return {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": width // 64,
    }
