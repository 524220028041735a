"""Trajectories are those of k-diffusion and diffusers, step for step, on an exact world with the same noise.

Every reference is given the exact denoiser in its own words: k-diffusion `model(x, sigma) -> clean`, diffusers a noise
or velocity prediction. Where a reference differs, the test says why and asks the exact world who is right.
"""

import itertools
import math

import diffusers
import pytest
import torch

from sfumato.diffusion.levels import Level
from sfumato.diffusion.mixture import GaussianMixture
from sfumato.diffusion.parameterisation import Timestep
from sfumato.diffusion.processes import Karras, scaled_linear_betas
from sfumato.diffusion.solvers import (
    ancestral,
    churned,
    consistency,
    deis,
    dpm2,
    dpmpp,
    dpmpp_2s,
    dpmpp_sde,
    euler,
    heun,
    lms,
    pndm,
    unipc,
)
from sfumato.diffusion.solvers.consistency import with_boundary
from sfumato.diffusion.times import timetable

WORLD = GaussianMixture(
    torch.tensor([[1.0, 0.5], [-1.0, 0.0], [0.2, -0.7]]), torch.tensor([0.3, 0.5, 0.2]), torch.tensor([0.3, 0.5, 0.2])
)
BATCH = 64


class Tape:
    """Noise that can be played again: the same draws for the reference and for us."""

    def __init__(self):
        self.drawn, self.place = [], 0

    def __call__(self, sample, *_, **__):
        if self.place == len(self.drawn):
            self.drawn.append(torch.randn(BATCH, 2, generator=torch.Generator().manual_seed(len(self.drawn) + 100)))
        self.place += 1
        return self.drawn[self.place - 1]

    def rewind(self):
        self.place = 0
        return self


def start():
    return torch.randn(BATCH, 2, generator=torch.Generator().manual_seed(1))


def ours(solver, levels, tape, begin):
    """Every state of our sampling, at the levels as they are."""
    noisy, memory, path = begin, None, []
    for here, there in itertools.pairwise(levels):
        noisy, memory = solver(WORLD.denoise, noisy, here, there, memory, tape)
        path.append(noisy)
    return path


# --- k-diffusion ------------------------------------------------------------------------------------------------------


def k_model(x, sigma, **_):
    return WORLD.denoise(x, Level(torch.ones_like(sigma), sigma))


