"""LoRA on a U-Net of Stable Diffusion 1's size beside diffusers and peft: to load, to fuse, to take out; one step.

    python benchmarks/adapters.py

Both in one run, float32 on the CPU, the same file (kohya's layout, rank 16, every linear layer and convolution), the
same weights; times are the best of three.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from torch import nn

from sfumato.checkpoints.lora import read_lora, write_lora
from sfumato.networks.lora import attach, fresh, fuse, layers
from sfumato.networks.unet import UNet
from sfumato.networks.unet_config import UNetConfig

SIZE = {"cross_attention_dim": 768, "attention_head_dim": 8, "sample_size": 64}


def unfilled(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.device("meta"):
        network = make()
    network.to_empty(device="cpu").eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.fill_(0.01)
    return network


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


@torch.no_grad()
def main() -> None:
    folder = Path(tempfile.mkdtemp())
    network = unfilled(lambda: UNet(UNetConfig(**SIZE)))
    adapter = fresh(network, 16, 8.0, [name for name, _ in layers(network)]).requires_grad_(False)
    for update in adapter.updates().values():
        update.lora_B.weight.normal_(std=0.01)
    write_lora(folder / "a.safetensors", {"unet": adapter}, "kohya")
    inputs = torch.randn(1, 4, 32, 32), torch.tensor([500]), torch.randn(1, 77, 768)

    ours: dict[str, list[float]] = {}
    for _ in range(3):
        found = {}
        ours.setdefault("load", []).append(
            seconds(lambda: found.update(read_lora(folder / "a.safetensors", {"unet": network})))  # noqa: B023
        )
        with attach(network, found["unet"], 0.5):
            ours.setdefault("a step, live", []).append(seconds(lambda: network(*inputs)))
        fused = []
        ours.setdefault("fuse", []).append(seconds(lambda: fused.append(fuse(network, [(found["unet"], 0.5)]))))  # noqa: B023
        ours.setdefault("a step, fused", []).append(seconds(lambda: network(*inputs)))
        ours.setdefault("unfuse", []).append(seconds(fused[0].unfuse))
    del network

    theirs: dict[str, list[float]] = {}
    unet = unfilled(lambda: UNet2DConditionModel(**SIZE))
    pipeline = StableDiffusionPipeline(None, None, None, unet, None, None, None, requires_safety_checker=False)
    for _ in range(3):
        theirs.setdefault("load", []).append(
            seconds(lambda: pipeline.load_lora_weights(folder, weight_name="a.safetensors", adapter_name="a"))
        )
        pipeline.set_adapters(["a"], [0.5])
        theirs.setdefault("a step, live", []).append(seconds(lambda: unet(*inputs)))
        theirs.setdefault("fuse", []).append(seconds(lambda: pipeline.fuse_lora(components=["unet"])))
        theirs.setdefault("a step, fused", []).append(seconds(lambda: unet(*inputs)))
        theirs.setdefault("unfuse", []).append(seconds(lambda: pipeline.unfuse_lora(components=["unet"])))
        pipeline.unload_lora_weights()
    for name, times in ours.items():
        a, b = min(times), min(theirs[name])
        print(f"{name:14} sfumato {a:7.3f} s   diffusers {b:7.3f} s   ratio {b / a:5.2f}")


if __name__ == "__main__":
    main()
