"""How fast are pictures served: with passes shared step by step, one by one, and with whole requests together?

    python benchmarks/serving.py [--model scenes] [--requests 256] [--steps 10 40] [--load 0.8] [--device auto] [--http]
    python benchmarks/serving.py --table        how many rows a second, by the rows of a pass and the passes at a time

Clients ask for pictures of different prompts, seeds and numbers of steps. Three servers get the same requests, in one
process and one run:

- `one by one`: `pipeline(...)` for each, in the order in which they came;
- `whole requests`: whatever waits with the same settings as the oldest is one batch, which is made to its end;
- `steps`: the engine of `sfumato serve`, with its store on the disk; with --http the server itself, over HTTP.

First all requests are there at once, and pictures a second are counted. Then they come at random moments (a Poisson
process), at `--load` times the rate that one by one had; the seconds from asking to the picture are told. Each server
writes each picture to the disk. Every picture is compared with the one that was made alone: how many of 255 its worst
number is away, and whether any is missing.
"""

import argparse
import random
import statistics
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from sfumato.devices import choose_device, on_threads
from sfumato.pipelines.keepsake import save_picture
from sfumato.pipelines.request import Request
from sfumato.pipelines.text_to_image import Pipeline, PromptWarning
from sfumato.server.batching.sharing import Sharing
from sfumato.server.engine import Engine
from sfumato.server.limits import Limits
from sfumato.server.models import Models
from sfumato.server.store import Store

THINGS = ("a cat", "two dogs", "a red car", "a cactus", "a rocket", "three apples", "a guitar", "a blue star")
NO_LIMITS = Limits(queue=10**6, each_owner=10**6, a_minute=10**6, seconds=10**6)


class Asked(NamedTuple):
    """A request, who asks, and when, in seconds from the start."""

    client: str
    request: Request
    at: float


class Made(NamedTuple):
    """The pictures of all requests, in order, and when each was there."""

    pictures: list[Image.Image]
    ended: list[float]


Server = Callable[[Sequence[Asked], Path], Made]


# --- servers ----------------------------------------------------------------------------------------------------------


class Line:
    """Requests as they come in."""

    def __init__(self, asked: Sequence[Asked]) -> None:
        self.left, self.began = sorted(enumerate(asked), key=lambda one: one[1].at), time.perf_counter()

    def take(self, most: int, alike: Callable[[Request, Request], bool]) -> list[tuple[int, Asked]]:
        """The oldest that waits, once there is one, and others that are like it; none when there are no more."""
        if not self.left:
            return []
        time.sleep(max(0.0, self.left[0][1].at - self.now()))
        there = [one for one in self.left if one[1].at <= self.now()]
        some = [one for one in there if alike(one[1].request, there[0][1].request)][:most]
        self.left = [one for one in self.left if one not in some]
        return some

    def now(self) -> float:
        return time.perf_counter() - self.began


def in_batches(pipeline: Pipeline, most: int, threads: int) -> Server:
    """Whole requests, at most so many together; 1 is one by one."""
    together = Pipeline(pipeline.model, pictures_a_pass=most)

    def alike(one: Request, other: Request) -> bool:
        return replace(one, prompt=other.prompt, seed=other.seed) == other

    def serve(asked: Sequence[Asked], folder: Path) -> Made:
        line, pictures, ended = Line(asked), [None] * len(asked), [0.0] * len(asked)
        while some := line.take(most, alike):
            with on_threads(threads):
                for step in together.run([one.request for _, one in some]):
                    last = step
            for (number, one), picture in zip(some, last.pictures(), strict=True):
                save_picture(picture, folder / f"{number}.png", together.recipe(one.request))
                pictures[number], ended[number] = picture, line.now()
        return Made(pictures, ended)

    return serve


