"""What captions say to a denoiser while it learns: states that are kept, or those of a text encoder that listens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from sfumato.checkpoints.folder import clip_text, has_part, load_part, save_part
from sfumato.networks.clip import TextEncoder, TextStates
from sfumato.pipelines.condition import Condition
from sfumato.training.kept import kept
from sfumato.training.workshop import PictureWorkshop


@dataclass(frozen=True)
class Hearing:
    """What the captions of a data set say.

    Attributes:
        width: channels of a state.
        pooled_width: channels of what sums a text up; 0 where nothing does.
        rows: of captions by their numbers, and which of them are not told, what a batch carries of each, (b, ...).
        condition: that as what the denoiser listens to.
        encoder: the text encoder that learns on, if it does.
    """

    width: int
    pooled_width: int
    rows: Callable[[Int64[Tensor, " b"], Bool[Tensor, " b"]], Tensor]
    condition: Callable[[Tensor], Condition]
    encoder: nn.Module | None = None


def remembered(workshop: PictureWorkshop) -> Hearing:
    """The states of all captions, kept, of which each batch takes its own."""
    states = states_of(workshop)

    def rows(captions: Tensor, silent: Tensor) -> Tensor:
        return states[torch.where(silent, len(states) - 1, captions)].float()

    return Hearing(states.shape[-1], 0, rows, Condition)


def states_of(workshop: PictureWorkshop) -> Float[Tensor, "n t d"]:
    """The text states of all captions, and last of the empty prompt; computed once and kept."""
    return of_all_captions(workshop, "states", [], lambda read: read.states)


def of_all_captions(
    workshop: PictureWorkshop, name: str, parts: Sequence[str], take: Callable[[TextStates], Tensor]
) -> Float[Tensor, "n ..."]:
    """What is taken of each caption as the text encoder reads it, and last of the empty prompt.

    It is computed once and kept as `name`, as long as the text encoder and the other `parts` are the same.
    """
    _, captions = workshop.kept

    @torch.no_grad()
    def compute() -> Tensor:
        text = load_part(workshop.folder, "text_encoder").to(workshop.team.device)
        tokens = workshop.tokenizer.encode([*captions.texts, ""])
        batches = workshop.batches(len(tokens), name)
        return torch.cat([take(text(tokens[some].to(workshop.team.device))).cpu() for some in batches])

    return kept(workshop, name, ["text_encoder", "tokenizer", *parts], compute)


def listening(workshop: PictureWorkshop, learns: bool, sums_up: bool) -> Hearing:
    """The text encoder at every step: for captions that are too many to keep, or while it `learns` on.

    Where no denoiser hears what `sums_up` a text, the projection that makes it rests.
    """
    encoder: TextEncoder = load_part(workshop.folder, clip_text(workshop.folder)).to(workshop.team.device)
    encoder.requires_grad_(learns)
    if encoder.text_projection is not None and not sums_up:
        encoder.text_projection.requires_grad_(False)

    def rows(captions: Tensor, silent: Tensor) -> Tensor:
        texts = workshop.captions.some(captions)
        pairs = zip(texts, silent.tolist(), strict=True)
        return workshop.tokenizer.encode(["" if unsaid else text for text, unsaid in pairs])

    def condition(ids: Tensor) -> Condition:
        with torch.set_grad_enabled(learns and torch.is_grad_enabled()):
            read = encoder(ids)
        return Condition(read.states, pooled=read.projected)

    pooled = encoder.config.projection_dim if encoder.config.projects else 0
    return Hearing(encoder.config.hidden_size, pooled, rows, condition, encoder if learns else None)


def keep_words(workshop: PictureWorkshop, encoder: nn.Module) -> None:
    """Write a text encoder that learned on; the one that the image encoder knows stays beside it."""
    folder = workshop.folder
    if not has_part(folder, "clip_text_encoder"):
        save_part(folder, "clip_text_encoder", load_part(folder, "text_encoder"), workshop.weights)
    save_part(folder, "text_encoder", encoder, workshop.weights)
