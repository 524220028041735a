"""Cold diffusion on the digits: what is given back of degraded pictures, and what is made of nothing.

    sfumato train digits --recipe cold --set restorer.degradation=blur --out cold-blur     # and the others
    python benchmarks/cold.py cold-blur cold-downsample cold-jpeg cold-text cold-fade [--grid docs/ways/cold.png]

Restoration is of held-out digits whose words are not told, at two severities, their text and fades never seen in
training: the degraded picture itself, the network's first estimate, and several naive or improved (TACoS) steps. Told
is the peak signal-to-noise ratio, in decibels, and how many the judge still reads. Generation is of ten prompts:
improved steps from one colour with hardly any noise, as in the paper, and steps whose noise melts, as the model is
trained for; variety is the deviation among pictures of one prompt as a share of that of real digits.
"""

import argparse
import tempfile
import warnings
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from sfumato.data.digits import WORDS
from sfumato.data.pictures import grid, to_image
from sfumato.data.store import prepare
from sfumato.diffusion.noise import per_sample_noise
from sfumato.diffusion.sampling import last
from sfumato.evaluation.recognition import train_judge
from sfumato.pipelines.restoring import degradation_of
from sfumato.pipelines.text_to_image import Pipeline

SEVERITIES = (0.5, 0.75)
RESTORED = 150  # held-out digits
STEPS = 10  # of restoration
GENERATION = 30  # steps
HARDLY = 0.002  # deviation of the noise that breaks the symmetry (Bansal et al. 2022, section 5.4)


def quality(found: Tensor, clean: Tensor) -> float:
    """Peak signal-to-noise ratio in decibels, of pictures in [-1, 1]."""
    return (10 * (4 / (found.clamp(-1, 1) - clean).square().mean()).log10()).item()


def variety(pictures: Tensor) -> float:
    """The deviation among pictures of one prompt, which follow each other."""
    return pictures.unflatten(0, (len(WORDS), -1)).var(1).mean().sqrt().item()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("models", nargs="+")
    arguments.add_argument("--each", type=int, default=20, help="generated pictures of each digit")
    arguments.add_argument("--guidance", type=float, default=2.0)
    arguments.add_argument("--grid", type=Path)
    given = arguments.parse_args()
    pipelines = [Pipeline.load(model, device="cpu") for model in given.models]
    side = pipelines[0].base_size
    with tempfile.TemporaryDirectory() as cache:
        train, held_out = (prepare("digits", side, Path(cache), split=split) for split in ("train", "test"))
        judge = train_judge(train, size=side, steps=300)
        real = held_out.batch(torch.arange(len(held_out)))
    known = [str(label) for label in held_out.labels]
    groups = [[i for i, label in enumerate(known) if label == word] for word in WORDS]
    spread = torch.stack([real[group].var(0).mean() for group in groups]).mean().sqrt()
    print(f"judge on {len(real)} held-out digits: {judge.accuracy(real, known):.1%}\n")
    rows: list[Tensor] = []

    print("| degradation | severity | degraded | one step | naive | TACoS |\n| --- | --- | --- | --- | --- | --- |")
    for pipeline in pipelines:
        rows += restoration(pipeline, real[:RESTORED], known[:RESTORED], judge)
    print("\n| degradation | TACoS, hardly any noise | melting |\n| --- | --- | --- |")
    labels = [word for word in WORDS for _ in range(given.each)]
    for pipeline in pipelines:
        requests = pipeline.requests(
            [f"a handwritten {word}" for word in WORDS],
            given.each,
            seed=0,
            num_inference_steps=GENERATION,
            guidance_scale=given.guidance,
        )
        pipeline.pictures_a_pass = 50
        told = []
        with torch.inference_mode():
            for solver, warmth in (("tacos", HARDLY), ("melting", None)):
                made = last(pipeline.way.generate(pipeline.batch(requests), solver, warmth)).clamp(-1, 1)
                told.append(f"{judge.accuracy(made, labels):.1%} (variety {variety(made) / spread:.2f})")
                rows += [made[word * given.each] for word in range(len(WORDS))]
        print(f"| {pipeline.way.coldness.name} | {' | '.join(told)} |", flush=True)
    if given.grid:
        images = [to_image(picture).resize((40, 40), Image.Resampling.BICUBIC) for picture in rows]
        given.grid.parent.mkdir(parents=True, exist_ok=True)
        grid(images, columns=len(WORDS)).quantize(48).save(given.grid, optimize=True)


@torch.inference_mode()
def restoration(pipeline: Pipeline, real: Tensor, known: list[str], judge: object) -> list[Tensor]:
    """Print a line a severity; a picture for each: degraded, by one step, naive, TACoS, and as it was."""
    way, name = pipeline.way, pipeline.way.coldness.name
    places = torch.special.ndtr(per_sample_noise(range(len(real)), "places")(torch.empty(len(real), 2)))
    degrade = degradation_of(name, places, real.shape[-1], seed=1)
    shown = []
    for example, severity in zip((0, 4), SEVERITIES, strict=True):
        degraded = degrade(real, torch.tensor(severity))
        found = [degraded]
        for steps, solver in ((1, "naive"), (STEPS, "naive"), (STEPS, "tacos")):
            found.append(last(way.restore(degraded, severity, [""] * len(real), steps, solver, degrade=degrade)))
        cells = [f"{quality(pictures, real):.1f} dB, {judge.accuracy(pictures, known):.1%}" for pictures in found]
        print(f"| {name} | {severity} | {' | '.join(cells)} |", flush=True)
        shown += [pictures[example] for pictures in (*found, real)]
    return shown


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
