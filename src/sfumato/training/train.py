"""From captioned pictures or text to a model folder: all stages in a row, from zero or from where they stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from sfumato.checkpoints.files import read_json, storage_errors, write_json
from sfumato.checkpoints.folder import has_part, present, save_index
from sfumato.errors import RecipeError
from sfumato.progress import Progress
from sfumato.training import budget as budgets
from sfumato.training import recipe as recipes
from sfumato.training import source, texts
from sfumato.training.loop import fit
from sfumato.training.recipe import Recipe, Training
from sfumato.training.run_folder import RunFolder
from sfumato.training.stage import Stage
from sfumato.training.stages import PAINTING, builder, denoiser, parts_of
from sfumato.training.team import Team, joined
from sfumato.training.workshop import PictureWorkshop, TextWorkshop, Workshop

AnyWorkshop = PictureWorkshop | TextWorkshop

MADE = ("digits", "scenes")  # data that come with sfumato, each with a recipe of its name
INDEX = "model_index.json"  # without it there is no model
RUN = "run"  # the sub-folder of the model folder for everything but the model


def train(
    data: str | Path,
    out: str | Path,
    recipe: str | Path | None = None,
    settings: Sequence[str] = (),
    budget: str | None = None,
    stage: str | None = None,
    quiet: bool = False,
    size: str | None = None,
) -> Path:
    """Train a model from zero on captioned pictures or on text; called again, it goes on where it stopped.

    Args:
        data: a folder or a tar of captioned pictures, "digits", or "scenes"; for a language model also a text file or a
            folder of them.
        out: the model folder to make. Its sub-folder `run` holds checkpoints, metrics and sample grids.
        recipe: a recipe's name or TOML file; that of the digits or scenes for these, else "pictures".
        settings: values put over the recipe's, such as "denoiser.steps=500".
        budget: a time such as "10m" for all stages that this call trains, which then decides sizes and steps.
        stage: train this stage of the recipe alone; those it needs must be complete.
        quiet: show no progress.
        size: "tiny", "small", "base" or "large"; the recipe's own when not given.

    Returns:
        The model folder.

    Raises:
        DataError: no usable pictures or text; RecipeError: a wrong recipe, or another one than this run began with;
        StorageError: the disk is full; Interrupted: Ctrl-C or a termination signal; TrainingError: infinite losses.
    """
    folder = Path(out)
    chosen = chosen_recipe(data, recipe, settings, size)
    if stage is not None and stage not in chosen.stages:
        raise RecipeError(f"There is no stage {stage!r}; the recipe's stages are {', '.join(chosen.stages)}.")
    allowed = recipes.seconds(budget) if budget else None
    with joined(chosen.run) as team, Progress(quiet or not team.leads) as progress:
        began = time.monotonic()
        _require_even_shares(chosen, team)
        _require_same_run(folder, chosen, budget)
        workshop = open_workshop(data, chosen, folder, folder / RUN, team, progress)
        if team.leads:
            source.write_down(workshop.cache, _counts(workshop), workshop.store.report, progress)
            write_json(folder / RUN / "recipe.json", _asked(chosen, budget))
            _forget_lost(workshop, progress)
        team.wait()
        names = chosen.stages if stage is None else (stage,)
        for name in names:
            _train_stage(name, workshop, names, allowed, time.monotonic() - began, progress)
        if team.leads and all(_run(workshop, name).done for name in chosen.stages):
            if not (folder / INDEX).is_file():
                _finish(workshop, data)
            progress.say(f"The model is in {folder}")
    return folder


def chosen_recipe(
    data: str | Path, recipe: str | Path | None = None, settings: Sequence[str] = (), size: str | None = None
) -> Recipe:
    """The recipe of a training; that of the digits or scenes for these, else "pictures", where none is named."""
    return recipes.load(recipe or (str(data) if str(data) in MADE else "pictures"), settings, size)


def open_workshop(
    data: str | Path, recipe: Recipe, folder: Path, cache: Path, team: Team, progress: Progress
) -> AnyWorkshop:
    """Prepare what the stages share: pictures, or text for a language model. Raises what `train` does of data."""
    opened = texts.open_workshop if "language" in recipe.stages else source.open_workshop
    return opened(data, recipe, folder, cache, team, progress)


def _run(workshop: Workshop, name: str) -> RunFolder:
    return RunFolder(workshop.cache / name, workshop.recipe.run, workshop.team.leads)


def _forget_lost(workshop: Workshop, progress: Progress) -> None:
    """Let the stages end again of which a part is not there any more: their last checkpoint becomes it once more."""
    for name in workshop.recipe.stages:
        run, parts = _run(workshop, name), parts_of(name, workshop.recipe)
        lost = [part for part in parts if not has_part(workshop.folder, part)]
        if run.done and lost:
            progress.say(f"{' and '.join(lost)} of the stage {name} is not there any more: the stage ends again.")
            run.reopen()


def _require_even_shares(recipe: Recipe, team: Team) -> None:
    for name in recipe.stages:
        if recipe.stage(name).batch % team.world:
            raise RecipeError(
                f"{name}.batch {recipe.stage(name).batch} cannot be shared evenly by {team.world} processes."
            )


def _asked(recipe: Recipe, budget: str | None) -> dict[str, Any]:
    return {**recipe.model_dump(mode="json"), "budget": budget}


def _require_same_run(folder: Path, recipe: Recipe, budget: str | None) -> None:
    """Refuse to go on with a training that began with another recipe; what that did not say was as it is by itself."""
    path = folder / RUN / "recipe.json"
    if not path.is_file():
        return
    began = read_json(path)
    known = recipes.check({key: value for key, value in began.items() if key != "budget"}, path.name)
    changed = sorted(_differences(_asked(known, began.get("budget")), _asked(recipe, budget)))
    if changed:
        raise RecipeError(
            f"{folder} holds a training that began with another recipe: "
            + "; ".join(changed)
            + f". Run it with the same settings to go on, choose another --out, or remove {path.parent}."
        )


def _differences(old: dict[str, Any], new: dict[str, Any], path: str = "") -> list[str]:
    found = []
    for key in old.keys() | new.keys():
        a, b = old.get(key), new.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            found += _differences(a, b, f"{path}{key}.")
        elif a != b and path != "run.":  # how it is run may change
            found.append(f"{path}{key} was {a!r} and is {b!r}")
    return found


def _train_stage(
    name: str, workshop: Workshop, names: Sequence[str], budget: float | None, spent: float, progress: Progress
) -> None:
    """Plan a stage, train it, and put its networks into the model folder, unless that was done before."""
    run, team, seed = _run(workshop, name), workshop.team, workshop.recipe.seed
    if run.done:
        return
    _require_earlier(name, workshop)
    build = builder(name, workshop)
    if run.plan is None:
        run.begin(_plan(name, workshop, names, budget, spent, build, progress).model_dump(mode="json"))
    team.wait()
    plan = type(workshop.recipe.stage(name)).model_validate(run.plan)
    began = time.monotonic()
    stage = build(workshop.recipe.with_stage(name, plan))
    state = fit(name, stage, plan, seed, run, team, progress)
    with state.average.in_place():
        facts = _put_down(stage, workshop.folder) if team.leads else {}
    run.finish(
        {
            "steps": plan.steps,
            "samples": plan.steps * plan.batch,
            "facts": facts,
            "seconds": round(time.monotonic() - began, 1),
        }
    )
    team.wait()


def _put_down(stage: Stage, folder: Path) -> dict[str, Any]:
    """Write a stage's networks; an index beside them would be of other ones, until `_finish` writes its own."""
    with storage_errors(folder / INDEX):
        (folder / INDEX).unlink(missing_ok=True)
    return stage.finish()


