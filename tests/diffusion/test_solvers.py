"""Solvers, on a world whose exact denoiser is known: their orders, their distributions, their purity."""

import math

import pytest
import torch

from sfumato.diffusion.levels import Level
from sfumato.diffusion.mixture import GaussianMixture
from sfumato.diffusion.noise import per_sample_noise
from sfumato.diffusion.processes import Cosine, Flow, Karras, scaled_linear_betas
from sfumato.diffusion.sampling import last, sample
from sfumato.diffusion.solvers import SOLVERS, Before, ddpm, dpmpp_2m, euler, heun
from sfumato.diffusion.times import timetable

F64 = torch.float64
ONE = GaussianMixture(torch.tensor([[0.5, -0.3]], dtype=F64), torch.tensor([0.5], dtype=F64), torch.ones(1, dtype=F64))
TWO = GaussianMixture(
    torch.tensor([[1.0, 0.5], [-1.0, 0.0]], dtype=F64),
    torch.tensor([0.3, 0.5], dtype=F64),
    torch.tensor([0.4, 0.6], dtype=F64),
)


def silent(sample):
    return torch.zeros_like(sample)


def exact_flow_of_one_gaussian(start, here, there):
    """The probability-flow ODE keeps a Gaussian's points at their place in units of its width."""
    width = lambda level: (level.alpha.square() * ONE.stds.square() + level.sigma.square()).sqrt()  # noqa: E731
    return there.alpha * ONE.means + (start - here.alpha * ONE.means) * width(there) / width(here)


def measured_order(solver, process, begin, end):
    errors = []
    for steps in (500, 1000):
        levels = process(torch.linspace(begin, end, steps + 1, dtype=F64))
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(64, 2, generator=generator, dtype=F64)
        start = levels[0].add_noise(ONE.sample(64, generator), noise)
        found = last(sample(ONE.denoise, start, levels, silent, solver))
        errors.append((found - exact_flow_of_one_gaussian(start, levels[0], levels[-1])).square().mean().sqrt())
    return math.log2(errors[0] / errors[1])


each_process = pytest.mark.parametrize("process", [Flow(), Flow(3.0), Cosine(), Karras(0.02, 20)], ids=str)
each_order = pytest.mark.parametrize(("solver", "order"), [(euler, 1), (heun, 2), (dpmpp_2m, 2)])


@each_process
@each_order
def test_global_error_falls_with_the_declared_order(solver, order, process):
    assert measured_order(solver, process, begin=0.95, end=0.1) == pytest.approx(order, abs=0.15)


@each_process
@each_order
def test_the_order_holds_from_pure_noise_to_clean(solver, order, process):
    # where log SNR is infinite dpmpp_2m takes a step of order 1, which shows as 1.7 to 1.9 at these sizes
    assert measured_order(solver, process, begin=1, end=0) > order - 0.35


def test_ddpm_gives_the_exact_distribution():
    count = 4000
    levels = timetable(Cosine(), 200)
    noise = per_sample_noise(range(count))
    start = noise(torch.empty(count, 2, dtype=F64))
    points = last(sample(TWO.denoise, start, levels, noise, ddpm))
    truth = TWO.sample(100_000, torch.Generator().manual_seed(1))
    assert torch.allclose(points.mean(0), truth.mean(0), atol=0.06)
    assert torch.allclose(points.T.cov(), truth.T.cov(), atol=0.08)


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("process", [Flow(), Cosine(), Karras(), scaled_linear_betas()], ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_solver_makes_a_nan_between_pure_noise_and_clean(name, process, dtype):
    levels = timetable(process, 5)
    noise = per_sample_noise(range(4))
    start = (noise(torch.empty(4, 2)) * levels.sigma[0].float()).to(dtype)
    world = GaussianMixture(*(t.to(dtype) for t in (TWO.means, TWO.stds, TWO.weights)))
    for state in sample(world.denoise, start, levels, noise, SOLVERS[name]):
        assert torch.isfinite(state.noisy).all()
        assert state.noisy.dtype == dtype


@pytest.mark.parametrize("name", SOLVERS)
def test_levels_per_sample_give_what_calls_per_sample_give(name):
    solver, process = SOLVERS[name], Flow()
    here, there = process(torch.tensor([1.0, 0.7, 0.2])), process(torch.tensor([0.8, 0.4, 0.0]))
    noisy = torch.randn(3, 2, dtype=F64)
    together, _ = solver(TWO.denoise, noisy, here, there, None, per_sample_noise([5, 6, 7]))
    for i in range(3):
        alone, _ = solver(TWO.denoise, noisy[i : i + 1], here[i], there[i], None, per_sample_noise([5 + i]))
        assert torch.allclose(together[i : i + 1], alone, atol=1e-12)


def test_no_memory_is_the_same_as_having_come_from_pure_noise():
    noisy, here, there = torch.randn(2, 2, dtype=F64), Flow()(torch.tensor(0.6)), Flow()(torch.tensor(0.4))
    start = Before(Level(torch.zeros(2, 1, dtype=F64), torch.ones(2, 1, dtype=F64)), torch.zeros(2, 2, dtype=F64))
    assert torch.equal(
        dpmpp_2m(TWO.denoise, noisy, here, there, None, silent)[0],
        dpmpp_2m(TWO.denoise, noisy, here, there, start, silent)[0],
    )


def test_sampling_yields_every_step_and_can_be_left():
    states = sample(TWO.denoise, torch.randn(2, 2, dtype=F64), timetable(Flow(), 6), silent)
    first = next(states)
    assert (first.step, first.steps) == (1, 6)
    assert [state.step for state in states] == [2, 3, 4, 5, 6]


def test_noise_belongs_to_the_sample_not_to_the_batch():
    batch = per_sample_noise([1, 2, 3])(torch.empty(3, 4))
    assert torch.equal(batch[1:2], per_sample_noise([2])(torch.empty(1, 4)))
    assert torch.equal(batch[0], torch.randn(4, generator=torch.Generator().manual_seed(1)))
    assert not torch.equal(batch, per_sample_noise([1, 2, 3], "other")(torch.empty(3, 4)))
