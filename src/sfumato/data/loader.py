"""The order of training samples, a pure function of seed and step: a run can go on anywhere with the same batches."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Int64
from torch import Tensor

from sfumato.errors import DataError
from sfumato.seeds import derived_seed


@dataclass(frozen=True)
class Order:
    """Shuffled passes over `count` samples in batches that run on across the borders of passes.

    Args:
        count: samples, at least 1.
        batch: samples per step over all machines together, at least 1; may exceed `count`.
        seed: any integer.

    Raises:
        DataError: a number is out of range.

    Example:
        >>> order = Order(count=5, batch=2, seed=0)
        >>> sorted(torch.cat([order.indices(step) for step in range(5)]).tolist())
        [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    """

    count: int
    batch: int
    seed: int

    def __post_init__(self) -> None:
        if self.count < 1 or self.batch < 1:
            raise DataError(f"an order needs at least one sample and a batch of one, not {self.count} and {self.batch}")

    def indices(self, step: int) -> Int64[Tensor, "batch"]:
        """The samples of one step; each pass holds every sample once.

        Steps are counted from 0; a negative one raises DataError.
        """
        if step < 0:
            raise DataError(f"steps are counted from 0, not {step}")
        pieces = []
        position, end = step * self.batch, (step + 1) * self.batch
        while position < end:
            epoch, start = divmod(position, self.count)
            piece = _permutation(self.count, self.seed, epoch)[start : start + end - position]
            pieces.append(piece)
            position += len(piece)
        return torch.cat(pieces)


@lru_cache(maxsize=4)
def _permutation(count: int, seed: int, epoch: int) -> Int64[Tensor, "count"]:
    return torch.randperm(count, generator=seeded(seed, "epoch", epoch))


def seeded(*path: int | str) -> torch.Generator:
    """A random generator for one purpose: the same for the same seed and names, unrelated for others.

    Example:
        >>> torch.rand(1, generator=seeded(0, "captions", 7)) == torch.rand(1, generator=seeded(0, "captions", 7))
        tensor([True])
    """
    return torch.Generator().manual_seed(derived_seed(*path))


def caption_choices(counts: Int64[Tensor, "batch"], generator: torch.Generator) -> Int64[Tensor, "batch"]:
    """For samples with `counts` captions each (at least 1), the index of one caption each, uniformly chosen."""
    return (torch.rand(counts.shape, generator=generator, dtype=torch.float64) * counts).long()


def share(indices: Int64[Tensor, "batch"], rank: int, world: int) -> Int64[Tensor, "part"]:
    """The part of a batch that falls to machine `rank` of `world`; the parts in order make up the batch.

    Raises DataError when the batch cannot be divided evenly, or there is no such rank.
    """
    if not 0 <= rank < world:
        raise DataError(f"rank {rank} is not one of {world}")
    if len(indices) % world:
        raise DataError(f"a batch of {len(indices)} cannot be divided evenly among {world} processes")
    return indices.chunk(world)[rank]
