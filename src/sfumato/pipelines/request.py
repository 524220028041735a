"""What a person asks for, checked; and the same as the recipe that a picture carries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from sfumato.diffusion.solvers import SOLVERS
from sfumato.errors import PromptError
from sfumato.pipelines.upsampling import STEPS

LONGEST_PROMPT = 10_000  # characters
MOST_STEPS = 1000
LARGEST_SIDE = 8192  # pixels
LARGEST_SEED = 2**63 - 1


@dataclass(frozen=True)
class Request:
    """One picture: everything it depends on besides the model.

    Attributes:
        prompt: the words.
        seed: 0 to 2^63 - 1.
        num_inference_steps: denoising steps, 1 to 1000.
        guidance_scale: of classifier-free guidance; 1 is none, 0 ignores the prompt.
        solver: a name in `sfumato.diffusion.solvers.SOLVERS`.
        width, height: of the finished picture in pixels; None for the size that the model was trained for.
        upsampler_steps: steps of the upsampler; 0 leaves it out and gives the small picture.
        pull: how strongly a vector is pulled toward that of the prompt, from 0 (0.5 is usual); for models of vectors.
    """

    prompt: str
    seed: int = 0
    num_inference_steps: int = 20
    guidance_scale: float = 4.0
    solver: str = "dpmpp-2m"
    width: int | None = None
    height: int | None = None
    upsampler_steps: int = STEPS
    pull: float = 0.0

    def __post_init__(self) -> None:
        """Raises PromptError naming the setting that is wrong and what it may be."""
        if not isinstance(self.prompt, str) or len(self.prompt) > LONGEST_PROMPT:
            raise PromptError(f"A prompt is a text of at most {LONGEST_PROMPT} characters.")
        self._whole("seed", 0, LARGEST_SEED)
        self._whole("num_inference_steps", 1, MOST_STEPS)
        self._whole("upsampler_steps", 0, MOST_STEPS)
        try:
            self.prompt.encode()
        except UnicodeEncodeError:
            raise PromptError("The prompt holds bytes that are no text; type it in UTF-8.") from None
        if not isinstance(self.guidance_scale, int | float) or not -1000 <= self.guidance_scale <= 1000:
            raise PromptError(f"guidance_scale is a number from -1000 to 1000, not {self.guidance_scale!r:.100}.")
        if not isinstance(self.pull, int | float) or not 0 <= self.pull <= 1000:
            raise PromptError(f"pull is a number from 0 to 1000, not {self.pull!r:.100}.")
        if not isinstance(self.solver, str) or self.solver not in SOLVERS:
            raise PromptError(f"There is no solver {self.solver!r}; there are {', '.join(SOLVERS)}.")
        for name in ("width", "height"):
            if getattr(self, name) is not None:
                self._whole(name, 1, LARGEST_SIDE)

    def _whole(self, name: str, least: int, most: int) -> None:
        value = getattr(self, name)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise PromptError(f"{name} is a whole number from {least} to {most}, not {value!r}.")

    def to_dict(self) -> dict[str, Any]:
        """The request as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Request:
        """The request from JSON values; PromptError when they are not those of a request."""
        if not isinstance(values, Mapping):
            raise PromptError(f"The recipe of a picture is a table of settings, not {values!r}.")
        known = {field.name for field in fields(cls)}
        strange = sorted(set(values) - known)
        if strange or "prompt" not in values:
            raise PromptError(f"This is no recipe of a picture: {', '.join(strange) or 'the prompt is missing'}.")
        return cls(**values)