@pytest.mark.parametrize(
    ("name", "solver", "settings"),
    [
        ("euler", euler, {}),
        ("euler", churned(euler, 3 / 15, 0.1, noise_std=1.003), {"s_churn": 3, "s_tmin": 0.1, "s_noise": 1.003}),
        ("euler_ancestral", ancestral(euler), {}),
        ("euler_ancestral", ancestral(euler, 0.5), {"eta": 0.5}),
        ("heun", heun, {}),
        ("heun", churned(heun), {"s_churn": 40}),
        ("dpm_2", dpm2, {}),
        ("dpm_2_ancestral", ancestral(dpm2), {}),
        ("lms", lms(4), {}),
        ("lms", lms(2), {"order": 2}),
        ("dpmpp_2s_ancestral", ancestral(dpmpp_2s), {}),
        ("dpmpp_2s_ancestral", ancestral(dpmpp_2s, 0.0), {"eta": 0.0}),
        ("dpmpp_2m", dpmpp(2), {}),
        ("dpmpp_2m_sde", dpmpp(2, eta=1), {"solver_type": "midpoint"}),
        ("dpmpp_2m_sde", dpmpp(2, eta=0.4), {"solver_type": "midpoint", "eta": 0.4}),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_trajectories_are_those_of_k_diffusion(k_diffusion, monkeypatch, name, solver, settings):
    levels, tape, theirs = timetable(Karras(0.03, 80), 15), Tape(), []
    begin, sigmas = start() * 80, levels.sigma.float()
    monkeypatch.setattr(torch, "randn_like", tape)
    if "ancestral" in name or "sde" in name:
        settings = {**settings, "noise_sampler": tape}
    reference = getattr(k_diffusion.sampling, f"sample_{name}")
    end = reference(
        k_model, begin, sigmas, disable=True, callback=lambda state: theirs.append(state["x"].clone()), **settings
    )
    path = ours(solver, levels, tape.rewind(), begin)
    if "s_churn" in settings:  # it shows the states after the noise is raised
        path, theirs = path[-1:], []
    for found, expected in zip(path, [*theirs[1:], end], strict=True):
        assert torch.allclose(found, expected, atol=1e-4, rtol=1e-4)


def test_the_sde_solver_with_two_looks_is_that_of_k_diffusion_on_one_random_path(k_diffusion):
    """k-diffusion draws both noises of a step from a Brownian tree; here the tree is given by our two draws."""
    levels, tape = timetable(Karras(0.03, 80), 15), Tape()
    begin, calls = start() * 80, []

    def tree(sigma, sigma_next):
        calls.append((sigma, sigma_next))
        if len(calls) % 2:  # the first half of the step
            return tape(begin)
        first, second = tape.drawn[tape.place - 1], tape(begin)
        middle = calls[-2][1]
        whole, half, rest = (1 - (b / a) ** 2 for a, b in [(sigma, sigma_next), (sigma, middle), (middle, sigma_next)])
        return (
            sigma_next / middle * half.sqrt() * (middle / sigma_next) * (sigma_next / middle) * first
            + rest.sqrt() * second
        ) / whole.sqrt()

    end = k_diffusion.sampling.sample_dpmpp_sde(k_model, begin, levels.sigma.float(), disable=True, noise_sampler=tree)
    assert torch.allclose(ours(dpmpp_sde(), levels, tape.rewind(), begin)[-1], end, atol=1e-4)


def error_on_the_exact_world(sampler, steps):
    """The error of a sampler (begin, levels) -> end against a much finer one, from sigma 80 to 0.03."""
    levels, begin = timetable(Karras(0.03, 80), steps)[:-1], start().double() * 80
    fine = ours(unipc(3), timetable(Karras(0.03, 80), 2000)[:-1], None, begin)[-1]
    return (sampler(begin, levels) - fine).square().mean().sqrt().item()


def test_dpmpp_3m_differs_from_k_diffusion_and_the_exact_world_says_who_is_right(k_diffusion):
    """The published code weighs the second difference by half (phi_3 where the parabola's integral is 2 phi_3): its
    order is 2, that of the exact integral 3. The first two steps, which have no parabola, agree.
    """
    levels, theirs = timetable(Karras(0.03, 80), 15), []
    k_diffusion.sampling.sample_dpmpp_3m_sde(
        k_model,
        start() * 80,
        levels.sigma.float(),
        disable=True,
        eta=0.0,
        noise_sampler=Tape(),
        callback=lambda state: theirs.append(state["x"].clone()),
    )
    path = ours(dpmpp(3), levels, None, start() * 80)
    assert torch.allclose(path[1], theirs[2], atol=1e-3)

    def reference(begin, levels):
        model = lambda x, sigma, **_: k_model(x, sigma.double())  # noqa: E731
        return k_diffusion.sampling.sample_dpmpp_3m_sde(
            model, begin, levels.sigma, disable=True, eta=0.0, noise_sampler=Tape()
        )

    exact = lambda begin, levels: ours(dpmpp(3), levels, None, begin)[-1]  # noqa: E731
    order = {
        sampler: math.log2(error_on_the_exact_world(sampler, 80) / error_on_the_exact_world(sampler, 160))
        for sampler in (reference, exact)
    }
    assert order[reference] == pytest.approx(2, abs=0.3)
    assert order[exact] == pytest.approx(3, abs=0.3)


# --- diffusers --------------------------------------------------------------------------------------------------------

BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
STEPS = 20  # from 15 on diffusers keeps the full order up to the step before the last


def level_of(sigma):
    """The variance-preserving level with this sigma / alpha."""
    alpha = (1 + sigma.double() ** 2).rsqrt()
    return Level(alpha, sigma.double() * alpha)


def run_diffusers(scheduler, begin, tape, monkeypatch, exploding):
    """Its trajectory, and the levels (variance-preserving) at which it asked its model, with the one it ends at."""
    module = __import__(type(scheduler).__module__, fromlist=["randn_tensor"])
    if hasattr(module, "randn_tensor"):
        monkeypatch.setattr(module, "randn_tensor", tape)
    scheduler.set_timesteps(STEPS)
    x, path, asked = begin, [], []
    if exploding:
        x = begin * (1 + scheduler.sigmas[0] ** 2).sqrt()
    for t in scheduler.timesteps:
        scaled = scheduler.scale_model_input(x, t)
        if exploding:
            level = level_of(((x / scaled).double().mean() ** 2 - 1).sqrt())
        elif hasattr(scheduler, "sigmas"):
            if scheduler.step_index is None:
                scheduler._init_step_index(t)
            level = level_of(scheduler.sigmas[scheduler.step_index])
        else:
            cumulative = scheduler.alphas_cumprod[int(t)].double()
            level = Level(cumulative.sqrt(), (1 - cumulative).sqrt())
        asked.append(level)
        at = Level(torch.ones(()), level.sigma / level.alpha) if exploding else level
        clean, here = WORLD.denoise(x, at), at.like(x)
        x = scheduler.step((x - here.alpha * clean) / here.sigma, t, x, return_dict=False)[0]
        path.append(x)
    return path, [*asked, level_of(getattr(scheduler, "sigmas", torch.zeros(1))[-1])]


EXPLODING = {
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "LMSDiscreteScheduler",
    "HeunDiscreteScheduler",
}
TO_SIGMA_MIN = {"final_sigmas_type": "sigma_min", "lower_order_final": False}
SHARED = [
    ("DDIMScheduler", {"set_alpha_to_one": True, "clip_sample": False}, euler),
    ("DDIMScheduler", {"set_alpha_to_one": True, "clip_sample": False, "eta": 0.6}, ancestral(euler, 0.6)),
    ("DDPMScheduler", {"clip_sample": False}, ancestral(euler)),
    ("DPMSolverMultistepScheduler", {"solver_order": 1}, euler),
    ("DPMSolverMultistepScheduler", {"solver_order": 2}, dpmpp(2)),
    ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}, dpmpp(2, eta=1)),
    ("DEISMultistepScheduler", {"solver_order": 2}, deis(2)),
    ("DEISMultistepScheduler", {"solver_order": 3}, deis(3)),
    ("UniPCMultistepScheduler", {"solver_order": 2}, unipc(2)),
    # to sigma 0 its bh1 gives NaN, and with order 3 it takes the step before the last with order 2
    ("UniPCMultistepScheduler", {"solver_type": "bh1", **TO_SIGMA_MIN}, unipc(2, "bh1")),
    ("UniPCMultistepScheduler", {"solver_order": 3, **TO_SIGMA_MIN}, unipc(3)),
    ("PNDMScheduler", {"skip_prk_steps": True, "set_alpha_to_one": True}, pndm),
    ("EulerDiscreteScheduler", {}, euler),
    ("EulerAncestralDiscreteScheduler", {}, ancestral(euler)),
    ("LMSDiscreteScheduler", {}, lms(4)),
    ("HeunDiscreteScheduler", {}, heun),
]


