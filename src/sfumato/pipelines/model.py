"""A model in memory: the parts of a model that make pictures from words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from sfumato.checkpoints.families import Family
from sfumato.checkpoints.folder import DENOISERS, kind, load_lineage, network_of
from sfumato.checkpoints.scheduler import Diffusion
from sfumato.data.t5_tokens import T5Tokenizer
from sfumato.data.tokens import Tokenizer
from sfumato.diffusion.levels import Process
from sfumato.errors import CheckpointError
from sfumato.networks.clip import TextEncoder
from sfumato.networks.vae import AutoencoderKL
from sfumato.pipelines.digests import fingerprint, sha256
from sfumato.pipelines.finding import EMBEDDED, called, find, found
from sfumato.pipelines.package import Package, opened, with_base, with_vae
from sfumato.pipelines.readers import readers


@dataclass(frozen=True)
class Model:
    """Networks and what belongs to them. Which networks there are depends on the way to a picture."""

    name: str
    folder: Path  # or its single file
    family: Family
    tokenizers: Mapping[str, Tokenizer]  # by the names of their sub-folders
    t5_tokenizers: Mapping[str, T5Tokenizer]  # the same for encoders that are T5s
    parts: Mapping[str, Any]  # networks by the names of their sub-folders
    diffusions: Mapping[str, Diffusion]  # how those that denoise were trained, by the same names
    device: torch.device
    dtype: torch.dtype  # that was asked for; an autoencoder that overflows in it has another
    ours: bool  # whether it was trained by sfumato
    zero_is_silence: bool = False  # an empty text to go away from is said by zeros
    low_resolution: Process | None = None  # along which noise was put on the small pictures that an upscaler sees
    source: str = ""  # by which name `find` finds it again
    additions: Mapping[str, Any] = field(default_factory=dict)  # what was given beside it, as recipes tell it

    def part(self, name: str) -> Any:
        """A network by the name of its sub-folder; CheckpointError when the model has none."""
        if name not in self.parts:
            raise CheckpointError(f"The model {self.name} has no {name}; its parts are {', '.join(self.parts)}.")
        return self.parts[name]

    @property
    def way(self) -> str:
        """By which way it makes pictures, a name in `sfumato.pipelines.ways.WAYS`."""
        return self.family.way

    @property
    def tokenizer(self) -> Tokenizer:
        """How it reads words; the first of several."""
        return next(iter(self.tokenizers.values()))

    @property
    def text_encoder(self) -> TextEncoder:
        """The text half of CLIP."""
        return self.part("text_encoder")

    @property
    def unet(self) -> Any:
        """The denoiser, a U-Net or a transformer, or the first of several."""
        return self.denoisers[0]

    @property
    def denoisers(self) -> list[Any]:
        """The denoiser, or the experts from clean to noise."""
        return [part for name, part in self.parts.items() if kind(name) in ("unet", "transformer")]

    @property
    def sample_channels(self) -> int:
        """Channels of the maps that the denoiser sees."""
        config = self.unet.config
        return getattr(config, "sample_channels", config.in_channels)

    @property
    def diffusion(self) -> Diffusion:
        """How the denoiser was trained."""
        return next(diffusion for name, diffusion in self.diffusions.items() if name in ("unet", "transformer"))

    @property
    def vae(self) -> AutoencoderKL:
        """The autoencoder."""
        return self.part("vae")

    @property
    def upsamplers(self) -> list[str]:
        """The names of the upsamplers, in the order in which they follow each other; there may be none."""
        return [name for name in self.parts if kind(name) == "upsampler"]

    def beside(self, name: str) -> Path:
        """The path of a file that belongs to the model: in its folder, or next to its single file."""
        return self.folder.with_name(f"{self.folder.stem}.{name}") if self.folder.is_file() else self.folder / name

    def fingerprint(self) -> str:
        """What tells this model's weights from others', 16 hex digits; see `sfumato.pipelines.digests`."""
        return fingerprint(self.folder)


def load(
    name: str | Path | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    *,
    variant: str | None = None,
    base: str | Path | None = None,
    vae: str | Path | None = None,
) -> Model:
    """Read a model: a folder, a single file, or one that is on the hub; see `find` for its name.

    Args:
        name: of the model; the embedded default when None.
        device, dtype: of its networks.
        variant: of a folder's weights, such as "fp16".
        base: another model of the kind, which lends the parts that a file lacks.
        vae: another autoencoder, a folder or file.

    Raises CheckpointError saying what is wrong with it.
    """
    package, where = opened(find(name, variant), variant), torch.device(device)
    if package.family.way == "words":
        raise CheckpointError(f"{package.path} is a language model: it writes, and makes no pictures.")
    if package.family.way == "captions":
        raise CheckpointError(f"{package.path} is a captioner: it tells what pictures show, and makes none.")
    additions: dict[str, Any] = {"variant": variant} if variant else {}
    if base is not None:
        lender = find(base)
        package = with_base(package, opened(lender))
        additions["base"] = {"model": str(base), "fingerprint": fingerprint(lender)}
    if vae is not None:
        path = found(str(vae))
        package = with_vae(package, path)
        additions["vae"] = {"file": str(vae), "sha256": sha256(path)}
    reading = readers(package, package.needed)
    lineage = load_lineage(package.path)
    parts = {each: _part(package, each, dtype, str(where)) for each in reading.parts}
    return Model(
        name=lineage.get("name", called(name, package.path)),
        folder=package.path,
        family=replace(package.family, side=lineage.get("size", package.family.side)),
        tokenizers=reading.tokenizers,
        t5_tokenizers=reading.t5_tokenizers,
        parts=parts,
        diffusions={each: package.diffusion(each) for each in parts if kind(each) in DENOISERS},
        device=where,
        dtype=dtype,
        ours=bool(lineage),
        low_resolution=package.low_resolution,
        zero_is_silence=package.zero_is_silence,
        source=package.path.name if package.path.parent == EMBEDDED else str(name),
        additions=additions,
    )


def _part(package: Package, name: str, dtype: torch.dtype, device: str) -> Any:
    part = package.parts[name]
    return network_of(name, part.config(), part.source(), dtype, device, part.where)


def require_fingerprint(path: Path, recipe: Mapping[str, Any]) -> None:
    """Refuse to make a picture again with another model than its own: CheckpointError with both fingerprints."""
    made_by, this = recipe.get("model_fingerprint"), fingerprint(path)
    if made_by != this:
        raise CheckpointError(
            f"The picture was made by {recipe.get('model')!r} with the fingerprint {made_by}; the model {path} has "
            f"{this} and would make another picture. Name the right one with --model."
        )
