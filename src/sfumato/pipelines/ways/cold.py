"""Tokens -> text encoder -> from nothing back to a picture, undoing a degradation step by step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.checkpoints.files import read_json
from sfumato.diffusion.cold import SEVERITY
from sfumato.diffusion.degradation import Degradation
from sfumato.diffusion.levels import Level
from sfumato.diffusion.noise import per_sample_noise
from sfumato.diffusion.parameterisation import Denoise
from sfumato.diffusion.sampling import State, sample
from sfumato.diffusion.times import timetable
from sfumato.errors import PromptError
from sfumato.pipelines.denoising import prompted
from sfumato.pipelines.model import Model
from sfumato.pipelines.request import VARYING
from sfumato.pipelines.restoring import PLAIN, SOLVERS, Coldness, degradation_of
from sfumato.pipelines.ways.way import Batch, Painting
from sfumato.pipelines.words import condition_of


class Cold:
    """A U-Net over pixels that undoes a degradation, steered by words."""

    takes: frozenset[str] = frozenset(VARYING)  # its steps are its own

    def __init__(self, model: Model) -> None:
        self.model, self.unet = model, model.part("restorer")
        self.coldness = Coldness.from_config(read_json(model.folder / "restorer" / "scheduler_config.json"))

    @property
    def base_size(self) -> int:
        side = self.unet.config.sample_size
        return side if isinstance(side, int) else 64

    @property
    def unit(self) -> int | None:
        return self.unet.config.factor if self.coldness.name != "text" else None  # sheets of text are square

    def paint(self, batch: Batch) -> Iterator[Painting]:
        for state in self.generate(batch, "melting" if self.coldness.noise else "tacos"):
            shown = state.clean if state.step < state.steps else state.noisy
            yield Painting("restore", state.step, state.steps, partial(Tensor.float, shown))

    def generate(self, batch: Batch, solver: str, warmth: float | None = None) -> Iterator[State]:
        """From one colour, and noise, to pictures, a step at a time.

        `solver` is a name in `restoring.SOLVERS`; `warmth` is the deviation of the noise at the start, by default that
        of the training. A little of it makes pictures differ (Bansal et al. 2022, section 5.4).
        """
        plan, noise, device = batch.plan, per_sample_noise(batch.seeds), self.model.device
        empty = torch.empty(len(batch.seeds), 3, batch.height, batch.width, device=device)
        warmth = self.coldness.noise if warmth is None else warmth
        fresh = batch.beginning(noise)
        start = self.coldness.start.colours(fresh(empty[..., 0, 0])) + warmth * fresh(empty)
        degrade = self.degradation(batch.seeds, batch.height, batch.pictures_a_pass)
        restore = self.restorer(batch.prompts, plan.scale, batch.pictures_a_pass)
        levels = timetable(SEVERITY, plan.num_inference_steps)
        return sample(restore, start, levels, noise, SOLVERS[solver](degrade))

    def restore(
        self,
        degraded: Float[Tensor, "b 3 h w"],
        severity: float,
        prompts: Sequence[str],
        steps: int = 20,
        solver: str = "tacos",
        guidance_scale: float = 1.0,
        degrade: Degradation | None = None,
        pictures_a_pass: int | None = None,
    ) -> Iterator[State]:
        """Give degraded pictures back, a step at a time; the last state's `noisy` is them.

        Args:
            degraded: in [-1, 1].
            severity: how degraded they are, in (0, 1].
            prompts: what each shows; empty where that is not known.
            steps: 1 takes the network's estimate as it is.
            solver: "naive" or "tacos".
            guidance_scale: how strongly the prompts steer; 1 is no guidance.
            degrade: how they were degraded; not needed where that follows from the severity alone, or for one step.
            pictures_a_pass: how many share a forward pass.

        Raises:
            PromptError: a value that is not valid, or several steps back from an unknown degradation.
        """
        name = self.coldness.name
        if not 0 < severity <= 1:
            raise PromptError(f"severity is a number above 0, up to 1, not {severity!r}.")
        if solver not in ("naive", "tacos"):
            raise PromptError(f"A picture is restored by naive or tacos steps, not by {solver!r}.")
        if degrade is None and name not in PLAIN and steps > 1:
            raise PromptError(f"Where the {name} lies is not known, so that it can be taken away in one step only.")
        if steps == 1:
            solver, degrade = "naive", degrade or (lambda clean, severity: clean)
        restore = self.restorer(prompts, guidance_scale, pictures_a_pass or len(degraded))
        ladder = timetable(SEVERITY, steps)
        levels = SEVERITY(severity * SEVERITY.time(Level(ladder.alpha, ladder.sigma)))
        return sample(restore, degraded, levels, torch.zeros_like, SOLVERS[solver](degrade or PLAIN[name]))

    def restorer(self, prompts: Sequence[str], guidance_scale: float, pictures_a_pass: int) -> Denoise:
        """The U-Net as a Denoise of degraded pictures."""
        states, empty = condition_of(self.model, prompts), condition_of(self.model, [""])
        return prompted(self.unet, self.coldness.diffusion, states, empty, guidance_scale, pictures_a_pass)

    def degradation(self, seeds: Sequence[int], side: int, pictures_a_pass: int | None = None) -> Degradation:
        """The degradation of each picture, as its seed chooses it."""
        places = torch.special.ndtr(per_sample_noise(seeds, "places")(torch.empty(len(seeds), 2)))
        return degradation_of(self.coldness.name, places.to(self.model.device), side, pictures_a_pass=pictures_a_pass)
