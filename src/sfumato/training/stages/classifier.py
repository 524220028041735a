"""The classifier of the gradient way learns to tell noisy pictures of each class from what is none."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor, nn

from sfumato.checkpoints.files import write_json
from sfumato.checkpoints.folder import save_part
from sfumato.data.classes import Classes
from sfumato.data.pictures import grid, to_image
from sfumato.diffusion import losses
from sfumato.diffusion.levels import Level
from sfumato.diffusion.noise import per_sample_noise
from sfumato.diffusion.principal import Principal
from sfumato.diffusion.sampling import last, sample
from sfumato.diffusion.times import timetable
from sfumato.networks.classifier import Classifier, ClassifierConfig
from sfumato.networks.initialisation import initialise
from sfumato.pipelines.climbing import PROCESS, READING, climbing, leading, log_odds, save_reference, told
from sfumato.training import recipe as recipes
from sfumato.training import sizes
from sfumato.training.recipe import Recipe
from sfumato.training.stage import Batch, Draw, Stage
from sfumato.training.workshop import PictureWorkshop

NEGATIVES = ("reference", "scrambled", "mixed", "own")
MEASURED = 2048  # pictures to which the reference is fitted
PIECES = 4  # along each side of a scrambled picture
STEEPEST = 10.0  # of the odds in the cross-entropy: with less noise than a tenth all is told apart, or very wrong
OWN_STEPS = 4  # in which the classifier makes pictures of its own


class Objective(nn.Module):
    """The cross-entropy of the class, or none, of something noisy; and the denoising loss of the gradient.

    The cross-entropy alone makes the odds right, not their gradient, which is what pictures are made with; the second
    loss teaches it (Yadin et al. 2024, eq. 11; score matching of a gradient: Salimans & Ho 2021). Its own earlier
    pictures among those that are none are introspective learning's way (Lazarow et al. 2017).
    """

    def __init__(self, classifier: Classifier, reference: Principal, plan: recipes.Classifier) -> None:
        super().__init__()
        self.classifier, self.reference, self.plan = classifier, reference, plan

    def forward(
        self,
        pictures: Float[Tensor, "b c h w"],
        classes: Int[Tensor, " b"],
        others: Float[Tensor, "b c h w"],
        kinds: Int[Tensor, " b"],
        times: Float[Tensor, " b"],
        noise: Float[Tensor, "b c h w"],
        more_noise: Float[Tensor, "b c h w"],
    ) -> dict[str, Tensor]:
        """The loss and its parts; `others` are clean things that are none, of kinds numbered as in `NEGATIVES`.

        Of the reference they are the standard normal noise from which it draws.
        """
        level, none = PROCESS(times), self.classifier.config.classes
        kinds = kinds[:, None, None, None]
        others = torch.where(kinds == NEGATIVES.index("reference"), self.reference.draw(others), others)
        negatives = level.add_noise(others, more_noise)
        if "own" in self.plan.negatives:
            negatives = torch.where(kinds == NEGATIVES.index("own"), self._own(classes, times, more_noise), negatives)
        seen = torch.cat([level.add_noise(pictures, noise), negatives])
        odds = (
            log_odds(self.classifier, seen, told(level).to(seen).repeat(2), STEEPEST) - torch.tensor(float(none)).log()
        )
        logits = F.pad(odds, (0, 1)).float()  # the log odds of none against none are 0
        truth = torch.cat([classes, torch.full_like(classes, none)])
        error = F.cross_entropy(logits, truth)
        parts = {"cross_entropy": error, "accuracy": (logits.argmax(1) == truth).float().mean()}
        loss = self.plan.probability * error
        if self.plan.gradient:
            network = leading(self.classifier, self.reference, classes)
            taught = losses.denoising_loss(network, READING, pictures, noise, level).mean()
            loss = loss + self.plan.gradient * taught
            parts["gradient_error"] = taught
        return {"loss": loss, **parts}

    @torch.no_grad()
    def _own(self, classes: Int[Tensor, " b"], times: Float[Tensor, " b"], start: Tensor) -> Tensor:
        """Pictures that the classifier makes now, from pure noise down to each one's own level."""
        path = PROCESS(
            torch.lerp(torch.ones_like(times), times, torch.linspace(0, 1, OWN_STEPS + 1)[:, None].to(times))
        )
        levels = Level(path.alpha, path.sigma)
        return last(sample(climbing(self.classifier, self.reference, classes), start, levels, torch.zeros_like))


