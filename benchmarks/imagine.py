"""Are the prompts that a language model writes new, and are they scenes? Prompts like the captions of scenes.

    python benchmarks/imagine.py [--out FOLDER] [--captions 100000] [--concepts 24] [--size tiny] [--count 1000]

Trains a writer by the recipe `gpt` on the captions of scenes, or takes the one that `--out` holds already, and lets it
write `--count` texts, none of which is drawn again. Told are the shares of them that come to an end, that no training
caption says, that the reader of captions understands, whose words the captions have, and that are new and understood;
and how much they differ: the share that is there once, and how many pairs of words follow each other. True captions of
other scenes stand beside them, since short ones occur again and again: no writer can be newer than these. *Imagined*
are the prompts that `sfumato imagine` would print: what is no prompt was drawn again; *besides*, what is a training
caption too.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from sfumato.data.scenes.language import Language
from sfumato.data.scenes.reading import Reader
from sfumato.data.scenes.sprites import Pack, pack
from sfumato.data.scenes.stream import Scenes
from sfumato.data.tokens import Tokenizer
from sfumato.pipelines.language.choosing import Sampling
from sfumato.pipelines.language.hearing import Hearing, reads
from sfumato.pipelines.language.language_model import LanguageModel
from sfumato.pipelines.language.prompting import drawn, imagine
from sfumato.training.train import train

OTHERS = 2**20  # the seed of scenes that the writer did not learn from


def main() -> None:
    given = asked()
    known = pack(given.sprites).first(given.concepts)
    captions = spoken(known, 0, given.captions, given.language)
    train("scenes", given.out, "gpt", settings(given), size=given.size, quiet=given.quiet)
    writer = LanguageModel.load(given.out)
    writer.texts_a_pass = given.together
    began = time.perf_counter()
    sampling = Sampling(temperature=given.temperature, top_p=given.top_p)
    written = list(itertools.islice(drawn(writer, given.seed, sampling=sampling, together=given.count), given.count))
    seconds = time.perf_counter() - began
    ended = [text.reason != "limit" for text in written]
    reader, tokenizer = Reader(known.concepts), Tokenizer.train(captions, 4096, 64)
    hearing = Hearing(tokenizer, lambda text: reads(reader, text))
    kept = imagine(writer, given.count, given.seed, hearing=hearing, sampling=sampling)
    beside = imagine(writer, given.count, given.seed, hearing=hearing, sampling=sampling, besides=set(captions))
    rows = {
        "true captions": spoken(known, OTHERS, given.count, given.language),
        "written": [str(text).strip() for text in written],
        "imagined": list(kept.prompts),
        "imagined besides": list(beside.prompts),
    }
    told = {name: shares(texts, set(captions), reader, tokenizer) for name, texts in rows.items()}
    told["written"]["ended"] = sum(ended) / len(ended)
    told["imagined"]["drawn again"] = kept.share_refused
    told["imagined besides"]["drawn again"] = beside.share_refused
    for name, row in told.items():
        print(f"{name:18}" + "  ".join(f"{what} {value:.3f}" for what, value in row.items()))
    print(f"{given.count / seconds:.1f} texts a second; such as:", *kept.prompts[:5], sep="\n")
    (given.out / "imagine.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def asked() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--out", type=Path, default=Path("imagine"), help="where the writer is, or will be")
    arguments.add_argument("--captions", type=int, default=100_000)
    arguments.add_argument("--concepts", type=int, default=24)
    arguments.add_argument("--language", default="full")
    arguments.add_argument("--sprites", type=Path, help="a saved pack; else what the system's font draws")
    arguments.add_argument("--size", default="tiny")
    arguments.add_argument("--set", action="append", default=[], help="a value over the recipe's: path.to.key=value")
    arguments.add_argument("--count", type=int, default=1000)
    arguments.add_argument("--together", type=int, default=64, help="texts that are written at a time")
    arguments.add_argument("--temperature", type=float, default=1.0)
    arguments.add_argument("--top-p", type=float, default=1.0)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--quiet", action="store_true")
    return arguments.parse_args()


def settings(given: argparse.Namespace) -> list[str]:
    own = [f"data.scenes={given.captions}", f"data.concepts={given.concepts}", f"data.language={given.language}"]
    sprites = [f"data.sprites={str(given.sprites)!r}"] if given.sprites else []
    return ["language.tokens=bytes", *own, *sprites, *given.set]


def spoken(known: Pack, seed: int, count: int, language: str) -> list[str]:
    """Captions of the first scenes of a seed; of 0 those that the writer learns from."""
    scenes = Scenes(known, seed, language=Language.named(language, known.concepts))
    return [scenes.caption(number) for number in range(count)]


def shares(texts: Sequence[str], learned: Collection[str], reader: Reader, tokenizer: Tokenizer) -> dict[str, float]:
    """What is told of texts."""
    new = [text not in learned for text in texts]
    read = [reads(reader, text) for text in texts]
    pairs = {pair for text in texts for pair in itertools.pairwise(text.lower().split())}
    return {
        "new": sum(new) / len(texts),
        "read": sum(read) / len(texts),
        "known words": sum(not tokenizer.unknown_words(text) for text in texts) / len(texts),
        "new and read": sum(map(all, zip(new, read, strict=True))) / len(texts),
        "different": len(set(texts)) / len(texts),
        "pairs of words": len(pairs),
    }


if __name__ == "__main__":
    main()
