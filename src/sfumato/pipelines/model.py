"""A model in memory: the parts of a model folder that make pictures from words."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sfumato.checkpoints.families import Family, family_of
from sfumato.checkpoints.files import read_json
from sfumato.checkpoints.folder import (
    DENOISERS,
    PARTS,
    has_part,
    kind,
    load_diffusion,
    load_lineage,
    load_part,
    load_process,
    present,
)
from sfumato.checkpoints.scheduler import Diffusion
from sfumato.data.t5_tokens import T5Tokenizer
from sfumato.data.tokens import Tokenizer
from sfumato.diffusion.levels import Process
from sfumato.errors import CheckpointError
from sfumato.networks.clip import TextEncoder
from sfumato.networks.t5 import T5
from sfumato.networks.vae import AutoencoderKL

EMBEDDED = Path(__file__).parent.parent / "models"
DEFAULT = "digits"


@dataclass(frozen=True)
class Model:
    """Networks and what belongs to them. Which networks there are depends on the way to a picture."""

    name: str
    folder: Path
    family: Family
    tokenizers: Mapping[str, Tokenizer]  # by the names of their sub-folders
    t5_tokenizers: Mapping[str, T5Tokenizer]  # the same for encoders that are T5s
    parts: Mapping[str, Any]  # networks by the names of their sub-folders
    diffusions: Mapping[str, Diffusion]  # how those that denoise were trained, by the same names
    device: torch.device
    zero_is_silence: bool = False  # an empty text to go away from is said by zeros
    low_resolution: Process | None = None  # along which noise was put on the small pictures that an upscaler sees

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

    def fingerprint(self) -> str:
        """What tells this model's weights from others', without reading all of them: 16 hex digits."""
        return fingerprint(self.folder)


def find(name: str | Path | None) -> Path:
    """The folder of a model: an embedded model's name, or a path.

    Raises CheckpointError saying what there is.
    """
    embedded = EMBEDDED / str(name or DEFAULT)
    if (name is None or "/" not in str(name)) and (embedded / "model_index.json").is_file():
        return embedded
    folder = Path(name or DEFAULT)
    if (folder / "model_index.json").is_file():
        return folder
    known = ", ".join(sorted(path.name for path in EMBEDDED.iterdir() if path.is_dir()))
    if folder.is_dir():
        unfinished = " Its training is not finished." if (folder / "run").is_dir() else ""
        raise CheckpointError(f"{folder} is no model folder: it has no model_index.json.{unfinished}")
    raise CheckpointError(f"There is no model {str(name)!r}. Name a model folder or one of: {known}.")


def load(
    name: str | Path | None = None, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> Model:
    """Read a model folder; CheckpointError says what is wrong with it."""
    folder, where = find(name), torch.device(device)

    family = family_of(folder)
    optional = [name for name in family.optional if has_part(folder, name)]
    repeated = [name for each in (*family.needed, "upsampler") for name in present(folder, each)]
    names = [*dict.fromkeys((*family.needed, *optional, *repeated))]
    parts = {name: load_part(folder, name, dtype, str(where)) for name in names}
    t5 = {tokenizer_of(name) for name, part in parts.items() if isinstance(part, T5)}
    readers = [tokenizer_of(name) for name in sorted(names) if kind(name) == "text_encoder"] or ["tokenizer"]
    return Model(
        name=load_lineage(folder).get("name", folder.name),
        folder=folder,
        family=family,
        tokenizers={name: Tokenizer.load(folder / name) for name in readers if name not in t5},
        t5_tokenizers={name: T5Tokenizer.load(folder / name) for name in readers if name in t5},
        parts=parts,
        diffusions={name: load_diffusion(folder, name) for name in names if kind(name) in DENOISERS},
        device=where,
        low_resolution=load_process(folder / "low_res_scheduler"),
        zero_is_silence=bool(read_json(folder / "model_index.json").get("force_zeros_for_empty_prompt", False)),
    )


def tokenizer_of(encoder: str) -> str:
    """The sub-folder of the tokenizer that belongs to a text encoder."""
    return encoder.replace("text_encoder", "tokenizer")


def fingerprint(folder: Path) -> str:
    """A hash over the weights and configurations of a model's parts, 16 hex digits; its training does not matter."""
    every = [name for each in PARTS for name in present(folder, each)]
    parts = sorted((*every, "scheduler", "tokenizer", "tokenizer_2", "tokenizer_3"))
    paths = (path for part in parts for path in sorted((folder / part).glob("*.*")) if path.is_file())
    return hash_of((f"{path.parent.name}/{path.name}", path) for path in paths)


def hash_of(files: Iterable[tuple[str, Path]]) -> str:
    """A hash over the names and contents of files, 16 hex digits."""
    digest = hashlib.sha256()
    for name, path in files:
        digest.update(name.encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def require_fingerprint(folder: Path, recipe: Mapping[str, Any]) -> None:
    """Refuse to make a picture again with another model than its own: CheckpointError with both fingerprints."""
    made_by, this = recipe.get("model_fingerprint"), fingerprint(folder)
    if made_by != this:
        raise CheckpointError(
            f"The picture was made by {recipe.get('model')!r} with the fingerprint {made_by}; the model {folder} has "
            f"{this} and would make another picture. Name the right one with --model."
        )
