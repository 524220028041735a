"""How far from the fine picture do few steps end, by how they are spread?

    python benchmarks/times.py [--model digits] [--steps 5 10] [--solver dpmpp-2m] [--count 40] [--pictures 16]

The latents that each named spacing reaches, and those of times tuned on other prompts and seeds, beside those of 200
Heun steps from the same noise: the root mean square distance, a mean over pictures. Less is better.
"""

import argparse
from dataclasses import replace

import torch

from sfumato.data.digits import WORDS
from sfumato.diffusion.sampling import last
from sfumato.diffusion.times import SPACINGS
from sfumato.pipelines.request import Request
from sfumato.pipelines.text_to_image import Pipeline
from sfumato.pipelines.tuning import known_prompts, tune_steps
from sfumato.pipelines.ways.way import Batch

PROMPTS = [f"a handwritten {word}" for word in WORDS]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", default="digits")
    arguments.add_argument("--steps", type=int, nargs="+", default=[5, 10])
    arguments.add_argument("--solver", default="unipc-2")
    arguments.add_argument("--guidance", type=float, default=4.0)
    arguments.add_argument("--count", type=int, default=40)
    arguments.add_argument("--budget", type=int, default=1500)
    arguments.add_argument("--pictures", type=int, default=16, help="that the steps are tuned on")
    given = arguments.parse_args()

    pipeline = Pipeline.load(given.model)
    pipeline.pictures_a_pass = given.count
    seeds = range(10_000, 10_000 + given.count)
    prompts, side, way = [PROMPTS[i % len(PROMPTS)] for i in range(given.count)], pipeline.base_size, pipeline.way

    def latents(plan: Request) -> torch.Tensor:
        with torch.inference_mode():
            return last(way.denoise(way.encode(prompts), Batch(prompts, seeds, side, side, plan, given.count)))

    fine = latents(Request("", 0, 200, given.guidance, "heun", spacing="karras"))
    for steps in given.steps:
        plan = Request("", 0, steps, given.guidance, given.solver)
        tuned = tune_steps(pipeline, plan, known_prompts(pipeline.model, given.pictures), given.pictures, given.budget)
        plans = {name: replace(plan, spacing=name) for name in SPACINGS}
        plans["tuned"] = replace(plan, times=tuple(tuned.times.tolist()))
        ends = {name: latents(plan) - fine for name, plan in plans.items()}
        found = {name: end.flatten(1).square().mean(1).sqrt().mean().item() for name, end in ends.items()}
        print(f"{steps} steps of {given.solver}; tuning took {tuned.evaluations} passes")
        for name, error in sorted(found.items(), key=lambda item: item[1]):
            print(f"  {name:<12} {error:.4f}")
        print(f"  tuned times: {', '.join(f'{time:.4f}' for time in tuned.times.tolist())}")


if __name__ == "__main__":
    main()
