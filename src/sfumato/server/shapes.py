"""What our own interface asks and answers: jobs, in the words of `sfumato.pipelines.request.Request`."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

from sfumato.pipelines.request import Request
from sfumato.server.limits import NETWORKS

State = Literal["queued", "running", "done", "failed", "cancelled"]
PICTURES = ("picture", "mask")  # settings that are pictures, which come with the call


class Ask(BaseModel):
    """What a job may say besides the settings of its pictures."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, protected_namespaces=())

    model: str | None = Field(None, description="A model of the server; its first one if left out.")
    count: int = Field(1, ge=1, le=10_000, description="How many pictures, with the seeds seed, seed + 1, ...")
    private: bool = Field(False, description="Whether the words are forgotten when the pictures are done.")

    def settings(self) -> dict[str, Any]:
        """The settings of a request that were given."""
        return self.model_dump(exclude={"model", "count", "private"}, exclude_none=True)


def _fields() -> dict[str, Any]:
    """The settings of a `Request`, each of which may be left out; pictures are base64."""
    told, hints = _told(Request.__doc__ or ""), get_type_hints(Request)
    found: dict[str, Any] = {}
    for entry in fields(Request):
        if entry.name in NETWORKS:
            continue
        kind = str if entry.name in PICTURES else hints[entry.name]
        needed = entry.default is MISSING and entry.default_factory is MISSING
        about = told.get(entry.name, "") + (" A picture file in base64." if entry.name in PICTURES else "")
        field = Field(description=about.strip()) if needed else Field(None, description=about.strip())
        found[entry.name] = (kind if needed else kind | None, field)
    return found


def _told(docstring: str) -> dict[str, str]:
    """What a docstring says of each attribute."""
    found: dict[str, str] = {}
    names: list[str] = []
    for line in docstring.partition("Attributes:")[2].splitlines():
        if line.startswith(" " * 8) and not line.startswith(" " * 9):
            before, _, after = line.strip().partition(": ")
            names = [name.strip() for name in before.split(",")]
            found |= dict.fromkeys(names, after)
        elif line.strip():
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
    return found


JobAsked: type[Ask] = create_model("JobAsked", __base__=Ask, __doc__="A job, as it is asked for.", **_fields())
"""A job, as it is asked for."""


class JobShown(BaseModel):
    """A job, as it is."""

    id: str
    model: str
    state: State
    count: int
    position: int = Field(description="How many pictures come before it, while it is queued.")
    pictures: list[str] = Field(description="Where the finished pictures are.")
    request: dict[str, Any] = Field(description="The settings of the first picture.")
    created: float = Field(description="Seconds since 1970.")
    started: float | None
    finished: float | None
    error: str = Field(description="What went wrong, or nothing.")
    private: bool


class JobList(BaseModel):
    """A page of the history, newest first."""

    jobs: list[JobShown]
    before: float | None = Field(description="Leads to the next page; null on the last one.")
