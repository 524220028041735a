"""Recognises the family of a single file by its names and shapes, takes it apart into our parts, and puts it together.

A part's configuration is the `config.json` of diffusers or transformers. Between the parts of a folder and a file all
tensors go both ways unchanged; what no network reads (tables of the noise schedule, position numbers, the last layer of
Stable Diffusion 2's text encoder) is the `rest`, which a folder does not hold.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sfumato.checkpoints.single import layouts, renaming
from sfumato.checkpoints.single.layouts import FLUX_1, SCHNELL, Kind, Layout, Place, layout
from sfumato.checkpoints.single.prediction import prediction_of
from sfumato.checkpoints.single.renaming import Origin, Source, View, within
from sfumato.checkpoints.single.strangers import REFUSED, stranger
from sfumato.errors import CheckpointError

MOST_TENSORS = 20_000  # the largest models have a fifth of it
DENOISERS = ("unet", "transformer")


class Seat(NamedTuple):
    """A part of a file: where it stands, and what it is."""

    prefix: str
    kind: Kind
    config: dict[str, Any]


@dataclass(frozen=True)
class Family:
    """What a single file is.

    Attributes:
        name: as people call it, "Stable Diffusion XL".
        pipeline: the class of diffusers that runs it, which tells inpainting from the rest.
        seats: its parts by their names in a model folder: "unet" or "transformer", "vae", "text_encoder", ...
        scheduler: the `scheduler_config.json`, with what the denoiser predicts.
        guessed: how the prediction was found where no one said it; empty where there is no doubt.
        augmentation: of an upscaler, the scheduler of the noise that its small picture gets.
        index: what the `model_index.json` of the published models says besides.
    """

    name: str
    pipeline: str
    seats: Mapping[str, Seat]
    scheduler: dict[str, Any]
    guessed: str = ""
    augmentation: Mapping[str, Any] | None = None
    index: Mapping[str, Any] = field(default_factory=dict)

    @property
    def configs(self) -> dict[str, dict[str, Any]]:
        """The `config.json` of each part."""
        return {part: seat.config for part, seat in self.seats.items()}


@contextmanager
def naming(file: object) -> Iterator[None]:
    """Errors about a checkpoint begin with the file's name."""
    try:
        yield
    except CheckpointError as error:
        if str(error).startswith(str(file)):
            raise
        raise CheckpointError(f"{file}: {error}") from error


def recognise(source: Source, *, prediction: str | None = None) -> Family:
    """Tells what a single file is.

    Args:
        source: its tensors; shapes are looked at, and a few small tensors that tell the prediction are read.
        prediction: "epsilon" or "v_prediction", for a file that would be taken for the other.

    Raises:
        CheckpointError: no layout that is known; the message says what it seems to be and what to do.
    """
    names = set(itertools.islice(source.names(), MOST_TENSORS + 1))
    if len(names) > MOST_TENSORS:
        raise CheckpointError(f"there are more than {MOST_TENSORS} tensors, more than any model has")
    place = _denoiser(names)
    odd = stranger(names, None if place is None else REFUSED)
    if place is None or odd:
        what, advice = odd or ("no model that is known here", "known are Stable Diffusion 1, 2, XL, 3, and FLUX.1")
        raise CheckpointError(f"this seems to be {what}; {advice}.")
    config = place.kind.config(within(source, place.prefix))
    if config.get("class_embed_type"):
        raise CheckpointError("this seems to be Stable Diffusion 2 unCLIP, which is not supported.")
    family = layout(config)
    seats = {place.part: Seat(place.prefix, place.kind, config)}
    for place in family.places:
        if place.part not in seats and place.prefix + place.kind.mark in names:
            seats[place.part] = Seat(place.prefix, place.kind, place.kind.config(within(source, place.prefix)))
    return _family(family, seats, *prediction_of(family, config, names, source, prediction))


def _denoiser(names: Iterable[str]) -> Place | None:
    every = (layouts.STABLE_DIFFUSION_1, layouts.STABLE_DIFFUSION_3, FLUX_1)
    places = (place for each in every for place in each.places if place.part in DENOISERS)
    return next((place for place in places if place.prefix + place.kind.mark in names), None)


def _family(family: Layout, seats: Mapping[str, Seat], scheduler: dict[str, Any], guessed: str) -> Family:
    seats = {part: seat._replace(config={**seat.config, **family.told.get(part, {})}) for part, seat in seats.items()}
    denoiser = next(seat.config for part, seat in seats.items() if part in DENOISERS)
    if family is FLUX_1 and not denoiser["guidance_embeds"]:
        scheduler = dict(SCHNELL)
    if family is layouts.STABLE_DIFFUSION_2 and scheduler["prediction_type"] == "v_prediction":
        denoiser["sample_size"] = 96  # those of the published ones that predict v were trained at 768 pixels
    pipeline = family.pipelines.get(denoiser["in_channels"], family.pipeline)
    return Family(family.name, pipeline, seats, scheduler, guessed, family.augmentation, family.index)


def unpacked(source: Source, family: Family) -> dict[str, View]:
    """The parts of a file under our names; nothing is read before it is asked for.

    Raises:
        CheckpointError: a tensor among those of a part that its network has no place for.
    """
    return {part: _taken(source, family, part) for part in family.seats}


