"""What a person asks for, checked; and the same as the recipe that a picture carries."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from typing import Any

from sfumato.data.prompts import PROFILES
from sfumato.diffusion.solvers import SOLVERS, Method
from sfumato.diffusion.times import SPACINGS
from sfumato.errors import PromptError
from sfumato.pipelines.editing import LARGEST_SIDE, settle_editing
from sfumato.pipelines.given import Given
from sfumato.pipelines.hints import Control, Like, hints_of, is_number, require_number
from sfumato.pipelines.regions import Region, regions_of
from sfumato.pipelines.upsampling import STEPS
from sfumato.pipelines.weighting import Reading

LONGEST_PROMPT = 10_000  # characters
MOST_STEPS = 1000
LARGEST_SEED = 2**63 - 1
MOST_PROMPTS = 16  # in a mixture

GUIDANCE = {"cfg": 4.0, "cfg++": 0.6, "apg": 4.0, "pag": 3.0, "clip": 2.0}
"""Kinds of guidance by the names people type, each with its usual scale; `docs/guidance.md` says what they do."""

MIXTURES = ("spherical", "linear", "branches")
"""How prompts are mixed: on the way between their text states, or by an estimate for each."""

GUIDED = ("guidance", "negative_prompt", "guidance_rescale", "guidance_interval", "mix", "mix_how")
"""The settings that say how a denoiser is steered, besides the scale."""

VARYING = ("variation", "variation_seed")
"""The settings that turn the noise to begin with toward another's."""

TILES = ("auto", "always", "never")
"""Whether autoencoders work tile by tile, where pictures are larger than a tile; `sfumato.networks.tiles` says how."""

EVERYWHERE = ("prompt", "seed", "num_inference_steps", "guidance_scale", "width", "height", "upsampler_steps", "typed")
"""The settings that every model follows."""