@pytest.mark.parametrize(("name", "settings", "solver"), SHARED, ids=lambda v: v if isinstance(v, str) else None)
def test_trajectories_are_those_of_diffusers(monkeypatch, name, settings, solver):
    settings = dict(settings)
    eta = settings.pop("eta", None)
    scheduler = getattr(diffusers, name)(**BETAS, timestep_spacing="trailing", **settings)
    if eta is not None:
        step = scheduler.step
        monkeypatch.setattr(scheduler, "step", lambda *args, **more: step(*args, eta=eta, **more))
    tape = Tape()
    path, ends = run_diffusers(scheduler, start(), tape, monkeypatch, name in EXPLODING)
    if name == "PNDMScheduler":  # its second entry is the second look of its first step
        path, ends = path[1:], [ends[0], *ends[2:]]
    if name == "HeunDiscreteScheduler":  # two entries a step
        path, ends = [*path[1::2], path[-1]], [*ends[:-1:2], ends[-1]]
    levels = Level(torch.stack([x.alpha for x in ends]), torch.stack([x.sigma for x in ends]))
    if name in EXPLODING:
        levels = Level(torch.ones_like(levels.alpha), levels.sigma / levels.alpha)
    begin = levels[0].alpha.float() * 0 + start() * (torch.hypot(levels[0].alpha, levels[0].sigma).float())
    found = ours(solver, levels, tape.rewind(), begin)
    for mine, theirs in zip(found, path, strict=True):
        assert torch.allclose(mine, theirs, atol=1e-4, rtol=1e-4)


