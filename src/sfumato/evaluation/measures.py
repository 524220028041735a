"""The measures of a general evaluation: how each is called, told, and read."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Measure(NamedTuple):
    """What a number means.

    Attributes:
        title: as tables call it.
        better: which way is good; "like real" where the number of real pictures is what to reach.
        digits: behind the point.
        meaning: one sentence for people.
        source: whose definition it is.
    """

    title: str
    better: Literal["lower", "higher", "like real"]
    digits: int
    meaning: str
    source: str = ""


MEASURES: dict[str, Measure] = {
    "frechet": Measure(
        "Fréchet distance",
        "lower",
        3,
        "How far made pictures are from real ones as a whole, each set seen as one Gaussian of features.",
        "Heusel et al. 2017",
    ),
    "cmmd": Measure(
        "CMMD",
        "lower",
        3,
        "The same without assuming a shape, by features of length 1; steadier with few pictures.",
        "Jayasumana et al. 2024",
    ),
    "kid": Measure(
        "KID × 1000",
        "lower",
        3,
        "The same by a cubic kernel; zero on average for two samples of one source, so it may be negative.",
        "Bińkowski et al. 2018",
    ),
    "precision": Measure(
        "precision",
        "higher",
        3,
        "The share of made pictures that lie among the real ones: quality.",
        "Kynkäänniemi et al. 2019",
    ),
    "recall": Measure(
        "recall",
        "higher",
        3,
        "The share of real pictures that lie among the made ones: variety.",
        "Kynkäänniemi et al. 2019",
    ),
    "clip_score": Measure(
        "CLIPScore",
        "higher",
        3,
        "How well pictures fit their words, 0 to 2.5, by the CLIP that gives the features.",
        "Hessel et al. 2021",
    ),
    "psnr": Measure(
        "reconstruction PSNR, dB",
        "higher",
        2,
        "What the autoencoder loses of real pictures, pixel by pixel.",
    ),
    "ssim": Measure(
        "reconstruction SSIM",
        "higher",
        4,
        "The same by likeness of structure, 1 for equal pictures.",
        "Wang et al. 2004",
    ),
    "nearest": Measure(
        "distance to nearest known, median",
        "like real",
        4,
        "How far a picture is from the nearest known one, in pixels; far below real pictures means copies.",
    ),
    "nearest_least": Measure(
        "distance to nearest known, least",
        "like real",
        4,
        "The same for the picture that is nearest to a known one: the likeliest copy.",
    ),
    "diversity": Measure(
        "diversity over seeds",
        "like real",
        4,
        "The mean of 1 - cosine between two pictures of one prompt; real: two of one class.",
    ),
    "different": Measure(
        "different pictures of four",
        "like real",
        2,
        "How many of four pictures of one prompt are effectively different.",
        "Friedman & Dieng 2023",
    ),
}
