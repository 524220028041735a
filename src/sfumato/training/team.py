"""The processes that train together: one alone, or those that `torchrun` started (plain `torch.distributed`)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
import torch.distributed.nn.functional as dist_nn
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from sfumato.devices import choose_device, computes_bfloat16
from sfumato.training.recipe import Run

T = TypeVar("T")


@dataclass(frozen=True)
class Team:
    """This process's place: its rank, how many there are, its device, and the precision it computes in."""

    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    bfloat16: bool = False

    @property
    def leads(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def autocast(self) -> AbstractContextManager[object]:
        """Mixed precision where it was chosen."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.bfloat16 else nullcontext()

    @contextmanager
    def own_chance(self) -> Iterator[None]:
        """Within the block random numbers may be seeded; those of the program are as they were after it."""
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            yield

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module as it must be called in training: gradients are averaged over the team."""
        return DistributedDataParallel(module) if self.world > 1 else module

    def gather(self, rows: Tensor) -> Tensor:
        """The rows of all processes in the order of their ranks, differentiable."""
        return torch.cat(dist_nn.all_gather(rows)) if self.world > 1 else rows

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a number over the team."""
        if self.world > 1:
            value = value.clone()
            dist.all_reduce(value)
            value /= self.world
        return value

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process of the team."""
        if self.world == 1:  # without waiting for the device
            return flag
        return float(self.mean(torch.tensor(float(flag), device=self.device))) > 0

    def wait(self) -> None:
        """Until all processes are here."""
        if self.world > 1:
            dist.barrier()

    def first_the_leader(self, work: Callable[[], T]) -> T:
        """Do work that leaves files behind: the leader first, then the others, who find it done."""
        if self.leads:
            result = work()
            self.wait()
            return result
        self.wait()
        return work()


@contextmanager
def joined(run: Run) -> Iterator[Team]:
    """Join the processes that torchrun started, or be a team of one."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    device = choose_device(run.device)
    bfloat16 = run.precision == "bfloat16" or (run.precision == "auto" and computes_bfloat16(device))
    if world == 1:
        yield Team(device=device, bfloat16=bfloat16)
        return
    # the others wait while the leader prepares pictures or latents, which may take long
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timedelta(hours=6))
    try:
        yield Team(dist.get_rank(), world, device, bfloat16)
    finally:
        dist.destroy_process_group()
