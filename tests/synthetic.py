"""A trace of a picture that is known: a red disc on the left and a blue square on the right, out of noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from sfumato.errors import PromptError
from sfumato.pipelines.request import Request
from sfumato.pipelines.trace import Curves, Token, Trace, TracedStep, Word
from sfumato.pipelines.tracing.looks import Looks

LAYERS = ("down_blocks.0.attentions.0.attn2", "mid_block.attentions.0.attn2", "up_blocks.1.attentions.0.attn2")
PROMPT = "a red disc beside a bleu square"


@dataclass(frozen=True)
class Drawn(Trace):
    """One whose attention and ways are drawn, not recorded."""

    def attention(self, word, step=None, layer=None, heads=None):
        if not 0 <= word < len(self.words):
            raise PromptError(f"There is no word {word}.")
        right = self.words[word].text in ("bleu", "square")
        across, down = np.meshgrid(np.linspace(0, 1, 64), np.linspace(0, 1, 64))
        wide = 0.04 if step is None else 0.15 / step
        return np.exp(-((across - (0.72 if right else 0.28)) ** 2 + (down - 0.5) ** 2) / wide)

    def path(self, others=()):
        ways = []
        for number, trace in enumerate([self, *others]):
            chance = np.random.default_rng(trace.request.seed)
            start, end = chance.normal(0, 3, 2), np.array([number, 0.5 * number])
            share = np.linspace(0, 1, len(self.steps) + 1)[:, None]
            ways.append(start * (1 - share) ** 2 + end * share)
        return np.stack(ways)


def scene(side, red=True):
    picture = Image.new("RGB", (side, side), (236, 228, 214))
    pen = ImageDraw.Draw(picture)
    if red:
        pen.ellipse([0.1 * side, 0.32 * side, 0.46 * side, 0.68 * side], fill=(196, 44, 40))
    pen.rectangle([0.55 * side, 0.33 * side, 0.88 * side, 0.66 * side], fill=(40, 84, 168))
    return picture


def words(prompt):
    found, at = [], 0
    for number, text in enumerate(prompt.split()):
        start = prompt.index(text, at)
        at = start + len(text)
        pieces = ["bl", "eu</w>"] if text == "bleu" else [f"{text}</w>"]
        tokens = tuple(Token("tokenizer", 100 + number, piece, number + 1) for piece in pieces)
        found.append(Word(text, start, at, tokens, known=text != "bleu", weight=1.3 if text == "disc" else 1.0))
    return tuple(found)


def trace(prompt=PROMPT, seed=3, steps=6, side=64, *, layers=LAYERS, groups=2, guided=True):
    """A trace; of pictures with `side` pixels."""
    chance = np.random.default_rng(seed)
    share = np.linspace(1, 0, steps + 1)
    alpha, sigma = np.cos(share * np.pi / 2), np.sin(share * np.pi / 2)
    alpha[0], sigma[-1] = 0.0, 0.0
    clean = np.asarray(scene(side), np.float32) / 127.5 - 1
    grey = np.zeros_like(clean)

    def picture(values):
        return Image.fromarray(((values + 1) * 127.5).clip(0, 255).astype(np.uint8))

    kept = []
    for i in range(steps):
        noise = chance.normal(size=clean.shape).astype(np.float32)
        guess = (1 - sigma[i]) * clean + sigma[i] * grey
        latent = noise[::8, ::8].transpose(2, 0, 1).astype(np.float16)
        parted = guided and i % 2 == 0  # as of a long run, some steps are decoded whole
        both = {"conditional_picture": picture(guess), "unconditional_picture": picture(0.5 * guess)} if parted else {}
        kept.append(
            TracedStep(
                step=i + 1,
                steps=steps,
                alpha=float(alpha[i]),
                sigma=float(sigma[i]),
                noisy=latent,
                clean=latent,
                noise=latent,
                conditional=0.5 * latent,
                unconditional=0.5 * latent if guided else None,
                noisy_picture=picture(alpha[i] * clean + sigma[i] * noise),
                clean_picture=picture(1.1 * guess),
                **both,
            )
        )
    maps = {
        i + 1: {layer: np.full((groups, len(prompt.split()), 2, 2), 0.1, np.float16) for layer in layers}
        for i in range(steps)
    }
    request = Request(prompt, seed, steps, guidance_scale=4.0 if guided else 1.0)
    recipe = {"model": "shapes", "request": request.to_dict()}
    looks = Looks(maps)
    return Drawn(request, recipe, scene(side), words(prompt), tuple(kept), Curves.of(alpha, sigma), latent, looks)
