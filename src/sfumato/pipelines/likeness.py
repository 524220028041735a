"""How like its prompt is a picture? CLIP's answer, as a log probability that has a gradient."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sfumato.checkpoints.folder import clip_text, has_part, load_lineage, load_part
from sfumato.data.prompts import Branch
from sfumato.diffusion.mixing import blend
from sfumato.errors import PromptError
from sfumato.networks.clip import MAX_LOGIT_SCALE, TextEncoder
from sfumato.pipelines.model import Model
from sfumato.pipelines.weighting import Reading

Likeness = Callable[[Float[Tensor, "b c h w"]], Float[Tensor, " b"]]
"""How like their prompts clean latents are, as a log probability."""


def likeness(
    model: Model,
    prompts: Sequence[str],
    decode: Callable[[Float[Tensor, "b c h w"]], Float[Tensor, "b 3 h2 w2"]],
    mix: Sequence[tuple[str, float]] = (),
    pictures_a_pass: int | None = None,
    reading: Reading = Reading(),
) -> Likeness:
    """For clean latents of pictures of these prompts: log p(prompt | picture), up to a number that does not matter.

    The cosine of picture and text over CLIP's temperature, which is what CLIP learns that logarithm to be (Radford et
    al. 2021, figure 3; Nichol et al. 2022, section 2.4). Of a mixture, the mean with its weights, and of branches the
    sum. Of what prompts say at the step of `reading` CLIP hears the words, without their weights.
    Raises PromptError when the model has no image encoder, or its texts are not in the space of pictures.
    """
    reader = _reader(model)
    if not has_part(model.folder, "image_encoder") or reader.text_projection is None:
        raise PromptError(
            f"The model {model.name} has no image encoder for its texts: take another guidance than clip."
        )
    with torch.inference_mode(False), torch.no_grad():  # gradients run through all that is made here
        dtype = reader.text_projection.weight.dtype
        encoder = load_part(model.folder, "image_encoder", dtype, str(model.device))
        said = [reading.branches(text) for text in prompts]
        texts = [_direction(reader, model, said)]
        others = [reading.branches(text, negative=True) for text, _ in mix]
        texts += [_direction(reader, model, [other]).expand_as(texts[0]) for other in others]
        weights = [weight for _, weight in mix]
        wanted = blend(torch.zeros_like(texts[0]), texts, [1 - sum(weights), *weights])
    trained = load_lineage(model.folder).get("training", {}).get("clip", {})
    scale, side = math.exp(min(trained.get("logit_scale", MAX_LOGIT_SCALE), MAX_LOGIT_SCALE)), encoder.config.image_size

    def log_probability(latents: Tensor) -> Tensor:
        found = []
        for some in torch.arange(len(latents)).split(pictures_a_pass or len(latents)):
            pictures = decode(latents[some]).to(dtype)
            if pictures.shape[-2:] != (side, side):
                pictures = F.interpolate(pictures, size=(side, side), mode="bilinear", antialias=True)
            seen = F.normalize(encoder(pictures).float(), dim=1)
            found.append(scale * (seen * wanted[some.to(wanted.device)]).sum(1))
        return torch.cat(found)

    return log_probability


def _reader(model: Model) -> TextEncoder:
    """The text encoder that the image encoder met."""
    name = clip_text(model.folder)
    return model.parts.get(name) or load_part(model.folder, name, model.dtype, str(model.device))


def _direction(reader: TextEncoder, model: Model, texts: Sequence[Sequence[Branch]]) -> Float[Tensor, "b p"]:
    """Text by text, so that none depends on its neighbours."""

    def of(branch: Branch) -> Float[Tensor, "1 p"]:
        words = " ".join("".join(piece.text for piece in chunk) for chunk in branch.chunks)
        return F.normalize(reader(model.tokenizer.encode([words]).to(model.device)).projected.float(), dim=1)

    return torch.cat([torch.cat([each.weight * of(each) for each in text]).sum(0, keepdim=True) for text in texts])
