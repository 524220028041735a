"""The pictures of docs/editing.md, by the default model: painted into, extended, placed, varied, turned into another.

    python benchmarks/editing.py [--out docs/editing]

Seeds count on from the first: none is chosen.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from sfumato.data.pictures import grid
from sfumato.pipelines.text_to_image import Pipeline, Result

SIDE = 152  # of the pictures on a sheet, pixels
FIRST = "a raccoon wearing a top hat on a blue background"


def small(pictures: Sequence[Image.Image], side: int = SIDE) -> list[Image.Image]:
    return [picture.resize((side, side), Image.Resampling.LANCZOS) for picture in pictures]


def painted_anew(pipeline: Pipeline, first: Image.Image) -> Image.Image:
    """The first picture, then a crown in the place of what its mask covers."""
    mask = Image.new("L", first.size)
    ImageDraw.Draw(mask).rectangle((0, 0, first.width, round(first.height * 0.56)), fill=255)
    made = pipeline("a raccoon wearing a crown on a blue background", picture=first, mask=mask, count=4, seed=1)
    return grid([first, *made.pictures], 5)


def extended(pipeline: Pipeline, first: Image.Image) -> Image.Image:
    (made,) = pipeline("a blue background", picture=first, extend=(64, 0, 64, 0), seed=1).pictures
    sheet = Image.new("RGB", (first.width + 8 + made.width, made.height), "white")
    sheet.paste(first, (0, 0))
    sheet.paste(made, (first.width + 8, 0))
    return sheet


def placed(pipeline: Pipeline) -> Image.Image:
    apple, cat = "a red apple on a white background", "a cat on a white background"
    regions = [(apple, (0, 0, 0.5, 1)), (cat, (0.5, 0, 1, 1))]
    made = pipeline("a red apple and a cat on a white background", regions=regions, count=6, seed=1)
    return grid(small(made.pictures), 6, 3)


def varied(pipeline: Pipeline, first: Result) -> Image.Image:
    rows = [pipeline.variations(first, 4, amount) for amount in (0.1, 0.3, 0.6, 1.0)]
    return grid(small([picture for row in rows for picture in row.pictures], 190), 4, 4)


def turned(pipeline: Pipeline) -> Image.Image:
    raccoons = pipeline.strip("a raccoon on a blue background", 6, (1, 2))
    prompts = ["a red apple on a white background", "a raccoon on a white background"]
    across = pipeline.strip(prompts, 6, (1,), mix_how="branches")
    return grid(small([*raccoons.pictures, *across.pictures]), 6, 3)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--out", type=Path, default=Path("docs/editing"))
    out = arguments.parse_args().out
    pipeline = Pipeline.load("scenes")
    made = pipeline(FIRST, seed=1)
    (first,) = made.pictures
    sheets = {
        "mask": painted_anew(pipeline, first),
        "extend": extended(pipeline, first),
        "regions": placed(pipeline),
        "variations": varied(pipeline, made),
        "strip": turned(pipeline),
    }
    for name, sheet in sheets.items():
        sheet.save(out / f"{name}.jpg", quality=90)


if __name__ == "__main__":
    main()
