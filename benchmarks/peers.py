"""The peers' samplers behind one face: `(denoise, noise, evaluations) -> clean data`.

`denoise` is ours, for a variance-preserving table of betas; each peer is given it in its own words and runs at its own
defaults. k-diffusion is installed alone (`pip install --no-deps k-diffusion`) and loaded file by file, since its
package imports much that sampling does not need.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from unittest.mock import patch

import torch
from torch import Tensor

from sfumato.diffusion.levels import Level
from sfumato.diffusion.parameterisation import Denoise
from sfumato.diffusion.processes import BetaTable

Sampler = Callable[[Denoise, Tensor, int], Tensor]


def load_k_diffusion() -> SimpleNamespace | None:
    """Its modules `utils`, `sampling` and `external`; None where it is not installed."""
    try:
        found = importlib.util.find_spec("k_diffusion")  # finds a package without running it
    except ValueError:
        found = None
    if found is None:
        return None
    package = ModuleType("k_diffusion")
    package.__path__ = found.submodule_search_locations
    torchvision, transforms = ModuleType("torchvision"), ModuleType("torchvision.transforms")
    transforms.functional = ModuleType("torchvision.transforms.functional")  # for pictures, which no solver sees
    absent = {"torchvision": torchvision, "torchvision.transforms": transforms}
    with patch.dict(sys.modules, {"k_diffusion": package, **absent}):
        names = ("utils", "sampling", "external")
        return SimpleNamespace(**{name: importlib.import_module(f"k_diffusion.{name}") for name in names})


def k_diffusion_samplers(table: BetaTable) -> dict[str, Sampler]:
    """k-diffusion's solvers at the sigmas that its wrapper chooses (even timesteps), and at Karras's up to 80."""
    k = load_k_diffusion()
    if k is None:
        return {}
    levels = table((torch.arange(len(table), dtype=torch.float64) + 1) / len(table))
    sigmas = (levels.sigma / levels.alpha).float()

    def even(steps: int) -> Tensor:
        t = torch.linspace(len(table) - 1, 0, steps)
        low, high = t.floor().long(), t.ceil().long()
        return k.sampling.append_zero(torch.lerp(sigmas.log()[low], sigmas.log()[high], t - low).exp())

    def karras(steps: int) -> Tensor:
        return k.sampling.get_sigmas_karras(steps, sigmas[0].item(), min(80.0, sigmas[-1].item()))

    def sampler(name: str, looks: int, spacing: Callable[[int], Tensor]) -> Sampler:
        def run(denoise: Denoise, noise: Tensor, evaluations: int) -> Tensor:
            steps = sigmas_of_steps = spacing((evaluations + looks - 1) // looks)
            more = {"noise_sampler": lambda *_: torch.randn_like(noise)} if name.endswith(("ancestral", "sde")) else {}
            solver = getattr(k.sampling, f"sample_{name}")
            model = lambda x, sigma, **_: denoise(x, Level(torch.ones_like(sigma), sigma))  # noqa: E731
            return solver(model, noise * steps[0], sigmas_of_steps, disable=True, **more)

        return run

    looks = {
        "euler": 1, "heun": 2, "dpm_2": 2, "lms": 1, "dpmpp_2m": 1,
        "euler_ancestral": 1, "dpmpp_2s_ancestral": 2, "dpmpp_sde": 2, "dpmpp_2m_sde": 1, "dpmpp_3m_sde": 1,
    }  # fmt: skip
    spacings = {"": even, " karras": karras}
    return {
        f"k-diffusion {name}{label}": sampler(name, count, spacing)
        for name, count in looks.items()
        for label, spacing in spacings.items()
    }


DIFFUSERS = {
    "DDIMScheduler": {"clip_sample": False},
    "DDPMScheduler": {"clip_sample": False},
    "PNDMScheduler": {"skip_prk_steps": True},
    "EulerDiscreteScheduler": {},
    "EulerAncestralDiscreteScheduler": {},
    "HeunDiscreteScheduler": {},
    "LMSDiscreteScheduler": {},
    "DEISMultistepScheduler": {},
    "DPMSolverMultistepScheduler": {},
    "UniPCMultistepScheduler": {},
}


def diffusers_samplers(table: BetaTable) -> dict[str, Sampler]:
    """diffusers' schedulers for this table with v-prediction, at their own spacing and at the trailing one."""
    import diffusers

    def sampler(name: str, settings: dict[str, object]) -> Sampler:
        def run(denoise: Denoise, noise: Tensor, evaluations: int) -> Tensor:
            scheduler = getattr(diffusers, name)(
                num_train_timesteps=len(table),
                trained_betas=list(table.betas),
                prediction_type="v_prediction",
                **settings,
            )
            scheduler.set_timesteps(
                (evaluations + 1) // 2 if name.startswith("Heun") else evaluations - name.startswith("PNDM")
            )
            x = noise * scheduler.init_noise_sigma
            for t in scheduler.timesteps:
                scaled = scheduler.scale_model_input(x, t)
                level = table((torch.as_tensor(t).double().cpu() + 1) / len(table))
                here = level.like(scaled)
                clean = denoise(scaled, level)
                v = here.alpha * (scaled - here.alpha * clean) / here.sigma - here.sigma * clean
                x = scheduler.step(v, t, x, return_dict=False)[0]
            return x

        return run

    found = {}
    for name, settings in DIFFUSERS.items():
        short = name.removesuffix("Scheduler").removesuffix("Discrete").removesuffix("Multistep")
        found[f"diffusers {short}"] = sampler(name, settings)
        found[f"diffusers {short} trailing"] = sampler(name, {**settings, "timestep_spacing": "trailing"})
    return found
