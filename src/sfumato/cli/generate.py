"""`sfumato generate`: pictures from a prompt."""

from __future__ import annotations

import re
import secrets
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sfumato.cli import hints
from sfumato.cli.marks import KeyOption, PrivateOption, SignOption, WatermarkKeyOption, WatermarkOption
from sfumato.cli.marks import marks as chosen_marks

if TYPE_CHECKING:
    from sfumato.pipelines.marks.writing import Marks
    from sfumato.pipelines.request import Request
    from sfumato.pipelines.text_to_image import Pipeline, Result
    from sfumato.progress import Progress

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
WriterOption = Annotated[
    str | None, typer.Option(help="A folder with the language model that writes prompts; else the model's own.")
]

TOGETHER = 16  # pictures that are made, and saved, at a time


def generate(
    prompt: Annotated[str, typer.Argument(help="What the picture shows, in words.")],
    number: Annotated[int, typer.Option("-n", "--number", min=1, max=10_000, help="How many pictures.")] = 1,
    seed: Annotated[int | None, typer.Option(help="Of the first picture; the next ones have seed + 1, ...")] = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps; 20, or as few as the model was made for.")] = None,
    guidance: Annotated[
        float | None,
        typer.Option(help="How strongly the prompt steers, 1 is not; else as suits its kind and the model."),
    ] = None,
    guide: Annotated[str, typer.Option(help="Kind of guidance: cfg, cfg++, apg, pag or clip.")] = "cfg",
    negative: Annotated[str, typer.Option(help="What the picture does not show, in words.")] = "",
    rescale: Annotated[float, typer.Option(help="0 to 1: take back the contrast that guidance adds.")] = 0.0,
    interval: Annotated[
        str | None, typer.Option(help="LOW:HIGH, guide only between these levels of noise, as sigma / alpha.")
    ] = None,
    mix: Annotated[
        list[str] | None, typer.Option(help='"other prompt=0.4": mixed in, the prompt keeps the rest of 1. Repeatable.')
    ] = None,
    mix_how: Annotated[str, typer.Option(help="spherical, linear or branches.")] = "spherical",
    pull: Annotated[float, typer.Option(help="Pull a vector toward the prompt's own; for models of vectors.")] = 0.0,
    picture: Annotated[
        Path | None, typer.Option(help="A picture to begin with, to enlarge, or to paint into with --mask.")
    ] = None,
    mask: Annotated[Path | None, typer.Option(help="Light where the picture is painted anew.")] = None,
    strength: Annotated[
        float | None, typer.Option(help="0 to 1: how much of a picture to begin with is made anew.")
    ] = None,
    expand: Annotated[
        bool, typer.Option("--expand/--no-expand", help="Let a language model complete a short prompt.")
    ] = False,
    writer: WriterOption = None,
    syntax: Annotated[
        str,
        typer.Option(help="By whose rules prompts are read: sfumato, a1111, comfyui, or diffusers (none)."),
    ] = "sfumato",
    clip_skip: Annotated[int | None, typer.Option(help="Layers of the text encoder left out, as there.")] = None,
    control: Annotated[
        list[str] | None,
        typer.Option(
            help='"FOLDER=picture.png[:SCALE][:START-END][:guess]": a ControlNet or T2I-Adapter and what it follows, '
            "by SCALE, between these parts of the steps, 0 to 1. Repeatable."
        ),
    ] = None,
    like: Annotated[
        list[str] | None,
        typer.Option(help='"ADAPTER=picture.png[:SCALE]": an IP-Adapter with a picture to be like. Repeatable.'),
    ] = None,
    size: Annotated[str | None, typer.Option(help="WIDTHxHEIGHT in pixels, or one number for both.")] = None,
    solver: Annotated[
        str | None, typer.Option(help="unipc-2 (usually), dpmpp-2m, euler, ddpm, ...; a wrong name lists all.")
    ] = None,
    eta: Annotated[float | None, typer.Option(help="0 to 1, how much noise the solver puts back: ddim's eta.")] = None,
    spacing: Annotated[
        str, typer.Option(help="How the steps are spread: beta, trailing, karras, tuned, own (the model's), ...")
    ] = "beta",
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the pictures.")] = Path("pictures"),
    grid: Annotated[bool, typer.Option("--grid", help="Also save all of them on one sheet.")] = False,
    previews: Annotated[bool, typer.Option("--previews", help="Also save every step of the way.")] = False,
    model: ModelOption = None,
    lora: Annotated[
        list[str] | None, typer.Option(help="FILE or FILE:WEIGHT, a LoRA that changes the model. Repeatable.")
    ] = None,
    embedding: Annotated[
        list[str] | None, typer.Option(help="A file of textual inversion, a word for prompts. Repeatable.")
    ] = None,
    vae: Annotated[str | None, typer.Option(help="Another autoencoder: a folder, a file or an id on the hub.")] = None,
    base: Annotated[str | None, typer.Option(help="A whole model of the kind, for parts that a file lacks.")] = None,
    variant: Annotated[str | None, typer.Option(help="Of a folder's weights, such as fp16.")] = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = None,
    tiles: TilesOption = "auto",
    offload: OffloadOption = None,
    private: PrivateOption = False,
    watermark: WatermarkOption = None,
    watermark_key: WatermarkKeyOption = None,
    sign: SignOption = None,
    key: KeyOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only the files.")] = False,
) -> None:
    """Make pictures from a prompt; each PNG carries its recipe."""
    from sfumato.data.pictures import grid as sheet
    from sfumato.devices import choose_dtype
    from sfumato.pipelines.keepsake import save_picture
    from sfumato.pipelines.text_to_image import Pipeline
    from sfumato.progress import Progress

    marks = chosen_marks(private, watermark, watermark_key, sign, key)
    name = "picture" if private else _slug(prompt)
    width, height = sides(size)
    with warnings_told():
        pipeline = Pipeline.load(
            model,
            device,
            choose_dtype(dtype),
            offload,
            variant=variant,
            base=base,
            vae=vae,
            loras=lora or (),
            embeddings=embedding or (),
        )
    seed = secrets.randbits(32) if seed is None else seed
    said = _expanded(pipeline, prompt, seed, writer, syntax, quiet) if expand else prompt
    requests = pipeline.requests(
        said,
        number,
        seed,
        typed=prompt if said != prompt else "",
        num_inference_steps=steps,
        guidance_scale=guidance,
        pull=pull,
        solver=solver,
        eta=eta,
        spacing=spacing,
        width=width,
        height=height,
        guidance=guide,
        negative_prompt=negative,
        guidance_rescale=rescale,
        guidance_interval=_interval(interval),
        mix=tuple(_part(text) for text in mix or ()),
        mix_how=mix_how,
        prompt_syntax=syntax,
        clip_skip=clip_skip,
        picture=picture,
        mask=mask,
        strength=strength,
        control=[hints.control(text) for text in control or ()],
        like=[hints.like(text) for text in like or ()],
        tiles=tiles,
    )
    began = time.monotonic()
    made = []
    with Progress(quiet) as progress, warnings_told():
        for first in range(0, number, TOGETHER):
            some = requests[first : first + TOGETHER]
            paths = [new_path(out, f"{name}-{request.seed}") for request in some]
            result = _follow(pipeline, some, paths if previews else [], progress, marks)
            result.save(paths, marks)
            print(*paths, sep="\n", flush=True)
            made += result.pictures if grid else []
        if grid:
            file = new_path(out, f"{name}-grid-{requests[0].seed}")
            save_picture(sheet(made), file, {**pipeline.recipe(requests[0]), "grid_of": number}, marks)
            print(file)
        seconds = time.monotonic() - began
        progress.say(f"{number} picture(s) in {seconds:.1f} s, seed {requests[0].seed}")


