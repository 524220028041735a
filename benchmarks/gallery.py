"""A sheet of pictures with their prompts below; those that training never shows are marked.

    python benchmarks/gallery.py [MODEL] [--out docs/scenes.jpg] [--seed 0] [--prompt "a cat" --prompt ...]

Each prompt is asked for once, with the one seed: nothing is chosen among seeds. A prompt is marked by a star when it
holds a combination (of two things, of a thing and a colour, or of two things in a relation) that is held out.
"""

import argparse
import textwrap
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from sfumato.data.scenes.held_out import is_held_out
from sfumato.data.scenes.reading import Reader, ReadingError
from sfumato.evaluation.scene_evaluation import sprites_of
from sfumato.pipelines.text_to_image import Pipeline

PROMPTS = """
a raccoon wearing a top hat
a penguin wearing a top hat
a blue cat to the left of a red car
five bananas on a purple background
a big elephant above a small pizza
a penguin, a guitar and a cactus
a panda wearing sunglasses
three red apples
a unicorn above a pizza
a purple panda and a yellow star
a robot holding a star
nine stars on a night sky
a cat inside a box
a small owl in the top right corner
a row of four frogs on snow
a fox in front of a cactus
an orange cactus on a beach
an upside-down penguin on a yellow background
""".strip().splitlines()
SIDE, COLUMNS, GAP, WORDS = 192, 6, 10, 54  # pixels; of the words below a picture too


def sheet(pictures: list[Image.Image], words: list[str]) -> Image.Image:
    """Pictures in rows, each with its words below."""
    rows = -(-len(pictures) // COLUMNS)
    whole = Image.new("RGB", (COLUMNS * (SIDE + GAP) + GAP, rows * (SIDE + WORDS + GAP) + GAP), "white")
    pen, font = ImageDraw.Draw(whole), ImageFont.load_default(14)
    for number, (picture, said) in enumerate(zip(pictures, words, strict=True)):
        x, y = GAP + number % COLUMNS * (SIDE + GAP), GAP + number // COLUMNS * (SIDE + WORDS + GAP)
        whole.paste(picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS), (x, y))
        pen.rectangle((x - 1, y - 1, x + SIDE, y + SIDE), outline="#cccccc")
        lines = "\n".join(textwrap.wrap(said, 27))
        pen.multiline_text((x + SIDE / 2, y + SIDE + 4), lines, "#222222", font, "ma", align="center")
    return whole


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("model", nargs="?", default="scenes")
    arguments.add_argument("--out", type=Path, default=Path("docs/scenes.jpg"))
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--guidance", type=float)
    arguments.add_argument("--steps", type=int)
    arguments.add_argument("--prompt", action="append", help="instead of those of the README")
    given = arguments.parse_args()
    prompts = given.prompt or PROMPTS
    pipeline = Pipeline.load(given.model)
    settings = {"num_inference_steps": given.steps, "guidance_scale": given.guidance}
    pictures = [pipeline(prompt, seed=given.seed, **settings).pictures[0] for prompt in prompts]
    concepts = sprites_of(pipeline).concepts
    reader, names = Reader(concepts), [concept.name for concept in concepts]

    def told(prompt: str) -> str:
        try:
            return prompt + " *" * is_held_out(reader.read(prompt).description(), names)
        except ReadingError:
            return prompt

    sheet(pictures, [told(prompt) for prompt in prompts]).save(given.out, quality=92)
    print(given.out)


if __name__ == "__main__":
    main()