class Timed(Store):
    """A store that remembers when each job's picture was kept."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.kept_at: dict[str, float] = {}

    def keep(self, id: str, picture: int, image: Image.Image, recipe: Mapping[str, Any]) -> Path:
        path = super().keep(id, picture, image, recipe)
        self.kept_at[id] = time.perf_counter()
        return path


def by_steps(pipeline: Pipeline, sharing: Sharing | None) -> Server:
    """The engine, in this process."""

    def serve(asked: Sequence[Asked], folder: Path) -> Made:
        with Timed(folder) as store:
            engine = Engine(offered(pipeline), store, NO_LIMITS, sharing)
            engine.start()
            jobs, began = [""] * len(asked), time.perf_counter()
            for number, one in sorted(enumerate(asked), key=lambda one: one[1].at):
                time.sleep(max(0.0, one.at - (time.perf_counter() - began)))
                jobs[number] = engine.submit(one.client, "model", one.request).id
            while engine.busy().jobs:
                time.sleep(0.05)
            tell(engine)
            engine.stop()
            pictures = [loaded(store.path(job, 0).read_bytes()) for job in jobs]
            return Made(pictures, [store.kept_at[job] - began for job in jobs])

    return serve


def over_http(pipeline: Pipeline, sharing: Sharing | None) -> Server:
    """The engine behind the server, which clients ask by OpenAI's interface."""
    import base64

    import httpx
    import uvicorn

    from sfumato.server.app import create_app
    from sfumato.server.listening import configured
    from sfumato.server.settings import Settings

    def serve(asked: Sequence[Asked], folder: Path) -> Made:
        with Store(folder) as store:
            engine = Engine(offered(pipeline), store, NO_LIMITS, sharing)
            settings = Settings(folder, port=0, wait=10**6)
            server = uvicorn.Server(configured(create_app(engine, settings), settings))
            thread = threading.Thread(target=server.run)
            thread.start()
            while not server.started:
                time.sleep(0.01)
            port = server.servers[0].sockets[0].getsockname()[1]
            began = time.perf_counter()

            def ask(one: Asked) -> tuple[Image.Image, float]:
                time.sleep(max(0.0, one.at - (time.perf_counter() - began)))
                body = {"prompt": one.request.prompt, "seed": one.request.seed, "response_format": "b64_json"}
                body |= {"steps": one.request.num_inference_steps}
                answer = client.post(f"http://127.0.0.1:{port}/v1/images/generations", json=body, timeout=None)
                answer.raise_for_status()
                return loaded(base64.b64decode(answer.json()["data"][0]["b64_json"])), time.perf_counter() - began

            with httpx.Client() as client, ThreadPoolExecutor(len(asked)) as clients:
                pictures, ended = zip(*clients.map(ask, asked), strict=True)
            tell(engine)
            server.should_exit = True
            thread.join()
            return Made(list(pictures), list(ended))

    return serve


def offered(pipeline: Pipeline) -> Models:
    return Models({"model": ""}, pipeline.model.device.type, load=lambda _: pipeline)


def loaded(content: bytes) -> Image.Image:
    picture = Image.open(BytesIO(content))
    picture.load()
    return picture


def tell(engine: Engine) -> None:
    busy = engine.busy()
    print(f"    {busy.passes} passes for {busy.calls} calls, {busy.rows / busy.passes:.1f} rows each; {engine.sharing}")


# --- what is asked, and what came of it -------------------------------------------------------------------------------


def requests(pipeline: Pipeline, count: int, clients: int, steps: tuple[int, int], seed: int = 0) -> list[Asked]:
    """All at once, by clients at random."""
    chance = random.Random(seed)
    asked = []
    for number in range(count):
        thing = f"{chance.choice(THINGS)} and {chance.choice(THINGS)}"
        (request,) = pipeline.requests(thing, seed=number, num_inference_steps=chance.randint(*steps))
        asked.append(Asked(f"client {chance.randrange(clients)}", request, 0.0))
    return asked


def coming(asked: Sequence[Asked], rate: float, seed: int = 1) -> list[Asked]:
    """The same, one after another, so many a second on average."""
    chance, at, spread = random.Random(seed), 0.0, []
    for one in asked:
        at += chance.expovariate(rate)
        spread.append(one._replace(at=at))
    return spread


def apart(made: Made, alone: Made) -> int:
    """How far the worst number of any picture is from that of the one made alone, of 255."""
    pairs = zip(made.pictures, alone.pictures, strict=True)
    return max(int(np.abs(np.asarray(a).astype(int) - np.asarray(b).astype(int)).max()) for a, b in pairs)


def run(server: Server, asked: Sequence[Asked]) -> Made:
    """In a thread of its own, so that none is slowed by the threads of the processor that another one had."""
    with tempfile.TemporaryDirectory() as place, ThreadPoolExecutor(1) as alone:
        return alone.submit(server, asked, Path(place)).result()


