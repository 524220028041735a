"""Does a captioner tell the truth? Scenes that it never saw, whose truth is known; its captions are read and judged.

    python benchmarks/captions.py MODEL [--count 500] [--out captions.json]

MODEL is a folder from `sfumato train scenes --recipe captioner`. Of each kind of scene so many are captioned: with a
single kind of thing, with a number of things, with a thing at a place. *Named*: no thing is left out or made up.
*Count* and *place*: of the scenes that state one, how many captions say it as it is, otherwise, and not at all. *True*:
nothing that is said is wrong. *Readable*: the grammar of captions reads it; what cannot be read counts as wrong.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sfumato.checkpoints.folder import load_lineage
from sfumato.data.scenes.agreement import disagreements, least_disagreements
from sfumato.data.scenes.compose import compose
from sfumato.data.scenes.description import Description, Said
from sfumato.data.scenes.language import Language
from sfumato.data.scenes.layout import lay_out
from sfumato.data.scenes.reading import Reader, ReadingError
from sfumato.data.scenes.scene import Scene
from sfumato.data.scenes.snapping import snapped
from sfumato.data.scenes.sprites import Pack, pack
from sfumato.errors import DataError
from sfumato.pipelines.language.captioning import CaptionModel

SEED = 2**20  # of the scenes that are judged; it learned from others
KINDS = ("single", "counting", "position")
RIGHT, WRONG, SILENT = "right", "wrong", "silent"


@dataclass
class Judged:
    """What was found among the captions of one kind of scene."""

    captions: int = 0
    readable: int = 0
    named: int = 0
    true: int = 0
    count: Counter[str] = field(default_factory=Counter)
    place: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def add(self, caption: str, shown: Description, reader: Reader) -> None:
        """Judge one caption."""
        self.captions += 1
        try:
            readings = reader.readings(caption)
        except ReadingError:
            self._silent(shown)
            self.wrong.append(caption)
            return
        self.readable += 1
        found = least_disagreements(readings, shown)
        said = min(readings, key=lambda each: len(disagreements(each, shown)))
        named = all(each.fact != "thing" for each in found)
        self.named += named
        self.true += not found
        if named:
            self._facts(said, shown)
        else:
            self._silent(shown)
        if found:
            self.wrong.append(caption)

    def _facts(self, said: Said, shown: Description) -> None:
        for group in shown.groups:
            told = [each for each in said.groups if each.concept == group.concept]
            same = next((each for each in told if each.colour == group.colour), told[0])
            self.count[RIGHT if same.count == group.count else WRONG] += 1
            if group.place:
                self.place[SILENT if same.place is None else RIGHT if same.place == group.place else WRONG] += 1

    def _silent(self, shown: Description) -> None:
        self.count[SILENT] += len(shown.groups)
        self.place[SILENT] += sum(group.place is not None for group in shown.groups)


def scenes_of(kind: str, count: int, language: Language, sprites: Pack, grid: int) -> list[Scene]:
    """Scenes of a kind, laid out as those of training are; nothing in them is a combination that is held out."""
    rng, found = random.Random(f"{SEED} {kind}"), []
    while len(found) < count:
        scene = lay_out(language.draw(rng, kind, held_out=False), sprites, rng)
        found.append(snapped(scene, grid) if grid else scene)
    return found


def judge(model: CaptionModel, scenes: Sequence[Scene], sprites: Pack, reader: Reader) -> Judged:
    """Caption scenes and judge what is said."""
    judged = Judged()
    for first in range(0, len(scenes), model.together):
        some = scenes[first : first + model.together]
        for scene, caption in zip(some, model.caption(compose(some, sprites, model.side)), strict=True):
            assert scene.description is not None
            judged.add(caption, scene.description, reader)
    return judged


def told(kind: str, judged: Judged) -> str:
    """A row of the table."""
    shares = [f"{getattr(judged, name) / judged.captions:.1%}" for name in ("named", "true", "readable")]
    facts = [
        " / ".join(f"{counter[how] / counter.total():.1%}" for how in (RIGHT, WRONG, SILENT)) if counter.total() else ""
        for counter in (judged.count, judged.place)
    ]
    return f"| {kind} | {judged.captions} | " + " | ".join([*shares, *facts]) + " |"


def main() -> None:
    """Judge, and print a table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("model", type=Path)
    arguments.add_argument("--count", type=int, default=500)
    arguments.add_argument("--device", default="auto")
    arguments.add_argument("--out", type=Path)
    given = arguments.parse_args()
    lineage = load_lineage(given.model)
    if "scenes" not in lineage:
        raise DataError(f"{given.model} did not learn from scenes; there is no truth to judge its captions by.")
    data: dict[str, Any] = lineage["recipe"]["data"]
    sprites = pack(Path(data["sprites"]) if data["sprites"] else None).first(data["concepts"])
    language, reader = Language.named(data["language"], sprites.concepts), Reader(sprites.concepts)
    model = CaptionModel.load(given.model, given.device)
    results: dict[str, Any] = {}
    print("| scenes | captions | named | true | readable | count: right / wrong / silent | place |\n|" + " --- |" * 7)
    for kind in KINDS:
        scenes, began = scenes_of(kind, given.count, language, sprites, data["grid"]), time.monotonic()
        judged = judge(model, scenes, sprites, reader)
        print(told(kind, judged), flush=True)
        results[kind] = {**vars(judged), "seconds": round(time.monotonic() - began, 1)}
    if given.out:
        given.out.write_text(json.dumps(results, indent=1, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    main()