@dataclass(frozen=True)
class Request:
    """One picture: everything it depends on besides the model.

    Attributes:
        prompt: the words.
        seed: 0 to 2^63 - 1.
        num_inference_steps: denoising steps, 1 to 1000.
        guidance_scale: how strongly the prompt steers; 1 is no guidance, None is the usual scale of its kind. For cfg
            and apg 0 ignores the prompt; for cfg++ it lies between 0 and 1.
        solver: a name in `sfumato.diffusion.solvers.SOLVERS`.
        eta: how much of the noise that DDPM would put back the solver does, 0 to 1; None for what its name says.
        spacing: how the steps are spread, a name in `sfumato.diffusion.times.SPACINGS`; "own" or None for the model's
            own; "tuned", or the .json file that `sfumato tune-steps` wrote.
        times: of the process at which the steps are taken, from 1 falling to above 0, in the place of `spacing`.
        width, height: of the finished picture in pixels; None for the size that the model was trained for.
        upsampler_steps: steps of the upsampler; 0 leaves it out and gives the small picture.
        negative_prompt: what to go away from, for cfg, cfg++ and apg.
        guidance: a name in `GUIDANCE`.
        guidance_rescale: 0 to 1, how much of the spread that guidance adds is taken back; not for clip and cfg++.
        guidance_interval: (low, high), guide only where low < sigma / alpha <= high; None for high sets no end.
        mix: other prompts with their weights; the prompt itself has the rest of 1.
        mix_how: a name in `MIXTURES`.
        prompt_syntax: by whose rules the texts are read, a name in `sfumato.data.prompts.PROFILES`.
        clip_skip: how many of the text encoder's last layers are left out, as the users of that program mean it.
        picture: to begin with, or that the denoiser looks at.
        mask: light where the picture is to be painted anew, dark where it stays.
        control: pictures of what is to be where, with the networks that understand them.
        like: pictures that it is to be like, with the adapters that understand them.
        strength: how much of the way from noise is gone, with a picture to begin with: 1 keeps nothing of it.
        extend: (left, top, right, bottom), how many pixels of the finished picture are painted around the one given.
        paste: whether what a mask or `extend` keeps of the picture is laid over the finished one again: autoencoders
            change what they see a little.
        regions: prompts of their own for boxes of the picture, (prompt, (left, top, right, bottom)) or with a weight;
            see `Region`. What they leave has the prompt.
        variation: 0 to 1, how much the noise to begin with is turned to that of `variation_seed`; 0 is the seed's own.
        variation_seed: 0 to 2^63 - 1; needed for a variation.
        tiles: whether the autoencoder works tile by tile, a name in `TILES`; "auto" does for large pictures.
        pull: how strongly a vector is pulled toward that of the prompt, from 0 (0.5 is usual); for models of vectors.
        typed: what was typed, where a language model completed it to the prompt; kept for people, no picture has to do
            with it.
    """

    prompt: str
    seed: int = 0
    num_inference_steps: int = 20
    guidance_scale: float | None = None
    solver: str = "unipc-2"
    eta: float | None = None
    spacing: str | None = "beta"
    times: Sequence[float] | None = None
    width: int | None = None
    height: int | None = None
    upsampler_steps: int = STEPS
    negative_prompt: str = ""
    guidance: str = "cfg"
    guidance_rescale: float = 0.0
    guidance_interval: tuple[float, float | None] | None = None
    mix: tuple[tuple[str, float], ...] = ()
    mix_how: str = "spherical"
    pull: float = 0.0
    prompt_syntax: str = "sfumato"
    clip_skip: int | None = None
    picture: Given | None = None
    mask: Given | None = None
    strength: float | None = None
    extend: tuple[int, int, int, int] | None = None
    paste: bool = True
    regions: tuple[Region, ...] = ()
    variation: float = 0.0
    variation_seed: int | None = None
    control: tuple[Control, ...] = ()
    like: tuple[Like, ...] = ()
    tiles: str = "auto"
    typed: str = ""

    def __post_init__(self) -> None:
        """Raises PromptError naming the setting that is wrong and what it may be."""
        self._whole("seed", 0, LARGEST_SEED)
        self._whole("num_inference_steps", 1, MOST_STEPS)
        self._whole("upsampler_steps", 0, MOST_STEPS)
        if self.prompt_syntax not in PROFILES:
            known = ", ".join(PROFILES)
            raise PromptError(f"There is no prompt_syntax {self.prompt_syntax!r:.100}; there are {known}.")
        self._variation()
        self._mixture()
        object.__setattr__(self, "regions", regions_of(self.regions))
        require_text(self.typed)
        for text in self.texts:
            require_text(text)
            _require_readable(text, Reading(self.prompt_syntax, steps=self.num_inference_steps), text != self.prompt)
        if self.clip_skip is not None:
            self._whole("clip_skip", -100, 100)
        self._guided()
        self._number("pull", 0, 1000)
        if self.tiles not in TILES:
            raise PromptError(f"tiles is one of {', '.join(TILES)}, not {self.tiles!r:.100}.")
        settle_editing(self)
        object.__setattr__(self, "control", hints_of(Control, "control", self.control))
        object.__setattr__(self, "like", hints_of(Like, "like", self.like))
        if not isinstance(self.solver, str) or self.solver not in SOLVERS:
            raise PromptError(f"There is no solver {self.solver!r}; there are {', '.join(SOLVERS)}.")
        if self.eta is not None:
            self._number("eta", 0, 1)
            if SOLVERS[self.solver].noisy is None:
                able = ", ".join(name for name, method in SOLVERS.items() if method.noisy)
                raise PromptError(f"The solver {self.solver} has no eta; these have: {able}.")
        self._steps_suit_the_guidance()
        if self.spacing is None:
            object.__setattr__(self, "spacing", "own")
        named = isinstance(self.spacing, str) and (
            self.spacing in (*SPACINGS, "own", "tuned") or self.spacing.endswith(".json")
        )
        if not named:
            known = ", ".join((*SPACINGS, "own", "tuned"))
            raise PromptError(f"There is no spacing {self.spacing!r:.100}; there are {known} and .json files.")
        if self.times is not None:
            self._falling_times()
        for name in ("width", "height"):
            if getattr(self, name) is not None:
                self._whole(name, 1, LARGEST_SIDE)

    @property
    def texts(self) -> tuple[str, ...]:
        """Every text that the model reads for this picture."""
        return (self.prompt, self.negative_prompt, *self.texts_beside)

    @property
    def texts_beside(self) -> tuple[str, ...]:
        """The texts that are followed besides the prompt."""
        return (*(text for text, _ in self.mix), *(region.prompt for region in self.regions))

    def following(self, number: int) -> Request:
        """Of the pictures that are asked for at once the one with this number, from 0: the seed counts on.

        Of variations it is `variation_seed` that counts on, and the seed stays.
        """
        if self.variation and self.variation_seed is not None:
            return replace(self, variation_seed=self.variation_seed + number)
        return replace(self, seed=self.seed + number)

    def require(self, known: Collection[str], model: str) -> None:
        """Refuse settings that would do nothing: PromptError when one that is not `known` has not its default."""
        for field in fields(self):
            if field.name not in (*EVERYWHERE, *known) and getattr(self, field.name) != field.default:
                raise PromptError(f"{field.name} does nothing with the model {model}; leave it out.")

    def without_idle(self, known: Collection[str]) -> Request:
        """The same with defaults for what is not `known`: a recipe may be older than one that does nothing."""
        idle: dict[str, Any] = {
            field.name: field.default for field in fields(self) if field.name not in (*EVERYWHERE, *known)
        }
        return replace(self, **idle)

    def in_few_steps(self, most: int) -> Request:
        """The same in so many steps at most, with its controls in all of them."""
        steps, control = min(self.num_inference_steps, most), [replace(one, start=0.0, end=1.0) for one in self.control]
        return replace(self, num_inference_steps=steps, spacing="trailing", times=None, control=tuple(control))

    @property
    def reading(self) -> Reading:
        """How its texts are read."""
        return Reading(self.prompt_syntax, self.clip_skip, steps=self.num_inference_steps)

    @property
    def method(self) -> Method:
        """The solver, with its eta."""
        return SOLVERS[self.solver].with_eta(self.eta)

    @property
    def scale(self) -> float:
        """The `guidance_scale`, which is always a number once a request is made."""
        assert self.guidance_scale is not None
        return self.guidance_scale

    def _guided(self) -> None:
        if not isinstance(self.guidance, str) or self.guidance not in GUIDANCE:
            raise PromptError(f"There is no guidance {self.guidance!r}; there are {', '.join(GUIDANCE)}.")
        if self.guidance_scale is None:
            object.__setattr__(self, "guidance_scale", GUIDANCE[self.guidance])
        self._number("guidance_scale", *((0, 1) if self.guidance == "cfg++" else (-1000, 1000)))
        self._number("guidance_rescale", 0, 1)
        if self.guidance in ("clip", "cfg++") and self.guidance_rescale:
            raise PromptError(f"guidance_rescale does not go with the guidance {self.guidance}.")
        if self.negative_prompt and self.guidance in ("pag", "clip"):
            raise PromptError(f"A negative prompt does not go with the guidance {self.guidance}; take cfg or apg.")
        if self.guidance_interval is not None:
            message = "guidance_interval is two numbers of sigma / alpha, 0 <= low < high (None for no end)"
            low, high = _pair(self.guidance_interval, message)
            if not (is_number(low) and low >= 0 and (high is None or (is_number(high) and low < high))):
                raise PromptError(f"{message}, not {self.guidance_interval!r:.100}.")
            object.__setattr__(self, "guidance_interval", (low, high))
        self._nothing_is_idle()

    def _nothing_is_idle(self) -> None:
        if self.scale == 1 and self.guidance != "cfg++":
            for name in ("negative_prompt", "guidance_rescale", "guidance_interval"):
                if getattr(self, name):
                    raise PromptError(f"{name} does nothing at a guidance_scale of 1, which is no guidance.")

    def _steps_suit_the_guidance(self) -> None:
        method = self.method
        looks_twice = method.evaluations > 1 or self.solver == "pndm"  # in its first step
        if self.guidance == "cfg++" and (method.order is None or looks_twice):
            raise PromptError(f"The guidance cfg++ takes a solver of one look a step without noise, not {self.solver}.")
        if self.guidance == "apg" and looks_twice:
            raise PromptError(f"The guidance apg takes a solver of one look a step, not {self.solver}.")

    def _variation(self) -> None:
        self._number("variation", 0, 1)
        if self.variation_seed is not None:
            self._whole("variation_seed", 0, LARGEST_SEED)
        if self.variation and self.variation_seed is None:
            raise PromptError("A variation takes a variation_seed, whose noise is mixed in.")
        if self.variation_seed is not None and not self.variation:
            raise PromptError("variation_seed does nothing at a variation of 0.")

    def _mixture(self) -> None:
        message = f"mix is a list of at most {MOST_PROMPTS} prompts, each with its weight"
        if not isinstance(self.mix, list | tuple) or len(self.mix) > MOST_PROMPTS:
            raise PromptError(f"{message}, not {self.mix!r:.100}.")
        object.__setattr__(self, "mix", tuple(_pair(part, message) for part in self.mix))
        if self.mix_how not in MIXTURES:
            raise PromptError(f"There is no way to mix {self.mix_how!r}; there are {', '.join(MIXTURES)}.")
        if self.mix_how != MIXTURES[0] and not self.mix:
            raise PromptError("mix_how does nothing without a mix.")
        weights = [weight for _, weight in self.mix]
        least, most = (0, 1) if self.mix_how == "spherical" else (-10, 10)
        if not all(is_number(weight) and least <= weight <= most for weight in weights):
            raise PromptError(f"The weights of a {self.mix_how} mix are numbers from {least} to {most}, not {weights}.")
        if self.mix_how == "spherical" and sum(weights) > 1 + 1e-9:
            raise PromptError(f"The weights of a spherical mix sum to {sum(weights):g}; 1 is all there is.")

    def _number(self, name: str, least: float, most: float) -> None:
        require_number(name, getattr(self, name), least, most)

    def _whole(self, name: str, least: int, most: int) -> None:
        value = getattr(self, name)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise PromptError(f"{name} is a whole number from {least} to {most}, not {_shown(value)}.")

    def _falling_times(self) -> None:
        times = self.times
        if not isinstance(times, list | tuple) or not all(isinstance(time, float | int) for time in times):
            raise PromptError("times are numbers, one for each step.")
        if len(times) != self.num_inference_steps:
            raise PromptError(f"times are one for each of {self.num_inference_steps} steps, not {len(times)}.")
        if not all(later < time for time, later in zip((1.0 + 1e-9, *times), (*times, 0.0), strict=True)):
            raise PromptError("times fall from at most 1 to above 0.")
        if times[0] < 0.9:
            raise PromptError(f"times begin near 1, where all is noise, not at {times[0]}.")
        object.__setattr__(self, "times", tuple(times))

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
        if str(values.get("spacing") or "").endswith(".json") and not values.get("times"):
            raise PromptError("This recipe names a file of tuned steps but does not hold its times.")
        if strange or "prompt" not in values:
            raise PromptError(f"This is no recipe of a picture: {', '.join(strange) or 'the prompt is missing'}.")
        # as it was before there was a choice
        before: dict[str, Any] = {"spacing": "own", "prompt_syntax": "diffusers", "tiles": "never"}
        if values.get("mask") is not None:
            before["paste"] = False
        return cls(**before | dict(values))


def require_text(text: Any) -> None:
    """Refuse what is no prompt: PromptError says why."""
    if not isinstance(text, str) or len(text) > LONGEST_PROMPT:
        raise PromptError(f"A prompt is a text of at most {LONGEST_PROMPT} characters.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise PromptError("The prompt holds bytes that are no text; type it in UTF-8.") from None


@lru_cache(64)  # the pictures of a prompt are as many requests
def _require_readable(text: str, reading: Reading, negative: bool) -> None:
    for _ in reading.all_branches(text, negative=negative):
        pass


def _pair(value: Any, message: str) -> tuple[Any, Any]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise PromptError(f"{message}, not {value!r:.100}.")
    return value[0], value[1]


def _shown(value: object) -> str:
    try:
        return f"{value!r:.100}"
    except ValueError:  # a whole number of more digits than Python writes
        return "a much larger number"
