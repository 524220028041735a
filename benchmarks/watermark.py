"""What does the watermark survive, how faint is it, and is it found where it is not?

    python benchmarks/watermark.py [--sides 64 128 256 512] [--count 20] [--pictures FOLDER] [--keys 50]

Each line is a side and a kind of picture, with the share of marked pictures whose payload is read back after each
change. The kinds: "photo" has the spectrum of photographs, "drawing" is shapes in black and white, and "yours" are the
pictures of a folder. Unmarked pictures are read with many keys.
"""

import argparse
import io
import random
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from sfumato.data.pictures import SUFFIXES, open_picture
from sfumato.pipelines.marks.watermark import Watermark, find_watermark, psnr, watermarked


def photo(side: int, seed: int) -> Image.Image:
    """Amplitudes that fall as 1 / frequency, as those of photographs do (van der Schaaf and van Hateren 1996)."""
    rows = np.fft.fftfreq(side)
    squares = rows[:, None] ** 2 + rows[None] ** 2
    squares[0, 0] = 1
    noise = np.random.default_rng(seed).standard_normal((3, side, side))
    light = np.fft.ifft2(np.fft.fft2(noise) / np.sqrt(squares)).real
    return Image.fromarray(np.clip(light / light.std() * 50 + 128, 0, 255).astype(np.uint8).transpose(1, 2, 0))


def drawing(side: int, seed: int) -> Image.Image:
    """Three shapes in black and white."""
    chance, picture = random.Random(seed), Image.new("RGB", (side, side), "white" if seed % 2 else "black")
    draw = ImageDraw.Draw(picture)
    for colour in ("black", "white", "black" if seed % 2 else "white"):
        left, top = chance.randrange(side // 2), chance.randrange(side // 2)
        draw.ellipse((left, top, left + chance.randrange(side // 8, side // 2), top + side // 3), fill=colour)
    return picture


def jpeg(picture: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(io.BytesIO(file.getvalue()))


def webp(picture: Image.Image) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "WEBP", quality=75)
    return Image.open(io.BytesIO(file.getvalue()))


def resized(picture: Image.Image, factor: float, how=Image.Resampling.BICUBIC) -> Image.Image:
    return picture.resize((round(picture.width * factor), round(picture.height * factor)), how)


def cropped(picture: Image.Image, share: float) -> Image.Image:
    edge = max(1, round(picture.width * share))
    return picture.crop((edge, edge, picture.width, picture.height))


CHANGES = {
    "none": lambda picture: picture,
    "jpeg 90": lambda picture: jpeg(picture, 90),
    "jpeg 75": lambda picture: jpeg(picture, 75),
    "jpeg 50": lambda picture: jpeg(picture, 50),
    "webp 75": webp,
    "x 0.5": lambda picture: resized(picture, 0.5),
    "x 0.5 bilinear": lambda picture: resized(picture, 0.5, Image.Resampling.BILINEAR),
    "x 0.7": lambda picture: resized(picture, 0.7),
    "x 2": lambda picture: resized(picture, 2),
    "x 0.5, jpeg 75": lambda picture: jpeg(resized(picture, 0.5), 75),
    "blur 1": lambda picture: picture.filter(ImageFilter.GaussianBlur(1)),
    "contrast 1.1": lambda picture: ImageEnhance.Contrast(picture).enhance(1.1),
    "crop 1 %": lambda picture: cropped(picture, 0.01),
    "crop 5 %": lambda picture: cropped(picture, 0.05),
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--sides", type=int, nargs="+", default=[64, 128, 256, 512])
    arguments.add_argument("--count", type=int, default=20)
    arguments.add_argument("--pictures", type=Path)
    arguments.add_argument("--keys", type=int, default=50)
    given = arguments.parse_args()

    kinds = {"photo": photo, "drawing": drawing}
    if given.pictures:
        files = sorted(path for path in given.pictures.rglob("*") if path.suffix.lower() in SUFFIXES)[: given.count]
        kinds["yours"] = lambda side, seed: open_picture(files[seed % len(files)]).resize((side, side))
    print("| side | kind | least PSNR, dB |", " | ".join(CHANGES), "|")
    print("|" + " --- |" * (3 + len(CHANGES)))
    wrong = looked = 0
    for side in given.sides:
        for kind, make in kinds.items():
            read, faintness = dict.fromkeys(CHANGES, 0), []
            for seed in range(given.count):
                before, payload = make(side, seed), random.Random(seed).getrandbits(32)
                after = watermarked(before, Watermark(payload))
                faintness.append(psnr(*(np.asarray(picture, np.float32) for picture in (before, after))))
                for name, change in CHANGES.items():
                    found = find_watermark(change(after))
                    read[name] += found is not None and found.payload == payload
                    wrong += found is not None and found.payload != payload
                for key in range(given.keys):
                    looked += 1
                    wrong += find_watermark(before, f"key {key}") is not None
            shares = " | ".join(f"{count / given.count:.0%}" for count in read.values())
            print(f"| {side} | {kind} | {min(faintness):.1f} | {shares} |", flush=True)
    print(f"\n{looked:,} readings of unmarked pictures; marks that are not there, or not as written: {wrong}")


if __name__ == "__main__":
    main()
