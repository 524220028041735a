"""A model in memory: the parts of a model folder that make pictures from words."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sfumato.checkpoints.folder import PARTS, has_part, load_diffusion, load_lineage, load_part
from sfumato.checkpoints.scheduler import Diffusion
from sfumato.data.tokens import Tokenizer
from sfumato.errors import CheckpointError
from sfumato.networks.clip import TextEncoder
from sfumato.networks.unet import UNet
from sfumato.networks.vae import AutoencoderKL

EMBEDDED = Path(__file__).parent.parent / "models"
DEFAULT = "digits"


@dataclass(frozen=True)
class Model:
    """Networks and what belongs to them; the upsampler may be missing."""

    name: str
    folder: Path
    tokenizer: Tokenizer
    text_encoder: TextEncoder
    unet: UNet
    diffusion: Diffusion
    vae: AutoencoderKL
    upsampler: UNet | None
    upsampler_diffusion: Diffusion | None
    device: torch.device

    @property
    def base_size(self) -> int:
        """Side of the pictures that the denoiser makes, in pixels, as it was trained."""
        side = self.unet.config.sample_size
        return (side if isinstance(side, int) else side[0] if side else 64) * self.vae.factor

    @property
    def upsampling(self) -> int:
        """How many times larger the upsampler makes a picture; 1 without one."""
        side = self.upsampler.config.sample_size if self.upsampler else None
        return max(1, side // self.base_size) if isinstance(side, int) else 1

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

    def part(part: str) -> Any:
        return load_part(folder, part, dtype, str(where))

    large = has_part(folder, "upsampler")
    return Model(
        name=load_lineage(folder).get("name", folder.name),
        folder=folder,
        tokenizer=Tokenizer.load(folder / "tokenizer"),
        text_encoder=part("text_encoder"),
        unet=part("unet"),
        diffusion=load_diffusion(folder),
        vae=part("vae"),
        upsampler=part("upsampler") if large else None,
        upsampler_diffusion=load_diffusion(folder, "upsampler") if large else None,
        device=where,
    )


def fingerprint(folder: Path) -> str:
    """A hash over the weights and configurations of a model's parts, 16 hex digits; its training does not matter."""
    digest = hashlib.sha256()
    for part in sorted((*PARTS, "scheduler", "tokenizer")):
        for path in sorted((folder / part).glob("*.*")):
            digest.update(f"{part}/{path.name}".encode())
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
