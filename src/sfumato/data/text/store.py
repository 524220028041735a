"""Tokens in one memory-mapped file, from which training takes sequences by their place."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64, UInt16, UInt32
from torch import Tensor

from sfumato.data.report import Report
from sfumato.errors import DataError

FORMAT = 1  # of the files below; raised when older stores must be made again
TOKENS, SUMMARY, PROBLEMS = "tokens", "tokens.json", "problems.jsonl"
NUMBERS: dict[str, np.dtype[Any]] = {"uint16": np.dtype("<u2"), "uint32": np.dtype("<u4")}

Tokens = UInt16[np.ndarray, " n"] | UInt32[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class TokenStore:
    """All tokens of a corpus, one document after the other.

    Args:
        tokens: numbers of tokens, memory-mapped and read-only.
        documents: how many texts they are.
        fingerprint: of the texts.
        vocabulary: the fingerprint of the tokenizer.
        report: what was set aside on the way.
    """

    tokens: Tokens
    documents: int
    fingerprint: str
    vocabulary: str
    report: Report

    def __len__(self) -> int:
        return len(self.tokens)

    def split(self, validation: float = 0.1) -> tuple[Tokens, Tokens]:
        """The tokens to learn from and, from the end, the share that is kept to measure by."""
        cut = int(len(self) * (1 - validation))
        return self.tokens[:cut], self.tokens[cut:]

    @classmethod
    def open(cls, folder: Path) -> TokenStore:
        """Open a finished store; raises DataError when a file is missing or damaged."""
        try:
            summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
            numbers, count = NUMBERS[summary["numbers"]], summary["count"]
            if summary["format"] != FORMAT or (folder / TOKENS).stat().st_size != count * numbers.itemsize:
                raise ValueError("lengths differ")
            return cls(
                tokens=np.memmap(folder / TOKENS, numbers, "r", shape=(count,)),
                documents=summary["documents"],
                fingerprint=summary["fingerprint"],
                vocabulary=summary["vocabulary"],
                report=Report.load(folder / PROBLEMS),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{folder}: damaged store of tokens ({error}); delete it") from error


def write_tokens(
    folder: Path, runs: Iterable[Sequence[int]], size: int, documents: int, fingerprint: str, vocabulary: str
) -> None:
    """Write the files of a store, run after run of tokens, the summary last.

    Args:
        folder: where; it is there.
        runs: numbers of tokens below `size`.
        size: of the vocabulary, which decides whether they are 16 or 32 bits long.
        documents, fingerprint, vocabulary: as the store tells them.

    Raises OSError when the disk is full.
    """
    name = "uint16" if size <= 2**16 else "uint32"
    count = 0
    with (folder / TOKENS).open("wb") as file:
        for run in runs:
            file.write(np.asarray(run, NUMBERS[name]).tobytes())
            count += len(run)
        file.flush()
        os.fsync(file.fileno())
    summary = {
        "format": FORMAT,
        "numbers": name,
        "count": count,
        "documents": documents,
        "fingerprint": fingerprint,
        "vocabulary": vocabulary,
    }
    (folder / SUMMARY).write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


def sequences(tokens: Tokens, starts: Int64[Tensor, " b"], length: int) -> Int64[Tensor, "b length"]:
    """Tokens that follow each other, `length` of them from each place on."""
    places = starts.numpy()[:, None] + np.arange(length)
    return torch.from_numpy(tokens[places].astype(np.int64))
