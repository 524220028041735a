"""Scenes as a data set: pictures that are composed when they are asked for, and their captions."""

from __future__ import annotations

import functools
import hashlib
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from sfumato.data.report import Report
from sfumato.data.scenes.compose import Layers, compose, pack_scenes
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
        grid: cells a side to which things are moved and sized; 0 for anywhere.
    """

    def __init__(
        self,
        pack: Pack,
        count: int,
        seed: int = 0,
        device: torch.device | str = "cpu",
        workers: int = 0,
        grid: int = 0,
    ) -> None:
        self.pack, self.count, self.device = pack, count, torch.device(device)
        self.scenes, self.report = Scenes(pack, seed, grid=grid, strangers=STRANGERS), Report()
        description = f"scenes {FORMAT} {pack.fingerprint} {seed} {count} {grid}"
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
        known = Scenes(self.pack, self.scenes.seed)
        yield from (known.caption(number) for number in range(min(SPOKEN, self.count)))
        yield from sorted(vocabulary(self.pack.concepts))

    def _draw(self, numbers: tuple[int, ...]) -> Drawn:
        if self._workers is None:
            return _draw(self.scenes, numbers)
        pieces = [numbers[start : start + PIECE] for start in range(0, len(numbers), PIECE)]
        drawn = list(self._workers.map(_draw_there, pieces))
        return Drawn(Layers.joined([one.layers for one in drawn]), [text for one in drawn for text in one.captions])


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
    global _theirs
    _theirs = scenes
    torch.set_num_threads(1)


def _draw_there(numbers: Sequence[int]) -> Drawn:
    return _draw(_theirs, numbers)
