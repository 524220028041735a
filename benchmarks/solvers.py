"""What a number of network evaluations buys: every solver, beside those of k-diffusion and diffusers.

    python benchmarks/solvers.py [--count 200] [--evaluations 5 10 20 50] [--only exact|digits] [--name PATTERN]

1. An exact world: a mixture of Gaussians in 64 dimensions behind the betas of the digits model. Deterministic solvers
   are measured by the root mean square distance to the end of the exact path from the same noise, all of them by the
   distance between the distribution that they make and the true one (sliced Wasserstein, 256 directions; that of two
   true samples is given for comparison).
2. The digits model without guidance: how many digits the judge reads as asked, and the Frechet distance of the judge's
   features to those of real digits.
"""

import argparse
import re
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from peers import diffusers_samplers, k_diffusion_samplers
from sfumato.data.digits import WORDS
from sfumato.data.store import prepare
from sfumato.diffusion.levels import Level
from sfumato.diffusion.mixture import GaussianMixture
from sfumato.diffusion.parameterisation import Denoise
from sfumato.diffusion.processes import BetaTable
from sfumato.diffusion.sampling import last, sample
from sfumato.diffusion.solvers import SOLVERS, Method, unipc
from sfumato.diffusion.times import SPACINGS, timetable
from sfumato.evaluation.recognition import Judge, train_judge
from sfumato.pipelines.denoising import prompted
from sfumato.pipelines.text_to_image import Pipeline

Sampler = Callable[[Denoise, Tensor, int], Tensor]
F64 = torch.float64


def our_samplers(table: BetaTable) -> dict[str, Sampler]:
    """Our solvers on the trailing timetable, and some at the quantiles of a beta distribution."""

    def sampler(method: Method, spacing: str = "trailing") -> Sampler:
        def run(denoise: Denoise, noise: Tensor, evaluations: int) -> Tensor:
            levels = _levels(method, partial(timetable, table, spacing=SPACINGS[spacing]), evaluations)
            return last(sample(denoise, noise * levels.sigma[0].item(), levels, torch.randn_like, method.step))

        return run

    same = {"ddim", "dpmpp-1s", "euler-ancestral"}  # other names of euler and ddpm
    found = {f"sfumato {name}": sampler(method) for name, method in SOLVERS.items() if name not in same}
    for name in ("dpmpp-2m", "unipc-2", "gradient-estimation", "ddpm", "dpmpp-2m-sde", "dpmpp-3m-sde"):
        found[f"sfumato {name} beta"] = sampler(SOLVERS[name], "beta")
    return found


def _levels(method: Method, spaced: Callable[[int], Level], evaluations: int) -> Level:
    """The longest timetable that takes no more evaluations; two-look solvers take one look in the step to clean."""
    steps = (evaluations + method.evaluations - 1) // method.evaluations
    while steps > 1 and _cost(method, method.route(spaced(steps))) > evaluations:
        steps -= 1
    return method.route(spaced(steps))


def _cost(method: Method, levels: Level) -> int:
    s = levels.sigma / levels.alpha
    moves = (s[1:] < s[:-1]).sum().item()
    return method.evaluations * moves - (method.evaluations - 1)


@torch.inference_mode()
def exact_world(table: BetaTable, count: int, budgets: list[int], pattern: str) -> list[tuple[str, list[str]]]:
    generator = torch.Generator().manual_seed(0)
    means = torch.randn(10, 64, generator=generator, dtype=F64)
    world = GaussianMixture(means, torch.linspace(0.1, 0.4, 10, dtype=F64), torch.full((10,), 0.1, dtype=F64))
    noise = torch.randn(count, 64, generator=generator, dtype=F64)
    fine = table(torch.linspace(1, 0, 4001, dtype=F64))
    exact = last(sample(world.denoise, noise * fine.sigma[0], fine, torch.zeros_like, unipc(3)))
    true, other = world.sample(count, generator), world.sample(count, generator)
    rows = [("two true samples", [f"{sliced_wasserstein(true, other):.3f}"])]
    random = {name for name, method in SOLVERS.items() if method.order is None}
    for name, sampler in every_sampler(table, pattern).items():
        cells = []
        for budget in budgets:
            torch.manual_seed(1)
            made = sampler(world.denoise, noise, budget).double()
            distance = f"{sliced_wasserstein(made, true):.3f}"
            ours = name.removeprefix("sfumato ").removesuffix(" beta")
            stochastic = ours in random or any(word in name for word in ("ncestral", "sde", "DDPM"))
            error = "" if stochastic else f"{(made - exact).square().mean().sqrt():.1e}, "
            cells.append(error + distance)
        rows.append((name, cells))
    return rows


