"""How fast scenes become pictures, on the device at hand: scenes a second at 64 and at 256 pixels a side.

    python benchmarks/scenes.py [--pack PACK] [--batch 256] [--threads 1]

The scenes have one to five things, every fifth in a colour of its own, before all backgrounds. Times are the best of
five, from scenes as arrays (`Layers`, as worker processes hand them over) to pictures on the device; packing is told
apart. Without `--pack` the sprites are those of the installed font, else shapes.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from pathlib import Path

import torch

from sfumato.data.scenes.colours import BACKGROUNDS, TINTS
from sfumato.data.scenes.compose import compose, pack_scenes
from sfumato.data.scenes.scene import Scene, Thing
from sfumato.data.scenes.sprites import pack

SIZES = (64, 256)
COUNTS = (1, 1, 2, 2, 2, 3, 3, 5)  # how many things scenes have
COLOURS = (*[None] * 4 * len(TINTS), *TINTS)


def scene(rng: random.Random, concepts: int) -> Scene:
    things = tuple(
        Thing(
            rng.randrange(concepts),
            rng.uniform(0.2, 0.8),
            rng.uniform(0.2, 0.8),
            rng.uniform(0.2, 0.6),
            rng.choice(COLOURS),
            rng.random() < 0.05,
        )
        for _ in range(rng.choice(COUNTS))
    )
    return Scene(rng.choice(list(BACKGROUNDS)), things)


def seconds(work: Callable[[], object], device: torch.device, times: int = 5) -> float:
    """The best of several, after one that is not counted."""
    work()
    best = float("inf")
    for _ in range(times):
        began = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - began)
    return best


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--pack", type=Path)
    arguments.add_argument("--batch", type=int)
    arguments.add_argument("--threads", type=int, default=1)
    given = arguments.parse_args()
    torch.set_num_threads(given.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, threads: {given.threads}"
    sprites, rng = pack(given.pack), random.Random(0)
    print(f"{name}; {len(sprites.concepts)} concepts of {sprites.origin}")
    for size in SIZES:
        batch = given.batch or (2048 * 64 // size if device.type == "cuda" else 256 * 64 // size)
        scenes = [scene(rng, len(sprites.concepts)) for _ in range(batch)]
        layers = pack_scenes(scenes)
        packing = seconds(lambda: pack_scenes(scenes), device)  # noqa: B023
        composing = seconds(lambda: compose(layers, sprites, size, device), device)  # noqa: B023
        print(
            f"{size} x {size}, {batch} at once: {batch / composing:,.0f} scenes/s composed, "
            f"{batch / packing:,.0f} scenes/s packed"
        )


if __name__ == "__main__":
    main()
