"""Small files that change a whole model: LoRA, and words of textual inversion."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from sfumato.checkpoints.lora import read_lora
from sfumato.checkpoints.lora_names import KOHYA
from sfumato.checkpoints.textual_inversion import Embedding
from sfumato.errors import PromptError
from sfumato.networks.clip import TextEncoder
from sfumato.networks.lora import attach, fuse
from sfumato.networks.vocabulary import add_vectors
from sfumato.pipelines.model import Model
from sfumato.pipelines.readers import tokenizer_of


def weighted(text: str) -> tuple[Path, float]:
    """ "FILE:WEIGHT" or "FILE", whose weight is 1; PromptError for a weight that is not finite.

    Example:
        >>> weighted("style.safetensors:0.8")
        (PosixPath('style.safetensors'), 0.8)
    """
    file, colon, number = text.rpartition(":")
    try:
        weight = float(number) if colon else 1.0
    except ValueError:  # a colon of the path's own
        return Path(text), 1.0
    if not math.isfinite(weight):
        raise PromptError(f"--lora {text}: the weight should be a number, such as 0.8.")
    return Path(file or text), weight


def with_loras(model: Model, loras: Sequence[tuple[Path, float]], *, live: bool = False) -> ExitStack:
    """Put LoRA files on a model, each by its weight, until what is returned is closed; then it is the same to the bit.

    Fused they cost nothing in sampling, and as much memory as the layers that they change; live it is the other way
    round.

    Raises:
        CheckpointError: a file is broken or was made for another kind of model; nothing is changed.
    """
    networks = {name: part for name, part in model.parts.items() if name in KOHYA}
    read = [(read_lora(path, networks), weight) for path, weight in loras]
    undo = ExitStack()
    for name, network in networks.items():
        chosen = [(adapters[name], weight) for adapters, weight in read if name in adapters]
        if live:
            for adapter, weight in chosen:
                undo.enter_context(attach(network, adapter, weight))
        else:
            undo.enter_context(fuse(network, chosen))
    return undo


def with_words(model: Model, embeddings: Iterable[Embedding]) -> Model:
    """The model with words of textual inversion; its text encoders get their vectors in place, and no other changes.

    Raises:
        CheckpointError: an embedding was made for another kind of model.
        DataError: its word is known already, or is none.
    """
    encoders = {name: part for name, part in model.parts.items() if isinstance(part, TextEncoder)}
    tokenizers = dict(model.tokenizers)
    for embedding in embeddings:
        fitting = {name: embedding.fitting(name, each.config.hidden_size) for name, each in encoders.items()}
        larger = {name: tokenizer.with_word(embedding.word, len(embedding)) for name, tokenizer in tokenizers.items()}
        for name, vectors in fitting.items():
            tokenizer = tokenizers[tokenizer_of(name)]
            add_vectors(encoders[name], vectors, tokenizer.vocab_size, tokenizer.end_id)
        tokenizers = larger
    return replace(model, tokenizers=tokenizers)
