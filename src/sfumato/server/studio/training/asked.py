"""What a person asks of a training on the page, and the command that it becomes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

COMMAND = (sys.executable, "-P", "-m", "sfumato")  # -P: a folder "sfumato" where the server was started is no module


@dataclass(frozen=True)
class Asked:
    """A training as the command line takes it.

    Attributes:
        data: a full path, "digits" or "scenes".
        recipe: the name of one that comes with sfumato.
        size: of the networks; "" for the recipe's own.
        budget: a time such as "10m"; "" for the steps of the recipe.
        settings: put over the recipe's, as `--set` takes them.
    """

    data: str
    recipe: str
    size: str = ""
    budget: str = ""
    settings: tuple[str, ...] = ()

    def command(self, folder: Path, *more: str) -> list[str]:
        """The command that trains it, or goes on with it; `more` are further options."""
        options = [f"--out={folder}", f"--recipe={self.recipe}"]
        options += [f"--size={self.size}"] if self.size else []
        options += [f"--budget={self.budget}"] if self.budget else []
        options += [f"--set={setting}" for setting in self.settings]
        return [*COMMAND, "train", *options, *more, "--", self.data]

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Asked:
        """What `to_dict` gave; TypeError or KeyError when it is something else."""
        settings: Sequence[str] = values.get("settings", ())
        return cls(**{**values, "settings": tuple(settings)})


def checked(data: str, recipe: str, size: str = "", budget: str = "", settings: Sequence[str] = ()) -> Asked:
    """The same, once it is known that the recipe can be read so. Raises RecipeError naming what is wrong."""
    from sfumato.errors import RecipeError
    from sfumato.training import recipe as recipes

    if recipe not in recipes.names():
        raise RecipeError(f"There is no recipe {recipe!r}; there are {', '.join(recipes.names())}.")
    recipes.load(recipe, settings, size or None)
    if budget:
        recipes.seconds(budget)
    return Asked(data, recipe, size, budget, tuple(settings))


def fitting(data: str) -> str:
    """The recipe that data usually take."""
    return data if data in ("digits", "scenes") else "pictures"
