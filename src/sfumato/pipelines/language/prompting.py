"""Prompts that write themselves: new ones in the style of a model's captions, and short ones that are completed."""

from __future__ import annotations

import math
import secrets
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import count as numbers

from sfumato.errors import DataError, PromptError
from sfumato.pipelines.language.choosing import Sampling
from sfumato.pipelines.language.hearing import EMPTY, LONG, Hearing, plain, says
from sfumato.pipelines.language.language_model import LanguageModel, Text
from sfumato.pipelines.weighting import Reading
from sfumato.seeds import derived_seed

LINE_END = "\n"  # a prompt is one line
DRAWS = 32  # texts that are drawn for each that is wanted, at most; and as many more
FEWEST = 4  # texts that are drawn together
FULL = 0.5  # how probable the end is after a prompt that is complete

AGAIN = "they were there before"
LEARNED = "the writer learned from them (--known takes them all the same)"
NOTHING = "they add nothing"
OTHER_WORD = "they make the last word another one"
SIGNS = "they have brackets or words that weigh or divide a prompt"


@dataclass(frozen=True)
class Refused:
    """A text that did not become a prompt, and why."""

    text: str
    why: str


@dataclass(frozen=True)
class Imagined:
    """Prompts that a language model wrote.

    Attributes:
        prompts: all different, each a line; fewer than were asked for where too many texts had to be drawn again.
        refused: the texts between them that were drawn again.
    """

    prompts: tuple[str, ...]
    refused: tuple[Refused, ...]

    @property
    def share_refused(self) -> float:
        """How many of the texts were no prompts, 0 to 1."""
        return len(self.refused) / max(1, len(self.prompts) + len(self.refused))


@dataclass(frozen=True)
class Expansion:
    """A prompt that was completed, or stays as it is.

    Attributes:
        typed: what was given.
        added: what follows it; empty where it stays as it is.
        full: whether it stays because it is complete: the model would rather end it than go on.
        refused: completions that were drawn again.
    """

    typed: str
    added: str = ""
    full: bool = False
    refused: tuple[Refused, ...] = ()

    def __str__(self) -> str:
        return self.typed + self.added

    @property
    def told(self) -> str:
        """What happened to the prompt, in a line."""
        if self.added:
            return f"Added to the prompt: {self.added.strip()!r}, so that it is {str(self)!r}"
        why = "it is complete" if self.full else f"nothing was found that fits: {_reasons(self.refused)}"
        return f"The prompt stays {self.typed!r}: {why}"


def imagine(
    writer: LanguageModel,
    count: int = 1,
    seed: int | None = None,
    *,
    must: Sequence[str] = (),
    hearing: Hearing = Hearing(),
    sampling: Sampling = Sampling(),
    besides: Collection[str] = (),
    new: bool = True,
) -> Imagined:
    """New prompts in the style of the texts that a language model learned from.

    Texts are drawn one after the other, each to its end, and those that are no prompts are passed over. The first
    prompts of a seed are the same, however many are asked for.

    Args:
        writer: learned from captions, and knows their end.
        count: of prompts.
        seed: of all of them; a random one when None.
        must: words that every prompt contains.
        hearing: what the model for pictures can follow.
        sampling: how tokens are chosen.
        besides: prompts that are not wanted again.
        new: whether those that the writer learned from are passed over.

    Raises:
        PromptError: no text in many was a prompt, the model knows no end, or a word cannot be written.
    """
    if count < 1:
        raise PromptError(f"count={count!r} is out of its range: it is at least 1.")
    prompts: list[str] = []
    refused: list[Refused] = []
    known = set(besides)
    for text in drawn(writer, seed, must=must, sampling=sampling, together=count):
        prompt = str(text).strip()
        why = _unended(text) or hearing.fault(prompt) or _unsaid(prompt, prompt)
        why = why or (AGAIN if prompt in known else LEARNED if new and writer.knows(prompt) else None)
        if why:
            refused.append(Refused(prompt, why))
        else:
            prompts.append(prompt)
            known.add(prompt)
        if len(prompts) == count or len(prompts) + len(refused) == DRAWS * (count + 1):
            break
    if not prompts:
        raise PromptError(f"None of {len(refused)} texts was a prompt for this model: {_reasons(refused)}.")
    return Imagined(tuple(prompts), tuple(refused))


