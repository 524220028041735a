"""Cold diffusion: its steps are what the papers say, and noise is a special case."""

import pytest
import torch

from sfumato.diffusion import degradation as d
from sfumato.diffusion.cold import RESTORER, SEVERITY, melting, naive, tacos
from sfumato.diffusion.levels import Level
from sfumato.diffusion.mixture import GaussianMixture
from sfumato.diffusion.noise import per_sample_noise
from sfumato.diffusion.processes import Flow
from sfumato.diffusion.sampling import last, sample
from sfumato.diffusion.solvers import euler
from sfumato.diffusion.solvers.step import estimate
from sfumato.diffusion.times import timetable

F64 = torch.float64
WORLD = GaussianMixture(
    torch.tensor([[1.0, 0.5], [-1.0, 0.0]], dtype=F64),
    torch.tensor([0.3, 0.5], dtype=F64),
    torch.tensor([0.4, 0.6], dtype=F64),
)


def silent(sample):
    return torch.zeros_like(sample)


@pytest.fixture
def pictures():
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=F64) * 2 - 1


def test_with_noise_as_the_degradation_the_improved_step_is_the_euler_step():
    noisy, here, there = torch.randn(4, 2, dtype=F64), Flow()(torch.tensor(0.7)), Flow()(torch.tensor(0.4))
    noise = estimate(WORLD.denoise, noisy, here).noise

    def add_the_noise_that_is_there(x, severity):
        return Flow()(severity).add_noise(x, noise)

    expected, _ = euler(WORLD.denoise, noisy, here, there, None, silent)
    for step in (tacos, naive):  # their section 3.3: with the estimated noise both are the same
        found, _ = step(add_the_noise_that_is_there)(WORLD.denoise, noisy, here, there, None, silent)
        assert torch.allclose(found, expected, atol=1e-14)


def test_a_remainder_that_melts_is_rectified_flow_when_the_picture_fades():
    noise = per_sample_noise(range(50))
    start, levels = noise(torch.empty(50, 2, dtype=F64)), timetable(SEVERITY, 12)

    def dim(x, severity):
        return (1 - severity) * x

    cold = last(sample(WORLD.denoise, start, levels, noise, melting(dim)))
    assert torch.allclose(cold, last(sample(WORLD.denoise, start, levels, noise, euler)), atol=1e-12)


LINEAR = {"blur": d.blur, "downsample": d.downsample, "fade": d.fade(torch.tensor([[0.3, 0.6]] * 2))}


@pytest.mark.parametrize("degrade", [*LINEAR.values(), d.jpeg], ids=[*LINEAR, "jpeg"])
@pytest.mark.parametrize("step", [naive, tacos, melting])
def test_a_perfect_restorer_gives_the_picture_back(step, degrade, pictures):
    start = degrade(pictures, torch.tensor(1.0))
    found = last(sample(lambda x, level: pictures, start, timetable(SEVERITY, 7), silent, step(degrade)))
    assert torch.allclose(found, pictures, atol=1e-6)


def test_tacos_is_exact_for_any_restorer_where_the_damage_does_not_depend_on_the_picture(pictures):
    stain = torch.randn(3, 16, 16, dtype=F64)

    def degrade(x, severity):
        return x + severity.reshape(-1, 1, 1, 1) * stain

    start = degrade(pictures, torch.ones(2, dtype=F64))
    bad = lambda x, level: 0.3 * x.flip(-1)  # noqa: E731
    assert torch.allclose(
        last(sample(bad, start, timetable(SEVERITY, 9), silent, tacos(degrade))), pictures, atol=1e-12
    )
    worse = last(sample(bad, start, timetable(SEVERITY, 9), silent, naive(degrade)))
    assert (worse - pictures).abs().mean() > 0.3


def test_tacos_forgives_a_restorer_that_is_a_little_wrong_where_the_naive_way_does_not(pictures):
    wrong = lambda x, level: pictures + 0.2 * level.sigma.item()  # noqa: E731
    errors = {}
    for step in (naive, tacos):
        # towards a severity that is not 0, where the naive step keeps the whole error of the estimate
        levels = SEVERITY(torch.linspace(1, 0.1, 10, dtype=F64))
        found = last(sample(wrong, d.blur(pictures, levels.sigma[0]), levels, silent, step(d.blur)))
        errors[step] = (found - d.blur(pictures, levels.sigma[-1])).abs().mean().item()
    assert errors[tacos] < 0.1 * errors[naive]


def test_severities_per_sample_give_what_calls_per_sample_give(pictures):
    here, there = SEVERITY(torch.tensor([1.0, 0.4])), SEVERITY(torch.tensor([0.6, 0.0]))
    restore = lambda x, level: 0.9 * x  # noqa: E731
    for step in (naive, tacos, melting):
        solver = step(d.blur)
        together, _ = solver(restore, pictures, here, there, None, silent)
        for i in range(2):
            alone, _ = solver(restore, pictures[i : i + 1], here[i], there[i], None, silent)
            assert torch.allclose(together[i : i + 1], alone, atol=1e-10)


def test_a_restoring_network_says_what_to_add_and_is_told_a_thousand_times_the_severity():
    seen = []

    def network(x, label):
        seen.append((x, label))
        return torch.full_like(x, 0.25)

    degraded = torch.randn(2, 3, 4, 4)
    restored = RESTORER.denoiser(network)(degraded, SEVERITY(torch.tensor([0.5, 0.125])))
    assert torch.equal(restored, degraded + 0.25)
    assert torch.equal(seen[0][0], degraded)
    assert seen[0][1].tolist() == [500, 125]


def test_a_severity_is_a_level_and_back():
    severities = torch.tensor([0.0, 0.25, 1.0], dtype=F64)
    level = SEVERITY(severities)
    assert isinstance(level, Level)
    assert torch.equal(SEVERITY.time(level), severities)
