"""How fast scenes come: written, laid out and captioned on one core, and composed to pictures on the device at hand.

    python benchmarks/scenes.py [--pack PACK] [--batch BATCH] [--threads 1]

The scenes are those of the training stream. *Written* is a scene with one caption; *packed* is scenes as arrays, which
is what worker processes hand over; *composed* is from these arrays to pictures on the device, the best of five.
Without `--pack` the sprites are those of the installed font, else shapes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch

from sfumato.data.scenes.compose import compose, pack_scenes
from sfumato.data.scenes.scene import Scene
from sfumato.data.scenes.sprites import pack
from sfumato.data.scenes.stream import Scenes

SIZES = (64, 256)
PIXELS = {"cpu": 256 * 64**2, "cuda": 4096 * 64**2}  # of one batch


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


def written(stream: Scenes, count: int) -> tuple[list[Scene], float]:
    """So many scenes, and how long they took with a caption each."""
    began = time.perf_counter()
    scenes = [stream.scene(number) for number in range(count)]
    for number, scene in enumerate(scenes):
        stream.told(scene, number)
    return scenes, time.perf_counter() - began


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--pack", type=Path)
    arguments.add_argument("--batch", type=int)
    arguments.add_argument("--threads", type=int, default=1)
    given = arguments.parse_args()
    torch.set_num_threads(given.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    sprites = pack(given.pack)
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, threads: {given.threads}"
    print(f"{name}; {len(sprites.concepts)} concepts: {sprites.origin}")
    for size in SIZES:
        batch = given.batch or PIXELS[device.type] // size**2
        scenes, writing = written(Scenes(sprites, seed=size), batch)
        layers = pack_scenes(scenes)
        packing = seconds(lambda: pack_scenes(scenes), device)  # noqa: B023
        composing = seconds(lambda: compose(layers, sprites, size, device), device)  # noqa: B023
        rates = [
            f"{batch / taken:,.0f} {what}"
            for what, taken in (("written", writing), ("packed", packing), ("composed", composing))
        ]
        print(f"{size} x {size}, {batch} at once, scenes a second: {', '.join(rates)}")


if __name__ == "__main__":
    main()
