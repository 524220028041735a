"""What is kept of each step, and the curves of all of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from PIL import Image

PICTURE_SIDE = 192  # pixels, of what is shown of a step
Latent = Float[np.ndarray, "c h w"]


@dataclass(frozen=True, eq=False)
class TracedStep:
    """One step of sampling: what it began with, and what the network said of it.

    All estimates are of the clean data, in the space that the denoiser works in: latents, or patches of pixels. They
    are float16, to take little memory. The pictures are small, `PICTURE_SIDE` pixels a side at most.

    Attributes:
        step: which one, from 1.
        steps: how many there are in all; not all of them are kept where they are many.
        alpha: of the level that it began at; `noisy = alpha * clean + sigma * noise`.
        sigma: likewise.
        noisy: what it began with.
        clean: the estimate of the clean, guided.
        noise: the noise that the estimate tells there is in `noisy`.
        conditional: the estimate that the prompt alone asks for.
        unconditional: the one to go away from, of the empty or the negative prompt; None without guidance.
        noisy_picture: `noisy`, decoded.
        clean_picture: `clean`, decoded.
        conditional_picture, unconditional_picture: likewise; None without guidance.
    """

    step: int
    steps: int
    alpha: float
    sigma: float
    noisy: Latent
    clean: Latent
    noise: Latent
    conditional: Latent
    unconditional: Latent | None
    noisy_picture: Image.Image
    clean_picture: Image.Image
    conditional_picture: Image.Image | None = None
    unconditional_picture: Image.Image | None = None

    @property
    def guidance(self) -> Latent:
        """What guidance adds to what the prompt alone asks for; all 0 without guidance."""
        return self.clean - self.conditional

    @property
    def guidance_norm(self) -> float:
        """How much that is, the root of the mean square."""
        return float(np.sqrt(np.mean(np.square(self.guidance.astype(np.float32)))))

    @property
    def guidance_picture(self) -> Image.Image | None:
        """What guidance changes in the decoded estimate: grey where nothing; None without guidance."""
        return None if self.conditional_picture is None else difference(self.clean_picture, self.conditional_picture)


@dataclass(frozen=True, eq=False)
class Curves:
    """The timetable of a sampling run, one value for each level, from noise to clean.

    Attributes:
        alpha, sigma: of each level.
        log_snr: 2 log(alpha / sigma); -inf at pure noise and +inf at the clean end.
        step_size: how far each step goes, in the share of noise sigma / (alpha + sigma), which falls from 1 to 0.
    """

    alpha: Float[np.ndarray, " levels"]
    sigma: Float[np.ndarray, " levels"]
    log_snr: Float[np.ndarray, " levels"]
    step_size: Float[np.ndarray, " steps"]

    @classmethod
    def of(cls, alpha: Float[np.ndarray, " levels"], sigma: Float[np.ndarray, " levels"]) -> Curves:
        """The curves of a timetable."""
        with np.errstate(divide="ignore"):
            log_snr = 2 * (np.log(alpha) - np.log(sigma))
        return cls(alpha, sigma, log_snr, -np.diff(sigma / (alpha + sigma)))


def difference(one: Image.Image, other: Image.Image) -> Image.Image:
    """`one` minus `other` as a picture: middle grey where they agree; pictures of one size."""
    apart = np.asarray(one.convert("RGB"), np.int16) - np.asarray(other.convert("RGB"), np.int16)
    return Image.fromarray((apart // 2 + 128).clip(0, 255).astype(np.uint8))
