"""What does every kind of guidance do to the digits?

    python benchmarks/guidance.py [--model digits] [--count 200] [--steps 10] [--weaker MODEL]

For each kind and scale: how many pictures a classifier of the real digits takes for what was asked, how sure it is of
that, the distance to the nearest training picture (median) and the distance between pictures of one prompt (mean), both
as root mean squares of pictures in [-1, 1]. With a weaker model, that has the same latents or pixels and learned less,
autoguidance by it too.
"""

import argparse
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import torch

from sfumato.data.digits import WORDS
from sfumato.data.pictures import from_images
from sfumato.data.store import prepare
from sfumato.diffusion.guidance import guided
from sfumato.diffusion.levels import Level
from sfumato.diffusion.parameterisation import Denoise
from sfumato.evaluation.novelty import nearest_distances
from sfumato.evaluation.recognition import train_judge
from sfumato.pipelines.model import Model
from sfumato.pipelines.text_to_image import Pipeline
from sfumato.pipelines.ways.latents import Latents
from sfumato.pipelines.ways.way import Batch

KINDS: list[dict[str, Any]] = [
    {"guidance_scale": 1.0},
    {"guidance_scale": 2.0},
    {"guidance_scale": 4.0},
    {"guidance_scale": 10.0},
    {"guidance_scale": 10.0, "guidance_rescale": 0.7},
    {"guidance_scale": 10.0, "guidance_interval": (0.3, 3.0)},
    {"guidance": "cfg++", "guidance_scale": 0.3, "solver": "euler"},
    {"guidance": "cfg++", "guidance_scale": 0.6, "solver": "euler"},
    {"guidance": "cfg++", "guidance_scale": 1.0, "solver": "euler"},
    {"guidance": "apg", "guidance_scale": 4.0},
    {"guidance": "apg", "guidance_scale": 10.0},
    {"guidance": "pag", "guidance_scale": 3.0},
    {"guidance": "pag", "guidance_scale": 10.0},
    {"guidance": "clip", "guidance_scale": 2.0},
    {"guidance": "clip", "guidance_scale": 5.0},
]


AUTO = (1.5, 2.0, 3.0)  # scales of autoguidance


class Autoguided(Latents):
    """A model that goes away from what a weaker one makes of the same prompts (Karras et al. 2024)."""

    def __init__(self, model: Model, weaker: Latents, scale: float) -> None:
        super().__init__(model)
        self.weaker, self.scale = weaker, scale

    def steered(self, said: Any, batch: Batch, levels: Level) -> Denoise:
        weaker = self.weaker.steered(self.weaker.encode(batch.prompts), batch, levels)
        return guided(super().steered(said, batch, levels), weaker, self.scale)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", default="digits")
    arguments.add_argument("--count", type=int, default=200)
    arguments.add_argument("--steps", type=int, default=10)
    arguments.add_argument("--weaker", help="a model that learned less than the first, for autoguidance")
    given = arguments.parse_args()

    with tempfile.TemporaryDirectory() as cache:
        store = prepare("digits", 64, Path(cache), split="train")
        judge, known = train_judge(store, size=32), store.batch(torch.arange(len(store)))
    pipeline = Pipeline.load(given.model)
    pipeline.pictures_a_pass = 50  # together is faster, and equal up to rounding
    each = given.count // len(WORDS)
    labels = [word for word in WORDS for _ in range(each)]
    asked = torch.tensor([judge.classes.index(label) for label in labels])
    print(f"{'guidance':<44} {'right':>6} {'sure':>6} {'nearest':>8} {'apart':>6} {'seconds':>8}")
    kinds: list[dict[str, Any]] = [*KINDS]
    if given.weaker:
        weaker = Pipeline.load(given.weaker).way
        kinds += [{"guidance": "cfg", "guidance_scale": 1.0, "auto": scale} for scale in (1.0, *AUTO)]
    for kind in kinds:
        began = time.monotonic()
        scale = kind.pop("auto", None)
        if scale is not None:
            pipeline.way = Autoguided(pipeline.model, weaker, scale)
        settings = {"num_inference_steps": given.steps, "upsampler_steps": 0, **kind}
        prompts = [f"a handwritten {word}" for word in WORDS]
        pictures = from_images(pipeline(prompts, count=each, seed=0, **settings).pictures)
        seconds = time.monotonic() - began
        said = judge.probabilities(pictures)
        right, sure = (said.argmax(1) == asked).float().mean(), said[torch.arange(len(asked)), asked].mean()
        nearest = nearest_distances(pictures, known)[0].median()
        groups = pictures.flatten(1).split(each)
        apart = torch.stack([torch.pdist(group).mean() for group in groups]).mean() / groups[0].shape[1] ** 0.5
        name = " ".join(f"{value}" for value in kind.values()) if scale is None else f"auto {scale}"
        name = name if "guidance" in kind or scale is not None else f"cfg {name}"
        print(f"{name:<44} {right:>6.1%} {sure:>6.3f} {nearest:>8.3f} {apart:>6.3f} {seconds:>8.1f}", flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
