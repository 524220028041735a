"""Solvers, on a world whose exact denoiser is known: their orders, their distributions, their purity."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from sfumato.diffusion.levels import Level
from sfumato.diffusion.mixture import GaussianMixture
from sfumato.diffusion.noise import per_sample_noise
from sfumato.diffusion.processes import Cosine, Flow, Karras, scaled_linear_betas
from sfumato.diffusion.sampling import last, sample
from sfumato.diffusion.solvers import SOLVERS, ancestral, churned, consistency, dpmpp, euler, heun
from sfumato.diffusion.solvers.adams import Before, nowhere
from sfumato.diffusion.solvers.restart import restarting, with_restarts
from sfumato.diffusion.solvers.step import decay
from sfumato.diffusion.solvers.unipc import Left
from sfumato.diffusion.times import timetable

F64 = torch.float64
WORLD = GaussianMixture(
    torch.tensor([[1.0, 0.5], [-1.0, 0.0]], dtype=F64),
    torch.tensor([0.3, 0.5], dtype=F64),
    torch.tensor([0.4, 0.6], dtype=F64),
)
SMOOTH = GaussianMixture(WORLD.means, torch.tensor([0.5, 0.7], dtype=F64), WORLD.weights)
PROCESSES = [Flow(), Flow(3.0), Cosine(), Karras(0.02, 20), scaled_linear_betas()]
EXACT = [name for name, method in SOLVERS.items() if method.order]
RANDOM = [name for name, method in SOLVERS.items() if not method.order and name != "lcm"]

each_solver = pytest.mark.parametrize("name", SOLVERS)


def silent(sample):
    return torch.zeros_like(sample)


# --- orders -----------------------------------------------------------------------------------------------------------


def truth(begin, levels):
    """The exact path of the probability-flow ODE at these levels, by a reference integrator at its finest.

    Data of length sigma = 1: noisy / sigma moves by clean d(alpha / sigma), here along log SNR.
    """

    def slope(half_log_snr, flat):
        alpha = torch.tensor(math.exp(half_log_snr), dtype=F64)
        clean = SMOOTH.denoise(torch.from_numpy(flat).reshape(begin.shape), Level(alpha, torch.ones((), dtype=F64)))
        return (alpha * clean).flatten().numpy()

    places = levels.half_log_snr.numpy()
    flat = (begin / levels.sigma[0]).flatten().numpy()
    found = solve_ivp(slope, places[[0, -1]], flat, "DOP853", rtol=1e-12, atol=1e-13, t_eval=places)
    return [torch.from_numpy(y).reshape(begin.shape) * sigma for y, sigma in zip(found.y.T, levels.sigma, strict=True)]


def global_error(solver, process, steps):
    """The error at the end of the middle part of a process.

    A multistep solver is given exact states for its first four steps: an order speaks of the steps after the start.
    """
    generator = torch.Generator().manual_seed(0)
    clean, noise = SMOOTH.sample(8, generator), torch.randn(8, 2, generator=generator, dtype=F64)
    levels = process(torch.linspace(0.8, 0.2, steps + 1, dtype=F64))
    noisy, memory = levels[0].add_noise(clean, noise), None
    path = truth(noisy, levels)
    for i, (here, there) in enumerate(itertools.pairwise(levels)):
        noisy, memory = solver(SMOOTH.denoise, noisy, here, there, memory, silent)
        if i < 4:
            noisy = path[i + 1]
            memory = memory._replace(noisy=path[i]) if isinstance(memory, Left) else memory
    return (noisy - path[-1]).square().mean().sqrt().item()


@pytest.mark.parametrize("process", [Flow(), Cosine(), Karras(0.1, 10)], ids=lambda process: type(process).__name__)
@pytest.mark.parametrize("name", EXACT)
def test_the_global_error_falls_with_the_declared_order(name, process):
    steps = np.array([250, 350, 500, 700])
    errors = [global_error(SOLVERS[name].step, process, int(count)) for count in steps]
    slope = np.polyfit(np.log(1 / steps), np.log(errors), 1)[0]
    assert slope == pytest.approx(SOLVERS[name].order, abs=0.15)


@pytest.mark.parametrize("process", [Flow(), Cosine()], ids=lambda process: type(process).__name__)
@pytest.mark.parametrize("name", EXACT)
def test_from_pure_noise_to_clean_and_from_a_standing_start_the_order_is_at_least_one(name, process):
    one = GaussianMixture(WORLD.means[:1], WORLD.stds[:1], torch.ones(1, dtype=F64))
    begin = torch.randn(64, 2, generator=torch.Generator().manual_seed(0), dtype=F64)
    exact = one.means + begin * one.stds  # the ODE keeps a Gaussian's points at their place in units of its width

    def error(steps):
        levels = process(torch.linspace(1, 0, steps + 1, dtype=F64))
        return (last(sample(one.denoise, begin, levels, silent, SOLVERS[name].step)) - exact).square().mean().sqrt()

    few, many = error(200), error(400)
    assert many < 2e-6 or math.log2(few / many) > (1.6 if SOLVERS[name].order > 1 else 0.9)


# --- distributions ----------------------------------------------------------------------------------------------------


def moments_error(name, process, steps, count=4000):
    """The largest error of mean and of covariance."""
    generator = torch.Generator().manual_seed(3)

    def noise(sample):
        return torch.randn(sample.shape, generator=generator, dtype=sample.dtype)

    method = SOLVERS[name]
    levels = method.route(timetable(process, steps))
    points = last(
        sample(WORLD.denoise, noise(torch.empty(count, 2, dtype=F64)) * levels.sigma[0], levels, noise, method.step)
    )
    mean = WORLD.weights @ WORLD.means
    apart = WORLD.means - mean
    covariance = (WORLD.weights * WORLD.stds**2).sum() * torch.eye(2) + (WORLD.weights[:, None] * apart).T @ apart
    return (points.mean(0) - mean).abs().max().item(), (points.T.cov() - covariance).abs().max().item()


@pytest.mark.parametrize("process", [Flow(), Cosine(), Karras(0.02, 80)], ids=lambda process: type(process).__name__)
@pytest.mark.parametrize("name", RANDOM)
def test_a_solver_that_adds_noise_gives_the_exact_distribution_and_a_better_one_with_more_steps(name, process):
    mean, covariance = moments_error(name, process, 200)
    # the deviation of the data is about 1 a coordinate: four standard errors of 4,000 points
    assert mean < 4 / 4000**0.5
    assert covariance < 4 * 2**0.5 / 4000**0.5
    few = moments_error(name, process, 4)
    assert max(few) > 1.3 * max(mean, covariance)


def test_consistency_sampling_gives_the_exact_distribution_when_the_network_knows_the_end_of_the_path():
    one = GaussianMixture(WORLD.means[:1], WORLD.stds[:1], torch.ones(1, dtype=F64))

    def end_of_path(noisy, level):
        here = level.like(noisy)
        width = (here.alpha.square() * one.stds.square() + here.sigma.square()).sqrt()
        return one.means + (noisy - here.alpha * one.means) * one.stds / width

    for steps in (1, 4):
        noise = per_sample_noise(range(4000))
        begin = noise(torch.empty(4000, 2, dtype=F64))
        points = last(sample(end_of_path, begin, timetable(Cosine(), steps), noise, consistency))
        assert torch.allclose(points.mean(0), one.means[0], atol=0.02)
        assert torch.allclose(points.std(0), one.stds, atol=0.02)


def test_ancestral_euler_is_the_posterior_of_ddpm():
    here, there = Cosine()(torch.tensor(0.7, dtype=F64)), Cosine()(torch.tensor(0.5, dtype=F64))
    noisy, z = torch.randn(5, 2, dtype=F64), torch.randn(5, 2, dtype=F64)
    found, _ = ancestral(euler)(WORLD.denoise, noisy, here, there, None, lambda sample: z)
    # Ho et al. 2020, eq. 6 and 7, between any two levels
    kept = here.alpha / there.alpha
    beta = 1 - kept**2
    mean = there.alpha * beta * WORLD.denoise(noisy, here) + kept * there.sigma**2 * noisy
    expected = mean / here.sigma**2 + (beta * there.sigma**2 / here.sigma**2).sqrt() * z
    assert torch.allclose(found, expected)


def test_eta_measures_the_noise_that_is_put_back():
    here, there = Cosine()(torch.tensor(0.7, dtype=F64)), Cosine()(torch.tensor(0.5, dtype=F64))
    noisy = torch.randn(5, 2, dtype=F64)

    def end(name, eta=None):
        return SOLVERS[name].with_eta(eta).step(WORLD.denoise, noisy, here, there, None, torch.ones_like)[0]

    assert torch.allclose(end("ddim", 1.0), end("ddpm"))
    assert torch.allclose(end("ddpm", 0.0), end("euler"))
    assert torch.allclose(end("dpmpp-2m-sde", 0.0), end("dpmpp-2m"))
    assert not torch.allclose(end("dpmpp-2m", 0.5), end("dpmpp-2m"))
    assert SOLVERS["ddim"].with_eta(0.5).order is None
    with pytest.raises(ValueError, match="no eta"):
        SOLVERS["lms"].with_eta(0.5)


def test_churn_raises_the_noise_only_within_its_window():
    levels, noisy = Karras(0.02, 20)(torch.tensor([0.9, 0.6, 0.1])), torch.randn(3, 2, dtype=F64)
    there = Karras(0.02, 20)(torch.tensor([0.8, 0.5, 0.05]))
    with_churn, _ = churned(heun, 0.3, 0.1, 5)(WORLD.denoise, noisy, levels, there, None, torch.ones_like)
    plain, _ = heun(WORLD.denoise, noisy, levels, there, None, silent)
    assert (with_churn == plain).all(1).tolist() == [True, False, True]


@pytest.mark.parametrize("process", PROCESSES, ids=str)
@pytest.mark.parametrize("steps", [5, 20])
def test_restarts_go_back_up_and_down_and_end_clean(process, steps):
    levels = with_restarts(timetable(process, steps), times=2, low=0.05, reach=8, steps=3)
    s = levels.sigma / levels.alpha
    assert len(levels) == steps + 1 + 2 * 4
    assert (s.diff() > 0).sum() == 2
    assert s[-1] == 0


def test_a_sample_that_goes_up_leaves_the_noise_of_its_neighbours_alone():
    s = torch.tensor([[2.0, 2.0], [1.0, 1.0], [1.5, 0.5], [0.4, 1.2], [0.0, 0.0]], dtype=F64)
    levels, begin = Level(torch.ones_like(s), s), torch.randn(2, 2, dtype=F64) * 2
    solver = restarting(heun)
    together = last(sample(WORLD.denoise, begin, levels, per_sample_noise([5, 6]), solver))
    for i in range(2):
        one = Level(levels.alpha[:, i], levels.sigma[:, i])
        alone = last(sample(WORLD.denoise, begin[i : i + 1], one, per_sample_noise([5 + i]), solver))
        assert torch.allclose(together[i : i + 1], alone, atol=1e-12)


# --- purity -----------------------------------------------------------------------------------------------------------


@each_solver
@pytest.mark.parametrize("process", PROCESSES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_no_solver_makes_a_nan_between_pure_noise_and_clean(name, process, dtype, steps):
    method = SOLVERS[name]
    levels = method.route(timetable(process, steps))
    noise = per_sample_noise(range(4))
    start = (noise(torch.empty(4, 2)) * levels.sigma[0].float()).to(dtype)
    world = GaussianMixture(*(t.to(dtype) for t in (WORLD.means, WORLD.stds, WORLD.weights)))
    for state in sample(world.denoise, start, levels, noise, method.step):
        assert torch.isfinite(state.noisy).all()
        assert state.noisy.dtype == dtype


times = st.lists(st.floats(0.0, 1.0), min_size=2, max_size=6, unique=True).map(lambda t: sorted(t, reverse=True))


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(SOLVERS)),
    process=st.sampled_from(PROCESSES),
    runs=st.lists(st.lists(st.floats(0.001, 1.0), min_size=4, max_size=4, unique=True), min_size=2, max_size=3),
    shape=st.sampled_from([(2,), (3, 2), (1, 2, 2)]),
)
def test_levels_per_sample_give_what_calls_per_sample_give(name, process, runs, shape):
    """Whole runs: each sample on a timetable of its own, ends included, beside the others and alone."""
    solver = SOLVERS[name].step
    levels = process(torch.tensor([[1.0, *sorted(run, reverse=True), 0.0] for run in runs], dtype=F64).T)
    seeds = range(len(runs))
    begin = per_sample_noise(seeds)(torch.empty(len(runs), *shape, dtype=F64))

    def denoise(noisy, level):
        return torch.tanh(noisy) * level.like(noisy).alpha / (level.like(noisy).alpha + level.like(noisy).sigma)

    together = last(sample(denoise, begin, levels, per_sample_noise(seeds), solver))
    for i in seeds:
        one = Level(levels.alpha[:, i], levels.sigma[:, i])
        alone = last(sample(denoise, begin[i : i + 1], one, per_sample_noise([i]), solver))
        assert torch.isfinite(alone).all()
        assert torch.allclose(together[i : i + 1], alone, rtol=1e-9, atol=1e-9)


def joined(a, b):
    """Two samples' memories as the memory of a batch; a level becomes one per sample."""
    if isinstance(a, Level):
        return Level(torch.stack([a.alpha, b.alpha]), torch.stack([a.sigma, b.sigma]))
    if isinstance(a, tuple):
        parts = [joined(x, y) for x, y in zip(a, b, strict=True)]
        return type(a)(*parts) if hasattr(a, "_fields") else tuple(parts)
    return torch.cat([a, b])