def _expanded(pipeline: Pipeline, prompt: str, seed: int, writer: str | None, syntax: str, quiet: bool) -> str:
    """The prompt completed, and what was added told on a line of its own."""
    from sfumato.pipelines.language.hearing import Hearing
    from sfumato.pipelines.language.language_model import LanguageModel
    from sfumato.pipelines.language.prompting import expand
    from sfumato.pipelines.language.writers import writer_of
    from sfumato.pipelines.weighting import Reading

    model = pipeline.model
    language = LanguageModel.load(writer_of(model.folder, writer), str(model.device))
    made = expand(language, prompt, seed, hearing=Hearing.of(model), reading=Reading(syntax))
    if not quiet:
        print(made.told, file=sys.stderr)
    return str(made)


@contextmanager
def warnings_told() -> Iterator[None]:
    """Warnings as lines of their own, given at the end, also of work that fails."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        try:
            yield
        finally:
            for warning in caught:
                print(f"Warning: {warning.message}", file=sys.stderr)


def _follow(
    pipeline: Pipeline, requests: list[Request], previews: list[Path], progress: Progress, marks: Marks
) -> Result:
    """Run to the end, showing progress and saving previews."""
    from sfumato.pipelines.keepsake import save_picture
    from sfumato.pipelines.text_to_image import Result

    recipes = [pipeline.recipe(request) for request in requests]
    stage, plain = "", replace(marks, watermark=None)  # which is for finished pictures
    for step in pipeline.run(requests):
        if step.stage == "done":
            break
        if step.stage != stage:
            progress.begin(step.stage, step.steps)
            stage = step.stage
        progress.advance(step.step)
        if previews:
            for path, recipe, picture in zip(previews, recipes, step.pictures(), strict=True):
                name = f"{path.stem}-{step.stage}-{step.step:03}.png"
                save_picture(picture, path.with_name(name), {**recipe, "preview": name}, plain)
    return Result(step.pictures(), recipes)


def new_path(folder: Path, name: str) -> Path:
    """A PNG file that is not there yet: a picture that exists is kept, the new one gets a number."""
    path, number = folder / f"{name}.png", 2
    while path.exists():
        path, number = folder / f"{name}-{number}.png", number + 1
    return path


def _slug(prompt: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")[:60] or "picture"


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
