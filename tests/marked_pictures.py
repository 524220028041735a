"""Pictures of known kinds: with the spectrum of photographs, and drawn in pure black and white."""

import numpy as np
from PIL import Image


def photograph_like(side, seed=0, contrast=40):
    """Amplitudes that fall as 1 / frequency (van der Schaaf and van Hateren 1996), in colour."""
    rows = np.fft.fftfreq(side)
    squares = rows[:, None] ** 2 + rows[None] ** 2
    squares[0, 0] = 1
    noise = np.random.default_rng(seed).standard_normal((3, side, side))
    light = np.fft.ifft2(np.fft.fft2(noise) / np.sqrt(squares)).real
    pixels = np.clip(light / light.std() * contrast + 128, 0, 255)
    return Image.fromarray(pixels.astype(np.uint8).transpose(1, 2, 0))


def drawing(side):
    """A white shape on black, with hard edges."""
    pixels = np.zeros((side, side, 3), np.uint8)
    pixels[side // 4 : side // 2, side // 3 : 2 * side // 3] = 255
    pixels[side // 2 :, side // 2 : side // 2 + side // 10] = 255
    return Image.fromarray(pixels)
