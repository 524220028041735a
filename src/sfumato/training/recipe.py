"""Recipes: everything that decides a training, as TOML read into types."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sfumato.errors import RecipeError
from sfumato.training import sizes, ways
from sfumato.training.settings import lay_over, put
from sfumato.training.ways import WAYS, Way

RECIPES = Path(__file__).parent.parent / "recipes"

Size = Literal["tiny", "small", "base", "large"]
SIZES: tuple[Size, ...] = get_args(Size)
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Channels = tuple[Annotated[int, Field(ge=8, multiple_of=8)], ...]


class Table(BaseModel):
    """A table of a recipe: unknown keys are errors, values do not change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(Table):
    """Which pictures, at which sizes."""

    size: Count = 64  # side of the pictures that the autoencoder and the denoiser see, in pixels
    split: str = "all"  # a sub-folder of the data such as "train", or a part of the digits; "auto": see `part_of`
    flip: bool = True  # mirror pictures at random: not for digits or writing
    vocabulary: Annotated[int, Field(ge=520)] = 4096  # tokens at most
    length: Annotated[int, Field(ge=4, le=512)] = 32  # tokens a prompt
    licence: str = "unknown"  # of the pictures
    scenes: Count = 1_000_000  # how many there are of them, where they are composed
    concepts: Count = 600  # the first so many of the sprites' concepts, of which scenes are composed
    language: Literal["full", "narrow"] = "full"  # what they may show: everything, or a little of it for comparisons
    grid: Annotated[int, Field(ge=0)] = 0  # cells a side to which things are moved and sized; 0 for anywhere
    sprites: str = ""  # a saved pack of them; else what the system's font draws

    def part_of(self, source: str) -> str:
        """The split of a source; "auto" is all of a folder, and of the digits those that are not held out."""
        if self.split != "auto":
            return self.split
        return "train" if source == "digits" else "all"


class Training(Table):
    """How one stage is trained; a budget replaces `steps` and may choose a smaller `size`."""

    steps: Count = 1000
    batch: Count = 64  # over all processes together
    size: Size | None = None  # of the network; the recipe's when not given
    share: Share = 0.25  # of a time budget
    enough: Count = 100_000  # samples with which a budget is well spent; it picks the largest size that reaches them
    optimizer: Literal["adamw", "muon"] = "muon"
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 2e-3
    weight_decay: Annotated[float, Field(ge=0, lt=1)] = 0.01
    warmup: Annotated[int, Field(ge=0)] = 50  # steps over which the learning rate rises from zero
    decay: Literal["constant", "linear", "cosine"] = "cosine"  # of the learning rate, down to zero at the last step
    clip: Annotated[float, Field(gt=0)] = 1.0  # largest norm of the gradient
    ema: Share = 0.999  # decay of the running average of the weights that is kept in the end; 0 for none

    def share_of_rate(self, parameter: str) -> float:
        """The share of the learning rate at which a parameter of the stage learns."""
        return 1.0


class Autoencoder(Training):
    """The KL autoencoder."""

    factor: Literal[1, 2, 4, 8, 16] = 4  # pixels a latent's side
    latent_channels: Count = 4
    channels: Channels | None = None  # one per resolution; from `size` when not given
    layers: Count = 1
    kl_weight: Annotated[float, Field(ge=0)] = 1e-4
    edge_weight: Annotated[float, Field(ge=0)] = 1.0  # of the differences between neighbouring pixels


class Clip(Training):
    """The text encoder and the image encoder, trained together."""

    width: Annotated[int, Field(ge=64, multiple_of=64)] | None = None
    layers: Count | None = None
    projection: Count = 128
    jitter: Annotated[float, Field(ge=0, lt=0.5)] = 0.06  # largest random shift of a picture, in its side
    altered: Annotated[int, Field(ge=0, le=16)] = 0  # captions with a word exchanged that each picture is told from too