def sliced_wasserstein(a: Tensor, b: Tensor) -> float:
    """The mean distance of sorted projections on 256 random directions (Rabin et al. 2012)."""
    directions = torch.randn(a.shape[1], 256, generator=torch.Generator().manual_seed(0), dtype=a.dtype)
    directions = directions / directions.norm(dim=0)
    return ((a @ directions).sort(0).values - (b @ directions).sort(0).values).abs().mean().item()


def every_sampler(table: BetaTable, pattern: str) -> dict[str, Sampler]:
    """All samplers whose name fits the pattern."""
    every = {**our_samplers(table), **k_diffusion_samplers(table), **diffusers_samplers(table)}
    return {name: sampler for name, sampler in every.items() if re.search(pattern, name)}


def judge_of_digits() -> tuple[Judge, Tensor]:
    """A classifier of the real training digits, and its features of them."""
    with tempfile.TemporaryDirectory() as cache:
        train = prepare("digits", 64, Path(cache), split="train")
        judge = train_judge(train, size=32)
        return judge, judge_features(judge, train.batch(torch.arange(len(train))))


@torch.inference_mode()
def digits(
    pipeline: Pipeline, count: int, budgets: list[int], guidance: float, pattern: str
) -> list[tuple[str, list[str]]]:
    with torch.inference_mode(False):
        judge, real = judge_of_digits()
    way, model = pipeline.way, pipeline.model
    labels = [WORDS[i % 10] for i in range(count)]
    states, empty = (way.encode(texts)[0][0] for texts in ([f"a handwritten {word}" for word in labels], [""]))
    table = model.diffusion.process
    rows = []
    for name, sampler in every_sampler(table, pattern).items():
        cells, began = [], time.monotonic()
        for budget in budgets:
            torch.manual_seed(1)
            denoise = prompted(model.unet, model.diffusion, states, empty, guidance)
            noise = torch.randn(count, 4, 8, 8, generator=torch.Generator().manual_seed(0))
            pictures = way.decode(sampler(denoise, noise, budget).float(), count).clamp(-1, 1)
            distance = frechet(judge_features(judge, pictures), real)
            cells.append(f"{judge.accuracy(pictures, labels):.1%}, {distance:.2f}")
        print(name, *cells, f"{time.monotonic() - began:.0f} s", sep="  ", flush=True)
        rows.append((name, cells))
    return rows


def judge_features(judge: Judge, pictures: Tensor) -> Tensor:
    small = torch.nn.functional.interpolate(pictures, size=(judge.size,) * 2, mode="bilinear", antialias=True)
    with torch.inference_mode():
        return torch.cat([judge.classifier.features(some) for some in small.split(128)]).double()


def frechet(a: Tensor, b: Tensor) -> float:
    """The Frechet distance of two Gaussians fitted to features (Heusel et al. 2017)."""
    means = (a.mean(0) - b.mean(0)).square().sum()
    c, d = a.T.cov(), b.T.cov()
    mixed = torch.linalg.eigvals(c @ d).real.clamp(min=0).sqrt().sum()
    return (means + c.trace() + d.trace() - 2 * mixed).item()


def table_of(rows: list[tuple[str, list[str]]], budgets: list[int]) -> str:
    head = f"| solver | {' | '.join(map(str, budgets))} |\n| --- |{' --- |' * len(budgets)}\n"
    return head + "".join(f"| {name} | {' | '.join(cells)} |\n" for name, cells in rows)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--count", type=int, default=200)
    arguments.add_argument("--evaluations", type=int, nargs="+", default=[5, 10, 20, 50])
    arguments.add_argument("--guidance", type=float, default=1.0)
    arguments.add_argument("--name", default="", help="only samplers whose name fits this regular expression")
    arguments.add_argument("--only", choices=["exact", "digits"])
    given = arguments.parse_args()
    pipeline = Pipeline.load("digits")
    table = pipeline.model.diffusion.process
    if given.only != "digits":
        rows = exact_world(table, 1000, given.evaluations, given.name)
        print(table_of(rows, given.evaluations))
    if given.only != "exact":
        rows = digits(pipeline, given.count, given.evaluations, given.guidance, given.name)
        print(table_of(rows, given.evaluations))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
