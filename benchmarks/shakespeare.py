"""Does a language model of ours learn Shakespeare sooner than nanoGPT's?

    git clone https://github.com/karpathy/nanoGPT
    python benchmarks/shakespeare.py input.txt --nanogpt nanoGPT [--size small] [--steps 20] [--out FOLDER]

Both are trained on the first nine tenths of the text by commands of their own, one after the other: ours by the recipe
`gpt`, nanoGPT by its `train.py` with what its README documents, on a CPU at the size tiny and on a GPU at the size
small. Where the recipe reads fewer tokens than nanoGPT, ours is trained once more on as many.

The seconds are those of the whole command, which measures itself now and then and saves. The loss is of all the rest of
the text, read in the same pieces, in nats a character. Tokens per second are those of the middle step; their share is
of the rate at which this machine multiplies large matrices, counted as in PaLM (Chowdhery et al. 2022, appendix B).
nanoGPT keeps the weights that were best when it measured itself, ours are the last.
"""

import argparse
import json
import math
import os
import pickle
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from sfumato.checkpoints.folder import load_part
from sfumato.devices import choose_device, computes_bfloat16
from sfumato.training import recipe as recipes
from sfumato.training.recipe import Recipe
from sfumato.training.stages.language import mean_surprise

DATASET = "shakespeare_char"
NEEDED = ("train.py", "model.py", "configurator.py", f"config/train_{DATASET}.py")
DOCUMENTED = {
    "tiny": {
        "device": "cpu", "compile": False, "eval_iters": 20, "log_interval": 1, "block_size": 64, "batch_size": 12,
        "n_layer": 4, "n_head": 4, "n_embd": 128, "max_iters": 2000, "lr_decay_iters": 2000, "dropout": 0.0,
    },
    "small": {"block_size": 256, "batch_size": 64, "max_iters": 5000, "lr_decay_iters": 5000, "log_interval": 10},
}  # fmt: skip


class Row(NamedTuple):
    """One training."""

    who: str
    seconds: float
    loss: float
    steps: int
    tokens: int
    rate: float  # tokens a second
    parameters: int
    work: float  # floating-point operations a token


def main() -> None:
    given = asked()
    recipe = recipes.load("gpt", given.set, given.size)
    text = given.text.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as temporary:
        out = given.out or Path(temporary)
        if out.exists() and any(out.iterdir()):
            raise SystemExit(f"{out} is not empty: a training that goes on would seem quick.")
        documented = DOCUMENTED[given.size] | ({} if given.steps is None else limited(given.steps))
        rows = [train_nanogpt(given.nanogpt, text, documented, out / "nanogpt")] if given.nanogpt else []
        steps = min(given.steps or recipe.language.steps, recipe.language.steps)
        rows.append(train_ours("sfumato", given, recipe, steps, text, out))
        if rows[0].tokens > rows[-1].tokens:
            more = math.ceil(rows[0].tokens / (recipe.language.batch * recipe.language.block))
            rows.append(train_ours("sfumato, as many tokens", given, recipe, more, text, out))
    peak = matrix_rate(choose_device())
    print(f"{'':24}{'seconds':>9}{'loss':>9}{'steps':>8}{'tokens':>13}{'tokens/s':>11}{'share':>8}{'weights':>12}")
    for row in rows:
        counts = f"{row.steps:>8,}{row.tokens:>13,}{row.rate:>11,.0f}"
        share = row.rate * row.work / peak
        print(f"{row.who:24}{row.seconds:>9.1f}{row.loss:>9.4f}{counts}{share:>8.1%}{row.parameters:>12,}")
    print(f"{torch.get_num_threads()} threads, {peak / 1e12:.2f} TFLOP/s in matrix products, torch {torch.__version__}")


def asked() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("text", type=Path, help="Shakespeare's, as nanoGPT's prepare.py fetches it")
    arguments.add_argument("--nanogpt", type=Path, help="a clone of karpathy/nanoGPT; without it ours alone is trained")
    arguments.add_argument("--size", choices=sorted(DOCUMENTED), default="tiny")
    arguments.add_argument("--steps", type=int, help="of each at most, to try the script")
    arguments.add_argument("--set", action="append", default=[], help="a value over the recipe's: path.to.key=value")
    arguments.add_argument("--out", type=Path, help="where everything is kept")
    return arguments.parse_args()


# --- ours -------------------------------------------------------------------------------------------------------------


