"""How faithful is a model to words? Prompts whose pictures are judged exactly, category by category.

As GenEval does (Ghosh, Hajishirzi & Schmidt 2023), but the judge sees without a network and errs in less than 1 % of
scenes. Each category is asked for in combinations that training may show and in such as it never shows.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from sfumato.data.scenes.compose import compose
from sfumato.data.scenes.description import CATEGORIES, Description
from sfumato.data.scenes.language import Language
from sfumato.data.scenes.layout import lay_out
from sfumato.data.scenes.phrases import caption
from sfumato.data.scenes.sprites import Pack
from sfumato.errors import DataError
from sfumato.evaluation.seeing.finding import Eye
from sfumato.evaluation.seeing.judging import Judgement, asked_looks, judged
from sfumato.evaluation.seeing.sight import Sight

Pictures = Float[Tensor, "n 3 s s"]
SEEN, HELD_OUT = "seen", "held_out"
SHOWN = "_shown"
COLUMNS = (SEEN, HELD_OUT, SEEN + SHOWN, HELD_OUT + SHOWN)
SIZE = 64  # pixels of real scenes, and of what the eye looks at
TOGETHER = 16  # pictures that are asked for at a time


@dataclass(frozen=True)
class Question:
    """A prompt, and the truth of it.

    Args:
        category: One of `CATEGORIES`.
        held_out: Whether it holds a combination that no training picture shows.
        description: What a picture must show.
        prompt: The same in words, nothing left out.
        seed: Of the picture.
    """

    category: str
    held_out: bool
    description: Description
    prompt: str
    seed: int

    @property
    def kind(self) -> str:
        """`SEEN` or `HELD_OUT`."""
        return HELD_OUT if self.held_out else SEEN


@dataclass(frozen=True)
class Verdict:
    """A question, and what its picture shows and lacks."""

    question: Question
    sight: Sight
    judgement: Judgement

    def told(self, pack: Pack) -> dict[str, Any]:
        """As a line of JSON."""
        question = self.question
        seen = [
            {
                "concept": pack.concepts[thing.look.concept].name,
                "colour": thing.look.colour,
                "upside_down": thing.look.upside_down,
                **{name: round(getattr(thing, name), 3) for name in ("x", "y", "size", "quality")},
            }
            for thing in self.sight.things
        ]
        return {
            "prompt": question.prompt,
            "seed": question.seed,
            "category": question.category,
            "kind": question.kind,
            "right": not self.judgement.faults,
            "shown": not self.judgement.missed,
            "faults": list(self.judgement.faults),
            "seen": seen,
            "background": self.sight.background,
        }


def questions(language: Language, count: int = 24, seed: int = 0) -> list[Question]:
    """`count` questions of each category, seen and held out; the same for the same seed.

    What a language cannot say is not asked: a single thing as it is combines nothing, and is never held out.
    """
    asked: list[Question] = []
    for category in filter(language.categories.__contains__, CATEGORIES):
        for held_out in (False, True):
            rng = random.Random(f"{seed} {category} {held_out}")
            try:
                drawn = [language.draw(rng, category, held_out) for _ in range(count)]
            except DataError:
                continue
            for description in drawn:
                words = caption(description, language.concepts, rng, complete=True)
                asked.append(Question(category, held_out, description, words, seed + len(asked)))
    return asked


def judge(
    asked: Sequence[Question],
    make: Callable[[list[str], list[int]], Pictures],
    eye: Eye,
    pack: Pack,
    progress: Callable[[int], None] = lambda done: None,
) -> Iterator[Verdict]:
    """Ask for pictures and judge them, a few at a time.

    Args:
        asked: See `questions`.
        make: From prompts and seeds to pictures in [-1, 1].
        eye: That knows the sprites of `pack`.
        pack: What the questions' descriptions count in.
        progress: Is told how many are done.
    """
    for first in range(0, len(asked), TOGETHER):
        some = asked[first : first + TOGETHER]
        pictures = make([question.prompt for question in some], [question.seed for question in some])
        sights = eye(pictures, [asked_looks(question.description) for question in some])
        for question, sight in zip(some, sights, strict=True):
            yield Verdict(question, sight, judged(sight, question.description, pack))
        progress(first + len(some))


def scores(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Two shares of pictures: {"overall": {"seen": 0.97, "held_out": 0.95, "seen_shown": ...}, "categories": {...}}.

    `seen` and `held_out` count pictures that are right: they show what was asked for and nothing else. `seen_shown` and
    `held_out_shown` count those that show all that was asked for, whatever else may be there. Overall is the mean over
    categories, so that each counts alike.
    """
    categories: dict[str, dict[str, float]] = {}
    for category in CATEGORIES:
        for kind in (SEEN, HELD_OUT):
            mine = [one for one in verdicts if (one.question.category, one.question.kind) == (category, kind)]
            if mine:
                told = categories.setdefault(category, {})
                told[kind] = sum(not one.judgement.faults for one in mine) / len(mine)
                told[kind + SHOWN] = sum(not one.judgement.missed for one in mine) / len(mine)
    overall = {}
    for kind in COLUMNS:
        shares = [told[kind] for told in categories.values() if kind in told]
        if shares:
            overall[kind] = sum(shares) / len(shares)
    return {"overall": overall, "categories": categories}


def real_scenes(asked: Sequence[Question], pack: Pack, size: int = SIZE) -> Callable[[list[str], list[int]], Pictures]:
    """A maker that knows the truth: the pictures that training would show.

    Its score is what the judge can give at most; followed by an autoencoder there and back it is what a model of its
    latents can reach.
    """
    by_seed = {question.seed: question for question in asked}

    def make(prompts: list[str], seeds: list[int]) -> Pictures:
        scenes = [lay_out(by_seed[seed].description, pack, random.Random(seed)) for seed in seeds]
        return compose(scenes, pack, size)

    return make
