"""What goes wrong when a step of sampling is left out: two demonstrations with the embedded digits.

    python benchmarks/demonstrations.py [--each 20] [--grid docs/ways/wrong.png]

*No noise added back*: DDPM's step goes to the mean of where the picture may be, and adds noise of the right size around
it. Without that noise every step stands at a level that it says is noisier than it is; what the network then takes away
was not there. *One single step* from pure noise gives the mean of all pictures that fit the words, which is no picture.
The judge is a classifier of the real training digits; `sure` is the mean probability of its likeliest digit. Sharpness
is the mean difference of neighbouring pixels, and variety the deviation among pictures of one prompt (of all pictures,
for the empty prompt), both as shares of those of held-out real digits.
"""

import argparse
import tempfile
import warnings
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from sfumato.data.digits import WORDS
from sfumato.data.pictures import grid, to_image
from sfumato.data.store import prepare
from sfumato.diffusion.noise import per_sample_noise
from sfumato.diffusion.sampling import last, sample
from sfumato.diffusion.solvers import ancestral, euler
from sfumato.diffusion.times import timetable
from sfumato.evaluation.recognition import train_judge
from sfumato.pipelines.denoising import prompted
from sfumato.pipelines.text_to_image import Pipeline

STEPS = 50


@torch.inference_mode()
def made(pipeline: Pipeline, prompts: list[str], steps: int, solver: object, quiet: bool) -> Tensor:
    """Small pictures; `quiet` adds no noise back."""
    model, way, noise = pipeline.model, pipeline.way, per_sample_noise(range(len(prompts)))
    denoise = prompted(model.unet, model.diffusion, way.encode(prompts)[0][0], way.encode([""])[0][0], 1.0)
    levels, side = timetable(model.diffusion.process, steps), model.unet.config.sample_size
    start = noise(torch.empty(len(prompts), model.unet.config.in_channels, side, side)) * levels.sigma[0].item()
    return way.decode(last(sample(denoise, start, levels, torch.zeros_like if quiet else noise, solver)), 32)


def sharpness(pictures: Tensor) -> float:
    return (pictures.diff(dim=-1).abs().mean() + pictures.diff(dim=-2).abs().mean()).item()


def variety(pictures: Tensor, labels: list[str]) -> float:
    groups = [[i for i, label in enumerate(labels) if label == word] for word in WORDS]
    return torch.stack([pictures[group].var(0).mean() for group in groups]).mean().sqrt().item()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--each", type=int, default=20, help="pictures of each digit")
    arguments.add_argument("--grid", type=Path)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        train, held_out = (prepare("digits", 32, Path(cache), split=split) for split in ("train", "test"))
        judge = train_judge(train, size=32, steps=300)
        real = held_out.batch(torch.arange(len(held_out)))
    pipeline = Pipeline.load("digits", device="cpu")
    labels = [word for word in WORDS for _ in range(given.each)]
    prompts = [f"a handwritten {word}" for word in labels]
    asked = {
        "DDPM": (STEPS, ancestral(euler), False),
        "DDPM, no noise added back": (STEPS, ancestral(euler), True),
        "one single step": (1, euler, True),
    }
    print("| | judge | sure | sharpness | variety |\n| --- | --- | --- | --- | --- |")
    sharp, varied = sharpness(real), variety(real, [str(label) for label in held_out.labels])

    def tell(name: str, pictures: Tensor, truth: list[str], prompted: bool) -> None:
        right = f"{judge.accuracy(pictures, truth):.1%}" if prompted else ""
        share, sure = sharpness(pictures) / sharp, judge.probabilities(pictures).amax(1).mean().item()
        different = (
            variety(pictures, truth) / varied if prompted else (pictures.var(0).mean() / real.var(0).mean()) ** 0.5
        )
        print(f"| {name} | {right} | {sure:.0%} | {share:.2f} | {different:.2f} |", flush=True)

    tell("held-out real digits", real, [str(label) for label in held_out.labels], prompted=True)
    rows = []
    for words, texts in (("", prompts), ("the empty prompt: ", [""] * len(prompts))):
        for name, how in asked.items():
            pictures = made(pipeline, texts, *how).clamp(-1, 1)
            tell(words + name, pictures, labels, prompted=not words)
            rows += [pictures[word * given.each + i] for i in range(2 - bool(words)) for word in range(len(WORDS))]
    if given.grid:
        images = [to_image(picture).resize((48, 48), Image.Resampling.BICUBIC) for picture in rows]
        given.grid.parent.mkdir(parents=True, exist_ok=True)
        grid(images, columns=len(WORDS)).quantize(64).save(given.grid, optimize=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
