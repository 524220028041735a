"""Does a picture show what was asked for? A classifier trained on real pictures alone is the judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Generator, Tensor

from sfumato.data.augmentation import random_moves, shifted
from sfumato.data.loader import Order
from sfumato.data.store import Store
from sfumato.errors import DataError
from sfumato.networks.classifier import Classifier, ClassifierConfig
from sfumato.seeds import derived_seed

REACH = 0.08  # of a picture's side: how far pictures are shifted at random in training


@dataclass(frozen=True)
class Judge:
    """A classifier and the names of its classes."""

    classifier: Classifier
    classes: list[str]
    size: int

    @torch.inference_mode()
    def probabilities(self, pictures: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n k"]:
        """How likely each class is; pictures in [-1, 1] of any size are brought to the judge's."""
        logits = [self.classifier(_resized(some, self.size)) for some in pictures.split(128)]
        return torch.cat(logits).softmax(1)

    def accuracy(self, pictures: Float[Tensor, "n 3 h w"], labels: Sequence[str]) -> float:
        """The share of pictures whose likeliest class is their label."""
        truth = torch.tensor([self.classes.index(label) for label in labels])
        return (self.probabilities(pictures).argmax(1) == truth).float().mean().item()


def train_judge(store: Store, size: int, steps: int = 600, batch: int = 64, flip: bool = False, seed: int = 0) -> Judge:
    """Train a classifier on the labelled pictures of a store, shifted (and mirrored) at random.

    Raises DataError when the pictures have no labels.
    """
    classes = sorted({label for label in store.labels if label is not None})
    if len(classes) < 2 or None in store.labels:
        raise DataError("A judge needs pictures in at least two classes, all of them labelled.")
    truth = torch.tensor([classes.index(str(label)) for label in store.labels])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, "judge"))
        classifier = Classifier(ClassifierConfig(classes=len(classes)))
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=3e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    order = Order(len(store), batch, derived_seed(seed, "judge"))
    for step in range(steps):
        chosen, generator = order.indices(step), Generator().manual_seed(derived_seed(seed, "shift", step))
        pictures = shifted(_resized(store.batch(chosen), size), random_moves(batch, generator), REACH)
        if flip and step % 2:
            pictures = pictures.flip(-1)
        loss = F.cross_entropy(classifier(pictures), truth[chosen], label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return Judge(classifier.eval().requires_grad_(False), classes, size)


def _resized(pictures: Float[Tensor, "n 3 h w"], size: int) -> Float[Tensor, "n 3 s s"]:
    if pictures.shape[-2:] == (size, size):
        return pictures
    return F.interpolate(pictures, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
