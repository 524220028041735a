"""Half "one" and half "seven": which way of mixing prompts, at which guidance scale, splits the pictures between them?

    python benchmarks/mixing.py [--model digits] [--count 500] [--scales 1 2 4] [--strip strip.png]

A classifier of the real digits reads every picture. It prints the share that it takes for a one, for a seven and for
something else, and how sure it is on average. The strip shows, a row a seed, nine pictures from the one to the other.
"""

import argparse
import tempfile
import warnings
from pathlib import Path

from PIL import Image

from sfumato.data.pictures import from_images, grid
from sfumato.data.store import prepare
from sfumato.evaluation.recognition import train_judge
from sfumato.pipelines.request import MIXTURES
from sfumato.pipelines.text_to_image import Pipeline

ENDS = "one", "seven"
FROM, TO = (f"a handwritten {word}" for word in ENDS)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", default="digits")
    arguments.add_argument("--count", type=int, default=500)
    arguments.add_argument("--steps", type=int, default=10)
    arguments.add_argument("--scales", type=float, nargs="*", default=[1.0, 2.0, 4.0])
    arguments.add_argument("--strip", type=Path)
    arguments.add_argument("--seeds", type=int, nargs="*", default=[4, 6, 9, 13, 14, 15], help="of the strip's rows")
    arguments.add_argument("--how", default="branches", choices=MIXTURES, help="of the strip, at scale 1")
    given = arguments.parse_args()

    pipeline = Pipeline.load(given.model)
    pipeline.pictures_a_pass = 50  # together is faster, and equal up to rounding
    if given.strip:
        rows = [[made(pipeline, seed, place / 8, given.how) for place in range(9)] for seed in given.seeds]
        grid([picture for row in rows for picture in row], columns=9).save(given.strip, optimize=True)
        print(given.strip)
    if not given.scales:
        return
    with tempfile.TemporaryDirectory() as cache:
        judge = train_judge(prepare("digits", 64, Path(cache), split="train"), size=32)
    columns = [judge.classes.index(word) for word in ENDS]
    print(f"{'mixed by':<10} {'scale':>5} {'one':>6} {'seven':>6} {'other':>6} {'sure':>6}")
    for how in MIXTURES:
        for scale in given.scales:
            settings = {"num_inference_steps": given.steps, "guidance_scale": scale, "upsampler_steps": 0}
            result = pipeline(FROM, count=given.count, seed=0, mix=((TO, 0.5),), mix_how=how, **settings)
            said = judge.probabilities(from_images(result.pictures))
            one, seven = (int((said.argmax(1) == column).sum()) for column in columns)
            shares = [count / given.count for count in (one, seven, given.count - one - seven)]
            sure = said.max(1).values.mean().item()
            print(f"{how:<10} {scale:>5g}", *(f"{share:>6.1%}" for share in shares), f"{sure:>6.2f}", flush=True)


def made(pipeline: Pipeline, seed: int, weight: float, how: str) -> Image.Image:
    return pipeline(FROM, seed=seed, mix=((TO, weight),), mix_how=how, guidance_scale=1.0).pictures[0]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
