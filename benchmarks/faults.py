"""Does a server lose or double anything that it accepted, when it is killed while it works, again and again?

    python benchmarks/faults.py [--kills 20] [--jobs 12] [--folder FOLDER]

Each life of the server is `sfumato serve` on the digits; jobs are sent over HTTP until it is killed (kill -9) at any
moment. In the end every job that was accepted must be done, once, and each of its pictures equal to the one that is
made alone; no picture that was kept may have been made again.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from faults import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=12, help="accepted in each life at most")
    parser.add_argument("--folder", type=Path, help="where the store is made; a temporary one by default")
    given = parser.parse_args()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        run(Path(folder), given.kills, given.jobs)
    print(f"in {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