def train_ours(who: str, given: argparse.Namespace, recipe: Recipe, steps: int, text: str, out: Path) -> Row:
    folder = out / f"sfumato-{steps}"
    settings = [*given.set, f"language.steps={steps}"]
    if torch.cuda.is_available():
        settings.append("run.compile=true")
    sets = [part for setting in settings for part in ("--set", setting)]
    asked = ["train", str(given.text), "--recipe", "gpt", "--size", given.size, "--out", str(folder), *sets]
    seconds, _ = timed([sys.executable, "-m", "sfumato", *asked])
    lines = (folder / "run" / "language" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    plan, network = recipe.language, load_part(folder, "language_model", device=str(choose_device()))
    config, each = network.config, plan.batch * plan.block
    rates = [json.loads(line)["steps_per_second"] for line in lines]
    loss = validation_loss(network, network, text, plan.block)
    shape = (config.layers, config.width, plan.block)
    return told(who, seconds, loss, steps, each, statistics.median(rates), network, shape)


# --- nanoGPT ----------------------------------------------------------------------------------------------------------


def limited(steps: int) -> dict[str, Any]:
    """Settings for a short trial."""
    return {
        "max_iters": steps,
        "lr_decay_iters": steps,
        "eval_interval": max(1, steps // 2),
        "warmup_iters": steps // 4,
    }


def train_nanogpt(clone: Path, text: str, settings: dict[str, Any], place: Path) -> Row:
    """Train it in a copy of the few files it needs, so that the clone stays as it is."""
    for name in NEEDED:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clone / name, place / name)
    write_dataset(text, place / "data" / DATASET)
    arguments = [f"--{name}={value}" for name, value in settings.items()]
    command = [sys.executable, "train.py", f"config/train_{DATASET}.py", *arguments]
    seconds, said = timed(command, place)
    milliseconds = [float(number) for number in re.findall(r"iter \d+: .* time ([\d.]+)ms", said)]
    sys.path.insert(0, str(place))
    import model as theirs

    kept = torch.load(place / f"out-{DATASET.replace('_', '-')}" / "ckpt.pt", "cpu", weights_only=True)
    network = theirs.GPT(theirs.GPTConfig(**kept["model_args"]))
    network.load_state_dict({name.removeprefix("_orig_mod."): value for name, value in kept["model"].items()})
    network.to(choose_device()).eval()
    config, block = network.config, settings["block_size"]
    loss = validation_loss(network, lambda ids: network(ids, ids.contiguous())[0], text, block)
    each, steps = settings["batch_size"] * block, settings["max_iters"]
    shape = (config.n_layer, config.n_embd, block)
    return told("nanoGPT", seconds, loss, steps, each, 1000 / statistics.median(milliseconds), network, shape)


def write_dataset(text: str, folder: Path) -> None:
    """What nanoGPT's prepare.py writes."""
    folder.mkdir(parents=True)
    characters = sorted(set(text))
    number = {character: place for place, character in enumerate(characters)}
    cut = int(len(text) * 0.9)
    for name, part in (("train", text[:cut]), ("val", text[cut:])):
        np.array([number[character] for character in part], np.uint16).tofile(folder / f"{name}.bin")
    meta = {"vocab_size": len(characters), "itos": dict(enumerate(characters)), "stoi": number}
    (folder / "meta.pkl").write_bytes(pickle.dumps(meta))


# --- both -------------------------------------------------------------------------------------------------------------


def timed(command: Sequence[str], place: Path | None = None) -> tuple[float, str]:
    """How many seconds a command takes, and what it says."""
    began = time.perf_counter()
    done = subprocess.run(command, cwd=place, stdout=subprocess.PIPE, text=True, env={**os.environ}, check=True)
    return time.perf_counter() - began, done.stdout


class Called(nn.Module):
    """A network under another way to call it."""

    def __init__(self, network: nn.Module, call: Any) -> None:
        super().__init__()
        self.network, self.call = network, call

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.call(ids)


@torch.no_grad()
def validation_loss(network: nn.Module, call: Any, text: str, block: int) -> float:
    """The mean loss of the last tenth of a text, whose characters are numbered in their order, in float32."""
    number = {character: place for place, character in enumerate(sorted(set(text)))}
    kept = np.array([number[character] for character in text[int(len(text) * 0.9) :]], np.uint16)
    loss = mean_surprise(Called(network, call), kept, block)  # type: ignore[arg-type]
    assert loss is not None
    return loss


def told(
    who: str, seconds: float, loss: float, steps: int, each: int, rate: float, network: Any, shape: tuple[int, int, int]
) -> Row:
    """A row, from the tokens of each step and the steps a second."""
    layers, width, block = shape
    positions = sum(p.numel() for name, p in network.named_parameters() if "wpe" in name)  # which multiply nothing
    count = sum(parameter.numel() for parameter in network.parameters())
    work = 6 * (count - positions) + 12 * layers * width * block
    return Row(who, seconds, loss, steps, steps * each, rate * each, count, work)


def matrix_rate(device: torch.device) -> float:
    """Floating-point operations a second in products of large matrices, in the precision of training."""
    dtype = torch.bfloat16 if computes_bfloat16(device) else torch.float32
    side = 8192 if device.type == "cuda" else 2048
    a, b = torch.randn(2, side, side, device=device, dtype=dtype)
    best = math.inf
    for _ in range(10):
        began = time.perf_counter()
        a @ b
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - began)
    return 2 * side**3 / best


if __name__ == "__main__":
    main()
