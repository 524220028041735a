"""An endless stream of scenes with captions, each a function of its seed and its number alone."""

from __future__ import annotations

import random

from sfumato.data.scenes.held_out import shows_held_out
from sfumato.data.scenes.language import Language
from sfumato.data.scenes.layout import lay_out
from sfumato.data.scenes.phrases import caption
from sfumato.data.scenes.scene import Scene
from sfumato.data.scenes.sprites import Pack
from sfumato.errors import DataError

ATTEMPTS = 8  # layouts of one description before another is drawn


class Scenes:
    """Scenes of a pack, without end: number i is the same in any batch, order and process.

    With `held_out=False` (training) nothing held out ever occurs, asked for or by chance: layouts in which two things
    happen to stand in a held-out relation are drawn again.

    Args:
        pack: What the things look like.
        seed: 0 or more; each gives another stream.
        held_out: False for what may be learned, True for what holds a held-out combination, None for everything.
        language: What may be described; None: everything that the pack allows.

    Raises:
        DataError: the seed is negative.
    """

    def __init__(self, pack: Pack, seed: int, held_out: bool | None = False, language: Language | None = None) -> None:
        if seed < 0:
            raise DataError(f"a seed is 0 or more, not {seed}")
        self.pack = pack
        self.seed = seed
        self.held_out = held_out
        self.language = language or Language(pack.concepts)

    def scene(self, number: int) -> Scene:
        """The scene of a number, 0 or more; its description says what it shows.

        Raises:
            DataError: the language holds nothing that is allowed.
        """
        rng = self._random(number, 0)
        while True:
            description = self.language.draw(rng, held_out=self.held_out)
            for _ in range(ATTEMPTS):
                scene = lay_out(description, self.pack, rng)
                if self.held_out is not False or not shows_held_out(scene, self.language.names):
                    return scene

    def caption(self, number: int, nth: int = 0) -> str:
        """One of the captions of a scene: nth is 0 or more."""
        return self.told(self.scene(number), number, nth)

    def told(self, scene: Scene, number: int, nth: int = 0) -> str:
        """The same caption for a scene that is at hand: that of its number."""
        assert scene.description is not None
        return caption(scene.description, self.language.concepts, self._random(number, nth + 1))

    def _random(self, number: int, purpose: int) -> random.Random:
        """Chance of its own for every scene and every caption; no two states are alike."""
        return random.Random(self.seed << 96 | number << 32 | purpose)
