"""Is the estimate of memory right?

    python benchmarks/memory.py [--cases digits sd-256 ...] [--threads 2] [--device cpu] [--folder PLACE]

Models of random weights lie in a folder, made once: a Stable Diffusion 1 of its true size (4 GB) and a narrow Stable
Diffusion XL; the digits are there. Each case runs in a process of its own: the libraries are loaded and a digit is made
in one step, so that what is loaded at first use is there. Then the model is read and pictures are made, guided, in
one step. The peak of the process's memory beyond that before is measured, mapped weights included, and set beside
what `sfumato info --memory` says. On a CUDA device it is the peak of PyTorch's allocator.
"""

import argparse
import ctypes
import gc
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import torch

CASES = {  # model, size, count, tiles
    "digits": ("digits", 64, 1, "auto"),
    "digits-8": ("digits", 64, 8, "auto"),
    "digits-256": ("digits", 256, 1, "auto"),
    "xl-256": ("xl", 256, 1, "auto"),
    "xl-512": ("xl", 512, 1, "auto"),
    "xl-512-2": ("xl", 512, 2, "auto"),
    "sd-256": ("sd", 256, 1, "auto"),
    "sd-256-2": ("sd", 256, 2, "auto"),
    "sd-512": ("sd", 512, 1, "auto"),
    "sd-512-2": ("sd", 512, 2, "auto"),
    "xl-1024": ("xl", 1024, 1, "never"),
    "xl-1024-tiles": ("xl", 1024, 1, "always"),
}
STEPS = 1
MiB = 2**20


def make(folder: Path, kind: str) -> None:
    """A model folder with random weights."""
    from sfumato.checkpoints.files import write_json, write_tensors
    from sfumato.checkpoints.folder import save_index
    from sfumato.networks.clip import TextConfig, TextEncoder
    from sfumato.networks.unet import UNet
    from sfumato.networks.unet_config import UNetConfig
    from sfumato.networks.vae import AutoencoderConfig, AutoencoderKL
    from sfumato.pipelines.model import EMBEDDED

    first = TextConfig(
        hidden_size=768, intermediate_size=3072, num_attention_heads=12, architectures=("CLIPTextModel",)
    )
    vae = AutoencoderConfig(block_out_channels=(128, 256, 512, 512), layers_per_block=2, sample_size=512)
    unet = UNetConfig(cross_attention_dim=768, sample_size=64)
    parts = {"text_encoder": (TextEncoder, first), "vae": (AutoencoderKL, vae), "unet": (UNet, unet)}
    if kind == "xl":
        second = TextConfig(hidden_size=256, intermediate_size=1024, num_attention_heads=4, projection_dim=256)
        unet = UNetConfig(
            block_out_channels=(96, 192, 384),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            attention_head_dim=(3, 6, 12),
            transformer_layers_per_block=(1, 2, 10),
            cross_attention_dim=1024,
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=256,
            projection_class_embeddings_input_dim=6 * 256 + 256,
            sample_size=64,
        )
        vae = AutoencoderConfig(block_out_channels=(64, 128, 256, 256), layers_per_block=2, sample_size=512)
        parts |= {"text_encoder_2": (TextEncoder, second), "unet": (UNet, unet), "vae": (AutoencoderKL, vae)}
    noise = torch.randn(10**6) * 0.02
    for name, (network, config) in parts.items():
        with torch.device("meta"):
            shapes = {key: tensor.shape for key, tensor in network(config).state_dict().items()}
        tensors = {
            key: noise.repeat(shape.numel() // 10**6 + 1)[: shape.numel()].view(shape) for key, shape in shapes.items()
        }
        write_json(folder / name / "config.json", config.to_dict())
        stem = "model" if name.startswith("text") else "diffusion_pytorch_model"
        write_tensors(folder / name / f"{stem}.safetensors", tensors)
    for name in ("tokenizer", "tokenizer_2") if kind == "xl" else ("tokenizer",):
        shutil.copytree(EMBEDDED / "digits" / "tokenizer", folder / name, dirs_exist_ok=True)
    scheduler = json.loads((EMBEDDED / "digits" / "scheduler" / "scheduler_config.json").read_text())
    save_index(folder, "latents", scheduler, {})
    if kind == "xl":
        index = json.loads((folder / "model_index.json").read_text())
        write_json(folder / "model_index.json", index | {"_class_name": "StableDiffusionXLPipeline"})


def generate(model: str, side: int, count: int, tiles: str, device: str, dtype: str | None) -> None:
    from sfumato.pipelines.text_to_image import Pipeline

    pipeline = Pipeline.load(model, device, dtype and getattr(torch, dtype))
    more = {"tiles": tiles} if tiles != "auto" else {}
    pipeline("7", count=count, seed=0, num_inference_steps=STEPS, width=side, height=side, **more)


def measure(case: tuple, device: str, dtype: str | None) -> int:
    """Bytes at the peak of making pictures, beyond those before."""
    generate("digits", 64, 1, "auto", device, dtype)
    gc.collect()
    if device != "cpu":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        generate(*case, device, dtype)
        return torch.cuda.max_memory_allocated() - before
    ctypes.CDLL(None).malloc_trim(0)  # what glibc keeps for later
    before, peak, done = resident(), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.002):
            peak[0] = max(peak[0], resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    generate(*case, device, dtype)
    done.set()
    watcher.join()
    return peak[0] - before


def resident() -> int:
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["VmRSS"].split()[0]) * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=CASES)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype")
    parser.add_argument("--folder", type=Path, help="where the models lie, or are made")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    settings = parser.parse_args()
    folder = settings.folder or Path(tempfile.mkdtemp())
    try:
        for name in settings.cases:
            model, *rest = CASES[name]
            if model != "digits":
                if not (folder / model / "model_index.json").is_file():
                    make(folder / model, model)
                model = str(folder / model)
            if settings.measure:
                torch.set_num_threads(settings.threads)
                print(measure((model, *rest), settings.device, settings.dtype))
                return
            report(name, model, rest, settings, folder)
    finally:
        if settings.folder is None:
            shutil.rmtree(folder)


def report(name: str, model: str, rest: list, settings: argparse.Namespace, folder: Path) -> None:
    from sfumato.pipelines.foretelling import foretold

    side, count, tiles = rest
    more = {"tiles": tiles} if tiles != "auto" else {}
    began = time.perf_counter()
    dtype = settings.dtype and getattr(torch, settings.dtype)
    told = foretold(model, count, settings.device, dtype, width=side, height=side, **more)
    seconds = time.perf_counter() - began
    command = [sys.executable, __file__, "--measure", "--cases", name, "--folder", str(folder)]
    command += ["--threads", str(settings.threads), "--device", settings.device]
    command += ["--dtype", settings.dtype] if settings.dtype else []
    began = time.perf_counter()
    measured = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    took = time.perf_counter() - began
    resident = told.resident[told.busiest]
    working = told.peak - resident
    print(
        f"{name:<14} estimate {told.peak / MiB:7.0f} MiB = weights {resident / MiB:6.0f} + {told.busiest} "
        f"{working / MiB:6.0f}   measured {measured / MiB:7.0f} MiB   ratio {told.peak / measured:.2f}   "
        f"of working memory {working / max(measured - resident, 1):.2f}   "
        f"({seconds:.1f} s to tell, {took:.0f} s to make)",
        flush=True,
    )


if __name__ == "__main__":
    main()