def blank(memory):
    """The memory of a sample that has only begun."""
    if isinstance(memory, Before):
        return Before(nowhere(memory.level), torch.zeros_like(memory.value))
    if isinstance(memory, tuple):
        parts = [blank(part) for part in memory]
        return type(memory)(*parts) if hasattr(memory, "_fields") else tuple(parts)
    return memory


@each_solver
def test_samples_at_different_steps_share_a_batch(name):
    """A server batches requests: one that is in its fourth step beside one that begins."""
    solver = SOLVERS[name].step
    levels = Flow()(torch.linspace(1, 0, 8, dtype=F64))
    old, new = torch.randn(1, 2, dtype=F64), torch.randn(1, 2, dtype=F64)
    memory = None
    for i in range(3):
        old, memory = solver(WORLD.denoise, old, levels[i], levels[i + 1], memory, silent)
    both = None if memory is None else joined(memory, blank(memory))
    here, there = joined(levels[3], levels[0]), joined(levels[4], levels[1])
    together, _ = solver(WORLD.denoise, torch.cat([old, new]), here, there, both, silent)
    first, _ = solver(WORLD.denoise, old, levels[3], levels[4], memory, silent)
    second, _ = solver(WORLD.denoise, new, levels[0], levels[1], None, silent)
    assert torch.allclose(together, torch.cat([first, second]), atol=1e-12)


