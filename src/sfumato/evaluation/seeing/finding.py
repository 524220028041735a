"""What is where in a picture of sprites: an exact eye, without a network.

The eye explains a picture as `compose` would have made it. It finds the background, compares all windows of what
differs from it with all looks of all sprites, fits the likeliest ones to the pixel, keeps the one that explains most,
and goes on with what is left, before or behind what was found. In the end each thing is fitted anew among the others,
and all looks that fit it about as well are its readings: "an apple, tinted red" cannot be told from "an apple". Where
something strange is left, the picture is explained once more, from what was asked for; the simpler explanation stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from sfumato.data.scenes.sprites import Pack
from sfumato.evaluation.seeing.backgrounds import Backgrounds
from sfumato.evaluation.seeing.candidates import (
    LEAST_SHARE,
    LONG,
    SHORT,
    Effort,
    Ranked,
    different,
    likeliest,
    noise,
)
from sfumato.evaluation.seeing.explanation import Explanation, Laid
from sfumato.evaluation.seeing.fitting import Place, cost, fit, gains
from sfumato.evaluation.seeing.looks import CELLS, Look, Looks, picture_features
from sfumato.evaluation.seeing.sight import Found, Sight
from sfumato.evaluation.seeing.windows import Boxes, Cutter, all_windows, promising

SMALLEST, LARGEST = 0.12, 1.0  # sizes of things, in picture sides
STRANGE = 0.04  # squared error, of a mean of nine pixels, from which on it is like nothing known
LEAST_GAIN = 4.0  # squared error that a thing takes away, in pixels
ROUNDS = 10
LONG_ROUNDS = 2  # of a picture that nothing explains, no more is asked
TOGETHER = 64  # pictures that are looked at together, where that is faster
READ = 10  # looks that are tried for a thing
SURE = 0.9  # share of what a thing changes that is right, from which on it is not read again at once
AS_WELL = 1.25  # times the error of the best look: about as well
ALIKE = 0.003  # squared error a pixel that is no difference
LEFT = 0.02  # of a picture is nothing that is known: it is looked at again


class Eye:
    """Finds the sprites of a pack in pictures.

    Args:
        pack: What there may be.
        size: Pixels a side at which pictures are looked at.
        device: Where everything is computed; on an accelerator several pictures together.
    """

    def __init__(self, pack: Pack, size: int = 64, device: str | torch.device = "cpu") -> None:
        self.size, self.device = size, torch.device(device)
        self.together = 1 if self.device.type == "cpu" else TOGETHER
        self.looks = Looks(pack, device)
        self.backgrounds = Backgrounds(size, device)
        self.windows = all_windows(SMALLEST, LARGEST, size).to(self.device)

    @torch.inference_mode()
    def __call__(
        self, pictures: Float[Tensor, "n 3 h w"], asked: Sequence[Sequence[Look]] | None = None
    ) -> list[Sight]:
        """What is where in each picture, in [-1, 1]; larger pictures are looked at from farther away.

        `asked` are looks that each picture may hold: they are tried for every thing, and win where they fit as well.
        """
        asked = asked or [()] * len(pictures)
        sights = []
        for first in range(0, len(pictures), self.together):
            some = slice(first, first + self.together)
            sights += self._look(self._resized(pictures[some]), asked[some])
        return sights

    def _resized(self, pictures: Tensor) -> Float[Tensor, "n 3 s s"]:
        pictures = pictures.to(self.device, torch.float32).clamp(-1, 1)
        if pictures.shape[-2:] == (self.size, self.size):
            return pictures
        return F.interpolate(pictures, (self.size, self.size), mode="bilinear", antialias=True, align_corners=False)

    def _look(self, pictures: Float[Tensor, "n 3 s s"], asked: Sequence[Sequence[Look]]) -> list[Sight]:
        which, grounds = self.backgrounds.find(pictures)
        known = Explanation(pictures, grounds)
        readings = self._explain(known, asked)
        again = [i for i in range(len(pictures)) if asked[i] and self._is_strange(known, i, asked[i], readings)]
        if again:
            told = [asked[i] for i in again]
            other = Explanation(pictures[again], grounds[again])
            self._explain(other, told, self._among(told))
            known.take(other, again, LEAST_GAIN)
            readings = self._read(known, asked)
        return self._sights(known, which, readings)

    def _explain(
        self, known: Explanation, asked: Sequence[Sequence[Look]], first: Bool[Tensor, "n looks"] | None = None
    ) -> dict[int, tuple[Look, ...]]:
        """Find everything, of the looks that are `first` before any other; the readings of each thing by its `id`."""
        for among in (None,) if first is None else (first, None):
            long = 0
            for _ in range(ROUNDS):
                found = self._search(known, (SHORT, LONG) if long < LONG_ROUNDS else (SHORT,), among)
                if found is None:
                    break
                long += found is LONG
                self._fit_again(known)
                self._read(known, asked, doubtful=True)
        return self._read(known, asked)

    def _is_strange(
        self, known: Explanation, i: int, asked: Sequence[Look], readings: dict[int, tuple[Look, ...]]
    ) -> bool:
        """Whether something in a picture is not what it was asked for, or nothing that is known."""
        left = different(known.pictures[i : i + 1], known.painted()[i : i + 1], STRANGE).float().mean()
        return left.item() > LEFT or any(not {*asked} & {*readings[id(thing)]} for thing in known.things[i])

    def _among(self, asked: Sequence[Sequence[Look]]) -> Bool[Tensor, "n looks"]:
        among = torch.zeros(len(asked), len(self.looks), dtype=torch.bool, device=self.device)
        for row, looks in zip(among, asked, strict=True):
            row[[self.looks.number(look) for look in looks]] = True
        return among

    # --- finding more ---------------------------------------------------------------------------------------------

    def _search(
        self, known: Explanation, efforts: Sequence[Effort], among: Bool[Tensor, "n looks"] | None
    ) -> Effort | None:
        """Add what explains most of what is left, of some looks or of all, by the first effort that finds anything."""
        painted, covered = known.painted(), known.covered()
        there = different(known.pictures, painted, noise(known.pictures, known.grounds))
        unsure = there | (covered < 0.5)
        weights = torch.where(unsure, 1.0, 0.25)
        ranked = self._ranked(known.pictures, painted, weights, there, ~unsure, among)
        front = Place(known.pictures, painted, painted, torch.ones_like(covered), weights)
        behind = Place(known.pictures, painted, known.grounds, 1 - covered, weights)
        for effort in efforts:
            which, boxes, looks = ranked.thinned(effort)
            if not len(which):
                continue
            pixels = self.looks.pixels(looks)
            tries: list[tuple[Tensor, ...]] = []
            for places in (front, behind) if any(known.things) else (front,):
                place = places[which]
                nearly, _ = fit(pixels, boxes, place.halved(), 2)
                at, layer = fit(pixels, nearly, place, 2)
                tries.append((*gains(place, layer), at, layer))
            if _add(known, which, looks, tries, effort.share):
                return effort
        return None

    def _ranked(
        self,
        pictures: Tensor,
        painted: Tensor,
        weights: Tensor,
        there: Tensor,
        hidden: Tensor,
        among: Tensor | None,
    ) -> Ranked:
        """The likeliest looks of every window that may hold a thing."""
        kept = promising(there[:, 0].float(), hidden[:, 0].float(), self.windows)
        which, window = kept.nonzero(as_tuple=True)
        windows = Cutter(picture_features(pictures, painted, weights))
        numbers = torch.arange(len(self.looks)) if among is None else among.any(0).nonzero()[:, 0]
        features = self.looks.features[numbers]
        looks: list[tuple[Tensor, ...]] = []
        for some, boxes in zip(which.split(1024), self.windows[window].split(1024), strict=True):
            gain, there_is = self._compared(windows, some, boxes, features)
            score, look = likeliest(gain if among is None else gain * among[:, numbers][some], there_is)
            looks.append((score, numbers[look]))
        return Ranked(which, self.windows[window], *map(torch.cat, zip(*looks, strict=True)))

    def _compared(
        self, windows: Cutter, which: Tensor, boxes: Boxes, features: Float[Tensor, "looks f"]
    ) -> tuple[Float[Tensor, "k looks"], Float[Tensor, "k 1"]]:
        """How much squared error, in pixels, each look would take away in each window; and how much there is."""
        cells = windows(which, boxes, CELLS).flatten(1)
        area = (boxes[:, 2:] * self.size / CELLS).square()
        there = (cells[:, : 3 * CELLS**2] / 2).square().sum(1, keepdim=True)
        gain = (cells @ self.looks.basis) @ features.T * area
        return gain, there * area

    # --- fitting again --------------------------------------------------------------------------------------------

    def _fit_again(self, known: Explanation) -> None:
        """Fit each thing among the others, and let go of those that explain nothing any more."""
        each, place = known.each(), known.places()
        pixels = self.looks.pixels(torch.tensor([known.things[i][j].look for i, j in each]))
        boxes, fitted = fit(pixels, known.boxes(), place, 2)
        for (i, j), box, layer in zip(each, boxes, fitted, strict=True):
            known.things[i][j] = replace(known.things[i][j], box=box, layer=layer)
        _let_go(known)

    def _read(
        self, known: Explanation, asked: Sequence[Sequence[Look]], doubtful: bool = False
    ) -> dict[int, tuple[Look, ...]]:
        """Give each thing the look that fits best, and tell all that fit about as well, by the thing's `id`.

        With `doubtful` only those are read again that are not fully right yet.
        """
        each = known.each()
        if not each:
            return {}
        place, boxes = known.places(), known.boxes()
        share = gains(place, torch.stack([known.things[i][j].layer for i, j in each]))[1].tolist()
        windows = Cutter(picture_features(place.picture, place.canvas, place.through))
        every = torch.arange(len(each), device=self.device)
        likely = self._compared(windows, every, boxes, self.looks.features)[0].topk(READ).indices.tolist()
        readings = {}
        for k, (i, j) in enumerate(each):
            if doubtful and share[k] > SURE:
                continue
            own = known.things[i][j].look
            looks = list(dict.fromkeys([own, *map(self.looks.number, asked[i]), *likely[k]]))
            thing, order = self._best(looks, boxes[k], place[every[k : k + 1].expand(len(looks))])
            known.things[i][j] = thing
            readings[id(thing)] = tuple(self.looks[number] for number in order)
        return readings

    def _best(self, looks: list[int], box: Tensor, place: Place) -> tuple[Laid, list[int]]:
        """The look that fits a place best, laid there, and the numbers of those that fit about as well."""
        pixels = self.looks.pixels(torch.tensor(looks, device=self.device))
        at, layer = fit(pixels, box.expand(len(looks), 3), place, 2)
        within = layer[:, 3:].amax(0, keepdim=True) * place.through
        wrong = cost(place.picture - place.with_layer(layer), within)
        order = wrong.argsort().tolist()
        best = order[0]
        enough = AS_WELL * wrong[best] + ALIKE * within[0].sum()
        return Laid(looks[best], at[best], layer[best]), [looks[n] for n in order if wrong[n] <= enough]

    def _sights(self, known: Explanation, which: list[int], readings: dict[int, tuple[Look, ...]]) -> list[Sight]:
        _let_go(known)
        left = different(known.pictures, known.painted(), STRANGE).float().mean((1, 2, 3)).tolist()
        found: list[list[Found]] = [[] for _ in which]
        each = known.each()
        if each:
            layers = torch.stack([known.things[i][j].layer for i, j in each])
            for (i, j), share in zip(each, gains(known.places(), layers)[1].tolist(), strict=True):
                thing = known.things[i][j]
                x, y, size = thing.box.tolist()
                cover = thing.cover[0].cpu()
                found[i].append(Found(self.looks[thing.look], x, y, size, share, readings[id(thing)], cover))
        names = (self.backgrounds.names[number] for number in which)
        return [Sight(*seen) for seen in zip(names, map(tuple, found), left, strict=True)]


def _add(known: Explanation, which: Tensor, looks: Tensor, tries: list[tuple[Tensor, ...]], least: float) -> bool:
    """Add the best of the fitted candidates to each picture, and those that do not touch it."""
    gain, share = (torch.stack([one[part] for one in tries]) for part in (0, 1))  # (tries, k)
    worth = gain * share.clamp(0, 1) * ((gain > LEAST_GAIN) & (share > least))
    added: dict[int, list[list[float]]] = {}
    value = worth.flatten()
    k = len(which)
    picture = which.tolist()
    for n in value.argsort(descending=True).tolist():
        if value[n] <= 0:
            break
        behind, c = divmod(n, k)
        i, box = picture[c], tries[behind][2][c]
        at = box.tolist()
        taken = added.setdefault(i, [])
        if taken and (share[behind, c] < 0.6 or any(_touch(at, other) for other in taken)):
            continue
        taken.append(at)
        thing = Laid(int(looks[c]), box, tries[behind][3][c])
        known.things[i].insert(0 if behind else len(known.things[i]), thing)
    return bool(added)


def _let_go(known: Explanation) -> None:
    """Forget things without which the pictures are explained about as well, the worst of each first."""
    each = known.each()
    if not each:
        return
    gain, share = gains(known.places(), torch.stack([known.things[i][j].layer for i, j in each]))
    kept = ((gain > LEAST_GAIN) & (share > LEAST_SHARE)).tolist()
    for (i, j), good in reversed(list(zip(each, kept, strict=True))):
        if not good:
            del known.things[i][j]


def _touch(one: list[float], other: list[float]) -> bool:
    return max(abs(one[0] - other[0]), abs(one[1] - other[1])) < (one[2] + other[2]) / 2
