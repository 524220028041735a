"""Do maps of attention lie on what a word names, does the thing go with its word, and what does looking cost?

    python benchmarks/xray.py [--model scenes] [--scenes 100] [--made 60] [--digits 100] [--removed 40] [--rounds 7]

- Noised scenes: a composed scene, which no training saw, is made noisy to `--strength` of the way and denoised with its
  caption. The true mask of each thing is the pixels that change where it is left out.
- Made pictures: pictures of captions, from noise alone. The mask of a thing is what the eye that judges scenes says
  that it covers; things that the eye does not find have none.
- Digits: held-out digits, noised and denoised by the embedded model of digits; the mask is the ink.

A map is cut by Otsu's threshold (1979), which knows nothing of the mask, and compared by intersection over union: the
maps that `Trace.attention` gives beside the plain sum of DAAM (Tang et al. 2023), from the very same looks.

Then each named thing is taken out of a caption, with the same seed: is it gone from the picture, and are the others
still there? Last, the time of a trace beside that of the picture alone, in turns, and the memory that it holds.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sfumato.data.digits import digits
from sfumato.data.pictures import from_images, to_image
from sfumato.data.scenes.compose import compose
from sfumato.data.scenes.description import Group
from sfumato.data.scenes.scene import Scene
from sfumato.data.scenes.sprites import Pack, pack
from sfumato.data.scenes.stream import Scenes
from sfumato.errors import PromptError
from sfumato.evaluation.seeing.finding import Eye
from sfumato.evaluation.seeing.judging import asked_looks
from sfumato.evaluation.seeing.sight import Sight
from sfumato.pipelines.text_to_image import Pipeline
from sfumato.pipelines.trace import HOWS, Trace

SIDE = 64  # at which scenes are composed and looked at
LEAST = 20  # pixels of a mask that is measured
LOOKED_AT = 40  # digits by which the maps were chosen, as they were by scenes of the seed 77
CHANGED = 0.15  # of colours in [-1, 1]: more than the edge of a thing's shadow


class Case(NamedTuple):
    """A word of a trace, and what it names."""

    trace: Trace
    word: str
    mask: np.ndarray  # (side, side), whether the thing is there


def otsu(values: np.ndarray) -> float:
    """The threshold that parts values into two classes of the least variance within (Otsu 1979)."""
    counts, edges = np.histogram(values, bins=128)
    middles = (edges[1:] + edges[:-1]) / 2
    below = counts.cumsum()
    above = below[-1] - below
    sums = (counts * middles).cumsum()
    apart = sums / np.maximum(below, 1) - (sums[-1] - sums) / np.maximum(above, 1)
    return float(middles[(below * above * apart**2).argmax()])


def overlap(case: Case, how: str) -> float:
    """Intersection over union of the cut map with the mask."""
    found = case.trace.attention(case.word, how=how)
    size = case.mask.shape[::-1]
    found = np.asarray(Image.fromarray(found.astype(np.float32)).resize(size, Image.Resampling.BILINEAR))
    inside = found > otsu(found)
    return float((inside & case.mask).sum() / max(1, (inside | case.mask).sum()))


def named(group: Group, sprites: Pack, trace: Trace) -> str | None:
    """By which of its names a caption speaks of a group; None where it says it in other words."""
    concept = sprites.concepts[group.concept]
    for name in (concept.plural, *concept.names):
        try:
            trace.find(name)
        except PromptError:
            continue
        return name
    return None


def noised_scenes(pipeline: Pipeline, stream: Scenes, count: int, strength: float) -> Iterator[Case]:
    """Composed scenes that are denoised with their captions."""
    for number in range(count):
        scene = stream.scene(number)
        picture = compose([scene], stream.pack, SIDE)[0]
        settings = {"picture": to_image(picture), "strength": strength, "upsampler_steps": 0}
        trace = pipeline.trace(stream.told(scene, number), seed=number, **settings)
        for group in scene.description.groups:
            without = tuple(thing for thing in scene.things if thing.concept != group.concept)
            bare = compose([Scene(scene.background, without)], stream.pack, SIDE)[0]
            mask = ((picture - bare).abs().amax(0) > CHANGED).numpy()
            name = named(group, stream.pack, trace)
            if name and mask.sum() >= LEAST:
                yield Case(trace, name, mask)


def seen(eye: Eye, picture: Image.Image, scene: Scene) -> Sight:
    """What an eye sees in a picture that was made for a scene's caption."""
    (sight,) = eye(from_images([picture.resize((SIDE, SIDE), Image.Resampling.BOX)]), [asked_looks(scene.description)])
    return sight


def cover(sight: Sight, concept: int) -> Tensor:
    """Where things of a concept are."""
    covers = [thing.cover for thing in sight.things if any(look.concept == concept for look in thing.readings)]
    return torch.stack(covers).amax(0) > 0.5 if covers else torch.zeros(SIDE, SIDE, dtype=torch.bool)


def made_pictures(pipeline: Pipeline, stream: Scenes, eye: Eye, count: int) -> Iterator[Case]:
    """Pictures from noise, whose things an eye finds."""
    for number in range(count):
        scene = stream.scene(number)
        trace = pipeline.trace(stream.told(scene, number), seed=number, upsampler_steps=0)
        sight = seen(eye, trace.picture, scene)
        for group in scene.description.groups:
            mask, name = cover(sight, group.concept).numpy(), named(group, stream.pack, trace)
            if name and mask.sum() >= LEAST:
                yield Case(trace, name, mask)


