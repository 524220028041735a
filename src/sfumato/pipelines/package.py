"""A model as it lies on disk, before its weights are read: a folder, a single file, or the parts of several."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from sfumato.checkpoints.families import Family, family_named, family_of
from sfumato.checkpoints.files import read_json
from sfumato.checkpoints.folder import DENOISERS, NETWORKS, PARTS, class_of, kind, load_diffusion, load_process
from sfumato.checkpoints.hub import INDEX
from sfumato.checkpoints.scheduler import Diffusion, from_config
from sfumato.checkpoints.single.family import autoencoder, naming, recognise, unpacked
from sfumato.checkpoints.single.layouts import layout
from sfumato.checkpoints.single.prediction import said_in
from sfumato.checkpoints.single.sources import Listed, Part
from sfumato.checkpoints.tensors import Source
from sfumato.checkpoints.weights import NAME, chosen_of, open_source, open_weights
from sfumato.diffusion.levels import Process
from sfumato.errors import CheckpointError

LATENTS = ("scaling_factor", "shift_factor")  # what an autoencoder's file may not say


class Described(NamedTuple):
    """A part, of which nothing is read yet."""

    where: Path  # of what describes it
    config: Callable[[], dict[str, Any]]
    source: Callable[[], Source]


@dataclass(frozen=True)
class Package:
    """A model on disk.

    Attributes:
        path: the folder or file.
        family: what kind of model it is.
        parts: by the names of their sub-folders.
        tokenizers: folders by the same names; those that are missing come from elsewhere.
        diffusion: how a part that denoises was trained.
        low_resolution: along which noise was put on the small pictures that an upscaler sees.
        zero_is_silence: an empty text to go away from is said by zeros.
        scale: of the latents, under the names of an autoencoder's configuration, for a model without one.
        told: lines of (name, value) on what was found out of a file that does not say what it is.
    """

    path: Path
    family: Family
    parts: Mapping[str, Described]
    tokenizers: Mapping[str, Path]
    diffusion: Callable[[str], Diffusion]
    low_resolution: Process | None = None
    zero_is_silence: bool = False
    scale: Mapping[str, Any] = field(default_factory=dict)
    told: list[tuple[str, str]] = field(default_factory=list)

    @property
    def needed(self) -> list[str]:
        """The parts that make pictures; CheckpointError when one is missing, saying which and how to give it."""
        family = self.family
        if missing := [name for name in family.needed if name not in self.parts]:
            raise CheckpointError(
                f"{self.path} is not a whole model: {', '.join(missing)} missing. Name a model that has them beside "
                "it, a folder, a file or an id on the hub, by --base MODEL."
            )
        optional = [name for name in family.optional if name in self.parts]
        repeated = [name for each in (*family.needed, "upsampler") for name in self._numbered(each)]
        return [*dict.fromkeys((*family.needed, *optional, *repeated))]

    def _numbered(self, name: str) -> list[str]:
        names = itertools.chain([name], (f"{name}_{number}" for number in itertools.count(2)))
        return list(itertools.takewhile(lambda each: each in self.parts, names))


def opened(path: Path, variant: str | None = None) -> Package:
    """A model folder or a single file; nothing is read but what describes it.

    Args:
        path: as `find` gives it.
        variant: of the weights of a folder, such as "fp16", where a part has it.

    Raises CheckpointError saying what is wrong with it.
    """
    return _file(path, variant) if path.is_file() else _folder(path, variant)


def with_base(package: Package, base: Package) -> Package:
    """The package with the parts and tokenizers that it lacks, of another model of its family; no denoiser of it."""
    if base.family.words != package.family.words or base.family.way != package.family.way:
        raise CheckpointError(f"{base.path} is no model of the kind of {package.path}; its parts do not fit.")
    lent = {name: part for name, part in base.parts.items() if kind(name) not in DENOISERS}
    return replace(package, parts={**lent, **package.parts}, tokenizers={**base.tokenizers, **package.tokenizers})


def with_vae(package: Package, path: Path, variant: str | None = None) -> Package:
    """The package with another autoencoder: of a folder, with or without the rest of a model, or of a single file.

    What its file does not say of the scale of the latents is that of the model.
    Raises CheckpointError when there is none, or its latents are of another kind.
    """
    found = _autoencoder(path, variant)
    described = found.config()
    scale = package.parts["vae"].config() if "vae" in package.parts else package.scale
    if class_of(described, "vae") == "AutoencoderKL":
        described |= {key: scale[key] for key in LATENTS if key not in described and key in scale}
    _require_alike(package, described, path)
    return replace(package, parts={**package.parts, "vae": found._replace(config=lambda: dict(described))})


def _folder(folder: Path, variant: str | None) -> Package:
    parts = {name: _in_folder(folder / name, variant) for name in _sub_folders(folder, "config.json", PARTS)}
    if variant and parts and not any(chosen_of(_names(folder / name), variant) for name in parts):
        open_weights(folder / next(iter(parts)), variant)  # says which there are
    return Package(
        folder,
        family_of(folder),
        parts,
        {name: folder / name for name in _sub_folders(folder, "*", ("tokenizer",))},
        partial(load_diffusion, folder),
        load_process(folder / "low_res_scheduler"),
        bool(read_json(folder / INDEX).get("force_zeros_for_empty_prompt", False)),
    )


def _sub_folders(folder: Path, holding: str, kinds: Any) -> list[str]:
    return sorted({path.parent.name for path in folder.glob(f"*/{holding}") if kind(path.parent.name) in kinds})


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def _in_folder(folder: Path, variant: str | None = None) -> Described:
    def source() -> Source:
        there = variant if variant and chosen_of(_names(folder), variant) else None
        return open_weights(folder, there)

    return Described(folder / "config.json", partial(read_json, folder / "config.json"), source)


def _file(path: Path, variant: str | None) -> Package:
    if variant:
        raise CheckpointError(f"{path} is a single file, which has no variant {variant!r}; leave --variant out.")
    source = open_source(path)
    with naming(path):
        known = recognise(Listed(source))
        if "unet" in known.seats and (said := said_in(source.metadata)):
            known = recognise(Listed(source), prediction=said)
        views = unpacked(Listed(source), known)

    def part(name: str) -> Described:
        return Described(path, lambda: dict(known.configs[name]), lambda: Part(views[name], path, source.metadata))

    return Package(
        path,
        family_named(known.pipeline, path),
        {name: part(name) for name in known.seats},
        {},
        lambda _: from_config(dict(known.scheduler)),
        from_config(dict(known.augmentation)).process if known.augmentation else None,
        bool(known.index.get("force_zeros_for_empty_prompt", False)),
        layout(next(config for name, config in known.configs.items() if name in DENOISERS)).told["vae"],
        [("kind", known.name), *([("guessed", known.guessed)] if known.guessed else [])],
    )


def _autoencoder(path: Path, variant: str | None) -> Described:
    if path.is_file() and NAME.fullmatch(path.name) and (path.parent / "config.json").is_file():
        path = path.parent
    if path.is_dir():
        folder = path / "vae" if (path / "vae" / "config.json").is_file() else path
        if not (folder / "config.json").is_file():
            raise CheckpointError(f"{path} holds no autoencoder: it has no config.json.")
        return _in_folder(folder, variant)
    source = open_source(path)
    with naming(path):
        config, view = autoencoder(Listed(source))
    return Described(path, lambda: dict(config), lambda: Part(view, path, source.metadata))


def _require_alike(package: Package, new: Mapping[str, Any], path: Path) -> None:
    """Refuse an autoencoder whose latents have other channels, or another size, than the model's denoiser knows."""
    wanted = [_latents("vae", package.parts["vae"].config())] if "vae" in package.parts else []
    wanted += [_latents(name, part.config()) for name, part in package.parts.items() if name in ("unet", "transformer")]
    for channels, pixels in wanted:
        one, side = _latents("vae", new)
        if channels and one and one != channels:
            raise CheckpointError(f"{path} is an autoencoder of {one} channels, the model's latents have {channels}.")
        if pixels and side and side != pixels:
            raise CheckpointError(
                f"{path} is an autoencoder whose latents are {side} times smaller than pictures, the model's {pixels}."
            )


def _latents(name: str, described: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """The channels of latents, and how many times smaller than pictures they are, as a part says them; or None."""
    class_name = class_of(described, name)
    if class_name not in PARTS[kind(name)]:
        return None, None  # which is refused when it is read
    config: Any = NETWORKS[class_name].config.from_dict(described)
    match class_name:
        case "AutoencoderKL":
            return config.latent_channels, 2 ** (len(config.block_out_channels) - 1)
        case "AutoencoderTiny":
            return config.latent_channels, 2 ** (len(config.encoder_block_out_channels) - 1)
        case "UNet2DConditionModel":
            return config.out_channels, None
        case "FluxTransformer2DModel":
            return config.in_channels // 4, None  # four of them are one token
    return None, None
