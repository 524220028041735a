"""What the pipeline needs to know of a way to a picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from jaxtyping import Float
from torch import Tensor

from sfumato.pipelines.request import Request
from sfumato.pipelines.watching import Watch


@dataclass(frozen=True)
class Batch:
    """Pictures that are made together; they differ in prompt and seed."""

    prompts: Sequence[str]
    seeds: Sequence[int]
    height: int  # of the small pictures, in pixels
    width: int
    plan: Request  # all the rest that was asked for
    pictures_a_pass: int  # 1 computes each picture in tensors of the same shapes whatever its batch: to the same bits
    watch: Watch | None = None  # who looks on; of one picture alone

    def of(self, places: Sequence[int]) -> Batch:
        """Some of the pictures."""
        prompts, seeds = [self.prompts[place] for place in places], [self.seeds[place] for place in places]
        return replace(self, prompts=prompts, seeds=seeds)


@dataclass(frozen=True)
class Painting:
    """How far a batch of pictures is: `step` of `steps` of a stage such as "denoise"."""

    stage: str
    step: int
    steps: int
    pictures: Callable[[], Float[Tensor, "b 3 h w"]]  # as they look now, in about [-1, 1]; computed when called


class Way(Protocol):
    """A way to small pictures, over the parts of a model; the pipeline enlarges them."""

    takes: frozenset[str]
    """The settings of a `Request` that it follows, besides those that every way does; the pipeline refuses others."""

    @property
    def base_size(self) -> int:
        """Side of the small pictures in pixels, as the model was trained."""
        ...

    @property
    def unit(self) -> int | None:
        """The sides of small pictures may be any multiple of this; None when only `base_size` can be made."""
        ...

    def paint(self, batch: Batch) -> Iterator[Painting]:
        """Make the small pictures of a batch, a step at a time; the last painting shows them finished.

        A picture depends on its own prompt and seed and on the plan alone. Raises PromptError for what this way
        cannot do.
        """
        ...
