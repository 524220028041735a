"""Where the layers of a denoiser looked in a whole run, and how that is made one map."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Float16
from PIL import Image

Map = Float[np.ndarray, "h w"]


@dataclass(frozen=True, eq=False)
class Looks:
    """Attention to the words of a prompt.

    Attributes:
        maps: by step and layer, how probable each word was at each place; with the rest, such as the begin of the
            text and its padding, the words sum to 1.
    """

    maps: Mapping[int, Mapping[str, Float16[np.ndarray, "groups words h w"]]]

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the layers, in the network's order."""
        return tuple(dict.fromkeys(layer for step in self.maps.values() for layer in step))

    @property
    def groups(self) -> int:
        """How many groups of heads every layer has at least."""
        return min((len(each) for step in self.maps.values() for each in step.values()), default=0)

    @cached_property
    def weights(self) -> dict[tuple[int, str], Float[np.ndarray, " groups"]]:
        """How much each layer's groups of heads tell of where a word is, by step and layer.

        That is how far they tell the words apart, times the number of places that they know.
        """
        return {
            (step, layer): telling_apart(maps) * maps[0, 0].size
            for step, layers in self.maps.items()
            for layer, maps in layers.items()
        }

    def summed(
        self,
        words: Sequence[int],
        size: tuple[int, int],
        *,
        step: int | None = None,
        layer: str | None = None,
        group: int | None = None,
        weighed: bool = True,
    ) -> Map | None:
        """One map of some words, (h, w) = `size`: those of all steps, layers and heads, or of one, each enlarged.

        Plain sums are those of DAAM (Tang et al. 2023, section 3); weighed ones count each group of heads by its
        `weights`. None where nothing was seen.
        """
        sums: dict[tuple[int, ...], Map] = {}
        for key, maps in self._chosen(step, layer):
            by = self.weights[key] if weighed else np.ones(len(maps), np.float32)
            mine = slice(None) if group is None else slice(group, group + 1)
            of_words = maps[mine][:, list(words)].astype(np.float32).sum(1)
            one = np.tensordot(by[mine], of_words, 1)
            sums[one.shape] = sums[one.shape] + one if one.shape in sums else one
        if not sums:
            return None
        return np.sum([enlarged(one, size) for one in sums.values()], axis=0)

    def _chosen(
        self, step: int | None, layer: str | None
    ) -> Iterator[tuple[tuple[int, str], Float16[np.ndarray, "groups words h w"]]]:
        for number, layers in self.maps.items():
            for name, maps in layers.items():
                if step in (None, number) and layer in (None, name):
                    yield (number, name), maps


def telling_apart(maps: Float16[np.ndarray, "groups words h w"]) -> Float[np.ndarray, " groups"]:
    """How far a word's map lies from the mean of all words' maps, each divided by its own mean: the root mean square.

    A head that looks at every word in the same places, or everywhere, has nothing to say of where a word is. All have
    the same where there is only one word.
    """
    exact = maps.astype(np.float32)
    means = exact.mean((2, 3), keepdims=True)
    heard = means.max((0, 2, 3)) > 0
    if heard.sum() < 2:
        return np.ones(len(maps), np.float32)
    shares = exact[:, heard] / np.maximum(means[:, heard], 1e-8)
    return np.sqrt(np.square(shares - shares.mean(1, keepdims=True)).mean((1, 2, 3)))


def enlarged(one: Map, size: tuple[int, int]) -> Map:
    """A map of another size (h, w), by cubic interpolation."""
    picture = Image.fromarray(np.ascontiguousarray(one, np.float32))
    return np.asarray(picture.resize(size[::-1], Image.Resampling.BICUBIC))
