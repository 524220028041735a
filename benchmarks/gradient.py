"""The gradient of a probability on the digits, from what fools a classifier to pictures.

    sfumato train digits --recipe gradient --out gradient
    sfumato train digits --recipe gradient --out noise --set classifier.directions=0
    sfumato train digits --recipe gradient --out untaught --set classifier.gradient=0 \\
        --set 'classifier.negatives=["reference", "scrambled", "mixed", "own"]'
    python benchmarks/gradient.py gradient --noise noise --untaught untaught [--grid docs/ways/gradient.png]

Ten digits are asked for, from noise:
1. a classifier of clean digits is climbed to its summits (plain gradient ascent);
2. classifiers of noisy digits are climbed by annealed Langevin dynamics, or followed as denoisers: one that learnt
   to tell digits from what is none (draws of a Gaussian like the digits, scrambled and mixed digits, its own earlier
   pictures); one whose gradient was taught, against mere noise; and one whose gradient was taught, against the
   Gaussian, as the recipe has it;
3. the embedded digits, by diffusion.
Told is how sure the classifier itself is of what it made (where there is one), how many pictures an independent
classifier, the judge, reads as they were asked for, their distance to the nearest training digit (median of the root
mean square: what is far from all is no digit, whatever a classifier says), and their variety: the deviation among
pictures of one digit as a share of that of real ones.
"""

import argparse
import tempfile
import warnings
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from sfumato.data.digits import WORDS
from sfumato.data.pictures import from_images, grid, to_image
from sfumato.data.store import prepare
from sfumato.diffusion.ascent import ascend
from sfumato.diffusion.levels import Level
from sfumato.diffusion.noise import per_sample_noise
from sfumato.evaluation.novelty import nearest_distances
from sfumato.evaluation.recognition import Judge, train_judge
from sfumato.pipelines.climbing import log_density, log_odds
from sfumato.pipelines.text_to_image import Pipeline

CLIMB = 200  # steps of plain gradient ascent
SIGMAS = torch.logspace(1, -1.3, 40, dtype=torch.float64)  # of annealed Langevin dynamics
SIZE, TIMES = 0.4, 4  # of its steps, and how many at each level


def plain_ascent(judge: Judge, labels: list[str]) -> Tensor:
    """Up the probability that a classifier of clean digits gives to each label."""
    wanted = torch.tensor([judge.classes.index(label) for label in labels])
    noise = per_sample_noise(range(len(labels)))

    def log_probability(noisy: Tensor, level: Level) -> Tensor:
        return judge.classifier(noisy).log_softmax(1).gather(1, wanted[:, None]).squeeze(1)

    levels = Level(torch.ones(CLIMB), torch.ones(CLIMB))
    start = 0.5 * noise(torch.empty(len(labels), 3, judge.size, judge.size))
    *_, state = ascend(log_probability, start, levels, noise, size=2.0, temperature=0)
    return state.noisy


def langevin(pipeline: Pipeline, labels: list[str]) -> Tensor:
    """Annealed Langevin dynamics on the density that a classifier of noisy digits tells."""
    way, noise = pipeline.way, per_sample_noise(range(len(labels)))
    density = log_density(way.classifier, way.reference, way.asked(labels))
    levels = Level(torch.ones_like(SIGMAS), SIGMAS)
    start = SIGMAS[0].float() * noise(torch.empty(len(labels), 3, way.base_size, way.base_size))
    *_, state = ascend(density, start, levels, noise, size=SIZE, times=TIMES)
    return state.noisy


