"""The command `sfumato`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from sfumato import __version__
from sfumato.cli.caption import caption
from sfumato.cli.data_check import app as data_app
from sfumato.cli.evaluate import evaluate
from sfumato.cli.export import export
from sfumato.cli.generate import generate
from sfumato.cli.imagine import imagine
from sfumato.cli.info import info
from sfumato.cli.replay import replay
from sfumato.cli.report import report
from sfumato.cli.restore import restore
from sfumato.cli.serve import serve
from sfumato.cli.strip import strip
from sfumato.cli.studio import studio
from sfumato.cli.train import train
from sfumato.cli.tune_steps import tune_steps
from sfumato.cli.upscale import upscale
from sfumato.cli.vary import vary
from sfumato.cli.verify import verify
from sfumato.cli.write import write
from sfumato.cli.xray import xray
from sfumato.errors import SfumatoError

app = typer.Typer(
    help="Text to image by diffusion: train every part, generate, look inside.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help answers at once
)
MAKING = (generate, vary, strip, upscale, restore, replay, xray, write, imagine, caption)
SERVING = (serve, studio)
for command in (*MAKING, *SERVING, train, evaluate, report, tune_steps, export, info, verify):
    app.command()(command)
app.add_typer(data_app, name="data")


@app.callback(invoke_without_command=True)
def options(
    version: Annotated[bool, typer.Option("--version", help="Show the version and leave.", is_eager=True)] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the whole traceback of an error.")] = False,
) -> None:
    """Text to image by diffusion: train every part, generate, look inside."""
    if version:
        print(f"sfumato {__version__}")
        raise typer.Exit


def main() -> None:
    """Run a command; an error is one clear paragraph, with a traceback only under --debug.

    Exit codes: 0 done, 1 something went wrong, 2 wrong use, 74 a file could not be written, 130 interrupted.
    """
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        app(arguments, prog_name="sfumato")
    except SystemExit as leave:
        sys.exit(_fail("Interrupted.", 130) if leave.code == 130 else leave.code)
    except SfumatoError as error:
        if debug:
            raise
        sys.exit(_fail(str(error), error.exit_code))
    except Exception as error:
        if debug:
            raise
        sys.exit(
            _fail(f"{type(error).__name__}: {error}\nThis is a defect of sfumato; --debug shows where it happened.", 1)
        )


def _fail(message: str, code: int) -> int:
    print(message, file=sys.stderr)
    return code