def _plan(
    name: str,
    workshop: Workshop,
    names: Sequence[str],
    budget: float | None,
    spent: float,
    build: Callable[[Recipe], Stage],
    progress: Progress,
) -> Training:
    recipe = workshop.recipe
    if budget is None:
        return recipe.stage(name)
    before, left = names[: names.index(name)], names[names.index(name) :]
    earlier = sum((_run(workshop, other).done or {}).get("seconds", 0.0) for other in before)
    share = recipe.stage(name).share / (sum(recipe.stage(other).share for other in left) or 1)
    seconds = max(budget - max(earlier, spent), 0.05 * budget) * share
    return budgets.plan(name, recipe, seconds, build, workshop.team, progress)


def _require_earlier(name: str, workshop: Workshop) -> None:
    missing = [other for other in workshop.recipe.needs(name) if not _run(workshop, other).done]
    if missing:
        raise RecipeError(f"The stage {name} needs {' and '.join(missing)}, which {workshop.folder} does not have yet.")


def _finish(workshop: Workshop, data: str | Path) -> None:
    """Write what ties the parts together, and how they came to be."""
    recipe = workshop.recipe
    done = {name: _run(workshop, name).done or {} for name in recipe.stages}
    lineage = {
        "name": recipe.name,
        "way": recipe.way,
        "licence": recipe.licence,
        **_told(workshop, data),
        "training": {
            name: {
                **facts["facts"],
                "steps": facts["steps"],
                "samples": facts["samples"],
                "plan": _run(workshop, name).plan,
            }
            for name, facts in done.items()
        },
        "recipe": recipe.model_dump(mode="json", exclude={"run"}),
    }
    scheduler = denoiser.config(recipe.denoiser) if "denoiser" in recipe.stages else None
    _set_aside(workshop)
    save_index(workshop.folder, recipe.way, scheduler, lineage)


def _set_aside(workshop: Workshop) -> None:
    """Move the parts that an earlier training left, and this one does not make, into the run: they would be used.

    What writes stays: it is no part of the way to a picture, and may have been put there.
    """
    folder, own = workshop.folder, {part for name in workshop.recipe.stages for part in parts_of(name, workshop.recipe)}
    left = [part for kind in PAINTING for part in present(folder, kind) if part not in own]
    if left:
        aside = next(path for number in count(1) if not (path := workshop.cache / f"earlier-{number}").exists())
        with storage_errors(aside):
            aside.mkdir()
            for part in left:
                (folder / part).rename(aside / part)


def _counts(workshop: AnyWorkshop) -> dict[str, Any]:
    """What is learned from, so that a later call can tell whether it is the same."""
    store = workshop.store
    if isinstance(workshop, TextWorkshop):
        counts = {"tokens": len(store), "documents": workshop.store.documents}
    else:
        counts = {"pictures": len(store)}
    return {"fingerprint": store.fingerprint, **counts}


def _told(workshop: Workshop, data: str | Path) -> dict[str, Any]:
    """What a model's `sfumato.json` says of what it learned from."""
    match workshop:
        case PictureWorkshop(recipe=recipe):
            sizes = {"size": recipe.data.size, "final_size": recipe.final_size}
            return sizes | source.facts_of(data, workshop.store, recipe.data)
        case TextWorkshop(recipe=recipe):
            return texts.facts_of(data, workshop.store, recipe.data)
    raise TypeError(type(workshop))