def compare(servers: dict[str, Server], asked: Sequence[Asked], load: float) -> None:
    print("All at once")
    whole = {name: run(server, asked) for name, server in servers.items()}
    alone = whole["one by one"]
    rates = {name: len(asked) / max(made.ended) for name, made in whole.items()}
    for name, made in whole.items():
        ratio = rates[name] / rates["one by one"]
        print(
            f"  {name:<16}{rates[name]:8.3f} pictures/s   x {ratio:.2f}   {apart(made, alone)} of 255 apart", flush=True
        )
    rate = load * rates["one by one"]
    spread = coming(asked, rate)
    print(f"At {load:.0%} of what one by one can do: {rate:.3f} requests/s")
    for name, server in servers.items():
        made = run(server, spread)
        times = sorted(end - one.at for end, one in zip(made.ended, spread, strict=True))
        p95 = times[min(len(times) - 1, int(0.95 * len(times)))]
        print(
            f"  {name:<16}p50 {statistics.median(times):7.2f} s   p95 {p95:7.2f} s   worst {times[-1]:7.2f} s"
            f"   {apart(made, alone)} of 255 apart",
            flush=True,
        )


def table(pipeline: Pipeline, threads: int) -> None:
    """Rows a second that the denoiser looks at, by the rows of a pass and the passes that are made at a time."""
    (request,) = pipeline.requests("a cat", seed=0, num_inference_steps=1)
    calls = []
    for part in (pipeline.model.unet,):
        watched = part.register_forward_pre_hook(lambda _, given, named: calls.append((given, named)), with_kwargs=True)
        list(pipeline.run([request]))
        watched.remove()
    given, named = calls[0]

    def many(value: object, rows: int) -> object:
        return torch.cat([value[:1]] * rows) if isinstance(value, torch.Tensor) else value

    def rate(workers: int, rows: int) -> float:
        args = [many(value, rows) for value in given]
        kwargs = {name: many(value, rows) for name, value in named.items()}

        def look(_: int) -> None:
            torch.set_num_threads(max(1, threads // workers))
            with torch.inference_mode():
                for _ in range(passes):
                    pipeline.model.unet(*args, **kwargs)
            if pipeline.model.device.type == "cuda":
                torch.cuda.synchronize()

        passes = 2
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(look, range(workers)))
            passes, began = max(3, 96 // rows), time.perf_counter()
            list(pool.map(look, range(workers)))
            return workers * passes * rows / (time.perf_counter() - began)

    workers = sorted({1, 2, threads})
    print(f"rows/s, {threads} threads in all\n{'rows a pass':<14}" + "".join(f"{n:>4} at a time" for n in workers))
    for rows in (1, 2, 4, 8, 16, 32):
        print(f"{rows:<14}" + "".join(f"{rate(each, rows):>14.1f}" for each in workers), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="scenes")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--requests", type=int, default=256)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--steps", type=int, nargs=2, default=[10, 40], metavar=("LEAST", "MOST"))
    parser.add_argument("--load", type=float, default=0.8, help="of what one by one can do")
    parser.add_argument("--group", type=int, default=16, help="whole requests in one batch, at most")
    parser.add_argument("--http", action="store_true", help="the server too, over HTTP")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    for name in ("rows", "seats", "workers"):
        parser.add_argument(f"--{name}", type=int, help="of the engine; as it chooses itself by default")
    parser.add_argument("--table", action="store_true")
    told = parser.parse_args()
    torch.set_num_threads(told.threads)
    device = choose_device(told.device)
    with on_threads(1):
        pipeline = Pipeline.load(told.model, told.device)
    warnings.simplefilter("ignore", PromptWarning)  # words that a model does not know cost the same
    if told.table:
        table(pipeline, told.threads)
        return
    chosen = {name: getattr(told, name) for name in ("rows", "seats", "workers") if getattr(told, name)}
    sharing = replace(Sharing.on(device), **chosen)
    servers = {
        "one by one": in_batches(pipeline, 1, told.threads),
        "whole requests": in_batches(pipeline, told.group, told.threads),
        "steps": by_steps(pipeline, sharing),
        **({"steps, HTTP": over_http(pipeline, sharing)} if told.http else {}),
    }
    asked = requests(pipeline, told.requests, told.clients, (told.steps[0], told.steps[1]))
    run(servers["one by one"], asked[:1])  # once before it counts
    steps = f"{told.steps[0]} to {told.steps[1]} steps"
    print(f"{len(asked)} requests of {told.clients} clients, {steps}, {told.model} on {device}")
    compare(servers, asked, told.load)


if __name__ == "__main__":
    main()