@each_solver
@given(length=st.floats(0.01, 100))
@settings(max_examples=10, deadline=None)
def test_a_step_does_not_depend_on_the_length_of_the_levels_where_they_start(name, length):
    """noisy at (alpha, sigma) is k noisy at (k alpha, k sigma)."""
    here, there = Flow()(torch.tensor(0.7, dtype=F64)), Flow()(torch.tensor(0.4, dtype=F64))
    noisy = torch.randn(3, 2, dtype=F64, generator=torch.Generator().manual_seed(0))
    longer = Level(here.alpha * length, here.sigma * length)
    if name in {"heun", "dpm2", "dpm2-ancestral", "heun-churn", "restart"}:  # these walk along the levels as they are
        there_too = Level(there.alpha * length, there.sigma * length)
    else:
        there_too = there
    plain, _ = SOLVERS[name].step(WORLD.denoise, noisy, here, there, None, silent)
    found, _ = SOLVERS[name].step(WORLD.denoise, noisy * length, longer, there_too, None, silent)
    assert torch.allclose(found / (length if there_too is not there else 1), plain, rtol=1e-9)


def test_a_missing_estimate_leaves_eulers_step():
    noisy, here, there = torch.randn(2, 2, dtype=F64), Flow()(torch.tensor(0.6)), Flow()(torch.tensor(0.4))
    nothing = (Before(nowhere(here), torch.zeros(2, 2, dtype=F64)),)
    expected, _ = euler(WORLD.denoise, noisy, here, there, None, silent)
    for memory in (None, nothing):
        assert torch.allclose(dpmpp(2)(WORLD.denoise, noisy, here, there, memory, silent)[0], expected)


