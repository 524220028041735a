"""Seconds of training a denoiser of scenes until it is faithful: this project's speedrun.

    python benchmarks/speedrun.py --sprites PACK [--size small] [--set denoiser.steps=3000 ...] [--out runs/speedrun]
    python benchmarks/speedrun.py --peer 100 ...     the same time of a plain U-Net of diffusers, AdamW, its usual loop
    python benchmarks/speedrun.py --profile ...      which share of the device's matrix rate the denoiser's training has

The language is narrow (single things, two, counts to four, positions, backgrounds), and the goal an overall score of
0.95 on combinations that training may show. Everything is trained from zero and its seconds are told stage by stage;
weights that were averaged so far are kept every few seconds of the denoiser's training and judged after it, which does
not count. A line with what was reached, on which machine and how, is added to benchmarks/speedrun.jsonl.

Called again with the same --out, the autoencoder and CLIP that are there are taken, with the seconds that they took.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from scene_peer import train_peer
from scene_rates import profiled
from scene_scores import Judge, Shown, Watch
from sfumato import __version__
from sfumato.checkpoints.files import read_json, write_json
from sfumato.data.tokens import Tokenizer
from sfumato.progress import Progress
from sfumato.training import recipe as recipes
from sfumato.training.loop import fit
from sfumato.training.recipe import Recipe
from sfumato.training.run_folder import RunFolder
from sfumato.training.source import captions_of, open_store
from sfumato.training.stages import builder
from sfumato.training.team import Team, joined
from sfumato.training.workshop import PictureWorkshop

RECORDS = Path(__file__).with_suffix(".jsonl")
BEFORE = ("autoencoder", "clip")  # the denoiser
SETTINGS = ("data.language=narrow", "upsampler.factor=1")
PACKAGES = ("torch", "numpy", "triton", "diffusers")


def main() -> None:
    given = asked()
    settings = [*SETTINGS, *given.set]
    if given.sprites:
        settings.append(f"data.sprites={json.dumps(str(given.sprites))}")
    if given.profile:  # which says nothing of what is learned
        settings += [f"{name}.steps=1" for name in BEFORE]
    recipe = recipes.load("scenes", settings, given.size)
    out = given.out / "profile" if given.profile else given.out
    with joined(recipe.run) as team, Progress() as progress:
        began = time.monotonic()
        with open_store("scenes", recipe, out / "run", team, progress) as store:  # type: ignore[union-attr]
            tokenizer = tokenizer_of(store, recipe, out)
            workshop = PictureWorkshop(recipe, out, out / "run", team, progress, store, tokenizer, captions_of(store))
            seconds = {"setup": once(out / "setup.json", time.monotonic() - began)}
            seconds |= {name: trained(name, workshop) for name in BEFORE}
            if given.profile:
                told = profiled(builder("denoiser", workshop)(recipe), recipe, team, given.profile, given.table)
            elif given.peer:
                told = shown_peer(workshop, given, seconds)
            else:
                told = shown_ours(workshop, given, seconds)
    record = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "what": "profile" if given.profile else "peer" if given.peer else "ours",
        **told,
        "machine": machine(team),
        "versions": versions(),
        "recipe": recipe.model_dump(mode="json", include={"seed", "size", "data", *BEFORE, "denoiser", "run"}),
    }
    with given.records.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
    print(json.dumps({name: value for name, value in record.items() if name != "recipe"}, indent=1))


def asked() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--sprites", type=Path, help="a saved pack; else what the system's font draws")
    arguments.add_argument("--size")
    arguments.add_argument("--set", action="append", default=[], help="a value over the recipe's: path.to.key=value")
    arguments.add_argument("--out", type=Path, default=Path("runs/speedrun"))
    arguments.add_argument("--records", type=Path, default=RECORDS)
    arguments.add_argument("--goal", type=float, default=0.95)
    arguments.add_argument("--every", type=float, default=10.0, help="seconds of training between weights to judge")
    arguments.add_argument("--count", type=int, default=96, help="pictures of each category, seen and held out")
    arguments.add_argument("--steps", type=int, help="of the making; else the model's own")
    arguments.add_argument("--guidance", type=float, help="of the making; else the model's own")
    arguments.add_argument("--peer", type=float, metavar="SECONDS", help="train a plain U-Net of diffusers for so long")
    arguments.add_argument("--rate", type=float, default=1e-4, help="of the peer's learning")
    arguments.add_argument("--profile", type=int, nargs="?", const=40, metavar="STEPS", help="steps that are timed")
    arguments.add_argument("--table", type=Path, help="where the profiler's table goes; else it is printed")
    return arguments.parse_args()


def tokenizer_of(store: Any, recipe: Recipe, out: Path) -> Tokenizer:
    path = out / "tokenizer"
    if not (path / "vocab.json").is_file():
        Tokenizer.train(store.texts(), recipe.data.vocabulary, recipe.data.length).save(path)
    return Tokenizer.load(path)


def once(path: Path, seconds: float) -> float:
    """What it took the first time."""
    if not path.is_file():
        write_json(path, {"seconds": round(seconds, 1)})
    return float(read_json(path)["seconds"])


def trained(name: str, workshop: PictureWorkshop) -> float:
    """Train a stage if it is not there yet; the seconds that it took."""
    run = RunFolder(workshop.cache / name, workshop.recipe.run, leads=True)
    if run.done is None:
        began, recipe = time.monotonic(), workshop.recipe
        stage = builder(name, workshop)(recipe)
        state = fit(name, stage, recipe.stage(name), recipe.seed, run, workshop.team, workshop.progress)
        with state.average.in_place():
            stage.finish()
        run.finish({"seconds": round(time.monotonic() - began, 1)})
    assert run.done is not None
    return float(run.done["seconds"])


def shown_ours(workshop: PictureWorkshop, given: argparse.Namespace, seconds: dict[str, float]) -> dict[str, Any]:
    """Train the denoiser of the recipe, then judge it as it was at each time."""
    recipe, began = workshop.recipe, time.monotonic()
    stage = builder("denoiser", workshop)(recipe)
    watch = Watch(recipe.run, given.every, workshop.team)
    seconds["denoiser until its first step"] = time.monotonic() - began
    fit("denoiser", stage, recipe.denoiser, recipe.seed, watch, workshop.team, workshop.progress)  # type: ignore[arg-type]
    seconds["denoiser until its first step"] += watch.first
    judge = Judge(workshop, given.count, given.steps, given.guidance)
    return told(judge.ours(stage.objective, watch.kept, given.goal), given.goal, seconds, stage.objective.network)


def shown_peer(workshop: PictureWorkshop, given: argparse.Namespace, seconds: dict[str, float]) -> dict[str, Any]:
    """The same of the plain U-Net."""
    unet, watch = train_peer(workshop, given.peer, given.every, given.rate)
    seconds["denoiser until its first step"] = watch.first
    judge = Judge(workshop, given.count, given.steps, given.guidance)
    return told(judge.peer(unet, watch.kept, given.goal), given.goal, seconds, unet) | {"rate": given.rate}


def told(shown: list[Shown], goal: float, seconds: dict[str, float], network: torch.nn.Module) -> dict[str, Any]:
    """What was reached, and from zero to there."""
    first = next((one for one in shown if one.overall["seen"] >= goal), None)
    last = first or shown[-1]
    seconds["denoiser"] = last.seconds
    return {
        "goal": goal,
        "reached": first is not None,
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "from_zero": round(sum(seconds.values()), 1),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "scores": [one._asdict() for one in shown],
    }


def machine(team: Team) -> dict[str, Any]:
    device = torch.cuda.get_device_name(team.device) if team.device.type == "cuda" else platform.processor() or "CPU"
    return {"device": device, "cores": os.cpu_count(), "system": platform.platform()}


def versions() -> dict[str, str]:
    found = {"sfumato": __version__, "python": platform.python_version(), "cuda": str(torch.version.cuda)}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    main()
