"""Pictures that a request begins with or looks at: known by their content, so that a recipe names them for certain."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from sfumato.data.pictures import PictureError, fit, from_images, open_picture, to_tensor
from sfumato.errors import PromptError

LARGEST_FILE = 256 * 2**20  # bytes

IN_PNG = ("1", "L", "LA", "I;16", "P", "RGB", "RGBA")  # colours that it knows; TIFF knows most of the others

CLIP_MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]  # of red, green and blue, in [0, 1]
CLIP_SPREAD = torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]


@dataclass(frozen=True)
class Given:
    """A picture file.

    Attributes:
        path: where it is; empty for a picture in memory.
        sha256: of its bytes.
    """

    path: str
    sha256: str

    @classmethod
    def of(cls, picture: Given | str | Path | Image.Image | Mapping[str, Any]) -> Given:
        """A picture by its file, from memory, or from a recipe; PromptError when it is none."""
        if isinstance(picture, Given):
            return picture
        if isinstance(picture, Image.Image):
            return cls._kept("", _written(picture))
        if isinstance(picture, Mapping):
            path, sha256 = picture.get("path"), picture.get("sha256")
            if not isinstance(path, str) or not isinstance(sha256, str) or not re.fullmatch(r"[0-9a-f]{64}", sha256):
                raise PromptError("A recipe names a picture by its path and sha256, which is 64 hex digits.")
            return cls(path, sha256)
        if not isinstance(picture, str | Path):
            raise PromptError(f"A picture is a file or a PIL image, not {picture!r:.100}.")
        return cls._kept(str(Path(picture).absolute()), read(Path(picture)))

    @classmethod
    def _kept(cls, path: str, content: bytes) -> Given:
        given = cls(path, hashlib.sha256(content).hexdigest())
        object.__setattr__(given, "_content", content)
        return given

    def content(self) -> bytes:
        """The bytes of the file; PromptError when it is gone or another one."""
        content: bytes | None = getattr(self, "_content", None)
        if content is None:
            if not self.path:
                raise PromptError("This recipe was made with a picture that was in no file; it cannot be made again.")
            content = read(Path(self.path))
            if hashlib.sha256(content).hexdigest() != self.sha256:
                raise PromptError(f"{self.path} is not the picture that the recipe was made with; it has changed.")
        return content

    def open(self) -> Image.Image:
        """The picture, upright and in RGB; PromptError when the file is gone, another one, or no picture."""
        content = self.content()
        try:
            return open_picture(content)
        except PictureError as error:
            raise PromptError(f"{self.path or 'The picture given'} cannot be used: {error}") from error

    def pixels(self, width: int, height: int, *, grey: bool = False) -> Float[Tensor, "c h w"]:
        """Its middle at this size, in [-1, 1]: three channels, or how light it is alone."""
        picture = self.open()
        return (
            to_tensor(fit(picture.convert("L"), (width, height)))[:1]
            if grey
            else to_tensor(fit(picture, (width, height)))
        )

    def for_clip(self, side: int) -> Float[Tensor, "3 s s"]:
        """Its middle, a square of `side` pixels, in the numbers that CLIP was trained with (Radford et al. 2021)."""
        picture = self.open()
        short, long = sorted(picture.size)
        longer = int(side * long / short)
        size = (side, longer) if picture.width == short else (longer, side)
        left, top = ((edge - side) // 2 for edge in size)
        square = picture.resize(size, Image.Resampling.BICUBIC).crop((left, top, left + side, top + side))
        return (from_images([square])[0] + 1 - 2 * CLIP_MEAN) / (2 * CLIP_SPREAD)

    def marks(self, width: int, height: int) -> Float[Tensor, "1 h w"]:
        """As a mask at this size: 1 where it is light, 0 where it is dark."""
        return (self.pixels(width, height).mean(0, keepdim=True) >= 0).to(torch.float32)


def _written(picture: Image.Image) -> bytes:
    """A picture from memory as a file; PromptError when it cannot be one."""
    file = io.BytesIO()
    try:
        picture.save(file, format="PNG" if picture.mode in IN_PNG else "TIFF")
    except Exception as error:  # Pillow reads files late, and raises nearly every kind of exception on broken ones
        raise PromptError(f"The picture given cannot be used: {error}") from error
    return file.getvalue()


def read(path: Path) -> bytes:
    """A file with a picture, of bounded size; PromptError when it cannot be read."""
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for, a device has no end
            raise PromptError(f"{path} is no file with a picture.")
        if path.stat().st_size > LARGEST_FILE:
            raise PromptError(f"{path} is larger than {LARGEST_FILE >> 20} MB; it was not read.")
        return path.read_bytes()
    except PromptError:
        raise
    except OSError as error:
        raise PromptError(f"There is no picture {path}: {error.strerror}.") from None
    except ValueError as error:  # a name that no file can have
        raise PromptError(f"There is no picture {str(path)!r:.100}: {error}.") from None
