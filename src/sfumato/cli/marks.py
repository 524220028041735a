"""The marks that a person asks for on the command line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sfumato.pipelines.marks.writing import Marks

PrivateOption = Annotated[bool, typer.Option("--private", help="Keep the prompt out of the files and their names.")]
WatermarkOption = Annotated[
    str | None, typer.Option(help="Hide a number of up to 8 hex digits, of your own meaning, in the pixels.")
]
WatermarkKeyOption = Annotated[
    str | None, typer.Option(help="A file with the secret with which the watermark is hidden, else everybody's.")
]
SignOption = Annotated[Path | None, typer.Option(help="Certificates in PEM, yours first: sign with them and --key.")]
KeyOption = Annotated[Path | None, typer.Option(help="The private key of --sign, in PEM.")]

LONGEST_SECRET = 10_000  # characters


def marks(
    private: bool, watermark: str | None, watermark_key: str | None, certificate: Path | None, key: Path | None
) -> Marks:
    """What pictures say of themselves; PromptError when it cannot be said, before any picture is made."""
    from PIL import Image

    from sfumato.errors import PromptError
    from sfumato.pipelines.marks.credentials import Signer
    from sfumato.pipelines.marks.watermark import Watermark
    from sfumato.pipelines.marks.writing import Marks, written

    if (certificate is None) != (key is None):
        raise PromptError("--sign and --key go together: certificates, and the private key of the first one.")
    if watermark_key is not None and watermark is None:
        raise PromptError("--watermark-key does nothing without --watermark.")
    hidden = None
    if watermark is not None:
        if not re.fullmatch("[0-9a-fA-F]{1,8}", watermark):
            raise PromptError(f"--watermark takes up to 8 hex digits such as 2a, not {watermark!r:.50}.")
        hidden = Watermark(int(watermark, 16), secret(watermark_key))
    signer = Signer.of(certificate, key) if certificate and key else None
    if signer:
        written(Image.new("RGB", (8, 8)), {}, marks=Marks(signer=signer))  # refused now, or never
    return Marks(private, hidden, signer)


def secret(path: str | None) -> str:
    """The key of a watermark from its file, everybody's without one; PromptError when it cannot be read."""
    from sfumato.errors import PromptError
    from sfumato.pipelines.marks.watermark import PUBLIC

    if path is None:
        return PUBLIC
    try:
        with Path(path).open(encoding="utf-8") as file:
            return file.read(LONGEST_SECRET).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(f"The key of the watermark cannot be read from {path}: {error}") from error