def sure(pipeline: Pipeline, pictures: Tensor, labels: list[str]) -> str:
    """How likely the classifier itself holds it that a picture is one of its class, and not mere noise or another."""
    way = pipeline.way
    odds = log_odds(way.classifier, pictures, torch.full((len(pictures),), 100.0))
    shares = torch.cat([odds, torch.zeros(len(odds), 1)], 1).softmax(1)
    return f"{shares.gather(1, way.asked(labels)[:, None]).mean().item():.0%}"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("model")
    arguments.add_argument("--untaught", help="a model whose gradient was not taught")
    arguments.add_argument("--noise", help="a model taught against mere noise")
    arguments.add_argument("--each", type=int, default=20, help="pictures of each digit")
    arguments.add_argument("--guidance", type=float, default=2.0)
    arguments.add_argument("--grid", type=Path)
    given = arguments.parse_args()
    taught = Pipeline.load(given.model, device="cpu")
    side = taught.base_size
    with tempfile.TemporaryDirectory() as cache:
        train, held_out = (prepare("digits", side, Path(cache), split=split) for split in ("train", "test"))
        judge, plain = (train_judge(train, size=side, steps=300, seed=seed) for seed in (0, 1))
        real = held_out.batch(torch.arange(len(held_out)))
    known, labels = [str(label) for label in held_out.labels], [word for word in WORDS for _ in range(given.each)]
    groups = [[i for i, label in enumerate(known) if label == word] for word in WORDS]
    spread = torch.stack([real[group].var(0).mean() for group in groups]).mean()
    training = train.batch(torch.arange(len(train)))
    far = nearest_distances(real, training, size=side)[0].median().item()
    print("| | sure of itself | judge | distance | variety |\n| --- | --- | --- | --- | --- |")
    print(f"| held-out real digits | | {judge.accuracy(real, known):.1%} | {far:.2f} | 1.00 |", flush=True)
    rows: list[Tensor] = []

    def tell(name: str, pictures: Tensor, itself: str = "") -> None:
        shown = pictures.clamp(-1, 1)
        various = (shown.unflatten(0, (len(WORDS), -1)).var(1).mean() / spread).sqrt().item()
        far = nearest_distances(shown, training, size=side)[0].median().item()
        print(f"| {name} | {itself} | {judge.accuracy(shown, labels):.1%} | {far:.2f} | {various:.2f} |", flush=True)
        rows.extend(shown[word * given.each] for word in range(len(WORDS)))

    with torch.no_grad():
        fooled = plain_ascent(plain, labels)
        wanted = torch.tensor([plain.classes.index(label) for label in labels])
        itself = plain.probabilities(fooled).gather(1, wanted[:, None]).mean().item()
        tell("a classifier of clean digits, plain ascent", fooled, f"{itself:.0%}")
        models = {"untaught": given.untaught, "taught against noise": given.noise, "taught": given.model}
        for name, pipeline in ((name, Pipeline.load(model, device="cpu")) for name, model in models.items() if model):
            climbed = langevin(pipeline, labels)
            tell(f"{name}, annealed Langevin", climbed, sure(pipeline, climbed, labels))
            for guidance in (1.0, given.guidance):
                followed = drawn(pipeline, labels, given.each, guidance)
                tell(f"{name}, as a denoiser, guidance {guidance:g}", followed, sure(pipeline, followed, labels))
        diffusion = drawn(Pipeline.load("digits", device="cpu"), labels, given.each, 1.0)
        tell(
            "diffusion (the embedded digits)",
            torch.nn.functional.interpolate(diffusion, size=(side, side), mode="area"),
        )
    if given.grid:
        images = [to_image(picture).resize((40, 40), Image.Resampling.BICUBIC) for picture in rows]
        given.grid.parent.mkdir(parents=True, exist_ok=True)
        grid(images, columns=len(WORDS)).quantize(64).save(given.grid, optimize=True)


def drawn(pipeline: Pipeline, labels: list[str], each: int, guidance: float) -> Tensor:
    """Pictures through the pipeline."""
    pipeline.pictures_a_pass = 50
    settings = {"guidance_scale": guidance, "num_inference_steps": 30, "upsampler_steps": 0}
    return from_images(pipeline(list(dict.fromkeys(labels)), each, seed=0, **settings).pictures)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
