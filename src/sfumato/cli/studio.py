"""`sfumato studio`: the pages on which a person makes pictures, in the browser of this machine."""

from __future__ import annotations

import logging
import sys
import threading
import warnings
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from sfumato.cli.asked import DeviceOption
from sfumato.cli.marks import KeyOption, SignOption, WatermarkKeyOption, WatermarkOption, marks
from sfumato.cli.serve import STORE, USUAL_MODEL, ModelsOption, named_models


def studio(
    model: ModelsOption = None,
    port: Annotated[int, typer.Option(help="Of this machine; 0 takes a free one.")] = 7860,
    store: Annotated[Path, typer.Option(help="Folder of everything that is made.")] = STORE,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")] = True,
    data: Annotated[
        list[Path] | None, typer.Option(help="Folder within which data to train on may be chosen. Repeatable.")
    ] = None,
    training: Annotated[
        bool, typer.Option("--training", help="Let people with keys train; without keys all may.")
    ] = False,
    watermark: WatermarkOption = None,
    watermark_key: WatermarkKeyOption = None,
    sign: SignOption = None,
    key: KeyOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Open the studio: make pictures, change them, look inside, train. Ctrl-C ends it; what was made is kept."""
    from sfumato.errors import RecipeError

    try:
        from sfumato.server.studio.attach import attach
    except ModuleNotFoundError as error:
        raise RecipeError(f"The studio needs {error.name}; install it with: pip install 'sfumato[studio]'") from None

    from sfumato.server.app import create_app
    from sfumato.server.engine import Engine
    from sfumato.server.limits import Limits
    from sfumato.server.listening import listen
    from sfumato.server.logs import log_to
    from sfumato.server.models import Models
    from sfumato.server.settings import Settings
    from sfumato.server.store import Store

    settings = Settings(store, port=port, data=tuple(data or ()), training=training)
    models = Models(named_models(model or [USUAL_MODEL]), device)
    told = marks(False, watermark, watermark_key, sign, key)
    log_to(sys.stderr, logging.WARNING)
    # NiceGUI asks everything that there is whether it is the server, and torch has names that warn when they are asked
    warnings.filterwarnings("ignore", "`torch.distributed.reduce_op`", FutureWarning)
    with Store(settings.store, told) as kept:
        engine = Engine(models, kept, Limits())
        app = create_app(engine, settings)
        attach(app, engine, settings)
        listen(app, settings, _show if browser else _tell)
    print(f"Everything that was made is in {settings.store.resolve()}.", file=sys.stderr)


def _tell(address: str) -> None:
    print(f"The studio is at {address}/", flush=True)


def _show(address: str) -> None:
    """Say where it is and go there, without waiting for a browser that takes its time."""
    _tell(address)
    threading.Thread(target=webbrowser.open, args=(f"{address}/",), daemon=True).start()
