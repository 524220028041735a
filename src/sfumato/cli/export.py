"""`sfumato export`: a model for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    model: Annotated[
        str, typer.Argument(help="A model folder, a single file, an id on the hub, or an embedded model's name.")
    ],
    to: Annotated[str, typer.Option(help="folder (diffusers), single (one .safetensors file) or onnx.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The new folder or file.")],
    dtype: Annotated[str | None, typer.Option(help="float32, float16 or bfloat16; as it is by default.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
    check: Annotated[bool, typer.Option(help="Run ONNX graphs beside their networks and compare.")] = True,
) -> None:
    """Write a model in another form: all of it, or nothing."""
    from sfumato.pipelines.export import export as write

    write(model, to, out, dtype=dtype, overwrite=overwrite, checked=check, say=lambda line: typer.echo(line, err=True))
    print(out)
