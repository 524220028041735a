"""The training loop, one for all stages."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from types import FrameType

import torch
from torch import Tensor, nn

from sfumato.errors import SfumatoError, TrainingError
from sfumato.progress import Progress
from sfumato.seeds import derived_seed
from sfumato.training.ahead import Ahead
from sfumato.training.ema import Average
from sfumato.training.optimizers import build
from sfumato.training.recipe import Training
from sfumato.training.run_folder import RunFolder
from sfumato.training.stage import Batch, Draw, Evaluation, Stage
from sfumato.training.state import State
from sfumato.training.team import Team

MOST_ATTEMPTS = 5
SHOWN = ("loss", "validation_loss")  # of the metrics
AHEAD = 3  # batches that are made beside a GPU while it learns


class Interrupted(SfumatoError):
    """A person stopped the training; it goes on with the same command."""

    exit_code = 130


def fit(name: str, stage: Stage, plan: Training, seed: int, run: RunFolder, team: Team, progress: Progress) -> State:
    """Train a stage from its newest checkpoint, or from zero, to its last step.

    Raises Interrupted after Ctrl-C or a termination signal (a checkpoint is written first), TrainingError when numbers
    keep becoming infinite.
    """
    network = stage.objective
    state = State(network, build(network, plan), Average(network, plan.ema))
    model = team.wrap(network)
    if run.settings.compile:
        model = torch.compile(model)  # type: ignore[assignment]
    if not run.restore(state):
        run.keep(state)
    run.forget_after(state.step)
    gauge = Gauge(run.settings.log_every)
    progress.begin(name, plan.steps, state.step)

    def make(step: int, attempt: int) -> Batch:
        return stage.batch(Draw(seed, name, step, plan.batch, team, attempt))

    ahead = Ahead(make, plan.steps, AHEAD if team.device.type == "cuda" else 0, team.device)
    with stopping() as stop, closing(run), ahead, team.own_chance():
        while state.step < plan.steps:
            batch = ahead.take(state.step, state.attempt)
            torch.manual_seed(derived_seed(seed, name, state.attempt, "step", state.step, team.rank))  # for dropout
            gauge.add(advance(state, model, batch, plan, team))
            ended = state.step == plan.steps
            evaluation = evaluation_due(state.step, plan.steps, stage.evaluation)
            # alone at once; a team agrees where it talks anyway, or some would wait for others that are gone
            talks = gauge.is_due(state.step) or evaluation is not None or ended
            stopped = team.any(stop.is_set()) if talks or team.world == 1 else False
            if talks:
                values = gauge.read(team)
                if not all(map(math.isfinite, values.values())):
                    go_back(name, state, run, team, progress)
                    gauge = Gauge(run.settings.log_every)
                    continue
                if evaluation and team.leads:
                    with state.average.in_place():
                        values |= evaluation.measure()
                run.log(state.step, values)
                progress.advance(state.step, told(values))
            if (run.is_due() or ended or stopped) and gauge.is_healthy():
                run.keep(state)
            if is_preview_due(state.step, plan.steps, run.settings.previews) and team.leads:
                with state.average.in_place():
                    run.show(state.step, stage.preview())
            if stopped:
                raise Interrupted(
                    f"Stopped in {name} at step {state.step} of {plan.steps}. Run the same command to go on from there."
                )
    return state


def advance(state: State, model: nn.Module, batch: Batch, plan: Training, team: Team) -> dict[str, Tensor]:
    """One optimiser step; the metrics stay on the device."""
    rate = learning_rate(state.step, plan)
    for optimizer in state.optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * rate
        optimizer.zero_grad(set_to_none=True)
    with team.autocast():
        metrics = model(*batch)
    metrics["loss"].backward()
    norm = nn.utils.clip_grad_norm_(state.network.parameters(), plan.clip)
    for optimizer in state.optimizers:
        optimizer.step()
    state.step += 1
    state.average.update(state.step)
    return {name: value.detach() for name, value in metrics.items()} | {"gradient": norm.detach()}


def learning_rate(step: int, plan: Training) -> float:
    """The share of the peak learning rate at a step, counted from 0: warm-up, then decay toward 0."""
    warm = min(1.0, (step + 1) / plan.warmup) if plan.warmup else 1.0
    left = 1 - step / plan.steps
    return warm * {"constant": 1.0, "linear": left, "cosine": (1 - math.cos(math.pi * left)) / 2}[plan.decay]


def go_back(name: str, state: State, run: RunFolder, team: Team, progress: Progress) -> None:
    """Return to the last good state; other batches follow."""
    attempt, step = state.attempt + 1, state.step
    if attempt > MOST_ATTEMPTS:
        raise TrainingError(
            f"{name}: losses became infinite {attempt} times. The last good state is kept in {run.path}: go on from it "
            f"with --set run.precision=float32, or begin in another folder with a lower {name}.learning_rate."
        )
    team.wait()
    run.restore(state)
    run.forget_after(state.step)
    state.attempt = attempt
    run.keep(state)
    progress.say(f"{name}: the loss was not finite before step {step}; going back to step {state.step}.")


def told(values: Mapping[str, float]) -> str:
    """What a person is shown of the metrics."""
    return ", ".join(f"{name.replace('_', ' ')} {values[name]:.4f}" for name in SHOWN if name in values)


def evaluation_due(step: int, steps: int, evaluation: Evaluation | None) -> Evaluation | None:
    """What measures the networks after this step, if anything does: now and then, and at the end."""
    return evaluation if evaluation and (step == steps or step % evaluation.every == 0) else None


def is_preview_due(step: int, steps: int, previews: int) -> bool:
    """Whether a sample grid falls on this step: `previews` of them, evenly spread, one at the end."""
    return previews > 0 and (step * previews) // steps > ((step - 1) * previews) // steps


class Gauge:
    """Means of metrics since the last reading, kept on the device so that the loop need not wait for it."""

    def __init__(self, every: int) -> None:
        self.every = every
        self.sums: dict[str, Tensor] = {}
        self.count, self.began = 0, time.monotonic()

    def add(self, metrics: Mapping[str, Tensor]) -> None:
        self.sums = {name: self.sums[name] + value if self.sums else value for name, value in metrics.items()}
        self.count += 1

    def is_due(self, step: int) -> bool:
        return step % self.every == 0

    def is_healthy(self) -> bool:
        return all(math.isfinite(float(value)) for value in self.sums.values())

    def read(self, team: Team) -> dict[str, float]:
        """The means over steps and team, with steps per second; starts anew."""
        seconds = time.monotonic() - self.began
        values = {name: float(team.mean(value / self.count)) for name, value in self.sums.items()}
        values["steps_per_second"] = self.count / max(seconds, 1e-9)
        self.sums, self.count, self.began = {}, 0, time.monotonic()
        return values


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """Within the block Ctrl-C and a termination signal set the event; a second Ctrl-C stops at once."""
    stop = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