def test_decay_at_the_ends():
    clean, noise = Flow()(torch.tensor(0.0)), Flow()(torch.tensor(1.0))
    middle = Flow()(torch.tensor(0.5))
    assert [decay(a, b).item() for a, b in [(noise, middle), (middle, clean), (noise, clean), (noise, noise)]] == [
        0,
        0,
        0,
        1,
    ]


def test_sampling_yields_every_step_and_can_be_left():
    states = sample(WORLD.denoise, torch.randn(2, 2, dtype=F64), timetable(Flow(), 6), silent)
    first = next(states)
    assert (first.step, first.steps) == (1, 6)
    assert [state.step for state in states] == [2, 3, 4, 5, 6]


@each_solver
def test_the_evaluations_of_a_step_are_as_declared(name):
    calls = []

    def counted(noisy, level):
        calls.append(level)
        return WORLD.denoise(noisy, level)

    levels, noisy, memory = Flow()(torch.tensor([0.8, 0.7, 0.6], dtype=F64)), torch.randn(2, 2, dtype=F64), None
    for i in range(2):
        calls.clear()
        noisy, memory = SOLVERS[name].step(counted, noisy, levels[i], levels[i + 1], memory, silent)
    assert len(calls) == SOLVERS[name].evaluations


def test_noise_belongs_to_the_sample_not_to_the_batch():
    batch = per_sample_noise([1, 2, 3])(torch.empty(3, 4))
    assert torch.equal(batch[1:2], per_sample_noise([2])(torch.empty(1, 4)))
    assert torch.equal(batch[0], torch.randn(4, generator=torch.Generator().manual_seed(1)))
    assert not torch.equal(batch, per_sample_noise([1, 2, 3], "other")(torch.empty(3, 4)))
