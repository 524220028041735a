"""Are things where they were asked for? Words that tell the place, beside boxes with prompts of their own.

    python benchmarks/regions.py [--model scenes] [--count 96] [--sheet sheet.png] [--sprites FILE]

Each picture is to show two things of the model's language, side by side or one above the other. It is asked for in
words ("a cat left of a dog"), by naming both, and by naming both with a region for each. The judge of scenes looks at
all of them and tells how many of the things are there at all, and how many have their middle in their half of the
picture; the last column is the share of pictures in which both have. The sheet shows the ways below each other, a
picture a column.
"""

from __future__ import annotations

import argparse
import random
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from sfumato.checkpoints.folder import load_lineage
from sfumato.data.pictures import from_images, grid
from sfumato.data.scenes.concepts import Concept
from sfumato.data.scenes.sprites import pack
from sfumato.evaluation.seeing.finding import Eye
from sfumato.evaluation.seeing.looks import Look
from sfumato.evaluation.seeing.sight import Sight
from sfumato.pipelines.regions import Box
from sfumato.pipelines.text_to_image import Pipeline

HALVES: dict[str, tuple[Box, Box]] = {
    "left of": ((0, 0, 0.5, 1), (0.5, 0, 1, 1)),
    "above": ((0, 0, 1, 0.5), (0, 0.5, 1, 1)),
}
GROUND = "on a white background"
SHOWN = 8  # pictures on the sheet


@dataclass(frozen=True)
class Pair:
    """Two concepts by their numbers and names, and how they stand."""

    numbers: tuple[int, int]
    names: tuple[str, str]
    relation: str

    @property
    def boxes(self) -> tuple[Box, Box]:
        return HALVES[self.relation]


def in_words(pair: Pair) -> dict[str, Any]:
    return {"prompt": f"{pair.names[0]} {pair.relation} {pair.names[1]} {GROUND}"}


def named(pair: Pair) -> dict[str, Any]:
    return {"prompt": f"{' and '.join(pair.names)} {GROUND}"}


def in_regions(pair: Pair) -> dict[str, Any]:
    boxes = zip(pair.names, pair.boxes, strict=True)
    return {**named(pair), "regions": [(f"{name} {GROUND}", box) for name, box in boxes]}


WAYS: dict[str, Callable[[Pair], dict[str, Any]]] = {"in words": in_words, "named": named, "regions": in_regions}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", default="scenes")
    arguments.add_argument("--count", type=int, default=96)
    arguments.add_argument("--steps", type=int, default=20)
    arguments.add_argument("--sheet", type=Path)
    arguments.add_argument("--sprites", type=Path)
    given = arguments.parse_args()

    pipeline = Pipeline.load(given.model)
    sprites = pack(given.sprites).first(load_lineage(pipeline.model.folder)["scenes"]["concepts"])
    pairs = drawn(sprites.concepts, given.count, random.Random(0))
    eye = Eye(sprites)
    print(f"{'asked for':<10} {'there':>7} {'in its half':>12} {'both':>7}")
    rows = []
    for name, way in WAYS.items():
        pictures = [made(pipeline, way(pair), seed, given.steps) for seed, pair in enumerate(pairs)]
        asked = [[Look(number) for number in pair.numbers] for pair in pairs]
        found = [placed(sight, pair) for sight, pair in zip(eye(from_images(pictures), asked), pairs, strict=True)]
        there = sum(each[0] for pair in found for each in pair) / (2 * len(found))
        right = sum(each[1] for pair in found for each in pair) / (2 * len(found))
        both = sum(all(each[1] for each in pair) for pair in found) / len(found)
        print(f"{name:<10} {there:>7.1%} {right:>12.1%} {both:>7.1%}", flush=True)
        rows += pictures[:SHOWN]
    if given.sheet:
        grid(rows, columns=min(SHOWN, len(pairs))).save(given.sheet)
        print(given.sheet)


def drawn(concepts: Sequence[Concept], count: int, rng: random.Random) -> list[Pair]:
    countable = [number for number, concept in enumerate(concepts) if concept.article]
    pairs = []
    for number in range(count):
        one, other = rng.sample(countable, 2)
        names = tuple(f"{concepts[each].article} {concepts[each].name}" for each in (one, other))
        pairs.append(Pair((one, other), (names[0], names[1]), list(HALVES)[number % len(HALVES)]))
    return pairs


def made(pipeline: Pipeline, asked: dict[str, Any], seed: int, steps: int) -> Image.Image:
    return pipeline(**asked, seed=seed, num_inference_steps=steps, upsampler_steps=0).pictures[0]


def placed(sight: Sight, pair: Pair) -> list[tuple[bool, bool]]:
    """For each thing: whether it is there, and whether one of its kind has its middle in its box."""
    told = []
    for number, (left, top, right, bottom) in zip(pair.numbers, pair.boxes, strict=True):
        kin = [thing for thing in sight.things if any(look.concept == number for look in thing.readings)]
        told.append((bool(kin), any(left <= thing.x <= right and top <= thing.y <= bottom for thing in kin)))
    return told


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
