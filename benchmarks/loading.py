"""How fast is a network read, and in how much memory, beside diffusers?

    python benchmarks/loading.py [--model sd1|xl] [--width 320] [--stored float32 float16] [--threads 2]

The U-Net of Stable Diffusion 1 or XL (at width 320; a narrower one is quicker) with random weights lies in a folder as
float32 and as float16. Each reader reads it in a process of its own, after a first time that fills the system's cache
of files; a forward pass is not part of it. `safetensors` stands for `load_file` and a cast of each tensor: it looks at
nothing and builds no network, and when there is nothing to cast it has not yet read anything. Memory is the peak beyond
that before, of the process's own pages and of all it has, mapped files included.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import torch

READERS = ("sfumato", "diffusers", "safetensors")
XL = {
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "attention_head_dim": (5, 10, 20),
    "transformer_layers_per_block": (1, 2, 10),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
MODELS = {"sd1": ((1, 2, 4, 4), {"cross_attention_dim": 768}), "xl": ((1, 2, 4), XL)}


def make(folder: Path, model: str, width: int, dtype: torch.dtype) -> float:
    """A folder with the network's configuration and random weights; gives its size in bytes."""
    from sfumato.checkpoints.files import write_json, write_tensors
    from sfumato.networks.unet import UNet
    from sfumato.networks.unet_config import UNetConfig

    times, settings = MODELS[model]
    config = UNetConfig(block_out_channels=tuple(width * each for each in times), **settings)
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in UNet(config).state_dict().items()}
    some = torch.randn(10**6)
    tensors = {}
    for name, shape in shapes.items():
        count = shape.numel()
        tensors[name] = some.repeat(count // 10**6 + 1)[:count].view(shape).to(dtype)
    write_json(folder / "unet" / "config.json", config.to_dict())
    write_tensors(folder / "unet" / "diffusion_pytorch_model.safetensors", tensors)
    return sum(tensor.nbytes for tensor in tensors.values())


def read(reader: str, folder: Path, dtype: torch.dtype) -> None:
    if reader == "sfumato":
        from sfumato.checkpoints.folder import load_part

        network = load_part(folder, "unet", dtype)
    elif reader == "diffusers":
        from diffusers import UNet2DConditionModel

        network = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=dtype, low_cpu_mem_usage=True)
    else:
        from safetensors.torch import load_file

        weights = load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")
        weights = {name: tensor.to(dtype) for name, tensor in weights.items()}
        return
    assert all(p.dtype == dtype for p in network.parameters())


def pages() -> tuple[int, int]:
    """Bytes of this process: of its own, and all."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return tuple(int(lines[name].split()[0]) * 1024 for name in ("RssAnon", "VmRSS"))  # type: ignore[return-value]


def measure(reader: str, folder: Path, small: Path, dtype: torch.dtype) -> dict[str, float]:
    """Read once, after a first time with a small network that loads the libraries, from the system's cache of files."""
    read(reader, small, dtype)
    with (folder / "unet" / "diffusion_pytorch_model.safetensors").open("rb") as file:
        while file.read(2**20):
            pass
    before, peaks, done = pages(), [0, 0], threading.Event()

    def watch() -> None:
        while not done.wait(0.002):
            for which, now in enumerate(pages()):
                peaks[which] = max(peaks[which], now)

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    read(reader, folder, dtype)
    seconds = time.perf_counter() - began
    done.set()
    watcher.join()
    return {"seconds": seconds, "own": peaks[0] - before[0], "all": peaks[1] - before[1]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=MODELS, default="sd1")
    parser.add_argument("--stored", nargs="+", default=["float32", "float16"])
    parser.add_argument("--wanted", nargs="+", default=["float32", "float16", "bfloat16"])
    parser.add_argument("--width", type=int, default=320)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    settings = parser.parse_args()
    if settings.measure:
        torch.set_num_threads(settings.threads)
        reader, folder, small, dtype = settings.measure
        print(json.dumps(measure(reader, Path(folder), Path(small), getattr(torch, dtype))))
        return
    with tempfile.TemporaryDirectory() as place:
        for stored in settings.stored:
            folder, small = Path(place) / stored, Path(place) / "small"
            make(small, "sd1", 32, getattr(torch, stored))
            size = make(folder, settings.model, settings.width, getattr(torch, stored))
            for wanted in settings.wanted:
                print(f"{stored} -> {wanted}, a file of {size / 2**30:.2f} GiB")
                for reader in READERS:
                    command = [sys.executable, __file__, "--threads", str(settings.threads), "--measure"]
                    command += [reader, str(folder), str(small), wanted]
                    runs = [
                        json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                        for _ in range(settings.repeats)
                    ]
                    best = min(runs, key=lambda run: run["seconds"])
                    own, every = (max(run[which] for run in runs) / 2**30 for which in ("own", "all"))
                    print(f"    {reader:<12}{best['seconds']:7.2f} s   {own:5.2f} GiB own  {every:5.2f} GiB with files")


if __name__ == "__main__":
    main()
