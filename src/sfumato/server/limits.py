"""How much one may ask of a server."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from sfumato.errors import PromptError, RecipeError

if TYPE_CHECKING:
    from sfumato.pipelines.request import Request

NETWORKS = ("control", "like")  # settings that name networks, files of this machine


@dataclass(frozen=True)
class Limits:
    """What a server accepts.

    Attributes:
        queue: jobs that are not finished, of all owners together.
        each_owner: the same of one owner.
        count: pictures of one job.
        pixels: of one finished picture.
        steps: of the denoiser, and of the upsampler.
        prompt: characters of all the texts of one request together.
        branches: texts that one look of the denoiser hears: the parts of prompts with AND, and of mixtures.
        seconds: from a job's first step until it is given up.
        body: bytes of one HTTP request.
        a_minute: HTTP requests of one owner in a minute.

    Raises RecipeError where one of them is not above 0.
    """

    queue: int = 256
    each_owner: int = 64
    count: int = 16
    pixels: int = 2048 * 2048
    steps: int = 200
    prompt: int = 4_000
    branches: int = 16
    seconds: float = 1800.0
    body: int = 64 * 2**20
    a_minute: int = 120

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name) > 0:
                raise RecipeError(f"The limit {field.name} is a number above 0, not {getattr(self, field.name)!r}.")

    def require(self, request: Request, count: int) -> None:
        """Refuse what asks for too much, whatever the model: PromptError says of what, and how much there may be."""
        if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= self.count:
            raise PromptError(f"count is a whole number from 1 to {self.count}, not {count!r:.100}.")
        for name in ("num_inference_steps", "upsampler_steps"):
            if getattr(request, name) > self.steps:
                raise PromptError(f"{name} is at most {self.steps} here, not {getattr(request, name)}.")
        written = sum(map(len, request.texts))
        if written > self.prompt:
            raise PromptError(f"The texts have {written} characters; here there may be {self.prompt}.")
        heard = sum(len(request.reading.branches(text)) for text in (request.prompt, *request.texts_beside))
        if heard > self.branches:
            raise PromptError(f"The prompt has {heard} branches; here there may be {self.branches}.")
        _require_no_files(request)

    def require_size(self, width: int, height: int) -> None:
        """Refuse pictures of too many pixels: PromptError."""
        if width * height > self.pixels:
            raise PromptError(f"{width} x {height} pixels are more than the {self.pixels} that are made here.")


def _require_no_files(request: Request) -> None:
    for name in NETWORKS:
        if getattr(request, name):
            raise PromptError(f"{name} names a network on this machine, which is not allowed here.")
    if str(request.spacing).endswith(".json") and not request.times:
        raise PromptError("spacing names a file on this machine, which is not allowed here; give its times.")
