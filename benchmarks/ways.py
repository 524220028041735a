"""Are the digits of another way to a picture right, and are they new?

    python benchmarks/ways.py --model my-model [--count 500] [--grid grid.png]

A classifier is trained on the real training digits and checked on the held-out ones; it then reads pictures that the
model makes of ten prompts, and in the same run those of the embedded model, which goes the way of latents. The grid
has a column for each digit; its pictures are the first of each prompt, not chosen.
"""

import argparse
import tempfile
import time
import warnings
from pathlib import Path

import torch

from sfumato.data.digits import WORDS
from sfumato.data.pictures import from_images, grid
from sfumato.data.store import prepare
from sfumato.evaluation.novelty import nearest_distances
from sfumato.evaluation.recognition import train_judge
from sfumato.pipelines.text_to_image import Pipeline

PROMPTS = [f"a handwritten {word}" for word in WORDS]
ROWS = 8  # of the grid


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", required=True)
    arguments.add_argument("--count", type=int, default=500)
    arguments.add_argument("--steps", type=int, default=20)
    arguments.add_argument("--guidance", type=float, default=4.0)
    arguments.add_argument("--grid", type=Path)
    given = arguments.parse_args()

    with tempfile.TemporaryDirectory() as cache:
        train = prepare("digits", 64, Path(cache), split="train")
        held_out = prepare("digits", 64, Path(cache), split="test")
        judge = train_judge(train, size=32)
        real = held_out.batch(torch.arange(len(held_out)))
        known = train.batch(torch.arange(len(train)))
    print("| model | recognised | nearest training digit, median | seconds a picture |")
    print("| --- | --- | --- | --- |")
    print(f"| held-out real digits | {judge.accuracy(real, held_out.labels):.1%} | {median(real, known):.3f} | |")
    settings = {"num_inference_steps": given.steps, "guidance_scale": given.guidance}
    for model in (given.model, "digits"):
        made, seconds = draw(model, given.count // len(PROMPTS), **settings)
        read(model, made, seconds, judge, known)
        if given.grid and model == given.model:
            each = given.count // len(PROMPTS)
            first = [made[word * each + row] for row in range(min(ROWS, each)) for word in range(len(WORDS))]
            grid(first, columns=len(WORDS)).save(given.grid)


def draw(model, each, **settings):
    """So many pictures of each prompt, and the seconds that all of them took."""
    pipeline = Pipeline.load(model)
    pipeline.pictures_a_pass = 32  # together is faster, and equal up to rounding
    began = time.monotonic()
    made = pipeline(PROMPTS, count=each, seed=0, **settings).pictures
    return made, time.monotonic() - began


def read(model, made, seconds, judge, known):
    """A line of the table, and what the weakest digits are."""
    pictures, each = from_images(made), len(made) // len(WORDS)
    labels = [word for word in WORDS for _ in range(each)]
    accuracy, near = judge.accuracy(pictures, labels), median(pictures, known)
    print(f"| {model} | {accuracy:.1%} of {len(made)} | {near:.3f} | {seconds / len(made):.3f} |")
    words = {w: judge.accuracy(pictures[i * each : (i + 1) * each], [w] * each) for i, w in enumerate(WORDS)}
    weak = ", ".join(f"{word} {share:.0%}" for word, share in words.items() if share < 0.99)
    print(f"  below 99 %: {weak or 'none'}")


def median(pictures, known):
    return nearest_distances(pictures, known)[0].median().item()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