class Noising(Training):
    """What every denoiser learns from: which noise, which levels, what is told and what predicted."""

    process: Literal["flow", "linear", "scaled_linear", "squaredcos_cap_v2"] = "squaredcos_cap_v2"
    prediction: Literal["epsilon", "v_prediction", "sample", "velocity"] = "v_prediction"
    shift: Annotated[float, Field(ge=1e-3, lt=1e3)] = 1.0  # so many times more noise beside the data at each time
    times: Literal["uniform", "logit_normal"] = "uniform"
    weight: Literal["plain", "snr", "min_snr", "velocity"] = "plain"
    drop_caption: Share = 0.1  # how often the prompt is left empty, for classifier-free guidance

    @model_validator(mode="after")
    def _velocity_belongs_to_flow(self) -> Noising:
        if (self.process == "flow") != (self.prediction == "velocity"):
            raise ValueError("process 'flow' and prediction 'velocity' go together")
        return self


class Denoiser(Noising):
    """The U-Net or transformer over latents or pixels."""

    network: Literal["unet", "pixart", "sd3", "flux"] = "unet"  # by whose layout
    patch: Literal[1, 2, 4, 8] = 1  # pixels a side that it takes together, where there is no autoencoder
    attention: tuple[bool, ...] | None = None  # of a U-Net at each resolution, finest first; everywhere if not given
    width: Annotated[int, Field(ge=64, multiple_of=64)] | None = None  # of a transformer; from `size` when not given
    train_words: bool = False  # whether the text encoder learns on, from what the denoiser needs to hear
    words_rate: Annotated[float, Field(gt=0, le=1)] = 1.0  # the share of the learning rate at which it does
    channels: Channels | None = None
    layers: Count | None = None
    experts: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()  # times at which one U-Net hands over to the next

    @property
    def part(self) -> str:
        """The part of the model folder that it becomes."""
        return "unet" if self.network == "unet" else "transformer"

    def share_of_rate(self, parameter: str) -> float:
        return self.words_rate if "text" in parameter.split(".") else 1.0

    @property
    def hears_pooled(self) -> bool:
        """Whether it is told what sums a text up, besides the words."""
        return self.network in ("sd3", "flux")

    @model_validator(mode="after")
    def _attention_is_told_for_each_resolution(self) -> Denoiser:
        if self.attention and len(self.attention) != len(self.channels or ()):
            raise ValueError("attention is told for each resolution that channels has")
        return self

    @model_validator(mode="after")
    def _experts_stand_in_order(self) -> Denoiser:
        if any(late <= early for early, late in pairwise(self.experts)):
            raise ValueError(f"the times of experts grow from clean to noise, unlike {list(self.experts)}")
        if self.experts and self.train_words:
            raise ValueError("experts share the words of one text encoder: train_words is for a single denoiser")
        return self


class Vectors(Training):
    """The autoencoder of vectors and the text encoder that meets it, trained together."""

    length: Count = 512  # numbers of a vector
    channels: Channels | None = None  # one per resolution; from `size` when not given
    layers: Count = 1
    text_width: Annotated[int, Field(ge=64, multiple_of=64)] | None = None
    text_layers: Count | None = None
    jitter: Annotated[float, Field(ge=0, lt=0.5)] = 0.06  # largest random shift of a picture, in its side
    kl_weight: Annotated[float, Field(ge=0)] = 0.3
    edge_weight: Annotated[float, Field(ge=0)] = 1.0  # of the differences between neighbouring pixels
    contrast_weight: Annotated[float, Field(ge=0)] = 0.05


class Prior(Noising):
    """The denoiser of vectors."""

    optimizer: Literal["adamw", "muon"] = "adamw"  # matrices as wide as these are slow to orthogonalise
    width: Annotated[int, Field(ge=8)] | None = None
    layers: Count | None = None


class Upsampler(Training):
    """The U-Net over pixels that makes the final size."""

    factor: Literal[1, 2, 4] = 2  # 1 for no upsampler
    stages: Count = 1  # upsamplers in a row, each of which enlarges `factor` times
    channels: Channels | None = None
    layers: Count | None = None
    patch: Literal[1, 2, 4] = 1  # pixels a side that it takes together, where speed matters more than the last detail
    crop: Count = 64  # side of the pieces it is trained on, in final pixels
    augmentation: Annotated[float, Field(ge=0, le=1)] = 0.3  # most noise added to the small picture


