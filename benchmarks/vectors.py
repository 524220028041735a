"""What can be made of a picture's vector: back from it, at random, from the words alone, by the denoiser, by a pull.

    python benchmarks/vectors.py --model vectors [--count 500] [--grid vectors.png]

The model is one of `sfumato train digits --out vectors --recipe vectors`. A classifier trained on real training digits
alone reads the pictures, at the size that the decoder makes; no upsampler is in it but in the last line. `sure` is the
share of pictures to which it gives some digit at least 90 %; `nearest` the median distance to the nearest training
digit; `spread` how much pictures of one prompt differ.
"""

import argparse
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from sfumato.data.digits import WORDS
from sfumato.data.pictures import from_images, grid, to_image
from sfumato.data.store import Store, prepare
from sfumato.diffusion.sampling import last
from sfumato.evaluation.novelty import nearest_distances
from sfumato.evaluation.recognition import Judge, train_judge
from sfumato.pipelines.request import Request
from sfumato.pipelines.text_to_image import Pipeline

PROMPTS = [f"a handwritten {word}" for word in WORDS]
SURE = 0.9
SETTINGS = (
    ("denoiser told the words, guidance 1", {"guidance_scale": 1.0}),
    ("denoiser told the words, guidance 2", {"guidance_scale": 2.0}),
    ("denoiser told the words, guidance 4", {"guidance_scale": 4.0}),
    ("denoiser told nothing", {"guidance_scale": 0.0}),
    *(
        (f"denoiser told nothing, pull {pull:g}", {"guidance_scale": 0.0, "pull": pull})
        for pull in (0.1, 0.2, 0.5, 1, 5)
    ),
)


class Report:
    """Prints a line for each kind of pictures."""

    def __init__(self, judge: Judge, known: Tensor) -> None:
        self.judge, self.known = judge, known

    def line(self, name: str, pictures: Tensor, labels: Sequence[str] | None = None) -> None:
        pictures = pictures.clamp(-1, 1)
        sure = (self.judge.probabilities(pictures).amax(1) >= SURE).float().mean().item()
        right = f"{self.judge.accuracy(pictures, labels):6.1%}" if labels else "      "
        nearest = nearest_distances(pictures, self.known)[0].median().item()
        print(
            f"{name:<38} right {right}   sure {sure:6.1%}   nearest {nearest:.3f}   spread {_spread(pictures, labels)}"
        )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", default="vectors")
    arguments.add_argument("--count", type=int, default=500)
    arguments.add_argument("--steps", type=int, default=20)
    arguments.add_argument("--grid", type=Path)
    given = arguments.parse_args()

    pipeline = Pipeline.load(given.model)
    pipeline.pictures_a_pass = 32  # together is faster, and equal up to rounding
    way, size, each = pipeline.way, pipeline.base_size, given.count // len(PROMPTS)
    with tempfile.TemporaryDirectory() as cache:
        train, held_out = (prepare("digits", size, Path(cache), split=split) for split in ("train", "test"))
        judge = train_judge(train, size)
        known, real = (store.batch(torch.arange(len(store))) for store in (train, held_out))
    report, labels = Report(judge, known), [word for word in WORDS for _ in range(each)]
    rows: dict[str, Tensor] = {}

    with torch.inference_mode():
        report.line("held-out real digits", real, held_out.labels)
        report.line("the same, through their vectors", way.vae(real)[0], held_out.labels)
        words = way.encode(PROMPTS).states
        alike(way.vae.vector(way.vae.encode(real).mean), words, held_out)

        report.line("the prompt's vector decoded (10)", way.decode(words, 64), WORDS)
        rows["words"] = way.decode(words, 64)
        random = torch.randn(given.count, words.shape[1], generator=Generator().manual_seed(0))
        rows["random"] = way.decode(random, 64)
        report.line("random vectors decoded", rows["random"])
        # the prior that the autoencoder was trained with: deviation 1 before vectors are brought to unit scale
        around = words.repeat_interleave(each, 0) + random[: len(labels)] * way.vae.scale
        report.line("random vectors around the prompt's", way.decode(around, 64), labels)

        for name, settings in SETTINGS:
            requests = [Request(prompt, i, given.steps, **settings) for prompt in PROMPTS for i in range(each)]
            batch = pipeline.batch(requests)
            rows[name] = way.decode(last(way.denoise(way.encode(batch.prompts), batch)), 64)
            report.line(name, rows[name], labels)

    images = pipeline(PROMPTS, count=each, seed=0, num_inference_steps=given.steps).pictures
    report.line("as sfumato generate makes them", from_images(images), labels)
    if given.grid:
        small = [real[_one_of_each(held_out)], rows["words"], rows["random"][:10]]
        small += [rows[name][:: each + 1] for name in ("denoiser told nothing", "denoiser told nothing, pull 0.5")]
        sheet = [to_image(picture).resize(images[0].size) for picture in torch.cat(small)]
        sheet += [images[word * each + i] for i in range(min(4, each)) for word in range(len(WORDS))]
        grid(sheet, columns=len(WORDS)).quantize(32).save(given.grid, optimize=True)


def alike(pictures: Tensor, words: Tensor, store: Store) -> None:
    """Print how near the vectors of pictures are to their captions' and to others'."""
    cosine = F.normalize(pictures, dim=1) @ F.normalize(words, dim=1).T
    own = F.one_hot(torch.tensor([WORDS.index(str(label)) for label in store.labels]), len(WORDS)).bool()
    found = own.gather(1, cosine.argmax(1, keepdim=True)).float().mean().item()
    print(f"cosine with the own caption {cosine[own].mean():.2f}, with others {cosine[~own].mean():.2f}; ", end="")
    print(f"of {len(store)} held-out pictures {found:.1%} are nearest to their own caption")


def _spread(pictures: Tensor, labels: Sequence[str] | None) -> str:
    """The mean deviation of a pixel over the pictures of one label."""
    groups = (
        [pictures] if labels is None else [pictures[[i for i, one in enumerate(labels) if one == w]] for w in WORDS]
    )
    return f"{torch.stack([group.std(0).mean() for group in groups]).mean():.3f}" if len(groups[0]) > 1 else "-"


def _one_of_each(store: Store) -> list[int]:
    return [store.labels.index(word) for word in WORDS]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
