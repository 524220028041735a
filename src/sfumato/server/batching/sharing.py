"""How forward passes are shared: how large, how many at once, of how many pictures."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch

from sfumato.errors import RecipeError


@dataclass(frozen=True)
class Sharing:
    """How forward passes are shared.

    Attributes:
        rows: samples of one forward pass at most; a picture with guidance takes two of them.
        seats: pictures that are under way at a time; the others wait.
        workers: forward passes that are made at a time.
        threads: of the processor that the passes have together; each has its part of them.
        patience: seconds after the last question that a worker waits for pictures which are about to ask, before it
            begins without them; None waits for them all.
        exact: nothing is shared, so that every picture is the same to the bit as one made alone with as many threads;
            one worker has them all.

    Raises RecipeError where a number is not above 0.
    """

    rows: int = 16
    seats: int = 8
    workers: int = 1
    threads: int = 1
    patience: float | None = 0.02
    exact: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and field.name != "exact" and not value > 0:
                raise RecipeError(f"The setting {field.name} of sharing is a number above 0, not {value!r}.")
        if self.exact:
            object.__setattr__(self, "workers", 1)

    @classmethod
    def on(cls, device: torch.device, *, offload: bool = False) -> Sharing:
        """What suits a device.

        A processor takes as long for a row among many as for one alone: there a few pictures at a time, which are done
        the sooner, and a pass for each core, since small maps gain little from a second thread. An accelerator is as
        fast with many rows as with few. Weights that come and go leave no room for anything beside a pass.
        """
        if offload:
            return cls(rows=64, seats=32, workers=1, threads=torch.get_num_threads(), patience=None)
        if device.type != "cpu":
            return cls(rows=64, seats=32, workers=1, threads=torch.get_num_threads())
        threads = torch.get_num_threads()
        workers = min(4, threads)  # each pass takes its own memory
        return cls(rows=8, seats=2 * workers, workers=workers, threads=threads)
