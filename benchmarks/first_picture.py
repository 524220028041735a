"""How long a person waits for the default model: a picture at each size, and the first one of a fresh process.

    python benchmarks/first_picture.py [--model scenes] [--steps 20] [--repeats 5] [--threads 2]

Medians over the repeats, after one to warm up. The fresh process is `sfumato generate`, from its start to its end, with
all that it loads.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

PROMPT = "a raccoon wearing a top hat"


def median(work: Callable[[int], object], repeats: int) -> float:
    """Seconds that `work` takes; it is told which time it is."""
    seconds = []
    for turn in range(repeats + 1):
        began = time.perf_counter()
        work(turn)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:])


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", default="scenes")
    arguments.add_argument("--steps", type=int, default=20)
    arguments.add_argument("--repeats", type=int, default=5)
    arguments.add_argument("--threads", type=int, default=2)
    given = arguments.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(given.threads)  # before torch is there

    from sfumato.pipelines.text_to_image import Pipeline

    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "sfumato", "generate", PROMPT, "--model", given.model, "--out", folder]
        command += ["--steps", str(given.steps), "--device", "cpu"]
        fresh = median(lambda turn: subprocess.run(command, check=True, capture_output=True), given.repeats)
    pipeline = Pipeline.load(given.model, "cpu")
    small = {"upsampler_steps": 0} if pipeline.model.upsamplers else {}

    def picture(turn: int, **settings: int) -> tuple[int, int]:
        return pipeline(PROMPT, seed=turn, num_inference_steps=given.steps, **settings).pictures[0].size

    for settings in (small, {}):
        side = picture(0, **settings)[0]
        seconds = median(lambda turn, settings=settings: picture(turn, **settings), given.repeats)
        print(f"a picture of {side} x {side}, {given.steps} steps: {seconds:.2f} s")
    print(f"a fresh process, from its start to the picture on the disk: {fresh:.2f} s")


if __name__ == "__main__":
    main()
