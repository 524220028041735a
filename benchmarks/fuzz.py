"""Does any file, however broken or mean, do more than be refused?

    python benchmarks/fuzz.py [--count 10000] [--workers 2] [--seed 0]

Tiny model folders, single files and what is attached to models (LoRA, embeddings, IP-Adapters, ControlNets, tokenizers)
are changed at random: bytes, lengths, headers, configurations, names, numbers, links. Each must load or be refused with
a SfumatoError, within five seconds, and without more memory than twice its files and a constant.
Loading runs in processes of its own, so that a crash or a hang is seen and counted, and named by its seed:

    python benchmarks/fuzz.py --only 4711 --keep folder      # makes that one again and shows what happens
"""

import argparse
import faulthandler
import json
import random
import re
import resource
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from mutations import make, mutate
from strangers import make_attached, make_single, open_attached, open_single

SECONDS = 5.0
MEMORY = 64 * 2**20  # bytes, beside twice the files: what reading the small files takes
CEILING = 4 * 2**30  # bytes, where the system steps in


def open_model(folder: Path) -> None:
    from sfumato.pipelines.facts import facts
    from sfumato.pipelines.model import load

    load(folder)
    facts(folder)


BASES: dict[str, tuple[Callable[[Path], None], Callable[[Path], None]]] = {
    "odd": (partial(make, odd=True), open_model),
    "plain": (partial(make, odd=False), open_model),
    "single": (make_single, open_single),
    "attached": (make_attached, open_attached),
}
"""How each folder that is changed is made, and opened."""


class Outcome(NamedTuple):
    """What came of a changed folder; `verdict` is "loaded", "refused" or what should not be."""

    verdict: str
    what: str
    seconds: float = 0.0
    bytes: int = 0  # of memory, beyond that before


def status(name: str) -> int:
    return int(re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024  # type: ignore[index]


def tried(folder: Path, base: str) -> Outcome:
    """Open a folder, watching time and memory."""
    from sfumato.errors import SfumatoError

    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    before, began, what = status("VmRSS"), time.perf_counter(), ""
    try:
        BASES[base][1](folder)
        verdict = "loaded"
    except SfumatoError as error:
        verdict, what = "refused", str(error)
    except BaseException as error:
        verdict, what = f"raised {type(error).__name__}", repr(error)
    seconds, used = time.perf_counter() - began, status("VmHWM") - before
    if seconds > SECONDS:
        verdict, what = "took too long", f"{seconds:.1f} s, {verdict}: {what}"
    elif used > 2 * size + MEMORY:
        verdict, what = "took too much memory", f"{used >> 20} MB for {size >> 20} MB, {verdict}: {what}"
    return Outcome(verdict, what.encode(errors="replace").decode()[:500], seconds, used)


def work(bases: Path) -> None:
    """Try the seeds that come in, a line each; answer with a line each."""
    resource.setrlimit(resource.RLIMIT_DATA, (CEILING, CEILING))
    for base in sorted(bases.iterdir()):
        tried(base, base.name)  # what is imported and kept from then on is not of any file
        assert tried(base, base.name).verdict == "loaded", tried(base, base.name)
    print("ready", flush=True)
    for line in sys.stdin:
        with tempfile.TemporaryDirectory(dir=bases.parent) as place:
            folder, seed = Path(place) / "model", int(line)
            base, how = prepared(bases, folder, seed)
            faulthandler.dump_traceback_later(SECONDS)  # what hangs leaves its trace
            print(json.dumps([*tried(folder, base), f"{base}/{how}"]), flush=True)
            faulthandler.cancel_dump_traceback_later()


def prepared(bases: Path, folder: Path, seed: int) -> tuple[str, str]:
    """Make the folder of a seed; gives of which base it is and how it was changed."""
    chance = random.Random(seed)
    base = chance.choice(sorted(bases.iterdir()))
    shutil.copytree(base, folder)
    return base.name, mutate(folder, chance)


class Worker:
    """A process that tries one seed at a time, and is replaced when it dies or hangs."""

    def __init__(self, bases: Path):
        self.bases = bases
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-W", "ignore", __file__, "--work", str(self.bases)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def ask(self, seed: int) -> None:
        self.process.stdin.write(f"{seed}\n")
        self.process.stdin.flush()
        self.seed, self.asked = seed, time.monotonic()

    def answer(self) -> tuple[Outcome, str] | None:
        """What came of the seed and how it was changed; None as long as that is open."""
        line = self.process.stdout.readline() if select.select([self.process.stdout], [], [], 0.01)[0] else None
        if line:
            *outcome, how = json.loads(line)
            return Outcome(*outcome), how
        if line is None and time.monotonic() - self.asked < SECONDS + 5:
            return None
        verdict = "hung" if line is None else "crashed"
        self.process.kill()
        outcome = Outcome(verdict, f"exit {self.process.wait()}", time.monotonic() - self.asked)
        self.close()
        self.start()
        return outcome, "see --only"

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


def run(count: int, workers: int = 1, seed: int = 0, show: Callable[[str], None] = lambda line: None) -> Counter[str]:
    """Try that many changes; gives how many came to what, and shows each that came to what should not be."""
    verdicts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as place:
        for name, (made, _) in BASES.items():
            made(Path(place) / "bases" / name)
        seeds, team = iter(range(seed, seed + count)), [Worker(Path(place) / "bases") for _ in range(workers)]
        slowest, largest = 0.0, 0
        stalled: set[int] = set()
        try:
            busy = [worker for worker, each in zip(team, seeds, strict=False) if worker.ask(each) or True]
            while busy:
                for worker in list(busy):
                    if (answer := worker.answer()) is None:
                        continue
                    outcome, how = answer
                    if outcome.verdict in ("hung", "took too long") and worker.seed not in stalled:
                        stalled.add(worker.seed)  # a busy machine may do that to anything; twice it is the file
                        worker.ask(worker.seed)
                        continue
                    verdicts[outcome.verdict] += 1
                    slowest, largest = max(slowest, outcome.seconds), max(largest, outcome.bytes)
                    if outcome.verdict not in ("loaded", "refused"):
                        show(f"seed {worker.seed} {outcome.verdict}: {outcome.what}  [{how}]")
                    if (following := next(seeds, None)) is None:
                        busy.remove(worker)
                    else:
                        worker.ask(following)
        finally:
            for worker in team:
                worker.close()
    show(f"{count} changes: {dict(verdicts)}; slowest {slowest:.2f} s, most memory {largest / 2**20:.0f} MB")
    return verdicts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="make the folder of one seed, under --keep, and load it")
    parser.add_argument("--keep", type=Path, default=Path("fuzzed"))
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    settings = parser.parse_args()
    if settings.work:
        work(settings.work)
    elif settings.only is not None:
        for name, (made, _) in BASES.items():
            made(settings.keep / "bases" / name)
        base, how = prepared(settings.keep / "bases", settings.keep / "model", settings.only)
        print(f"{base}/{how}")
        BASES[base][1](settings.keep / "model")
    else:
        began = time.monotonic()
        verdicts = run(settings.count, settings.workers, settings.seed, partial(print, flush=True))
        print(f"{time.monotonic() - began:.0f} s")
        sys.exit(bool(set(verdicts) - {"loaded", "refused"}))


if __name__ == "__main__":
    main()
