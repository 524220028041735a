"""`sfumato tune-steps`: the best times for few steps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sfumato.cli.asked import DeviceOption


def tune_steps(
    model: Annotated[str | None, typer.Argument(help="A model folder, or the name of an embedded model.")] = None,
    steps: Annotated[int, typer.Option(min=2, help="Denoising steps.")] = 8,
    solver: Annotated[str, typer.Option(help="unipc-2, dpmpp-2m, euler, ...")] = "unipc-2",
    prompts: Annotated[
        Path | None, typer.Option(help="A text file, a prompt a line; else words of the training captions.")
    ] = None,
    guidance: Annotated[float, typer.Option(help="How strongly the prompt steers; 1 is no guidance.")] = 4.0,
    number: Annotated[int, typer.Option("-n", "--number", min=1, max=1000, help="Pictures to try the steps on.")] = 16,
    budget: Annotated[int, typer.Option(min=1, help="Passes through the network, each of all pictures.")] = 1500,
    seed: Annotated[int, typer.Option(help="Of the first picture.")] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A .json file to write instead of the model's own.")
    ] = None,
    device: DeviceOption = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Find the times at which a model makes its best pictures in few steps.

    `sfumato generate --spacing tuned` then uses them; with --out it is `--spacing FILE.json`.
    """
    from sfumato.checkpoints.steps import FILE, require_writable
    from sfumato.errors import PromptError
    from sfumato.pipelines import tuning as tuned
    from sfumato.pipelines.request import Request
    from sfumato.pipelines.text_to_image import Pipeline
    from sfumato.progress import Progress

    if out is not None and out.suffix != ".json":
        raise PromptError(f"--out takes a file that ends in .json, not {out}.")
    plan = Request("", seed, steps, guidance, solver)
    pipeline = Pipeline.load(model, device)
    words = _lines(prompts) if prompts else tuned.known_prompts(pipeline.model, number)
    if not words:
        raise PromptError("This model does not tell the words of its captions; name a file of --prompts.")
    path = out or pipeline.model.beside(FILE)
    require_writable(path)
    with Progress(quiet) as progress:
        progress.begin("tune", budget)
        found = tuned.tune_steps(
            pipeline, plan, words, number, budget, lambda spent, error: progress.advance(spent, f"error {error:.4f}")
        )
        best = min(found.named, key=lambda name: found.named[name])
        progress.say(f"error {found.error:.4f}; of the named spacings {best} is best with {found.named[best]:.4f}")
    tuned.keep(path, pipeline.model, plan, found)
    print(path)


def _lines(path: Path) -> list[str]:
    from sfumato.errors import PromptError

    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(f"{path} cannot be read as a text file of prompts: {error}") from error
    if not any(lines):
        raise PromptError(f"{path} holds no prompt.")
    return [line for line in lines if line]
