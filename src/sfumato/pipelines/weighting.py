"""Text states of prompts with weights, of any length, by any text encoder.

What a weight does to the state of its token depends on the profile (`sfumato.data.prompts`):

- `sfumato`, `comfyui`: the state goes along the line from the empty prompt's state at the same place:
  empty + weight * (state - empty). This is guidance's own step (Ho & Salimans 2022, eq. 6), taken in the states: 1 is
  the state, 0 says nothing at this place, and no other token is touched. States have a large part in common, whatever
  the text; multiplying them would multiply that too, which no encoder ever gives.
- `a1111`: the window's states are multiplied by their weights, then all of them by one number that brings their mean
  back to what it was, so that the weight of a word changes the other words' states as well.

A weight acts at its own token's place. What later tokens know of that word, by attention, stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from sfumato.data.prompts import Branch, ends, parse_at
from sfumato.data.windows import Frame, Window, empty
from sfumato.errors import PromptError

Encode = Callable[[Int64[Tensor, "1 t"]], tuple[Float[Tensor, "1 t d"], Float[Tensor, "1 p"] | None]]
"""A text encoder: the states of one window, and its pooled vector, if there is one."""


@dataclass(frozen=True)
class Reading:
    """How prompts are read, and when.

    Attributes:
        profile: by whose rules, a name in `sfumato.data.prompts.PROFILES`.
        clip_skip: how many of the text encoder's last layers are left out, as the users of that program mean it.
        step: at which step of the sampling, from 0, since prompts may change on the way.
        steps: how many there are.
        windows: how many there are at least; those without words are the empty prompt's.
    """

    profile: str = "sfumato"
    clip_skip: int | None = None
    step: int = 0
    steps: int = 1
    windows: int = 1

    def branches(self, text: str, *, negative: bool = False) -> tuple[Branch, ...]:
        """What a text says at the step; `negative` as in `sfumato.data.prompts.parse`.

        A1111 counts the steps that are made from 0, and those at which a prompt changes from 1: what is said first is
        said once more than one might think.
        """
        return parse_at(text, self.profile, step=max(1, self.step), steps=self.steps, negative=negative)

    def starts(self, text: str, *, negative: bool = False) -> list[int]:
        """The steps, from 0, at which a text begins to say something; 0 is the first, and most often the only one."""
        before = ends(text, self.profile, steps=self.steps, negative=negative)
        return [0, *(end + 1 for end in before if end + 1 < self.steps)]

    def all_branches(self, text: str, *, negative: bool = False) -> Iterator[Branch]:
        """All that a text says from the first step to the last."""
        for step in self.starts(text, negative=negative):
            yield from replace(self, step=step).branches(text, negative=negative)


class Encoded(NamedTuple):
    """The states of a prompt, its windows end to end, and the pooled vector of its first window, without weights."""

    states: Float[Tensor, "t d"]
    pooled: Float[Tensor, " p"] | None


def weighted(windows: Sequence[Window], frame: Frame, encode: Encode, profile: str = "sfumato") -> Encoded:
    """The weighted states of a prompt; where all weights are 1, the encoder's own bits.

    Every window is encoded by itself, so that none depends on its neighbours.

    Raises:
        PromptError: the weights make numbers that are not finite.
    """
    made = [encode(torch.tensor([window.ids])) for window in windows]
    parts = [states[0] for states, _ in made]
    plain = all(window.plain for window in windows)
    if not plain:
        nothing = None if profile == "a1111" else encode(torch.tensor([empty(frame).ids]))[0][0]
        for number, window in enumerate(windows):
            if not window.plain:
                parts[number] = _weighed(parts[number], window.weights, nothing)
    states = torch.cat(parts)
    if not (plain or states.is_meta or bool(states.isfinite().all())):  # on paper there are shapes alone
        raise PromptError("The weights of the prompt make text states that are not finite; take smaller ones.")
    pooled = made[0][1]
    return Encoded(states, None if pooled is None else pooled[0])


def _weighed(
    states: Float[Tensor, "t d"], weights: Sequence[float], nothing: Float[Tensor, "t d"] | None
) -> Float[Tensor, "t d"]:
    weight = torch.tensor(weights, device=states.device)[:, None]
    exact = states.float()
    if nothing is None:
        multiplied = exact * weight
        return (multiplied * (exact.mean() / multiplied.mean())).to(states)
    moved = nothing.float() + weight * (exact - nothing.float())
    return torch.where(weight == 1, exact, moved).to(states)


def layers_skipped(clip_skip: int | None, layers: int, usual: int = 0, profile: str = "sfumato") -> int:
    """How many of a text encoder's last layers a "clip skip" leaves out, as the users of each program mean it.

    Args:
        clip_skip: None for the model's usual. `sfumato` and `a1111`: 1 is the last layer, 2 the one before it;
            `diffusers`: how many more than usual are left out; `comfyui`: -1 is the last layer, -2 the one before it.
        layers: how many there are.
        usual: what the model leaves out by itself, 1 for Stable Diffusion XL; A1111 then keeps to that.
        profile: a name in `sfumato.data.prompts.PROFILES`.

    Raises:
        PromptError: a number that leaves out less than none or more than there are.
    """
    if clip_skip is None:
        return usual
    least, most = {"diffusers": (0, layers - usual), "comfyui": (-layers - 1, -1)}.get(profile, (1, layers + 1))
    if not isinstance(clip_skip, int) or isinstance(clip_skip, bool) or not least <= clip_skip <= most:
        raise PromptError(f"clip_skip is a whole number from {least} to {most} for {profile}, not {clip_skip!r:.100}.")
    if profile == "diffusers":
        return usual + clip_skip
    return usual if profile == "a1111" and usual else abs(clip_skip) - 1