def expand(
    writer: LanguageModel,
    prompt: str,
    seed: int | None = None,
    *,
    hearing: Hearing = Hearing(),
    sampling: Sampling = Sampling(),
    reading: Reading = Reading(),
) -> Expansion:
    """A short prompt completed into a fuller one that begins with it.

    A prompt after which the model would rather end the text than go on stays as it is, and so does one to which
    nothing can be added that the model for pictures can follow.

    Args:
        writer: learned from captions, and knows their end.
        prompt: what was typed; weights within it count, words that the model never saw are left to it.
        seed: of the completion; a random one when None.
        hearing: what the model for pictures can follow.
        sampling: how tokens are chosen.
        reading: by whose rules the prompt is read.

    Raises:
        PromptError: the prompt has several parts, or changes on the way, or the model knows no end.
        DataError: a character is not among those of the model; the message names it.
    """
    typed = prompt.strip()
    said = plain(typed, reading)
    if said is None:
        raise PromptError(
            "A prompt of several parts (AND, BREAK, [from:to:when]) is not completed; leave --expand out."
        )
    if _is_full(writer, said):
        return Expansion(prompt, full=True)
    refused: list[Refused] = []
    for text in drawn(writer, seed, said, sampling=sampling, together=FEWEST):
        added = text.written.rstrip()
        whole = said + added
        why = _unended(text) or _unadded(said, added) or _unsaid(typed + added, whole, reading)
        why = why or hearing.fault(whole, given=said)
        if not why:
            return Expansion(typed, added, refused=tuple(refused))
        refused.append(Refused(whole, why))
        if len(refused) == DRAWS:
            break
    return Expansion(prompt, refused=tuple(refused))


def drawn(
    writer: LanguageModel,
    seed: int | None = None,
    prompt: str = "",
    *,
    must: Sequence[str] = (),
    sampling: Sampling = Sampling(),
    together: int = FEWEST,
) -> Iterator[Text]:
    """Texts without end that go on from a prompt to the end of a line, each a function of the seed and its number.

    Args:
        together: how many are drawn at a time, at least, which changes none of them.

    Raises:
        PromptError: the model knows no end of a text, or a word of `must` cannot be written.
    """
    stop = _line_end(writer)
    seed = secrets.randbits(32) if seed is None else seed
    most = max(FEWEST, min(together, writer.texts_a_pass))
    for first in numbers(0, most):
        asked = [(prompt, derived_seed(seed, "prompts", first + place)) for place in range(most)]
        yield from writer.texts(asked, stop=stop, must=must, sampling=sampling)


def _line_end(writer: LanguageModel) -> tuple[str, ...]:
    """The string that ends a prompt, besides the model's own end."""
    try:
        writer.tokenizer.encode(LINE_END)
    except DataError:
        if writer.tokenizer.end_id is None:
            raise PromptError(
                "This language model knows no end of a text: it learned from one text of one line. Train it on "
                "captions: sfumato train CAPTIONS --recipe gpt"
            ) from None
        return ()
    return (LINE_END,)


def _is_full(writer: LanguageModel, prompt: str) -> bool:
    """Whether the model would rather end a text here than go on; or has no room to."""
    ended = writer.tokenizer.end_id is not None
    text = prompt if ended else prompt + LINE_END
    _line_end(writer)
    if len(writer.tokenizer.encode(prompt)) + 2 > writer.network.config.positions:
        return True
    (nats,) = writer.log_probabilities([text], ended=ended)
    return bool(len(nats)) and float(nats[-1]) > math.log(FULL)


def _unended(text: Text) -> str | None:
    return LONG if text.reason == "limit" else None


def _unsaid(prompt: str, words: str, reading: Reading = Reading()) -> str | None:
    return None if says(prompt, words, reading) else SIGNS


def _unadded(said: str, added: str) -> str | None:
    """Why a completion is none: it adds nothing, or goes on within the last word."""
    if not any(character.isalnum() for character in added):
        return NOTHING
    return OTHER_WORD if said[-1:].isalnum() and added[0].isalnum() else None


def _reasons(refused: Sequence[Refused]) -> str:
    """Why texts were refused, the commonest reason first, with an example of it."""
    counted = Counter(each.why for each in refused).most_common()
    example = next(each.text for each in refused if each.why == counted[0][0])
    told = ", ".join(f"{number} since {why}" for why, number in counted)
    return told if counted[0][0] == EMPTY else f"{told}; such as {example!r:.100}"
