"""Pure noise -> the gradient of a classifier, followed by a solver -> picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from sfumato.checkpoints.files import read_json
from sfumato.data.classes import Classes
from sfumato.diffusion.noise import per_sample_noise
from sfumato.diffusion.sampling import sample
from sfumato.diffusion.times import timetable
from sfumato.errors import CheckpointError, DataError, PromptError
from sfumato.networks.classifier import Classifier
from sfumato.pipelines.climbing import PROCESS, climbing, load_reference
from sfumato.pipelines.model import Model
from sfumato.pipelines.request import VARYING
from sfumato.pipelines.ways.way import Batch, Painting


class Gradient:
    """A classifier of noisy pictures; the words choose the class whose probability is climbed."""

    takes = frozenset({"solver", "eta", *VARYING})

    def __init__(self, model: Model) -> None:
        self.model = model
        self.classifier: Classifier = model.part("classifier")
        self.reference = load_reference(model.folder / "classifier", model.device)
        try:
            values = read_json(model.folder / "classifier" / "classes.json")
            self.classes = Classes.from_dict(values)
        except DataError as error:
            raise CheckpointError(f"{model.folder / 'classifier' / 'classes.json'}: {error}") from error
        if len(self.classes) != self.classifier.config.classes:
            raise CheckpointError(
                f"{model.folder / 'classifier'} names {len(self.classes)} classes, not as many as it has."
            )

    @property
    def base_size(self) -> int:
        return self.reference.mean.shape[-1]

    @property
    def unit(self) -> int | None:
        return None  # the reference is of pictures of one size

    def paint(self, batch: Batch) -> Iterator[Painting]:
        plan, noise, device = batch.plan, per_sample_noise(batch.seeds), self.model.device
        asked = self.asked(batch.prompts).to(device)
        denoise = climbing(self.classifier, self.reference, asked, plan.scale, batch.pictures_a_pass)
        method = plan.method
        levels = method.route(timetable(PROCESS, plan.num_inference_steps))
        start = batch.beginning(noise)(torch.empty(len(asked), 3, batch.height, batch.width, device=device))
        for state in sample(denoise, start, levels, noise, method.step):
            shown = state.clean if state.step < state.steps else state.noisy
            yield Painting("climb", state.step, state.steps, partial(Tensor.float, shown))

    def asked(self, prompts: Sequence[str]) -> Tensor:
        """The class that each prompt names; -1, any class, for an empty one. PromptError where it names none."""
        found = []
        for prompt in prompts:
            number = 0 if len(self.classes) == 1 else self.classes.meant(prompt) if prompt.strip() else -1
            if number is None:
                names = ", ".join(self.classes.names[:20])
                raise PromptError(f"The prompt {prompt!r} names none of the classes: {names}. An empty one means any.")
            found.append(number)
        return torch.tensor(found)