class Classifier(Training):
    """The classifier whose gradient makes pictures."""

    channels: Channels | None = None
    probability: Annotated[float, Field(gt=0)] = 0.1  # weight of the cross-entropy of class or none
    gradient: Annotated[float, Field(ge=0)] = 1.0  # weight of the denoising loss of its gradient; 0 leaves it untaught
    directions: Annotated[int, Field(ge=0)] = 64  # of the reference that pictures are told from; 0 is mere noise
    negatives: Annotated[tuple[Literal["reference", "scrambled", "mixed", "own"], ...], Field(min_length=1)] = (
        "reference",
    )


class Restorer(Training):
    """The U-Net over pixels that undoes a degradation (cold diffusion)."""

    degradation: Literal["blur", "downsample", "jpeg", "text", "fade"] = "blur"
    noise: Share = 0.1  # also added, in proportion to the severity, to half of the degraded pictures
    channels: Channels | None = None
    layers: Count | None = None
    drop_caption: Share = 0.1  # how often the prompt is left empty


class Writing(Training):
    """What networks have in common that write token by token."""

    width: Annotated[int, Field(ge=8)] | None = None
    layers: Count | None = None
    heads: Count | None = None
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0


class Language(Writing):
    """The language model."""

    read: Literal["auto", "text", "captions"] = "auto"  # of a folder: its text files, or the captions of its pictures
    tokens: Literal["characters", "bytes"] = "characters"  # or pieces of words: byte-level BPE, learned from the text
    vocabulary: Annotated[int, Field(ge=300)] = 4096  # tokens at most, where they are pieces of words
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.1  # share of the text, from its end, that is only measured by
    block: Annotated[int, Field(ge=8)] = 256  # tokens a sequence, and the longest text that is written in one piece
    evaluate_every: Count = 250  # steps


class Captioner(Writing):
    """The network that tells what a picture shows."""

    patch: Literal[1, 2, 4, 8] = 2  # pixels a side that it takes together at first
    channels: Channels | None = None  # of each resolution after that, finest first; from `size` when not given
    jitter: Annotated[float, Field(ge=0, lt=0.5)] = 0.0  # largest random shift of a picture, in its side


class Run(Table):
    """How a training is run, apart from what it learns."""

    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    device: str = "auto"
    compile: bool = False  # whether the networks are compiled, which pays back after minutes
    checkpoint_seconds: Annotated[float, Field(ge=0)] = 60.0
    keep: Count = 2  # checkpoints
    previews: Annotated[int, Field(ge=0)] = 4  # sample grids a stage
    log_every: Count = 20  # steps
    weights: Literal["float32", "float16", "bfloat16"] = "float32"  # of the finished model's files


