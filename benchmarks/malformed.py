"""Does the server answer whatever it is sent, in bounded memory?

    python benchmarks/malformed.py [--examples 150]

Requests are made from the server's own description, as it wants them and as it does not (schemathesis), and sent to a
process of its own that serves pictures of one colour. Each must be answered as the description says, none by a defect;
the server's memory is looked at before and after.
"""

import argparse
import sys
import tempfile
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from light_server import LightEngine, light_app, listening
from sfumato.server.limits import Limits
from sfumato.server.store import Store
from shaking import shake

LIMITS = Limits(pixels=256 * 256, steps=20, count=4, body=2**20)


def served(folder: Path, pipe) -> None:
    """Serve until something comes through the pipe."""
    with Store(folder / "store") as store, listening(light_app(LightEngine(store, LIMITS), folder, port=0)) as port:
        pipe.send(port)
        pipe.recv()


def memory(process: int) -> float:
    """What a process holds, in MB."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=150, help="of each kind, for each operation")
    examples = parser.parse_args().examples
    context = get_context("spawn")
    here, there = context.Pipe()
    with tempfile.TemporaryDirectory() as folder:
        process = context.Process(target=served, args=(Path(folder), there))
        process.start()
        address = f"http://127.0.0.1:{here.recv()}"
        with Store(Path(folder) / "described") as store:
            app = light_app(LightEngine(store, LIMITS), Path(folder))
            shake(app, address, max(1, examples // 10))
            before = memory(process.pid)
            sent, refused = shake(app, address, examples, number=1)
        after = memory(process.pid)
        here.send("enough")
        process.join()
    print(f"{sent} requests, {refused} refused, none unanswered; the server holds {before:.0f} MB, then {after:.0f} MB")


if __name__ == "__main__":
    main()