def autoencoder(source: Source) -> tuple[dict[str, Any], View]:
    """The autoencoder of a file that holds it alone, or among others: its configuration and its tensors.

    The configuration has no `scaling_factor` and no `shift_factor`, which no shape tells: they are those of the model
    that it is given to.

    Raises:
        CheckpointError: there is none under CompVis' names.
    """
    names = set(itertools.islice(source.names(), MOST_TENSORS + 1))
    places = (Place("vae", prefix, layouts.VAE) for prefix in (layouts.FIRST_STAGE, "vae.", ""))
    place = next((place for place in places if place.prefix + place.kind.mark in names), None)
    if place is None or not any(name.startswith(f"{place.prefix}encoder.down.") for name in names):
        what, advice = stranger(names) or ("no autoencoder that is known here", "known are those of Stable Diffusion")
        raise CheckpointError(f"this seems to be {what}; {advice}.")
    config = place.kind.config(within(source, place.prefix))
    alone = Family("an autoencoder", "", {"vae": Seat(place.prefix, place.kind, config)}, {})
    return config, _taken(source, alone, "vae")


def _taken(source: Source, family: Family, part: str) -> View:
    seat = family.seats[part]
    ours = renaming.ours(View(_read(source, family, part)), seat.kind.table(seat.config))
    missing = seat.kind.identity
    if missing and missing not in ours:
        width = seat.config["hidden_size"]
        if (width, width) not in {ours.shape(name) for name in ours.names()}:  # or a small file would ask for it all
            raise CheckpointError(f"the tensor {seat.prefix}{missing} is missing, and no other is {width} by {width}")
        unit = _Unit(missing, width, source.dtype(seat.prefix + seat.kind.mark))
        ours = View({**ours.origins, missing: Origin(unit, (missing,))})
    return ours


def _read(source: Source, family: Family, part: str) -> dict[str, Origin]:
    """What a part's network reads, under their names without the prefix."""
    prefix, kind, config = family.seats[part]
    others = tuple(seat.prefix for seat in family.seats.values() if len(seat.prefix) > len(prefix))
    unread = re.compile("|".join([kind.unread, *_last_layer(kind, config), *(IGNORED if not prefix else ())]))
    return {
        name[len(prefix) :]: Origin(source, (name,))
        for name in source.names()
        if name.startswith(prefix) and not name.startswith(others) and not unread.match(name[len(prefix) :][:300])
    }


IGNORED = (
    r"model_ema\.",
    r"(v_pred|ztsnr|global_step)$",
    r"edm_vpred\.",
    r"text_encoders\.",
    r"(first_stage_model|vae|conditioner|cond_stage_model)\.",
)
"""What may stand beside a denoiser that has no prefix."""


def _last_layer(kind: Kind, config: Mapping[str, Any]) -> list[str]:
    if kind is not layouts.PENULTIMATE_CLIP:
        return []
    return [rf"transformer\.resblocks\.{config['num_hidden_layers']}\."]


def rest(source: Source, family: Family) -> View:
    """What no part reads, under its own names; without the duplicates that a moving average left behind."""
    used = {origin.names[0] for part in family.seats for origin in _read(source, family, part).values()}
    return View(
        {
            name: Origin(source, (name,))
            for name in source.names()
            if name not in used and not name.startswith("model_ema.")
        }
    )


def packed(parts: Mapping[str, Source], family: Family, rest: Source | None = None) -> View:
    """The file that parts make, under its makers' names; the inverse of `unpacked`.

    An identity that the layout may leave out is left out.

    Raises:
        CheckpointError: a tensor that the layout has no name for.
    """
    origins: dict[str, Origin] = {}
    for part, (prefix, kind, config) in family.seats.items():
        ours: Source = _stemmed(parts[part])
        if kind.identity and _is_unit(ours, kind.identity):
            ours = View({name: Origin(ours, (name,)) for name in ours.names() if name != kind.identity})
        theirs = renaming.theirs(ours, kind.table(config))
        origins |= {prefix + name: Origin(theirs, (name,)) for name in theirs.names()}
    if rest is not None:
        origins |= {name: Origin(rest, (name,)) for name in rest.names()}
    return View(origins)


def _stemmed(source: Source) -> Source:
    """A text encoder that was saved without `text_model.` gets it."""
    names = set(source.names())
    if "embeddings.token_embedding.weight" not in names:
        return source
    return View({f"text_model.{name}": Origin(source, (name,)) for name in names})


class _Unit:
    """A source of one tensor: the identity matrix."""

    def __init__(self, name: str, size: int, dtype: torch.dtype):
        self.name, self.size, self.kind = name, size, dtype

    def names(self) -> Iterable[str]:
        return (self.name,)

    def shape(self, name: str) -> tuple[int, ...]:
        return (self.size, self.size)

    def dtype(self, name: str) -> torch.dtype:
        return self.kind

    def get(self, name: str) -> Tensor:
        return torch.eye(self.size).to(self.kind)


def _is_unit(source: Source, name: str) -> bool:
    shape = source.shape(name)
    return len(shape) == 2 and shape[0] == shape[1] and torch.equal(source.get(name).float(), torch.eye(shape[0]))
