"""What is put over a recipe's values: tables for one size, and settings of the command line."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from sfumato.errors import RecipeError


def lay_over(values: dict[str, Any], more: dict[str, Any]) -> None:
    """Put nested tables over others."""
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            lay_over(values[key], value)
        else:
            values[key] = value


def put(values: dict[str, Any], setting: str) -> None:
    """Put "path.to.key=value" into nested tables; the value is TOML, or else a plain string."""
    path, separator, text = setting.partition("=")
    if not separator or not re.fullmatch(r"\w+(\.\w+)*", path.strip()):
        raise RecipeError(f"--set takes path.to.key=value, not {setting!r}.")
    *tables, key = path.strip().split(".")
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            raise RecipeError(f"--set {setting}: {table!r} is a value, not a table.")
    try:
        values[key] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        values[key] = text.strip()
