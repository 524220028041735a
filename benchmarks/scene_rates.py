"""How much of a device's matrix rate the training of a denoiser uses, and where its time goes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from sfumato.devices import named_dtype
from sfumato.training.ahead import Ahead
from sfumato.training.ema import Average
from sfumato.training.loop import AHEAD, advance
from sfumato.training.optimizers import build
from sfumato.training.recipe import Recipe
from sfumato.training.stage import Draw, Stage
from sfumato.training.state import State
from sfumato.training.team import Team

LOOKED_AT = 5  # steps under the profiler
ROWS = 30  # of the profiler's table
SIDE = {"cuda": 8192, "cpu": 1024}  # of the matrices whose product is the measure


def profiled(stage: Stage, recipe: Recipe, team: Team, count: int, table: Path | None) -> dict[str, Any]:
    """The share of the measured matrix rate over `count` steps, with what was counted and timed.

    The profiler's table is left in a file, or printed. Work is counted once, on the networks as they are written:
    forward and backward passes of the denoiser and of the words that learn with it; what optimisers do; what makes a
    batch, the encoding of pictures above all.
    """
    plan = recipe.denoiser
    state = State(stage.objective, build(stage.objective, plan), Average(stage.objective, plan.ema))
    model = torch.compile(stage.objective) if recipe.run.compile else stage.objective
    waited = 0.0

    def make(step: int, attempt: int) -> tuple[torch.Tensor, ...]:
        return stage.batch(Draw(recipe.seed, "denoiser", step, plan.batch, team, attempt))

    def steps(count: int, ahead: Ahead) -> float:
        nonlocal waited
        wait(team)
        began, waited = time.perf_counter(), 0.0
        for _ in range(count):
            asked = time.perf_counter()
            batch = ahead.take(state.step, 0)
            waited += time.perf_counter() - asked
            advance(state, model, batch, plan, team)
        wait(team)
        return (time.perf_counter() - began) / count

    with Ahead(make, plan.steps, AHEAD if team.device.type == "cuda" else 0, team.device) as ahead:
        steps(1 + count // 4, ahead)  # compiled, and warm
        seconds = steps(count, ahead)
        share_waited = waited / (seconds * count)
        kinds = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (team.device.type == "cuda")
        with profile(activities=kinds) as looked:
            steps(LOOKED_AT, ahead)
    order = "self_cuda_time_total" if team.device.type == "cuda" else "self_cpu_time_total"
    written = looked.key_averages().table(sort_by=order, row_limit=ROWS)
    table.write_text(written, encoding="utf-8") if table else print(written)
    work, peak = counted(stage, state, recipe, team), matrix_rate(team)
    return {
        "seconds_a_step": seconds,
        "pictures_a_second": plan.batch / seconds,
        "share_waiting_for_batches": share_waited,
        "work_a_step": work,
        "rate": sum(work.values()) / seconds,
        "matrix_rate": peak,
        "precision": named_dtype(precision(team)),
        "share": sum(work.values()) / seconds / peak,
        "share_of_networks_alone": work["networks"] / seconds / peak,
    }


def counted(stage: Stage, state: State, recipe: Recipe, team: Team) -> dict[str, int]:
    """Floating-point operations of a step, by what they are for."""
    draw = Draw(recipe.seed, "counted", 0, recipe.denoiser.batch, team)
    with FlopCounterMode(display=False) as of_batch:
        batch = stage.batch(draw)
    with FlopCounterMode(display=False) as of_networks:
        with team.autocast():
            loss = stage.objective(*batch)["loss"]
        loss.backward()
    with FlopCounterMode(display=False) as of_optimizers:
        for optimizer in state.optimizers:
            optimizer.step()
    return {
        "networks": of_networks.get_total_flops(),
        "optimisers": of_optimizers.get_total_flops(),
        "batches": of_batch.get_total_flops(),
    }


def matrix_rate(team: Team, times: int = 20) -> float:
    """Operations a second of a large product of random matrices, in the precision that the team trains in."""
    side = SIDE[team.device.type]
    left, right = torch.randn(2, side, side, device=team.device, dtype=precision(team))
    for _ in range(3):
        left @ right
    wait(team)
    began = time.perf_counter()
    for _ in range(times):
        left @ right
    wait(team)
    return 2 * side**3 * times / (time.perf_counter() - began)


def precision(team: Team) -> torch.dtype:
    return torch.bfloat16 if team.bfloat16 else torch.float32


def wait(team: Team) -> None:
    if team.device.type == "cuda":
        torch.cuda.synchronize(team.device)
