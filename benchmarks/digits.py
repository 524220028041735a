"""Are the digits right, and are they new?

    python benchmarks/digits.py [--model digits] [--count 1000] [--grid digits.png]

A classifier is trained on the real training digits and checked on the held-out ones; it then reads pictures that the
model makes of ten prompts. Their distances to the nearest training picture stand beside those of held-out digits.
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


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", default="digits")
    arguments.add_argument("--count", type=int, default=1000)
    arguments.add_argument("--steps", type=int, default=20)
    arguments.add_argument("--guidance", type=float, default=4.0)
    arguments.add_argument("--solver", default="unipc-2")
    arguments.add_argument("--grid", type=Path)
    given = arguments.parse_args()

    with tempfile.TemporaryDirectory() as cache:
        train = prepare("digits", 64, Path(cache), split="train")
        held_out = prepare("digits", 64, Path(cache), split="test")
        judge = train_judge(train, size=32)
        real, known = held_out.batch(torch.arange(len(held_out))), train.batch(torch.arange(len(train)))
        print(f"judge on {len(held_out)} held-out real digits: {judge.accuracy(real, held_out.labels):.1%}")

    pipeline = Pipeline.load(given.model)
    pipeline.pictures_a_pass = 32  # together is faster, and equal up to rounding
    each = given.count // len(PROMPTS)
    settings = {"num_inference_steps": given.steps, "guidance_scale": given.guidance, "solver": given.solver}
    began = time.monotonic()
    made = pipeline(PROMPTS, count=each, seed=0, **settings).pictures
    seconds = time.monotonic() - began
    pictures = from_images(made)
    labels = [word for word in WORDS for _ in range(each)]
    print(f"judge on {len(made)} generated digits:        {judge.accuracy(pictures, labels):.1%}   ({seconds:.0f} s)")
    for word in WORDS:
        mine = [i for i, label in enumerate(labels) if label == word]
        print(f"  {word:<6} {judge.accuracy(pictures[mine], [word] * len(mine)):.0%}")

    print("distance to the nearest training picture (root mean square, pictures in [-1, 1]):")
    for name, some in (("generated", pictures), ("held-out real", real)):
        distances, which = nearest_distances(some, known)
        quantiles = torch.quantile(distances, torch.tensor([0.0, 0.05, 0.5, 0.95])).tolist()
        values = "  ".join(f"{q:.3f}" for q in quantiles)
        print(f"  {name:<14} least, 5%, median, 95%: {values}   ({len(set(which.tolist()))} different neighbours)")
    if given.grid:
        some = [made[word * each + i] for i in range(min(8, each)) for word in range(len(WORDS))]
        grid(some, columns=len(WORDS)).save(given.grid)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
