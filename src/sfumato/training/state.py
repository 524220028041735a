"""All that changes while a stage trains, as one file: weights, their average, the optimisers' memory, the step."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from sfumato.checkpoints.files import write_tensors
from sfumato.checkpoints.tensors import read_metadata, read_tensors
from sfumato.errors import CheckpointError
from sfumato.training.ema import Average


@dataclass
class State:
    """A stage in training. `attempt` counts how often it went back after numbers that were not finite."""

    network: nn.Module
    optimizers: list[Optimizer]
    average: Average
    step: int = 0
    attempt: int = 0

    def save(self, path: Path) -> None:
        """Write everything to one file, all or nothing."""
        counts = json.dumps({"step": self.step, "attempt": self.attempt})
        write_tensors(path, self._tensors(), {"state": counts})

    def load(self, path: Path) -> None:
        """Take everything from a file that `save` wrote; CheckpointError when it is of another network."""
        tensors = read_tensors(path)
        try:
            counts = json.loads(read_metadata(path)["state"])
            self.step, self.attempt = int(counts["step"]), int(counts["attempt"])
            with torch.no_grad():
                for name, parameter in self.network.named_parameters():
                    parameter.copy_(tensors.pop(f"network/{name}"))
                for name, value in self.average.values.items():
                    value.copy_(tensors.pop(f"average/{name}"))
            self._load_optimizers(tensors)
        except (KeyError, ValueError, RuntimeError) as error:
            raise CheckpointError(f"{path} does not fit the network of this recipe: {error}") from error

    def _tensors(self) -> dict[str, Tensor]:
        tensors: dict[str, Tensor] = {f"network/{name}": p for name, p in self.network.named_parameters()}
        tensors |= {f"average/{name}": value for name, value in self.average.values.items()}
        for name, parameter in self.network.named_parameters():
            for optimizer in self.optimizers:
                for key, value in optimizer.state.get(parameter, {}).items():
                    tensors[f"optimizer/{name}/{key}"] = value
        return tensors

    def _load_optimizers(self, tensors: dict[str, Tensor]) -> None:
        owner = {p: o for o in self.optimizers for group in o.param_groups for p in group["params"]}
        parameters = dict(self.network.named_parameters())
        for optimizer in self.optimizers:
            optimizer.state.clear()
        for entry, value in tensors.items():
            _, name, key = entry.split("/")
            parameter = parameters[name]
            # a count of steps stays where PyTorch's fused optimisers want it: with the parameter
            owner[parameter].state[parameter][key] = value.to(parameter.device)
