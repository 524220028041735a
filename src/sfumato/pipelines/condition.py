"""What a denoiser listens to: words, a vector, a class, a picture beside it, or any mix of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Shaped
from torch import Tensor


@dataclass(frozen=True)
class Condition:
    """What is said to a denoiser of each of b samples; None where nothing of the kind is said.

    Attributes:
        states: a state for each of t tokens, or one vector for denoisers of vectors.
        mask: which tokens count; all of them where it is None.
        pooled: one vector for the whole text.
        sizes: numbers about the picture, such as its height and width, for networks that were trained with them.
        beside: what the denoiser sees beside the noisy picture, as more channels.
        labels: classes, or how noisy `beside` is.
        guidance: the scale, for networks that learned to guide themselves.
    """

    states: Float[Tensor, "b *t d"]
    mask: Bool[Tensor, "b t"] | None = None
    pooled: Float[Tensor, "b p"] | None = None
    sizes: Float[Tensor, "b k"] | None = None
    beside: Float[Tensor, "b c h w"] | None = None
    labels: Shaped[Tensor, " b"] | None = None
    guidance: Float[Tensor, " b"] | None = None

    def __len__(self) -> int:
        return len(self.states)

    def each(self, change: Callable[[Tensor], Tensor]) -> Condition:
        """The same with each of its tensors changed."""
        said = ((field.name, getattr(self, field.name)) for field in fields(self))
        return replace(self, **{name: change(value) for name, value in said if value is not None})

    def in_precision(self, dtype: torch.dtype) -> Condition:
        """With what is said in words in a network's precision."""
        pooled = None if self.pooled is None else self.pooled.to(dtype)
        return replace(self, states=self.states.to(dtype), pooled=pooled)

    def trimmed(self) -> Condition:
        """Without the tokens at the end that count for none of the samples."""
        if self.mask is None or self.mask.is_meta:  # which tells of shapes alone
            return self
        length = _heard(self.mask)
        mask = self.mask[:, :length]
        return replace(self, states=self.states[:, :length], mask=None if bool(mask.all()) else mask)

    def of(self, count: int) -> Condition:
        """The condition of one sample, said of `count` samples."""
        return self.each(lambda tensor: tensor.expand(count, *tensor.shape[1:]))

    def saying(self, other: Condition) -> Condition:
        """The same samples with the words of others, or of one for all of them, in the place of their own."""
        words = other if len(other) == len(self) else other.of(len(self))
        return replace(self, states=words.states, mask=words.mask, pooled=words.pooled, sizes=words.sizes)


def together(conditions: Sequence[Condition], join: Callable[[list[Tensor]], Tensor] = torch.cat) -> Condition:
    """Several conditions as one, their tensors joined: one after the other, or by torch.stack side by side.

    Shorter texts are filled up with tokens that do not count.
    """
    lengths = {one.states.shape[1] for one in conditions if one.states.ndim == 3}
    longest = max(lengths, default=0)
    if len(lengths) > 1 or any(one.mask is not None for one in conditions):
        conditions = [_filled(one, longest) for one in conditions]
    said = ((field.name, [getattr(one, field.name) for one in conditions]) for field in fields(Condition))
    return replace(conditions[0], **{name: join(values) for name, values in said if values[0] is not None})


def _filled(condition: Condition, length: int) -> Condition:
    states = condition.states
    more = length - states.shape[1]
    mask = torch.ones(states.shape[:2], dtype=torch.bool, device=states.device)
    mask = mask if condition.mask is None else condition.mask
    return replace(condition, states=F.pad(states, (0, 0, 0, more)), mask=F.pad(mask, (0, more)))


def mixed(
    conditions: Sequence[Condition], way: Callable[[list[Tensor], Sequence[float]], Tensor], shares: Sequence[float]
) -> Condition:
    """One condition on the way between several: what is said in words is mixed, all else is that of the first.

    `way` mixes tensors of one sample, without the tokens at the end that count for none of it, so that the result is
    the same to the bit in any batch: some functions round otherwise in tensors of another length.
    """

    def mix(tensors: Tensor, lengths: Sequence[int | None]) -> Tensor:
        samples = zip(tensors.unbind(1), lengths, strict=True)
        made = [way(list(each[:, :length]), shares) for each, length in samples]
        return torch.stack([_lengthened(one, tensors.shape[2]) for one in made])

    joined, all_of_it = together(conditions, torch.stack), [None] * len(conditions[0])
    mask = None if joined.mask is None else joined.mask.any(0)
    heard = all_of_it if mask is None or mask.is_meta else [_heard(row[None]) for row in mask]
    return replace(
        conditions[0],
        states=mix(joined.states, heard),
        mask=mask,
        pooled=None if joined.pooled is None else mix(joined.pooled, all_of_it),
    )


def _heard(mask: Bool[Tensor, "b t"]) -> int:
    """How many tokens there are up to the last that counts for one of the samples, 1 at least."""
    counts = mask.any(0).nonzero()
    return int(counts.max()) + 1 if len(counts) else 1


def _lengthened(states: Tensor, length: int) -> Tensor:
    """Filled up with zeros."""
    more = length - len(states)
    return F.pad(states, (0, 0, 0, more)) if more else states