def test_consistency_sampling_is_that_of_diffusers(monkeypatch):
    scheduler = diffusers.LCMScheduler(**BETAS, clip_sample=False)
    table = scaled_linear_betas()
    tape = Tape()
    monkeypatch.setattr(f"{type(scheduler).__module__}.randn_tensor", tape)
    scheduler.set_timesteps(4)
    levels = table((torch.tensor([*scheduler.timesteps.tolist(), -1]) + 1) / 1000)
    x, path = start(), []
    for t, level in zip(scheduler.timesteps, levels[:-1], strict=True):
        here = level.like(x)
        x = scheduler.step((x - here.alpha * WORLD.denoise(x, level)) / here.sigma, t, x, return_dict=False)[0]
        path.append(x)
    noisy, tape = start(), tape.rewind()
    for here, there, theirs in zip(levels[:-1], levels[1:], path, strict=True):
        noisy, _ = consistency(with_boundary(WORLD.denoise, Timestep(table)), noisy, here, there, None, tape)
        assert torch.allclose(noisy, theirs, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "solver"), [("FlowMatchEulerDiscreteScheduler", euler), ("FlowMatchHeunDiscreteScheduler", heun)]
)
def test_flow_trajectories_are_those_of_diffusers(name, solver):
    scheduler = getattr(diffusers, name)(shift=3.0)
    scheduler.set_timesteps(STEPS)
    x, path = start(), []
    for i, t in enumerate(scheduler.timesteps):
        sigma = scheduler.sigmas[i].double()
        level = Level(1 - sigma, sigma)
        clean = WORLD.denoise(x, level)
        x = scheduler.step((x - clean) / sigma.float(), t, x, return_dict=False)[0]
        path.append(x)
    sigmas = scheduler.sigmas.double()
    if solver is heun:  # two entries a step
        path, sigmas = [*path[1::2], path[-1]], torch.cat([sigmas[:-1:2], sigmas[-1:]])
    for mine, theirs in zip(ours(solver, Level(1 - sigmas, sigmas), None, start()), path, strict=True):
        assert torch.allclose(mine, theirs, atol=1e-4)


def test_dpmpp_3m_of_diffusers_is_that_of_k_diffusion(k_diffusion, monkeypatch):
    """So the difference from ours has the same reason, shown above."""
    scheduler = diffusers.DPMSolverMultistepScheduler(**BETAS, solver_order=3, solver_type="heun")
    path, ends = run_diffusers(scheduler, start(), None, monkeypatch, False)
    sigmas = torch.stack([x.sigma / x.alpha for x in ends])
    end = k_diffusion.sampling.sample_dpmpp_3m_sde(
        k_model, start() / ends[0].alpha.float(), sigmas.float(), disable=True, eta=0.0, noise_sampler=Tape()
    )
    assert torch.allclose(path[-1], end, atol=1e-4)
