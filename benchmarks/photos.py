"""A model of one's own photos: do its samples differ by class?

    sfumato train DATA/train --out my-model --budget 30m
    python benchmarks/photos.py --model my-model --train DATA/train --test DATA/test --grid photos.png

DATA/train and DATA/test hold a folder per class. A classifier trained on the real training photos, checked on the real
test photos, reads pictures that the model makes of each class name; chance is one in the number of classes.
"""

import argparse
import tempfile
import time
import warnings
from pathlib import Path

import torch

from sfumato.data.pictures import from_images, grid
from sfumato.data.store import prepare
from sfumato.evaluation.novelty import nearest_distances
from sfumato.evaluation.recognition import train_judge
from sfumato.pipelines.text_to_image import Pipeline


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", required=True)
    arguments.add_argument("--train", type=Path, required=True)
    arguments.add_argument("--test", type=Path, required=True)
    arguments.add_argument("--each", type=int, default=32, help="pictures of each class")
    arguments.add_argument("--guidance", type=float, default=4.0)
    arguments.add_argument("--judge-size", type=int, default=64)
    arguments.add_argument("--grid", type=Path)
    given = arguments.parse_args()

    pipeline = Pipeline.load(given.model)
    pipeline.pictures_a_pass = 16
    size = pipeline.final_size
    with tempfile.TemporaryDirectory() as cache:
        train, test = (prepare(path, size, Path(cache)) for path in (given.train, given.test))
        judge = train_judge(train, given.judge_size, steps=1000, flip=True)
        real, known = (
            test.batch(torch.arange(len(test))),
            train.batch(torch.arange(len(train)), pipeline.base_size),
        )
        print(f"judge on {len(test)} real test photos: {judge.accuracy(real, test.labels):.1%}")

    classes = judge.classes
    began = time.monotonic()
    made = pipeline(classes, count=given.each, seed=0, guidance_scale=given.guidance).pictures
    seconds = time.monotonic() - began
    pictures = from_images(made)
    labels = [name for name in classes for _ in range(given.each)]
    print(
        f"judge on {len(made)} generated pictures: {judge.accuracy(pictures, labels):.1%}, "
        f"chance {1 / len(classes):.0%}   ({seconds:.0f} s)"
    )
    for name in classes:
        mine = [i for i, label in enumerate(labels) if label == name]
        print(f"  {name:<12} {judge.accuracy(pictures[mine], [name] * len(mine)):.0%}")
    print("distance to the nearest training photo (root mean square, pictures in [-1, 1]):")
    for name, some in (("generated", pictures), ("real test", real)):
        distances, _ = nearest_distances(some, known)
        print(f"  {name:<10} least {distances.min():.3f}, median {distances.median():.3f}")
    if given.grid:
        rows = [made[i * given.each + j] for i in range(len(classes)) for j in range(min(8, given.each))]
        grid(rows, columns=min(8, given.each)).save(given.grid)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
