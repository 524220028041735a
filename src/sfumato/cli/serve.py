"""`sfumato serve`: pictures for programs, over HTTP."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sfumato.cli.asked import DeviceOption
from sfumato.cli.marks import KeyOption, SignOption, WatermarkKeyOption, WatermarkOption, marks

if TYPE_CHECKING:
    from sfumato.pipelines.marks.writing import Marks
    from sfumato.server.limits import Limits
    from sfumato.server.settings import Settings

STORE = Path("sfumato-store")
USUAL_MODEL = "scenes"

ModelsOption = Annotated[
    list[str] | None,
    typer.Option("--model", "-m", help="NAME=PLACE or a PLACE: a folder, file or embedded name. The first is usual."),
]


def serve(
    model: ModelsOption = None,
    host: Annotated[
        str, typer.Option(help="Where to listen; others than this machine's own addresses need keys.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 7860,
    store: Annotated[Path, typer.Option(help="Folder of jobs, pictures and keys.")] = STORE,
    key_file: Annotated[Path | None, typer.Option(help="Where the keys stand; else keys.json in the store.")] = None,
    new_key: Annotated[str | None, typer.Option(help="Make a key of this name, show it once, and leave.")] = None,
    revoke_key: Annotated[str | None, typer.Option(help="Take the right of this key away, and leave.")] = None,
    name: Annotated[
        list[str] | None, typer.Option(help="A host name that clients use besides; needs keys. Repeatable.")
    ] = None,
    limit: Annotated[
        list[str] | None, typer.Option(help="NAME=NUMBER of what is accepted; a wrong name lists all. Repeatable.")
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Keep no prompts: not in pictures, store or log.")] = False,
    log_prompts: Annotated[bool, typer.Option("--log-prompts", help="Write prompts into the log.")] = False,
    keep_days: Annotated[
        float | None, typer.Option(help="Forget what was finished so many days ago, with its pictures; else never.")
    ] = None,
    keep_gb: Annotated[
        float | None, typer.Option(help="Forget the oldest when all pictures take more than so many gigabytes.")
    ] = None,
    watermark: WatermarkOption = None,
    watermark_key: WatermarkKeyOption = None,
    sign: SignOption = None,
    key: KeyOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Offer models over HTTP: OpenAI's interface, A1111's, and jobs. Ctrl-C ends it when what runs is done."""
    from sfumato.server.settings import Settings

    names = tuple(each.lower() for each in name or ())
    settings = Settings(
        *(store, host, port, key_file, names, log_prompts, private), keep_days=keep_days, keep_gb=keep_gb
    )
    if new_key is not None or revoke_key is not None:
        _keys(settings, new_key, revoke_key)
        return
    told = marks(False, watermark, watermark_key, sign, key)
    _run(settings, named_models(model or [USUAL_MODEL]), _limits(limit or []), told, device)


def _keys(settings: Settings, new: str | None, revoked: str | None) -> None:
    from sfumato.server.keys import Keys

    keys = Keys(settings.keys)
    if revoked is not None:
        keys.revoke(revoked)
        last = "" if keys.all() else f" It was the last: make another, or delete {keys.file} to do without."
        print(f"The key {revoked} is void.{last}", file=sys.stderr)
    if new is not None:
        print(keys.new(new))
        print(f"This is the key {new}; it is not shown again. {settings.keys} holds its hash.", file=sys.stderr)


def named_models(models: list[str]) -> dict[str, str]:
    """The models by name: "NAME=PLACE", or the last part of a place as its name."""
    from sfumato.errors import RecipeError
    from sfumato.pipelines.finding import require_known

    offered: dict[str, str] = {}
    for text in models:
        named, equals, place = text.partition("=")
        if not equals or Path(text).exists():
            named, place = Path(text).name.removesuffix(".safetensors"), text
        if not named or not place or "/" in named:
            raise RecipeError(f"--model takes NAME=FOLDER such as mine=models/mine, not {text!r:.200}.")
        if named in offered:
            raise RecipeError(f"Two models are named {named!r}; name them: --model NAME={place}")
        offered[named] = place
    for place in offered.values():
        require_known(place)
    return offered


def _limits(given: list[str]) -> Limits:
    """What the server accepts, with some numbers of one's own."""
    from dataclasses import fields

    from sfumato.errors import RecipeError
    from sfumato.server.limits import Limits

    known: dict[str, type[int | float]] = {
        entry.name: float if isinstance(entry.default, float) else int for entry in fields(Limits)
    }
    numbers: dict[str, Any] = {}
    for text in given:
        name, _, number = text.partition("=")
        try:
            numbers[name] = known[name](number)
        except (KeyError, ValueError):
            raise RecipeError(f"--limit takes NAME=NUMBER, with {', '.join(known)}; not {text!r:.100}.") from None
    return Limits(**numbers)


def _run(settings: Settings, offered: dict[str, str], limits: Limits, told: Marks, device: str) -> None:
    from sfumato.errors import RecipeError

    try:
        from sfumato.server.app import create_app
    except ModuleNotFoundError as error:
        raise RecipeError(f"The server needs {error.name}; install it with: pip install 'sfumato[serve]'") from None
    from sfumato.server.engine import Engine
    from sfumato.server.listening import listen
    from sfumato.server.logs import log_to
    from sfumato.server.models import Models
    from sfumato.server.store import Store

    log_to(sys.stderr)
    with Store(settings.store, told) as store:
        app = create_app(Engine(Models(offered, device), store, limits), settings)
        listen(app, settings)
    print(f"Jobs and pictures are in {settings.store.resolve()}.", file=sys.stderr)
