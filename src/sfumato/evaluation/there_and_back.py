"""Real pictures through a model's autoencoder, there and back: how good they stay, and a few to look at."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sfumato.checkpoints.files import write
from sfumato.data.pictures import to_image
from sfumato.evaluation.real import Part
from sfumato.evaluation.reconstruction import WINDOW, psnr, ssim
from sfumato.pipelines.autoencoding import latents_of, pictures_of
from sfumato.pipelines.keepsake import save_picture
from sfumato.pipelines.marks.sources import COMPOSITE, KEPT
from sfumato.pipelines.text_to_image import Pipeline

MOST = 256  # pictures that tell how good an autoencoder is
SHOWN = 6  # that are kept


class Lossy(NamedTuple):
    """Means over pictures: decibels, and a likeness up to 1."""

    psnr: float
    ssim: float


@torch.inference_mode()
def there_and_back(pipeline: Pipeline, pictures: Part, folder: Path) -> Lossy | None:
    """Measure the autoencoder at the size that it was trained for, and keep a few pairs.

    None for a model without one, or of pictures smaller than SSIM's window.
    PSNR is that of the mean squared error of each picture, then the mean over pictures.
    """
    side = pipeline.base_size
    if "vae" not in pipeline.model.parts or side < WINDOW:
        return None
    autoencoder = pipeline.model.vae
    levels, likeness = [], []
    few = Part(pictures.store, pictures.chosen[:MOST])
    for number, batch in enumerate(few.batches()):
        originals = _of_side(batch, side).to(pipeline.model.device)
        again = pictures_of(autoencoder, latents_of(autoencoder, originals), len(originals))
        levels.append(psnr(again, originals))
        likeness.append(ssim(again, originals))
        if number == 0:
            _keep(originals[:SHOWN], again[:SHOWN], folder)
    return Lossy(torch.cat(levels).mean().item(), torch.cat(likeness).mean().item())


def _of_side(pictures: Float[Tensor, "b 3 h w"], side: int) -> Float[Tensor, "b 3 s s"]:
    if pictures.shape[-2:] == (side, side):
        return pictures
    return F.interpolate(pictures, size=(side, side), mode="bicubic", antialias=True, align_corners=False).clamp(-1, 1)


def _keep(originals: Tensor, again: Tensor, folder: Path) -> None:
    for number, pair in enumerate(zip(originals, again, strict=True), 1):
        for name, picture in zip(("original", "again"), pair, strict=True):
            path = folder / f"{number}-{name}.png"
            if name == "again":
                save_picture(to_image(picture), path, {KEPT: COMPOSITE})
            else:  # no machine made it
                write(path, partial(to_image(picture).save, format="PNG"))
