"""Pictures and words learn to meet in vectors, and pictures to come back from them."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor, nn

from sfumato.checkpoints.folder import save_part
from sfumato.data.augmentation import random_moves, shifted
from sfumato.data.pictures import grid, to_image
from sfumato.networks.clip import MAX_LOGIT_SCALE, TextConfig, TextEncoder, contrastive_loss
from sfumato.networks.initialisation import initialise
from sfumato.networks.vae import Posterior
from sfumato.networks.vector_autoencoder import VectorAutoencoder, VectorAutoencoderConfig
from sfumato.training import sizes
from sfumato.training.recipe import Recipe, Vectors
from sfumato.training.stage import Batch, Draw, Stage
from sfumato.training.stages.autoencoder import MEASURED, edge_error
from sfumato.training.stages.clip import TEMPERATURE, transformer
from sfumato.training.team import Team
from sfumato.training.workshop import PictureWorkshop


class Objective(nn.Module):
    """A variational autoencoder whose prior for a picture is the normal around its caption's vector, and CLIP's loss.

    Absolute error of pixels and of their differences; the divergence from N(caption, 1), which draws each picture to
    what is said of it and each caption to the mean of its pictures (Kingma & Welling 2014, eq. 10, with a prior that
    is told something: Sohn et al. 2015, eq. 4); and the contrastive loss, which keeps the captions of different
    meanings apart (Radford et al. 2021, figure 3).
    """

    def __init__(self, vae: VectorAutoencoder, text: TextEncoder, plan: Vectors, team: Team) -> None:
        super().__init__()
        self.vae, self.text, self.plan, self.team = vae, text, plan, team
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / TEMPERATURE)))

    def forward(
        self,
        pictures: Float[Tensor, "b c h w"],
        ids: Int[Tensor, "b t"],
        meanings: Int[Tensor, " b"],
        noise: Float[Tensor, "b d"],
    ) -> dict[str, Tensor]:
        """The loss and its parts; `retrieval` is how often a picture finds a caption of its own meaning."""
        with torch.no_grad():
            self.logit_scale.clamp_(max=MAX_LOGIT_SCALE)
        again, posterior = self.vae(pictures, noise)
        posterior, read = Posterior(*(moment.float() for moment in posterior)), self.text(ids).projected.float()
        error = (again - pictures).float()
        pixels, edges = error.abs().mean(), edge_error(error)
        kl = posterior.kl(read).mean() / pictures[0].numel()
        seen, read, meanings = (self.team.gather(rows) for rows in (posterior.mean, read, meanings))
        same = meanings[:, None] == meanings
        contrast = contrastive_loss(seen, read, self.logit_scale, same)
        found = (F.normalize(seen, dim=1) @ F.normalize(read, dim=1).T).argmax(1)
        hits = same.gather(1, found[:, None]).float().mean()
        plan = self.plan
        loss = pixels + plan.edge_weight * edges + plan.kl_weight * kl + plan.contrast_weight * contrast
        return {"loss": loss, "pixels": pixels, "edges": edges, "kl": kl, "contrast": contrast, "retrieval": hits}


def build(workshop: PictureWorkshop, recipe: Recipe) -> Stage:
    """The stage, with a new autoencoder and a new text encoder."""
    plan, team, tokenizer = recipe.vectors, workshop.team, workshop.tokenizer
    size = plan.size or recipe.size
    config = VectorAutoencoderConfig(
        block_out_channels=plan.channels or sizes.VECTORS[size],
        layers_per_block=plan.layers,
        projection_dim=plan.length,
        sample_size=recipe.data.size,
    )
    width, layers = sizes.TEXT[size]
    text_config = TextConfig(
        vocab_size=tokenizer.vocab_size,
        max_position_embeddings=tokenizer.length,
        projection_dim=plan.length,
        bos_token_id=tokenizer.start_id,
        eos_token_id=tokenizer.end_id,
        pad_token_id=tokenizer.pad_id,
        **transformer(plan.text_width or width, plan.text_layers or layers),
    )
    with workshop.first_weights("vectors"):
        vae, text = initialise(VectorAutoencoder(config)), initialise(TextEncoder(text_config))
    objective = Objective(vae, text, plan, team).to(team.device)

    def batch(draw: Draw) -> Batch:
        chosen = draw.indices(len(workshop.store))
        captions = workshop.captions.choose(chosen, draw.generator("captions"))
        moves = draw.mine(random_moves(draw.batch, draw.generator("jitter")))
        return (
            shifted(workshop.pictures(draw), moves, plan.jitter),
            draw.mine(workshop.tokens(captions)),
            draw.mine(workshop.captions.meanings(chosen)),
            draw.normal("posterior", plan.length),
        )

    @torch.no_grad()
    def preview() -> Image.Image:
        """Pictures, the same after their way through a vector, captions as pictures, and vectors around captions."""
        real = workshop.examples(8)
        captions = workshop.captions.choose(workshop.example_indices(8), torch.Generator().manual_seed(0))
        read = text(workshop.tokens(captions).to(team.device)).projected
        around = read + torch.randn(read.shape, generator=torch.Generator().manual_seed(0)).to(read)
        rows = torch.cat([real, vae(real)[0], vae.decode(read), vae.decode(around)])
        return grid([to_image(picture.cpu()) for picture in rows], columns=len(real))

    def finish() -> dict[str, Any]:
        to_unit_scale(vae, workshop)
        save_part(workshop.folder, "vector_vae", vae, workshop.weights)
        save_part(workshop.folder, "text_encoder", text, workshop.weights)
        return {"logit_scale": round(objective.logit_scale.item(), 4)}

    return Stage(objective, batch, preview, finish)


@torch.no_grad()
def to_unit_scale(vae: VectorAutoencoder, workshop: PictureWorkshop) -> None:
    """Measure what gives each number of the vectors mean 0 and deviation 1, and their spread then.

    The vectors are drawn from their posteriors: a number that the autoencoder does not use is noise already, and stays
    that, it is not blown up.
    """
    size, device = workshop.recipe.data.size, workshop.team.device
    batches = workshop.example_indices(MEASURED).split(64)
    posteriors = [vae.encode(workshop.store.batch(some, size).to(device)) for some in batches]
    means = torch.cat([posterior.mean for posterior in posteriors]).double()
    variances = torch.cat([posterior.logvar for posterior in posteriors]).double().exp()
    vae.shift.copy_(means.mean(0))
    scale = (means.var(0, correction=0) + variances.mean(0)).rsqrt()
    covariance = torch.cov((means * scale).T, correction=0) + torch.diag(variances.mean(0) * scale.square())
    vae.scale.copy_(scale)
    vae.spread.copy_(torch.linalg.eigvalsh(covariance)[-1].sqrt())
