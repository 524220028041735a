"""Is the judge of scenes right? On real scenes it must find no fault, on wrong ones it must say the fault.

    python benchmarks/judge.py [--concepts 150] [--real 1000] [--wrong 1000] [--blur 0] [--noise 0] [--sprites FILE]

Scenes of all categories are composed at 64 pixels, and `--real` of them judged. As many wrong ones are made of them in
turn by swapping two things, leaving one out, adding one more of a kind or a stranger, recolouring one, putting another
concept in the place of one, and changing the background; what is wrong counts as told only when a fault says just that.
`--blur` mixes each picture with its mean over 3 x 3 pixels, and `--noise` adds grain, as autoencoders do.
"""

import argparse
import random
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from sfumato.data.scenes.compose import compose
from sfumato.data.scenes.description import category
from sfumato.data.scenes.language import Language
from sfumato.data.scenes.layout import lay_out
from sfumato.data.scenes.scene import Scene
from sfumato.data.scenes.sprites import Pack, pack
from sfumato.evaluation.seeing.finding import Eye
from sfumato.evaluation.seeing.judging import asked_looks, judged
from sfumato.evaluation.seeing.spoiling import WAYS, spoil

SIZE, BATCH = 64, 8


def degraded(pictures: Tensor, blur: float, noise: float, generator: torch.Generator) -> Tensor:
    mean = F.avg_pool2d(F.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, 1)
    return torch.lerp(pictures, mean, blur) + noise * torch.randn(pictures.shape, generator=generator)


def told_of(
    scenes: list[Scene], sprites: Pack, eye: Eye, blur: float, noise: float
) -> tuple[list[Sequence[str]], float]:
    """The faults of each scene, and seconds a picture."""
    generator, seconds = torch.Generator().manual_seed(0), 0.0
    told: list[Sequence[str]] = []
    for first in range(0, len(scenes), BATCH):
        some = scenes[first : first + BATCH]
        pictures = degraded(compose(some, sprites, SIZE), blur, noise, generator)
        began = time.process_time()
        sights = eye(pictures, [asked_looks(scene.description) for scene in some])
        told += [judged(sight, scene.description, sprites).faults for sight, scene in zip(sights, some, strict=True)]
        seconds += time.process_time() - began
    return told, seconds / max(len(scenes), 1)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--concepts", type=int, default=150)
    arguments.add_argument("--real", type=int, default=1000)
    arguments.add_argument("--wrong", type=int, default=1000)
    arguments.add_argument("--blur", type=float, default=0.0)
    arguments.add_argument("--noise", type=float, default=0.0)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--sprites", type=Path)
    given = arguments.parse_args()

    sprites = pack(given.sprites).first(given.concepts)
    language, rng = Language(sprites.concepts), random.Random(given.seed)
    eye = Eye(sprites, SIZE)
    real = [lay_out(language.draw(rng), sprites, rng) for _ in range(given.real)]
    told, seconds = told_of(real, sprites, eye, given.blur, given.noise)
    right, all_ = Counter(), Counter()
    for scene, found in zip(real, told, strict=True):
        all_[category(scene.description)] += 1
        right[category(scene.description)] += not found
        if found:
            print(f"  {scene.description}: {'; '.join(found)}")
    print(f"{len(sprites.concepts)} concepts of {sprites.origin}, {seconds:.2f} s a picture of processor time")
    print(f"real scenes without a fault: {right.total()}/{all_.total()} = {right.total() / max(all_.total(), 1):.1%}")
    print(*(f"  {name:<10} {right[name]}/{all_[name]}" for name in sorted(all_)), sep="\n")

    wrong = []
    while len(wrong) < given.wrong:
        scene, how = lay_out(language.draw(rng), sprites, rng), list(WAYS)[len(wrong) % len(WAYS)]
        spoilt = spoil(scene, how, sprites, rng)
        wrong += [(how, spoilt)] if spoilt else []
    told, _ = told_of([spoilt.scene for _, spoilt in wrong], sprites, eye, given.blur, given.noise)
    right, all_ = Counter(), Counter()
    for (how, spoilt), found in zip(wrong, told, strict=True):
        all_[how] += 1
        right[how] += spoilt.is_told(found)
        if not spoilt.is_told(found):
            print(f"  {how}, {spoilt.scene.description}: wanted {spoilt.expected.pattern!r}, told {found}")
    share = right.total() / max(all_.total(), 1)
    print(f"wrong scenes of which the fault is told: {right.total()}/{all_.total()} = {share:.1%}")
    print(*(f"  {name:<10} {right[name]}/{all_[name]}" for name in WAYS), sep="\n")


if __name__ == "__main__":
    main()