def noised_digits(count: int, strength: float) -> Iterator[Case]:
    """Held-out digits."""
    pipeline = Pipeline.load("digits", device="cpu")
    for number, entry in enumerate(digits("test")[LOOKED_AT : LOOKED_AT + count]):
        drawing = entry.picture.draw(pipeline.base_size)
        picture = Image.fromarray(drawing.transpose(1, 2, 0))
        name = entry.label
        settings = {"picture": picture, "strength": strength, "upsampler_steps": 0}
        trace = pipeline.trace(f"a handwritten {name}", seed=number, **settings)
        yield Case(trace, name, drawing[0] < 128)


def covered(title: str, cases: Iterator[Case]) -> None:
    """Tell how well maps lie on what they name."""
    overlaps = [[overlap(case, how) for how in HOWS] for case in cases]
    if not overlaps:
        print(f"{title}: nothing that is named was found")
        return
    told = ", ".join(f"{how} {mean:.3f}" for how, mean in zip(HOWS, np.mean(overlaps, axis=0), strict=True))
    print(f"{title}: intersection over union of {len(overlaps)} things: {told}", flush=True)


def removed(pipeline: Pipeline, stream: Scenes, eye: Eye, count: int) -> None:
    """Tell whether things go with their words, and whether the others stay."""
    there = gone = others = stayed = 0
    for number in range(count):
        scene = stream.scene(number)
        trace = pipeline.trace(stream.told(scene, number), seed=number, upsampler_steps=0)
        before = seen(eye, trace.picture, scene)
        for group in scene.description.groups:
            name = named(group, stream.pack, trace)
            if name is None or not cover(before, group.concept).any():
                continue
            after = seen(eye, pipeline.without(trace, name).picture, scene)
            there, gone = there + 1, gone + (not cover(after, group.concept).any())
            rest = [other.concept for other in scene.description.groups if other is not group]
            kept = [concept for concept in rest if cover(before, concept).any()]
            others, stayed = others + len(kept), stayed + sum(bool(cover(after, each).any()) for each in kept)
    print(f"word removed: {gone} of {there} things gone, {stayed} of {others} other things still there", flush=True)


def held(trace: Trace) -> int:
    """Bytes of a trace."""
    arrays = [trace.final, *(maps for layers in trace.looks.maps.values() for maps in layers.values())]
    pictures = [trace.picture]
    for step in trace.steps:
        for value in vars(step).values():
            arrays += [value] if isinstance(value, np.ndarray) else []
            pictures += [value] if isinstance(value, Image.Image) else []
    return sum(array.nbytes for array in arrays) + sum(3 * picture.width * picture.height for picture in pictures)


def cost(pipeline: Pipeline, rounds: int) -> None:
    """Tell the time of a trace beside that of the picture alone, and what it holds."""
    (request,) = pipeline.requests("a red apple left of a blue dog", seed=1)

    def seconds(asked: str) -> float:
        begun = time.perf_counter()
        pipeline.trace(**vars(request)) if asked == "traced" else pipeline(**vars(request))
        return time.perf_counter() - begun

    for asked in ("plain", "traced"):
        seconds(asked)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pairs = [(seconds("plain"), seconds("traced")) for _ in range(rounds)]
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    plain, traced = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(traced / plain for plain, traced in pairs)
    print(f"{pipeline.model.name}: {plain:.2f} s, traced {traced:.2f} s, {ratio:.2f} times")
    trace = pipeline.trace(**vars(request))
    print(f"a trace holds {held(trace) / 2**20:.1f} MiB; the peak of memory grew by {(after - before) / 2**10:.1f} MiB")
    longer = pipeline.trace(**vars(replace(request, num_inference_steps=100)))
    print(f"one of 100 steps holds {held(longer) / 2**20:.1f} MiB, {len(longer.steps)} steps")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", default="scenes")
    arguments.add_argument("--concepts", type=int, default=24, help="that the model knows")
    arguments.add_argument("--sprites", type=Path)
    arguments.add_argument("--scenes", type=int, default=100)
    arguments.add_argument("--made", type=int, default=60)
    arguments.add_argument("--digits", type=int, default=100)
    arguments.add_argument("--removed", type=int, default=40)
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--strength", type=float, default=0.7)
    arguments.add_argument("--seed", type=int, default=5)
    given = arguments.parse_args()

    if given.rounds:
        cost(Pipeline.load(given.model), given.rounds)
    if given.digits:
        covered("noised digits", noised_digits(given.digits, given.strength))
    pipeline = Pipeline.load(given.model)
    stream = Scenes(pack(given.sprites).first(given.concepts), given.seed)
    print(f"scenes of {stream.pack.origin}")
    if given.scenes:
        covered("noised scenes", noised_scenes(pipeline, stream, given.scenes, given.strength))
    if given.made or given.removed:
        eye = Eye(stream.pack, SIDE)
        if given.made:
            covered("made pictures", made_pictures(pipeline, stream, eye, given.made))
        if given.removed:
            removed(pipeline, stream, eye, given.removed)


if __name__ == "__main__":
    main()
