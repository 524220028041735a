"""Scenes as a data set: pictures that are composed when they are asked for, and their captions."""

from __future__ import annotations

import functools
import hashlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields
from multiprocessing.process import BaseProcess
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from sfumato.data.report import Report
from sfumato.data.scenes.compose import Layers, compose, pack_scenes
from sfumato.data.scenes.language import Language
from sfumato.data.scenes.phrases import vocabulary
from sfumato.data.scenes.sprites import Pack
from sfumato.data.scenes.stream import Scenes

FORMAT = 1  # of the scenes below; raised when the same seed gives others
PIECE = 64  # scenes that a worker draws at once
STRANGERS = 0.05  # of the captions hold a word that means nothing
SPOKEN = 20_000  # captions from which a tokenizer learns


class Drawn(NamedTuple):
    """Some scenes as arrays, and what is said of each."""

    layers: Layers
    captions: list[str]


class SceneStore:
    """So many scenes of a stream, as training takes pictures from a store.

    Args:
        pack: what things look like.
        count: of the scenes.
        seed: of the stream.
        device: where pictures are composed.
        workers: processes that draw scenes ahead of their composition; 0 draws them here.
        language: what may be described, one of `LANGUAGES`.
        grid: cells a side to which things are moved and sized; 0 for anywhere.
    """

    def __init__(
        self,
        pack: Pack,
        count: int,
        seed: int = 0,
        device: torch.device | str = "cpu",
        workers: int = 0,
        language: str = "full",
        grid: int = 0,
    ) -> None:
        self.pack, self.count, self.device = pack, count, torch.device(device)
        self.scenes = Scenes(
            pack, seed, language=Language.named(language, pack.concepts), grid=grid, strangers=STRANGERS
        )
        self.report = Report()
        description = f"scenes {FORMAT} {pack.fingerprint} {seed} {count} {language} {grid}"
        self.fingerprint = hashlib.sha256(description.encode()).hexdigest()
        self._workers = _started(self.scenes, workers) if workers else None
        self._drawn = functools.lru_cache(maxsize=8)(self._draw)  # the captions of a batch are asked for after it

    def __len__(self) -> int:
        return self.count

    def __enter__(self) -> SceneStore:
        return self

    def __exit__(self, *_: object) -> None:
        if self._workers:
            self._workers.shutdown(cancel_futures=True)

    def batch(
        self, indices: Int64[Tensor, " b"], size: int, flips: Bool[Tensor, " b"] | None = None
    ) -> Float[Tensor, "b 3 size size"]:
        """Some pictures as float32 in [-1, 1]; `flips` says which of them to mirror left and right."""
        pictures = compose(self._drawn(tuple(indices.tolist())).layers, self.pack, size, self.device)
        if flips is None:
            return pictures
        return torch.where(flips.to(self.device)[:, None, None, None], pictures.flip(-1), pictures)

    def captions(self, indices: Int64[Tensor, " b"]) -> list[str]:
        """A caption of each of some pictures."""
        return self._drawn(tuple(indices.tolist())).captions

    def texts(self) -> Iterator[str]:
        """What a tokenizer should know: many captions, and every word that captions may hold."""
        known = Scenes(self.pack, self.scenes.seed, language=self.scenes.language)
        yield from (known.caption(number) for number in range(min(SPOKEN, self.count)))
        yield from sorted(vocabulary(self.pack.concepts))

    def _draw(self, numbers: tuple[int, ...]) -> Drawn:
        if self._workers is None:
            return _draw(self.scenes, numbers)
        pieces = [numbers[start : start + PIECE] for start in range(0, len(numbers), PIECE)]
        drawn = list(self._workers.map(_draw_there, pieces))
        layers = [Layers(*map(torch.from_numpy, arrays)) for arrays, _ in drawn]
        return Drawn(Layers.joined(layers), [text for _, captions in drawn for text in captions])


def _draw(scenes: Scenes, numbers: Sequence[int]) -> Drawn:
    drawn = [scenes.scene(number) for number in numbers]
    captions = [scenes.told(scene, number) for scene, number in zip(drawn, numbers, strict=True)]
    return Drawn(pack_scenes(drawn), captions)


# --- workers ----------------------------------------------------------------------------------------------------------

_theirs: Scenes  # in a worker, the stream that it draws from


def _started(scenes: Scenes, workers: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")  # a fork of a process that uses CUDA cannot
    return ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(scenes,))


def _begin(scenes: Scenes) -> None:
    """A signal to the whole group of processes is for the one that trains, which needs them until it has stopped."""
    global _theirs
    _theirs = scenes
    torch.set_num_threads(1)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_leave_with, args=(multiprocessing.parent_process(),), daemon=True).start()


def _leave_with(parent: BaseProcess) -> None:
    """End this process when the one that began it was killed."""
    parent.join()
    os._exit(0)


def _draw_there(numbers: Sequence[int]) -> tuple[list[np.ndarray], list[str]]:
    """Plain arrays: tensors would travel through shared memory, one file each."""
    layers, captions = _draw(_theirs, numbers)
    return [getattr(layers, each.name).numpy() for each in fields(layers)], captions
