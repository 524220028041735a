"""A classifier that tells noisy pictures from what is none, as a Denoise: its gradient leads to a picture.

The classifier gives a number f_k for each class. alpha / sigma f_k are the log odds that something noisy is a noisy
picture of class k rather than a noisy draw from the reference, a Gaussian; see `sfumato.diffusion.ascent.velocity_of`.
The reference may be mere noise. One with the pictures' own mean and main variations is far harder to tell from them:
its score is known exactly, and all that the gradient must bring is what makes a picture more than its statistics.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sfumato.checkpoints.files import write_tensors
from sfumato.checkpoints.tensors import read_tensors
from sfumato.diffusion.ascent import LogProbability, velocity_of
from sfumato.diffusion.levels import Level
from sfumato.diffusion.parameterisation import Denoise, Network, Parameterisation, v
from sfumato.diffusion.principal import Principal
from sfumato.diffusion.processes import Cosine
from sfumato.errors import CheckpointError
from sfumato.networks.classifier import Classifier

PROCESS = Cosine()


def told(level: Level) -> Tensor:
    """How the classifier is told the level: 1000 * time, from 0 to 1000."""
    return 1000 * PROCESS.time(level)


READING = Parameterisation(v, told)


REFERENCE = "reference.safetensors"  # beside the classifier's weights


def save_reference(folder: Path, reference: Principal) -> None:
    """Write a reference beside its classifier."""
    write_tensors(folder / REFERENCE, asdict(reference))


def load_reference(folder: Path, device: torch.device) -> Principal:
    """Read what `save_reference` wrote; CheckpointError when it is not that."""
    tensors = read_tensors(folder / REFERENCE, str(device))
    try:
        reference = Principal(**tensors)
        size = reference.mean.numel()
        fits = reference.directions.shape == (len(reference.variances), size) and reference.rest.ndim == 0
        if reference.mean.ndim != 3 or not fits:
            raise ValueError("shapes do not fit")
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{folder / REFERENCE} is no reference of a classifier: {error}") from error
    return reference


def potentials(
    classifier: Classifier, noisy: Float[Tensor, "b c h w"], label: Float[Tensor, " b"]
) -> Float[Tensor, "b k"]:
    """f_k for each class: the logits summed over the places that the last layer sees, not averaged over them.

    So the gradient at a pixel does not depend on the size of the picture.
    """
    places = noisy.shape[-2] * noisy.shape[-1] / 4 ** (len(classifier.config.channels) - 1)
    dtype = classifier.conv_in.weight.dtype
    return places * classifier(noisy.to(dtype), label.to(noisy)).to(noisy)


def log_odds(
    classifier: Classifier, noisy: Float[Tensor, "b c h w"], label: Float[Tensor, " b"], steepest: float = math.inf
) -> Float[Tensor, "b k"]:
    """The log odds that something noisy is a noisy picture of each class, rather than of the reference.

    `steepest` bounds alpha / sigma: where there is hardly any noise, odds grow beyond all measure.
    """
    return _steepness(label, noisy).clamp(max=steepest) * potentials(classifier, noisy, label)


def wanted(
    classifier: Classifier, classes: Int[Tensor, " b"], guidance: float | Tensor = 1.0
) -> Callable[[Tensor, Tensor], Float[Tensor, " b"]]:
    """The potential whose gradient leads each sample to its class; -1 is any class.

    Guidance 1 follows log p(noisy | class), more follows guidance * log p(noisy | class) + (1 - guidance) * log
    p(noisy), as classifier-free guidance does (Ho & Salimans 2022, eq. 6).
    """

    def potential(noisy: Tensor, label: Tensor) -> Float[Tensor, " b"]:
        each = potentials(classifier, noisy, label)
        steepness = _steepness(label, noisy)
        shares = (steepness * each.detach()).softmax(1)  # of the classes in what any class has
        whole = (shares * each).sum(1)  # has the gradient of log sum exp, at pure noise too
        own = each.gather(1, classes.clamp(min=0)[:, None]).squeeze(1)
        return torch.where(classes < 0, whole, torch.lerp(whole, own, torch.as_tensor(guidance).to(whole)))

    return potential


def leading(classifier: Classifier, reference: Principal, classes: Int[Tensor, " b"], guidance: float = 1.0) -> Network:
    """The prediction of v that leads to the classes: the reference's own, and the gradient of the potential."""
    climb = velocity_of(wanted(classifier, classes, guidance))

    def network(noisy: Tensor, label: Tensor) -> Tensor:
        return reference.velocity(noisy, PROCESS(label / 1000)) + climb(noisy, label)

    return network


def climbing(
    classifier: Classifier,
    reference: Principal,
    classes: Int[Tensor, " b"],
    guidance: float = 1.0,
    pictures_a_pass: int | None = None,
) -> Denoise:
    """A Denoise that follows the gradient of the classifier; one picture a pass gives the same bits in any batch."""

    def network(noisy: Tensor, label: Tensor) -> Tensor:
        passes = torch.arange(len(noisy)).split(pictures_a_pass or len(noisy))
        return torch.cat(
            [leading(classifier, reference, classes[some], guidance)(noisy[some], label[some]) for some in passes]
        )

    return READING.denoiser(network)


def log_density(classifier: Classifier, reference: Principal, classes: Int[Tensor, " b"]) -> LogProbability:
    """log p(noisy | class) up to a constant: that of the reference and the log odds. For `ascend`, where sigma > 0."""

    def density(noisy: Tensor, level: Level) -> Float[Tensor, " b"]:
        at = level.like(noisy)
        unit = noisy / torch.hypot(at.alpha, at.sigma)
        label = told(level).to(noisy).expand(len(noisy))
        odds = wanted(classifier, classes)(unit, label) * _steepness(label, noisy)[:, 0]
        return odds + reference.log_density(unit, PROCESS(label / 1000))

    return density


def _steepness(label: Float[Tensor, " b"], sample: Tensor) -> Float[Tensor, "b 1"]:
    """alpha / sigma."""
    level = PROCESS((label / 1000).clamp(min=1e-3))
    return (level.alpha / level.sigma).to(sample)[:, None]
