"""How long a person waits for the studio: from `sfumato studio` typed to the first picture that emerges in the browser.

    python benchmarks/first_preview.py [--model scenes] [--repeats 3] [--threads 2] [--at-most 15]

Each time a fresh process, a fresh store and a fresh browser (Chromium by Playwright, which must be installed). The
words are typed as soon as there is a field for them. Told are the moments, in seconds from the start: the server
answers, the page can be typed into, the first preview is on the page, the picture is finished. Ends with 1 if the
median of the previews comes later than `--at-most`.
"""

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

PROMPT = "a red cat beside a blue box"
PATIENCE = 300_000  # milliseconds
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run"]
FLAGS += [f"--disable-{name}" for name in ("quic", "background-networking", "component-update", "sync")]
MOMENTS = ("the server answers", "the page is there", "the first preview", "the finished picture")


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


def once(browser, model: str, threads: int) -> list[float]:
    """The moments of one start."""
    port, environment = free_port(), {**os.environ, "OMP_NUM_THREADS": str(threads)}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "sfumato", "studio", "--no-browser", "--model", model]
        began, moments = time.perf_counter(), []
        process = subprocess.Popen(
            [*command, "--port", str(port), "--store", folder],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        try:
            assert "127.0.0.1" in process.stdout.readline(), "the studio did not start"
            moments.append(time.perf_counter() - began)
            page = browser.new_context().new_page()
            page.set_default_timeout(PATIENCE)
            page.goto(f"http://127.0.0.1:{port}/")
            words = page.get_by_label("What the picture shows")
            words.wait_for()
            moments.append(time.perf_counter() - began)
            words.fill(PROMPT)
            words.press("Enter")
            page.locator(".tile img[src]").wait_for()
            moments.append(time.perf_counter() - began)
            page.get_by_text("Finished.").wait_for()
            moments.append(time.perf_counter() - began)
            page.context.close()
        finally:
            process.terminate()
            process.wait(60)
    return moments


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", default="scenes")
    arguments.add_argument("--repeats", type=int, default=3)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--at-most", type=float, default=15.0)
    given = arguments.parse_args()

    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        starts = [once(browser, given.model, given.threads) for _ in range(given.repeats)]
        browser.close()
    medians = [statistics.median(times) for times in zip(*starts, strict=True)]
    for moment, median, times in zip(MOMENTS, medians, zip(*starts, strict=True), strict=True):
        print(f"{moment:22} {median:6.1f} s   ({', '.join(f'{one:.1f}' for one in times)})")
    sys.exit(medians[2] > given.at_most)


if __name__ == "__main__":
    main()
