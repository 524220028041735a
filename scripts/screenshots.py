"""The pictures of the studio and of X-ray pages in the documentation, taken anew from the default model.

    python scripts/screenshots.py [--out docs] [NAME ...]

A NAME such as studio-edit takes that picture alone. A studio is started in a temporary folder, at a free port of this
machine, and driven by Playwright in the Chromium that is installed. All of them take some minutes on a processor, since
a training is begun and watched as well.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Locator, Page, sync_playwright

RACCOON, CAR = "a raccoon wearing a top hat", "a red car on a meadow"
APPLE, FOX = "a red apple on a meadow", "a fox on a beach"
BEFORE = ((APPLE, 6), (FOX, 3))  # made before the page is looked at: prompts and seeds
TOGETHER = ("a red apple and a blue cat", 3)  # on the X-ray page that stands alone

MARGIN = 16  # pixels above what comes first, and below what comes last
PATIENCE = 240_000  # milliseconds
LARGEST, COLOURS = 250_000, 256  # bytes of a picture, and how many colours a larger one keeps
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run"]
FLAGS += [f"--disable-{name}" for name in ("quic", "background-networking", "component-update", "sync")]
SETTLED = """() => [...document.images].every(image => image.complete)
    && !document.querySelector('[class*=-enter-active], [class*=-enter-from]')"""
EMERGING = """() => document.querySelectorAll('.tile img[src]').length === 4
    && document.querySelector('.told').textContent.includes('Emerging, 75 %')"""  # the last ones too
WELL_BEGUN = re.compile(r"step ([4-9]\d|\d{3,}) of")  # there is a curve
WORDS = "What the picture shows"


class Camera:
    """Opens pages of a studio, and keeps pictures of them in a folder.

    Args:
        browser: Chromium.
        address: of the studio.
        folder: where pictures that a page needs may lie.
        out: where the pictures of pages go.
    """

    def __init__(self, browser: Browser, address: str, folder: Path, out: Path) -> None:
        self._browser, self._address, self.folder, self._out = browser, address, folder, out

    @contextmanager
    def page(self, address: str, width: int, height: int, scheme: str = "light") -> Iterator[Page]:
        """A page at a full address or one of the studio's, in a window of so many pixels."""
        size = {"width": width, "height": height}
        context = self._browser.new_context(base_url=self._address, viewport=size, color_scheme=scheme)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(address)
        yield page
        context.close()

    def keep(self, page: Page, name: str, last: Locator | None = None, *, settled: bool = True) -> None:
        """Keep what the window shows, or the whole page down to what is `last`; at once if it need not have settled."""
        if settled:
            page.wait_for_function(SETTLED)
        shot = page.screenshot(full_page=last is not None, animations="disabled")
        taken = Image.open(io.BytesIO(shot)).convert("RGB")
        if last and (box := last.bounding_box()):
            end = round(box["y"] + box["height"] + page.evaluate("scrollY")) + MARGIN
            taken = taken.crop((0, 0, taken.width, min(end, taken.height)))
        small(taken, self._out / f"{name}.png")
        print(f"{name}: {taken.width} x {taken.height}", flush=True)


def emerging(camera: Camera) -> None:
    """Four pictures halfway between noise and what they show."""
    with camera.page("/", 1000, 860) as page:
        make(page, RACCOON, 1, count=4)
        page.wait_for_function(EMERGING)
        camera.keep(page, "studio-create", settled=False)
        page.get_by_text("4 pictures finished.").wait_for()


def refined(camera: Camera) -> None:
    """Variations of two of four pictures, two of which are picked again."""
    with camera.page("/", 1000, 740) as page:
        make(page, CAR, 5, count=4)
        pick(page, 0, 1)
        page.get_by_label("How different variations are").fill("0.2")
        page.get_by_role("button", name="Refine the 2 picked").click()
        page.get_by_role("button", name="Cancel").wait_for()
        pick(page, 1, 2)
        scroll_to(page.locator(".tiles"))
        camera.keep(page, "studio-refine")


def opened(camera: Camera) -> None:
    """One picture of the history and how it was made, in the dark."""
    with camera.page("/", 1000, 640, "dark") as page:
        page.locator(".thumb", has=page.get_by_alt_text(FOX)).first.click()
        page.get_by_role("heading", name=FOX).wait_for()
        camera.keep(page, "studio-picture")


def edited(camera: Camera) -> None:
    """An apple that was painted over and became something else."""
    with camera.page("/", 1000, 860) as page:
        make(page, APPLE, 1)
        made = page.get_by_role("region", name="What is being made").get_by_role("link", name="Edit")
        address = str(made.get_attribute("href"))
    with camera.page(address, 840, 600) as page:
        page.get_by_role("radio", name="A part of it").check()
        page.get_by_label("Brush").fill("18")
        paint(page)
        make(page, "a fox on a meadow", 1)
        go_on = page.get_by_role("button", name="Go on with this one")
        go_on.wait_for()
        camera.keep(page, "studio-edit", last=go_on)


def looked_into(camera: Camera) -> None:
    """The page X-ray, with a word that is lit."""
    with camera.page("/xray", 1100, 900) as page:
        page.get_by_label(WORDS).fill(FOX)
        page.get_by_role("button", name="More", exact=True).click()
        page.get_by_label("Seed", exact=True).fill("3")
        page.get_by_role("button", name="Look inside").click()
        inside = page.frame_locator("iframe")
        inside.locator("button.word", has_text="fox").click()
        inside.get_by_text("“fox” acts").wait_for()
        scroll_to(page.get_by_role("link", name="Download"))
        camera.keep(page, "studio-xray")


