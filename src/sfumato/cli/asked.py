"""What `generate` and `xray` take besides the prompt: which picture, by which settings, of which model."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from sfumato.cli import hints, places

if TYPE_CHECKING:
    from sfumato.pipelines.text_to_image import Pipeline

ModelOption = Annotated[
    str | None,
    typer.Option("--model", "-m", help="A model folder, a single file, an id on the hub, or an embedded model's name."),
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]
DtypeOption = Annotated[str | None, typer.Option(help="float32, float16 or bfloat16; else as suits the device.")]
TilesOption = Annotated[str, typer.Option(help="auto, always or never: decode large pictures piece by piece.")]
OffloadOption = Annotated[
    str | None, typer.Option(help="parts or blocks: what of the weights is on the accelerator at a time.")
]


@dataclass(frozen=True)
class Asked:
    """A field for each option; `asking` makes a command take them."""

    seed: Annotated[int | None, typer.Option(help="Of the first picture; the next ones have seed + 1, ...")] = None
    steps: Annotated[int | None, typer.Option(help="Denoising steps; 20, or as few as the model was made for.")] = None
    guidance: Annotated[
        float | None,
        typer.Option(help="How strongly the prompt steers, 1 is not; else as suits its kind and the model."),
    ] = None
    guide: Annotated[str, typer.Option(help="Kind of guidance: cfg, cfg++, apg, pag or clip.")] = "cfg"
    negative: Annotated[str, typer.Option(help="What the picture does not show, in words.")] = ""
    rescale: Annotated[float, typer.Option(help="0 to 1: take back the contrast that guidance adds.")] = 0.0
    interval: Annotated[
        str | None, typer.Option(help="LOW:HIGH, guide only between these levels of noise, as sigma / alpha.")
    ] = None
    mix: Annotated[
        list[str] | None, typer.Option(help='"other prompt=0.4": mixed in, the prompt keeps the rest of 1. Repeatable.')
    ] = None
    mix_how: Annotated[str, typer.Option(help="spherical, linear or branches.")] = "spherical"
    pull: Annotated[float, typer.Option(help="Pull a vector toward the prompt's own; for models of vectors.")] = 0.0
    picture: Annotated[
        Path | None, typer.Option(help="A picture to begin with, to enlarge, or to paint into with --mask.")
    ] = None
    mask: Annotated[Path | None, typer.Option(help="Light where the picture is painted anew.")] = None
    strength: Annotated[
        float | None, typer.Option(help="0 to 1: how much of a picture to begin with is made anew.")
    ] = None
    extend: Annotated[
        str | None, typer.Option(help="LEFT,TOP,RIGHT,BOTTOM: pixels that are painted around the --picture.")
    ] = None
    paste: Annotated[
        bool, typer.Option("--paste/--no-paste", help="Leave what is kept of the picture as it was, to the pixel.")
    ] = True
    region: Annotated[
        list[str] | None,
        typer.Option(
            help='"PROMPT@LEFT,TOP,RIGHT,BOTTOM[:WEIGHT]": what is to be seen in this box, in parts of the sides, '
            "0 to 1. Repeatable."
        ),
    ] = None
    variation: Annotated[
        float, typer.Option(help="0 to 1: how far the noise is turned to that of --variation-seed.")
    ] = 0.0
    variation_seed: Annotated[
        int | None, typer.Option(help="Of the first picture; the next ones have this + 1, ... and the same seed.")
    ] = None
    syntax: Annotated[
        str,
        typer.Option(help="By whose rules prompts are read: sfumato, a1111, comfyui, or diffusers (none)."),
    ] = "sfumato"
    clip_skip: Annotated[int | None, typer.Option(help="Layers of the text encoder left out, as there.")] = None
    control: Annotated[
        list[str] | None,
        typer.Option(
            help='"FOLDER=picture.png[:SCALE][:START-END][:guess]": a ControlNet or T2I-Adapter and what it follows, '
            "by SCALE, between these parts of the steps, 0 to 1. Repeatable."
        ),
    ] = None
    like: Annotated[
        list[str] | None,
        typer.Option(help='"ADAPTER=picture.png[:SCALE]": an IP-Adapter with a picture to be like. Repeatable.'),
    ] = None
    size: Annotated[str | None, typer.Option(help="WIDTHxHEIGHT in pixels, or one number for both.")] = None
    solver: Annotated[
        str | None, typer.Option(help="unipc-2 (usually), dpmpp-2m, euler, ddpm, ...; a wrong name lists all.")
    ] = None
    eta: Annotated[float | None, typer.Option(help="0 to 1, how much noise the solver puts back: ddim's eta.")] = None
    spacing: Annotated[
        str, typer.Option(help="How the steps are spread: beta, trailing, karras, tuned, own (the model's), ...")
    ] = "beta"
    model: ModelOption = None
    lora: Annotated[
        list[str] | None, typer.Option(help="FILE or FILE:WEIGHT, a LoRA that changes the model. Repeatable.")
    ] = None
    embedding: Annotated[
        list[str] | None, typer.Option(help="A file of textual inversion, a word for prompts. Repeatable.")
    ] = None
    vae: Annotated[str | None, typer.Option(help="Another autoencoder: a folder, a file or an id on the hub.")] = None
    base: Annotated[str | None, typer.Option(help="A whole model of the kind, for parts that a file lacks.")] = None
    variant: Annotated[str | None, typer.Option(help="Of a folder's weights, such as fp16.")] = None
    device: DeviceOption = "auto"
    dtype: DtypeOption = None
    tiles: TilesOption = "auto"
    offload: OffloadOption = None

    def pipeline(self) -> Pipeline:
        """The model, with what was given beside it."""
        from sfumato.devices import choose_dtype
        from sfumato.pipelines.text_to_image import Pipeline

        return Pipeline.load(
            self.model,
            self.device,
            choose_dtype(self.dtype),
            self.offload,
            variant=self.variant,
            base=self.base,
            vae=self.vae,
            loras=self.lora or (),
            embeddings=self.embedding or (),
        )

    def settings(self) -> dict[str, Any]:
        """The fields of a `Request` besides its prompt and seed; PromptError when one cannot be read."""
        width, height = sides(self.size)
        return {
            "num_inference_steps": self.steps,
            "guidance_scale": self.guidance,
            "pull": self.pull,
            "solver": self.solver,
            "eta": self.eta,
            "spacing": self.spacing,
            "width": width,
            "height": height,
            "guidance": self.guide,
            "negative_prompt": self.negative,
            "guidance_rescale": self.rescale,
            "guidance_interval": _interval(self.interval),
            "mix": tuple(_part(text) for text in self.mix or ()),
            "mix_how": self.mix_how,
            "prompt_syntax": self.syntax,
            "clip_skip": self.clip_skip,
            "picture": self.picture,
            "mask": self.mask,
            "strength": self.strength,
            "extend": None if self.extend is None else places.edges(self.extend),
            "paste": self.paste,
            "regions": [places.region(text) for text in self.region or ()],
            "variation": self.variation,
            "variation_seed": self.variation_seed,
            "control": [hints.control(text) for text in self.control or ()],
            "like": [hints.like(text) for text in self.like or ()],
            "tiles": self.tiles,
        }


def asking(command: Callable[..., None]) -> Callable[..., None]:
    """The same command with an option for each field of `Asked`, in the place of its argument `asked`."""
    types = get_type_hints(command, include_extras=True) | get_type_hints(Asked, include_extras=True)
    named = [field.name for field in fields(Asked)]

    def called(**values: Any) -> None:
        command(asked=Asked(**{name: values.pop(name) for name in named}), **values)

    taken: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        taken += inspect.signature(Asked).parameters.values() if parameter.name == "asked" else [parameter]
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [each.replace(kind=keyword, annotation=types[each.name]) for each in taken]
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {each.name: each.annotation for each in parameters}
    called.__name__, called.__doc__ = command.__name__, command.__doc__
    return called


def sides(size: str | None) -> tuple[int | None, int | None]:
    """Width and height of "64x96" or "64"; PromptError when it is neither."""
    from sfumato.errors import PromptError

    if size is None:
        return None, None
    match = re.fullmatch(r"(\d{1,5})(?:[xX×](\d{1,5}))?", size.strip())
    if not match:
        raise PromptError(f"--size takes WIDTHxHEIGHT such as 64x96, or one number, not {size!r}.")
    return int(match[1]), int(match[2] or match[1])


def _interval(text: str | None) -> tuple[float, float | None] | None:
    from sfumato.errors import PromptError

    if text is None:
        return None
    try:
        low, high = text.split(":")
        return float(low), float(high) if high else None
    except ValueError:
        raise PromptError(f"--interval takes LOW:HIGH such as 0.3:5, or 0.3: for no end, not {text!r}.") from None


def _part(text: str) -> tuple[str, float]:
    from sfumato.errors import PromptError

    prompt, _, weight = text.rpartition("=")
    try:
        return prompt, float(weight)
    except ValueError:
        raise PromptError(f'--mix takes a prompt and its weight such as "an avocado=0.4", not {text!r}.') from None