class Recipe(Table):
    """A whole training."""

    name: str = "custom"
    way: Way = "latents"
    description: str = ""
    licence: str = "unknown"  # of the finished weights
    seed: int = 0
    size: Size = "tiny"
    data: Data = Data()
    autoencoder: Autoencoder = Autoencoder()
    clip: Clip = Clip()
    denoiser: Denoiser = Denoiser()
    vectors: Vectors = Vectors()
    prior: Prior = Prior()
    upsampler: Upsampler = Upsampler()
    classifier: Classifier = Classifier()
    restorer: Restorer = Restorer()
    language: Language = Language()
    captioner: Captioner = Captioner()
    run: Run = Run()

    @model_validator(mode="after")
    def _sizes_fit(self) -> Recipe:
        if self.data.size % self.compression:
            what = "autoencoder.factor" if "autoencoder" in WAYS[self.way] else "denoiser.patch"
            raise ValueError(f"data.size {self.data.size} is not a multiple of {what} {self.compression}")
        if self.autoencoder.channels and len(self.autoencoder.channels) != self.autoencoder.factor.bit_length():
            raise ValueError(
                f"autoencoder.channels names {len(self.autoencoder.channels)} resolutions; a factor of "
                f"{self.autoencoder.factor} has {self.autoencoder.factor.bit_length()}"
            )
        if self.way == "captions" and self.data.size % self.captioner.patch:
            raise ValueError(f"data.size {self.data.size} is not a multiple of captioner.patch {self.captioner.patch}")
        for name in {"language", "captioner"} & set(self.stages):
            sizes.writing(name, getattr(self, name), self.size)
        for name in ("factor", "patch"):
            if self.upsampler.crop % getattr(self.upsampler, name):
                raise ValueError(
                    f"upsampler.crop {self.upsampler.crop} is not a multiple of "
                    f"upsampler.{name} {getattr(self.upsampler, name)}"
                )
        if "vectors" in self.stages and self.data.size % 2 ** (len(self.vectors.channels or ((),) * 4) - 1):
            raise ValueError(f"vectors.channels: pictures of {self.data.size} pixels cannot be halved that often")
        sides = {
            "denoiser": self.data.size // self.compression,
            "upsampler": self.upsampler.crop // self.upsampler.patch,
            "captioner": self.data.size // self.captioner.patch,
            "classifier": self.data.size,
            "restorer": self.data.size,
        }
        for name, side in sides.items():
            levels = len(getattr(self, name).channels or ())
            if levels and side % 2 ** (levels - 1):
                raise ValueError(f"{name}.channels: maps of {side} pixels cannot be halved {levels - 1} times")
        return self

    @property
    def compression(self) -> int:
        """How many pixels a side each place of the denoiser's maps stands for."""
        return self.autoencoder.factor if "autoencoder" in WAYS[self.way] else self.denoiser.patch

    @property
    def upsamplers(self) -> int:
        """How many upsamplers follow each other."""
        return self.upsampler.stages if "upsampler" in WAYS[self.way] and self.upsampler.factor > 1 else 0

    @property
    def final_size(self) -> int:
        """Side of the finished pictures, in pixels."""
        return self.data.size * self.upsampler.factor**self.upsamplers

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that this recipe trains, in their order; those of a repeated table are numbered."""
        repeated = {"denoiser": len(self.denoiser.experts) + 1, "upsampler": self.upsamplers}
        return tuple(
            ways.numbered(table, number + 1) for table in WAYS[self.way] for number in range(repeated.get(table, 1))
        )

    def needs(self, name: str) -> tuple[str, ...]:
        """The stages that must be complete before this one."""
        table, number = ways.table_of(name)
        before = (ways.numbered(table, number - 1),) if table == "denoiser" and number > 1 else ()
        return WAYS[self.way][table] + before

    def stage(self, name: str) -> Training:
        """The table of a stage."""
        return getattr(self, ways.table_of(name)[0])

    def with_stage(self, name: str, table: Training) -> Recipe:
        """The recipe with another table for a stage."""
        return self.model_copy(update={ways.table_of(name)[0]: table})


def names() -> list[str]:
    """The recipes that come with sfumato."""
    return sorted(path.stem for path in RECIPES.glob("*.toml"))


def load(recipe: str | Path, settings: Sequence[str] = (), size: str | None = None) -> Recipe:
    """Read a recipe by name or from a TOML file, with settings such as "denoiser.steps=500" put over it.

    `size` is the recipe's own where it is not given. What a recipe says under "at.tiny" holds for the size tiny alone.
    Raises RecipeError naming the file and the field.
    """
    path = RECIPES / f"{recipe}.toml" if str(recipe) in names() else Path(recipe)
    if not path.is_file():
        raise RecipeError(f"There is no recipe {str(recipe)!r}. Name a TOML file or one of: {', '.join(names())}.")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not valid TOML: {error}") from error
    if size is not None:
        values["size"] = size
    sized = values.pop("at", {})
    tables = isinstance(sized, dict) and sized.keys() <= set(SIZES)
    if not tables or not all(isinstance(table, dict) for table in sized.values()):
        raise RecipeError(f"{path}: under 'at' there may be tables named {', '.join(SIZES)}.")
    lay_over(values, sized.get(str(values.get("size", "tiny")), {}))
    for setting in settings:
        put(values, setting)
    return check(values, where=path.name)


def check(values: dict[str, Any], where: str) -> Recipe:
    """Values to a Recipe; RecipeError lists every field that is wrong."""
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        problems = [f"  {'.'.join(map(str, p['loc'])) or 'recipe'}: {p['msg']}" for p in error.errors()]
        raise RecipeError(f"The recipe {where} is not valid:\n" + "\n".join(problems)) from error


def seconds(text: str) -> float:
    """A duration such as "90s", "10m" or "1.5h" in seconds; a bare number is minutes."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh]?)\s*", text)
    if not match or float(match[1]) == 0:
        raise RecipeError(f"A budget is a time such as 90s, 10m or 1.5h, not {text!r}.")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600, "": 60}[match[2]]
