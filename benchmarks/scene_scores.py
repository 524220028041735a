"""Denoisers of scenes at moments of their training: kept while the clock stands still, and judged afterwards."""

from __future__ import annotations

import shutil
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sfumato.checkpoints import scheduler
from sfumato.checkpoints.folder import save_index, save_part
from sfumato.data.pictures import from_images
from sfumato.data.scenes.language import Language
from sfumato.evaluation.scene_benchmark import SIZE, judge, questions, scores
from sfumato.evaluation.seeing.finding import Eye
from sfumato.pipelines.text_to_image import Pipeline, PromptWarning
from sfumato.training.recipe import Run
from sfumato.training.source import facts_of
from sfumato.training.stages import denoiser
from sfumato.training.state import State
from sfumato.training.team import Team
from sfumato.training.workshop import PictureWorkshop

PICTURES_A_PASS = 64


class Shown(NamedTuple):
    """Scores after so many seconds of training, from the first step on, and so many steps."""

    seconds: float
    step: int
    overall: dict[str, float]
    categories: dict[str, dict[str, float]]


@dataclass(frozen=True)
class Kept:
    """The averaged weights at a moment."""

    seconds: float
    step: int
    values: Mapping[str, Tensor]


class Watch:
    """Stands where the training loop has its run folder: it keeps weights in memory, and the time.

    Attributes:
        first: seconds until the first step was done: compiling and starting.
        kept: the averaged weights every few seconds after that, and the last.
    """

    def __init__(self, settings: Run, every: float, team: Team) -> None:
        self.settings = settings.model_copy(update={"previews": 0})
        self.every, self.team = every, team
        self.first, self.kept = 0.0, list[Kept]()
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the beginning, then since the first step; without what keeping took."""
        return time.monotonic() - self._began

    def is_due(self) -> bool:
        """Called after each step."""
        if not self.first:
            self._wait()
            self.first, self._began = self.seconds, time.monotonic()
        return self.seconds >= self.every * (len(self.kept) + 1)

    def keep(self, state: State) -> None:
        if state.step == 0:
            return
        self._wait()
        seconds = self.seconds
        values = {name: value.clone() for name, value in state.average.values.items()}
        self.kept.append(Kept(seconds, state.step, values))
        self._wait()
        self._began += self.seconds - seconds

    def _wait(self) -> None:
        if self.team.device.type == "cuda":
            torch.cuda.synchronize(self.team.device)

    def restore(self, state: State) -> bool:
        return False

    def forget_after(self, step: int) -> None:
        """There is no file."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """The progress bar tells them."""

    def close(self) -> None:
        """There is no file."""


class Judge:
    """Puts weights into a model folder and judges its pictures.

    Args:
        workshop: whose autoencoder and text encoder, sprites and language are meant.
        count: pictures of each category, seen and held out.
        steps, guidance: of the making; else the model's own.
    """

    def __init__(self, workshop: PictureWorkshop, count: int, steps: int | None, guidance: float | None) -> None:
        self.workshop, self.folder = workshop, workshop.folder / "judged"
        self.settings = {"num_inference_steps": steps, "guidance_scale": guidance}
        self.pack = workshop.store.pack  # type: ignore[union-attr]
        language = Language.named(workshop.recipe.data.language, self.pack.concepts)
        self.asked = questions(language, count)
        self.eye = Eye(self.pack, SIZE, workshop.team.device)
        shutil.rmtree(self.folder, ignore_errors=True)
        for part in ("tokenizer", "vae", "text_encoder"):
            shutil.copytree(workshop.folder / part, self.folder / part)

    def ours(self, objective: denoiser.Objective, kept: list[Kept], goal: float) -> list[Shown]:
        """A denoiser of the recipe, with the text encoder that learned with it."""
        plan = self.workshop.recipe.denoiser

        def save() -> None:
            save_part(self.folder, plan.part, objective.network, self.workshop.weights)
            if objective.text is not None:
                save_part(self.folder, "text_encoder", objective.text, self.workshop.weights)

        return self._shown(objective, kept, goal, save, denoiser.config(plan))

    def peer(self, unet: Any, kept: list[Kept], goal: float) -> list[Shown]:
        """A U-Net of diffusers that predicts noise."""
        config = scheduler.to_config("scaled_linear", "epsilon", 1.0)
        return self._shown(unet, kept, goal, lambda: unet.save_pretrained(self.folder / "unet"), config)

    def _shown(
        self, network: nn.Module, kept: list[Kept], goal: float, save: Callable[[], None], config: dict[str, Any]
    ) -> list[Shown]:
        """One after the other, until one is good enough."""
        shown: list[Shown] = []
        weights = dict(network.named_parameters())
        for one in kept:
            with torch.no_grad():
                for name, value in one.values.items():
                    weights[name].copy_(value)
            save()
            save_index(self.folder, "latents", config, self._lineage())
            told = self.scores()
            shown.append(Shown(round(one.seconds, 2), one.step, told["overall"], told["categories"]))
            self.workshop.progress.say(f"after {one.seconds:.1f} s, {one.step} steps: {told['overall']}")
            if told["overall"]["seen"] >= goal:
                break
        return shown

    def _lineage(self) -> dict[str, Any]:
        recipe = self.workshop.recipe
        sizes = {"size": recipe.data.size, "final_size": recipe.final_size}
        return {"name": "speedrun", "way": recipe.way, **sizes, **facts_of("scenes", self.workshop.store, recipe.data)}

    def scores(self) -> dict[str, Any]:
        """Of the folder as it is."""
        pipeline = Pipeline.load(self.folder, str(self.workshop.team.device))
        pipeline.pictures_a_pass = PICTURES_A_PASS

        def make(prompts: list[str], seeds: list[int]) -> Tensor:
            plan = pipeline.requests(prompts[0], 1, seeds[0], **self.settings)[0]
            requests = [replace(plan, prompt=prompt, seed=seed) for prompt, seed in zip(prompts, seeds, strict=True)]
            for step in pipeline.run(requests):
                last = step
            return from_images(last.pictures())

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PromptWarning)
            return scores(list(judge(self.asked, make, self.eye, self.pack)))
