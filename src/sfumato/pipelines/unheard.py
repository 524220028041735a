"""What of a prompt a model does not hear: words that it never saw, and what is behind the last token that it reads."""

from __future__ import annotations

from collections.abc import Iterator

from sfumato.pipelines.model import Model
from sfumato.pipelines.weighting import Reading
from sfumato.pipelines.words import t5_length


def unheard(model: Model, prompt: str, reading: Reading, *, beside: bool = False) -> Iterator[str]:
    """What a person should know of a prompt that the model cannot follow fully: a sentence for each thing.

    One `beside` the prompts, such as a negative one, has one branch.
    """
    said = dict.fromkeys(reading.all_branches(prompt, negative=beside))
    read = [[piece.text for chunk in branch.chunks for piece in chunk] for branch in said]
    if model.tokenizers:
        tokenizer = model.tokenizer
        unknown = [word for texts in read for text in texts for word in tokenizer.unknown_words(text)]
        if unknown:
            words = ", ".join(f'"{word}"' for word in dict.fromkeys(unknown))
            yield f"The model {model.name} never saw these words in training: {words}. It will guess."
        lost = tokenizer.truncated(prompt) if reading.profile == "diffusers" else None
        if lost:
            yield _lost("CLIP", tokenizer.length, lost)
    for t5 in model.t5_tokenizers.values():
        for texts in read:
            lost = t5.truncated(texts, t5_length(model))
            if lost:
                yield _lost("T5", t5_length(model), lost)


def _lost(encoder: str, tokens: int, text: str) -> str:
    return f"The prompt is longer than the {tokens} tokens that {encoder} reads; left out is: {text!r}"