def build(workshop: PictureWorkshop, recipe: Recipe) -> Stage:
    """The stage, with a new classifier that is told the level."""
    plan, team, side = recipe.classifier, workshop.team, recipe.data.size
    store, _ = workshop.kept
    classes = Classes.of(store.captions, store.labels)
    truth = torch.tensor(classes.numbers(store.labels))
    size = plan.size or recipe.size
    widths = plan.channels or sizes.channels(sizes.CLASSIFIER, size, min(3, sizes.resolutions(side)))
    with workshop.first_weights("classifier"):
        config = ClassifierConfig(widths, classes=len(classes), told_level=True)
        classifier = initialise(Classifier(config)).to(team.device)
    reference = _reference(workshop, plan.directions)
    allowed = torch.tensor([NEGATIVES.index(name) for name in plan.negatives])

    def batch(draw: Draw) -> Batch:
        chosen = draw.indices(len(store))
        kinds = draw.mine(allowed[(draw.uniform("kinds") * len(allowed)).long()])
        order = draw.mine(torch.rand(draw.batch, PIECES**2, generator=draw.generator("scrambled")).argsort(1))
        pictures = workshop.pictures(draw)
        partners = store.batch(draw.mine(chosen.roll(1)).cpu(), side).to(team.device)
        normal = draw.normal("reference", 3, side, side)  # from which a draw of the reference is made
        each = [normal, scrambled(pictures, order), (pictures + partners) / 2, pictures]
        others = torch.stack(each)[kinds, torch.arange(len(kinds), device=kinds.device)]
        return (
            pictures,
            draw.mine(truth[chosen]),
            others,
            kinds,
            draw.mine(losses.stratified(draw.batch, draw.generator("times"))),
            draw.normal("noise", 3, side, side),
            draw.normal("more noise", 3, side, side),
        )

    @torch.no_grad()
    def preview() -> Image.Image:
        """Two pictures of each of at most eight classes, made by following the gradient."""
        asked = torch.arange(min(8, len(classes)), device=team.device).repeat(2)
        noise, levels = per_sample_noise(range(len(asked))), timetable(PROCESS, 20)
        start = noise(torch.empty(len(asked), 3, side, side, device=team.device))
        made = last(sample(climbing(classifier, reference, asked), start, levels, noise))
        return grid([to_image(picture.cpu()) for picture in made], columns=len(asked) // 2)

    def finish() -> dict[str, Any]:
        save_part(workshop.folder, "classifier", classifier, workshop.weights)
        write_json(workshop.folder / "classifier" / "classes.json", classes.to_dict())
        save_reference(workshop.folder / "classifier", reference)
        return {}

    return Stage(Objective(classifier, reference, plan), batch, preview, finish)


def _reference(workshop: PictureWorkshop, directions: int) -> Principal:
    """The Gaussian of the training pictures, and of their mirror images where the recipe mirrors."""
    pictures = workshop.examples(MEASURED)
    if workshop.recipe.data.flip:
        pictures = torch.cat([pictures, pictures.flip(-1)])
    return Principal.fitted(pictures, directions)


def scrambled(pictures: Float[Tensor, "b c h w"], order: Int[Tensor, "b p"]) -> Float[Tensor, "b c h w"]:
    """Pictures cut into `PIECES` x `PIECES` pieces, which are put together in another order."""
    side = -(-pictures.shape[-1] // PIECES) * PIECES
    whole = F.interpolate(pictures, size=(side, side), mode="nearest")
    pieces = whole.unflatten(-1, (PIECES, -1)).unflatten(-3, (PIECES, -1)).transpose(-3, -2).flatten(2, 3)  # b c p h w
    index = order[:, None, :, None, None].expand_as(pieces)
    moved = pieces.gather(2, index).unflatten(2, (PIECES, PIECES)).transpose(-3, -2).flatten(-2).flatten(2, 3)
    return F.interpolate(moved, size=pictures.shape[-2:], mode="nearest")
