"""Do better captions make a better model? Denoisers that learn from true, corrupted and mended captions, judged.

    python benchmarks/recaptioned.py --captioner FOLDER [--autoencoder FOLDER] [--steps 6000] [--out recaptioned]

The same scenes of a few kinds of things four times: with their true captions; with a share of the captions corrupted,
as `lies.py` does, half of them in one fact only; with so many captions written anew as fit worst by what the captioner
sees, which learned from other scenes; and with all of them written anew. From each a CLIP and a denoiser learn from
zero, with the same recipe, budget and seed. Then every model is asked for the same scenes, and the judge counts the
pictures that show all that was asked for. The autoencoder, which reads no captions, is shared: that of a model folder
made by `sfumato train`, or one that learns first.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from lies import corrupted
from sfumato.checkpoints.files import write_text
from sfumato.data.pictures import from_images, to_image
from sfumato.data.scenes.compose import compose
from sfumato.data.scenes.language import Language
from sfumato.data.scenes.sprites import Pack, pack
from sfumato.data.scenes.stream import Scenes
from sfumato.evaluation.recaptioning import recaption
from sfumato.evaluation.scene_benchmark import SIZE, judge, questions, scores
from sfumato.evaluation.seeing.finding import Eye
from sfumato.pipelines.language.captioning import CaptionModel
from sfumato.pipelines.text_to_image import Pipeline
from sfumato.training.train import train

SEED = 2**20  # of the scenes; the captioner learned from others
ASKED = ("single", "counting", "position", "background")
KINDS = ("true", "corrupted", "mended", "rewritten")
FACTS = 0.5  # of the lies


def main() -> None:
    given = asked()
    known = pack(given.sprites).first(given.concepts)
    language = Language(known.concepts, weights=dict.fromkeys(ASKED, 1.0), most=3, mixing=0.0)
    write_data(given, Scenes(known, SEED, language=language, grid=16))
    kept = given.out / "recaptioned.json"
    told = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
    for kind in given.kinds:
        model = learned(kind, given)
        told[kind] = faithfulness(model, language, known, given)
        print(f"{kind:<10}", *(f"{name} {share:.1%}" for name, share in told[kind].items()), flush=True)
        kept.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def asked() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--captioner", type=Path, help="a folder from the recipe captioner, which writes anew")
    arguments.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    arguments.add_argument("--autoencoder", type=Path, help="a model folder with its run; else one learns first")
    arguments.add_argument("--out", type=Path, default=Path("recaptioned"))
    arguments.add_argument("--concepts", type=int, default=12)
    arguments.add_argument("--pictures", type=int, default=10_000)
    arguments.add_argument("--lies", type=float, default=0.3)
    arguments.add_argument("--steps", type=int, default=6000, help="of the denoisers")
    arguments.add_argument("--count", type=int, default=60, help="pictures of each category, seen and held out")
    arguments.add_argument("--set", action="append", default=[], help="a value over the recipe's, as in train")
    arguments.add_argument("--sprites", type=Path)
    return arguments.parse_args()


def write_data(given: argparse.Namespace, stream: Scenes) -> None:
    """The scenes as folders of captioned pictures; those that are there already are kept."""
    lying, kinds = corrupted(stream, given.pictures, given.lies, 1, FACTS)
    truth = [stream.told(stream.scene(number), number) for number in range(given.pictures)]
    pictures = given.out / "pictures"
    if not pictures.is_dir():
        pictures.mkdir(parents=True)
        for number in range(given.pictures):
            to_image(compose([stream.scene(number)], stream.pack, SIZE)[0]).save(pictures / f"{number:06}.png")
    for kind, captions in (("true", truth), ("corrupted", lying)):
        folder = given.out / f"data-{kind}"
        if not folder.is_dir():
            folder.mkdir()
            (folder / "pictures").symlink_to(pictures.resolve(), target_is_directory=True)
        lines = ({"file_name": f"pictures/{number:06}.png", "text": text} for number, text in enumerate(captions))
        write_text(folder / "metadata.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    print(f"{given.pictures} scenes of {given.concepts} concepts; {sum(kind is not None for kind in kinds)} lies")


def learned(kind: str, given: argparse.Namespace) -> Path:
    """A model that learned from one of the folders."""
    data = given.out / f"data-{kind}"
    if not data.is_dir():
        share, corrupt, writer = given.lies if kind == "mended" else 1.0, given.out / "data-corrupted", given.captioner
        recaption(str(corrupt), data, CaptionModel.load(writer), share, worst=kind == "mended")
    folder, source = given.out / kind, given.autoencoder or given.out / KINDS[0]
    if source != folder and not (folder / "vae").is_dir():
        for part in ("vae", "run/autoencoder"):
            shutil.copytree(source / part, folder / part)
    settings = ["upsampler.factor=1", f"denoiser.steps={given.steps}", *given.set]
    return train(data, folder, "scenes", settings, size="tiny")


def faithfulness(model: Path, language: Language, known: Pack, given: argparse.Namespace) -> dict[str, float]:
    """The shares of pictures that show all that was asked for, by category, and of all."""
    pipeline = Pipeline.load(model)
    pipeline.pictures_a_pass = 16
    eye = Eye(known, SIZE, pipeline.model.device)

    def make(prompts: list[str], seeds: list[int]) -> Any:
        pictures = [pipeline(*one).pictures[0] for one in zip(prompts, [1] * len(seeds), seeds, strict=True)]
        return from_images(pictures)

    told = scores(list(judge(questions(language, given.count), make, eye, known)))
    shown = {name: share for name, share in told["overall"].items() if "shown" in name}
    return shown | {name: shares["seen_shown"] for name, shares in told["categories"].items()}


if __name__ == "__main__":
    main()