def trained(camera: Camera) -> None:
    """A training of the digits, under way."""
    with camera.page("/train", 1180, 860) as page:
        page.get_by_role("combobox", name="Size of the networks").click()
        page.get_by_role("option", name="tiny").click()
        page.get_by_label("Time, such as 10m or 2h").fill("10m")
        page.get_by_label("Name of the model").fill("my-digits")
        page.get_by_role("button", name="Start").click()
        page.get_by_alt_text("What autoencoder could do").wait_for()
        page.locator(".stage", has_text="clip").get_by_text(WELL_BEGUN).wait_for()
        camera.keep(page, "studio-train")
        page.get_by_role("button", name="Stop").click()
        page.get_by_text("It stands still").wait_for()


def words_lit(camera: Camera) -> None:
    """The top of an X-ray page, where one word is lit and the slider stands in the middle of the way."""
    with camera.page(xray_page(camera.folder), 1100, 1270) as page:
        step_to(page, 6)
        page.locator("button.word", has_text="apple").click()
        page.get_by_text("“apple” acts").wait_for()
        page.mouse.move(1, 1)
        camera.keep(page, "xray-words")


def effects(camera: Camera) -> None:
    """The same page further down: what words do, and the curves."""
    with camera.page(xray_page(camera.folder), 1100, 1110, "dark") as page:
        step_to(page, 6)
        scroll_to(page.get_by_role("heading", name="Word by word"))
        camera.keep(page, "xray-effects")


PICTURES: dict[str, Callable[[Camera], None]] = {
    "studio-create": emerging,
    "studio-refine": refined,
    "studio-picture": opened,
    "studio-edit": edited,
    "studio-xray": looked_into,
    "studio-train": trained,
    "xray-words": words_lit,
    "xray-effects": effects,
}


def small(picture: Image.Image, path: Path) -> None:
    """Write a PNG file, in few colours where it would be large."""
    picture.save(path, optimize=True)
    if path.stat().st_size > LARGEST:
        picture.quantize(COLOURS, kmeans=COLOURS).save(path, optimize=True)


def make(page: Page, prompt: str, seed: int, count: int = 1) -> None:
    """Ask for pictures; the fields for seed and number are folded away again."""
    page.get_by_label(WORDS).fill(prompt)
    more = page.get_by_role("button", name="More", exact=True)
    more.click()
    page.get_by_label("Seed", exact=True).fill(str(seed))
    if count > 1:
        page.get_by_label("Pictures", exact=True).fill(str(count))
    more.click()
    page.get_by_label(WORDS).press("Enter")


def fill_history(camera: Camera) -> None:
    for prompt, seed in BEFORE:
        with camera.page("/", 1000, 860) as page:
            make(page, prompt, seed)
            page.get_by_text("Finished.").wait_for()


def pick(page: Page, *places: int) -> None:
    """Tick finished pictures of a round, once all are there."""
    page.get_by_text("4 pictures finished.").wait_for()
    for place in places:
        page.get_by_role("checkbox", name="pick").nth(place).click()


def paint(page: Page) -> None:
    """Paint over the apple, from row to row."""
    page.get_by_text("Paint over what is to change.").wait_for()
    box = page.locator(".easel canvas").bounding_box()
    left, right, rows = 0.44, 0.84, (0.34, 0.46, 0.58, 0.7, 0.78)
    for row in rows:
        page.mouse.move(box["x"] + left * box["width"], box["y"] + row * box["height"])
        page.mouse.down()
        page.mouse.move(box["x"] + right * box["width"], box["y"] + row * box["height"], steps=8)
        page.mouse.up()
    page.get_by_text("of the picture is to change.").wait_for()


def scroll_to(first: Locator) -> None:
    """Until it stands at the top of the window."""
    first.evaluate("(element, margin) => scrollTo(0, element.getBoundingClientRect().top + scrollY - margin)", MARGIN)


def step_to(page: Page, number: int) -> None:
    page.get_by_role("slider", name="Step").fill(str(number))


def xray_page(folder: Path) -> str:
    """The address of a page about two things, which is written once."""
    page = folder / "xray.html"
    if not page.exists():
        asked = [TOGETHER[0], "--seed", str(TOGETHER[1]), "--instead", "cat=dog", "--out", str(page)]
        asked += [part for word in ("red", "apple", "blue") for part in ("--without", word)]
        subprocess.run([sys.executable, "-m", "sfumato", "xray", *asked], check=True, stdout=subprocess.DEVNULL)
    return page.as_uri()


@contextmanager
def studio(folder: Path) -> Iterator[str]:
    """The address of a studio whose store, models and data are in a folder."""
    command = [sys.executable, "-m", "sfumato", "studio", "--no-browser", "--port", "0", "--data", str(folder)]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        yield address_in(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(60)


def address_in(line: str) -> str:
    """The address that a starting studio says; RuntimeError where it says something else."""
    found = next((word for word in line.split() if word.startswith("http://")), "")
    if not found:
        raise RuntimeError(f"The studio did not start: {line}")
    return found.rstrip("/.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PICTURES))
    parser.add_argument("--out", type=Path, default=Path("docs"))
    given = parser.parse_args()
    if unknown := set(given.names) - set(PICTURES):
        parser.error(f"no picture is called {', '.join(sorted(unknown))}; there are {', '.join(PICTURES)}")
    with tempfile.TemporaryDirectory() as made, studio(Path(made)) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        camera = Camera(browser, address, Path(made), given.out)
        fill_history(camera)
        for name in given.names or PICTURES:
            PICTURES[name](camera)
        browser.close()


if __name__ == "__main__":
    main()
