"""Are captions that lie found? Scenes whose truth is known, a share of whose captions is corrupted; who finds which.

    python benchmarks/lies.py [--concepts 24] [--pictures 4000] [--lies 0.3] [--facts 0] [--model FOLDER] [--steps 2000]

The corrupted captions are those of other scenes; a share of them, `--facts`, are wrong in one fact that the scene has:
a thing, a count, a colour, a size, a place, a relation or the background. The judge is the CLIP of `--model`, or one
that learns first, for `--steps`, from other scenes whose captions are true, in `--out`. A `--captioner` that learned
from other scenes judges too, alone and with CLIP. Beside what `data check` says stand the plain scores: the cosine, and
the probability of the token that the captioner would expect least. *Found* is the share of the corrupted above the
score that 5 % of the true captions reach; *named* is what the check names by itself, when it is told the share of lies
and when it estimates it.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sfumato.data.scenes import lies
from sfumato.data.scenes.compose import compose
from sfumato.data.scenes.language import Language
from sfumato.data.scenes.sprites import Pack, pack
from sfumato.data.scenes.stream import Scenes
from sfumato.devices import choose_device
from sfumato.evaluation.data_check.agreement import Agreement, ClipAgreement
from sfumato.evaluation.data_check.captioner import CaptionerAgreement
from sfumato.evaluation.data_check.lies import ALTERED, Judgement, judged
from sfumato.evaluation.feature_networks import feature_network
from sfumato.evaluation.features import TOGETHER, FeatureNetwork
from sfumato.pipelines.language.captioning import CaptionModel

SEED = 2**20  # of the scenes that are judged; the CLIP learned from others
ALARMS = 0.05
EXCHANGED = "exchanged"
KINDS = (EXCHANGED, *lies.LIED)


def corrupted(
    stream: Scenes, count: int, share: float, seed: int, facts: float = 0.0
) -> tuple[list[str], list[str | None]]:
    """A caption of each of the first scenes, and in what it lies: of a share, of which a share lies in one fact."""
    rng, liar = random.Random(seed), lies.Liar(stream.language)
    scenes = [stream.scene(number) for number in range(count)]
    told = [stream.told(scene, number) for number, scene in enumerate(scenes)]
    kinds: list[str | None] = [None] * count
    for turn, number in enumerate(rng.sample(range(count), round(share * count))):
        shown = scenes[number].description
        assert shown is not None
        if int((turn + 1) * (1 - facts)) > int(turn * (1 - facts)):
            told[number], kinds[number] = liar.exchanged(shown, rng), EXCHANGED
        else:
            lie = liar.lie(shown, rng)
            told[number], kinds[number] = lie.caption, lie.fact
    return told, kinds


def looked_at(stream: Scenes, count: int, network: FeatureNetwork) -> Tensor:
    """The features of the first scenes."""
    parts = []
    for first in range(0, count, TOGETHER):
        some = [stream.scene(number) for number in range(first, min(first + TOGETHER, count))]
        parts.append(network(compose(some, stream.pack, network.side)))
    return torch.cat(parts)


def captioned(stream: Scenes, count: int, folder: Path, device: str) -> CaptionerAgreement:
    """The agreement of a captioner that looked at the first scenes."""
    model = CaptionModel.load(folder, device)
    seen = []
    for first in range(0, count, TOGETHER):
        some = [stream.scene(number) for number in range(first, min(first + TOGETHER, count))]
        seen.append(model.see(compose(some, stream.pack, model.side)))
    return CaptionerAgreement(folder.name, model, torch.cat(seen))


def found(suspicion: Tensor, kinds: list[str | None]) -> dict[str, float]:
    """The share of each kind above what 5 % of the true reach, and of all."""
    true = torch.tensor([kind is None for kind in kinds])
    above = suspicion > suspicion[true].quantile(1 - ALARMS)
    told = {"all": float(above[~true].float().mean())}
    for kind in KINDS:
        those = torch.tensor([each == kind for each in kinds])
        if those.any():
            told[kind] = float(above[those].float().mean())
    return told


def named(judgement: Judgement, kinds: list[str | None]) -> dict[str, float]:
    true = torch.tensor([kind is None for kind in kinds])
    return {
        "share": judgement.share,
        "believed": float(judgement.believed),
        "found": float(judgement.named[~true].float().mean()),
        "false alarms": float(judgement.named[true].float().mean()),
    }


def trusted_clip(out: Path, sprites: Pack, given: argparse.Namespace) -> Path:
    """A CLIP that learns from scenes with true captions."""
    from sfumato.training.train import train

    pack_file = out / "sprites.png"
    out.mkdir(parents=True, exist_ok=True)
    sprites.save(pack_file)
    settings = [
        f"data.concepts={given.concepts}",
        f"data.language='{given.language}'",
        f"data.grid={given.grid}",
        f"data.sprites={str(pack_file)!r}",
        f"clip.steps={given.steps}",
        f"clip.altered={given.altered}",
        *(given.set or ()),
    ]
    train("scenes", out, "scenes", settings, stage="clip", size=given.size)
    lineage = out / "sfumato.json"
    if not lineage.is_file():  # written at the end of a whole training; it says that pictures are seen as ours are
        lineage.write_text(json.dumps({"name": "trusted"}), encoding="utf-8")
    return out


def shown(name: str, told: dict[str, float]) -> None:
    print(f"{name:<22}" + "".join(f"{key:>12} {value:6.1%}" for key, value in told.items()), flush=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--concepts", type=int, default=24)
    arguments.add_argument("--pictures", type=int, default=4000)
    arguments.add_argument("--lies", type=float, default=0.3)
    arguments.add_argument(
        "--facts", type=float, default=0.0, help="of the lies, those that are wrong in one fact only"
    )
    arguments.add_argument("--model", help="a folder with image_encoder, text_encoder and tokenizer, trained on scenes")
    arguments.add_argument("--captioner", type=Path, help="a folder from `sfumato train scenes --recipe captioner`")
    arguments.add_argument("--out", type=Path, default=Path("trusted-clip"))
    arguments.add_argument("--steps", type=int, default=2000, help="of the CLIP that learns first")
    arguments.add_argument("--altered", type=int, default=4, help="clip.altered, for that CLIP")
    arguments.add_argument("--size", default="tiny")
    arguments.add_argument("--set", action="append", help="a value over the recipe's, as in train")
    arguments.add_argument("--language", default="full")
    arguments.add_argument("--grid", type=int, default=16)
    arguments.add_argument("--alterations", type=int, default=ALTERED)
    arguments.add_argument("--sprites", type=Path)
    arguments.add_argument("--device", default="auto")
    arguments.add_argument("--json", type=Path, help="where to write the numbers too")
    given = arguments.parse_args()

    sprites = pack(given.sprites).first(given.concepts)
    model = given.model or str(trusted_clip(given.out, sprites, given))
    network = feature_network(model, Path(model), choose_device(given.device))
    assert network.read is not None, f"{model} has no text encoder in the space of its pictures"
    stream = Scenes(sprites, SEED, language=Language.named(given.language, sprites.concepts), grid=given.grid)
    captions, kinds = corrupted(stream, given.pictures, given.lies, 1, given.facts)
    agreement = ClipAgreement(network.name, looked_at(stream, given.pictures, network), network.of_texts)
    pictures = torch.arange(given.pictures)
    print(f"{given.pictures} scenes of {len(sprites.concepts)} concepts ({sprites.origin}), judged by {network.name}")

    results: dict[str, Any] = {"cosine": found(-agreement(pictures, captions), kinds)}
    shown("cosine", results["cosine"])
    judges: dict[str, list[Agreement]] = {"CLIP": [agreement]}
    if given.captioner:
        captioner = captioned(stream, given.pictures, given.captioner, given.device)
        results["least token"] = found(-captioner(pictures, captions), kinds)
        shown("least token", results["least token"])
        judges |= {"captioner": [captioner], "both": [agreement, captioner]}
    for judge, agreements in judges.items():
        for name, share in ((f"{judge}, told the share", given.lies), (f"{judge}, estimating", None)):
            began = time.perf_counter()
            judgement = judged(agreements, pictures, captions, share, given.alterations)
            assert judgement is not None, "too few scenes"
            results[name] = {"found": found(judgement.suspicion, kinds), "named": named(judgement, kinds)}
            shown(name, results[name]["found"])
            shown("  named", results[name]["named"])
            print(f"  its own estimate: {judgement.found}; {time.perf_counter() - began:.0f} s")
    true = [stream.caption(number) for number in range(given.pictures)]
    clean = judged(agreements, pictures, true, None, given.alterations)
    assert clean is not None
    results["clean"] = {"share": clean.share, "named": float(clean.named.float().mean())}
    shown("without any lies", results["clean"])
    if given.json:
        given.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
