"""How fast is a picture made, part by part, beside diffusers?

    python benchmarks/generate.py [--folder place] [--dtype float32] [--threads 2] [--repeats 3] [--size 512]

A model with the configuration of Stable Diffusion 1.5 and random weights lies in a folder that both libraries open. In
one process, turn by turn: the text encoder reads the prompt and the empty one, the U-Net looks once at a latent with
both, the autoencoder decodes, and the whole pipeline makes a picture in one step with guidance, from the same noise.
The fastest of the repeats counts, by the clock and in seconds of processor, which other work on the machine changes
less. A ratio is their time over ours: above 1 ours is faster.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

PROMPT = "an astronaut riding a horse on the moon"
SMALL = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}


def make(folder: Path) -> None:
    """A model folder of the size of Stable Diffusion 1.5, weights drawn at random; kept when it is there."""
    from sfumato.checkpoints.files import write_json
    from sfumato.checkpoints.folder import save_index, save_part
    from sfumato.checkpoints.scheduler import to_config
    from sfumato.data.tokens import Tokenizer
    from sfumato.networks.clip import TextConfig, TextEncoder
    from sfumato.networks.unet import UNet
    from sfumato.networks.unet_config import UNetConfig
    from sfumato.networks.vae import AutoencoderConfig, AutoencoderKL

    if (folder / "model_index.json").is_file():
        return
    torch.manual_seed(0)
    tokenizer = Tokenizer.train([PROMPT], vocab_size=600)
    tokenizer.save(folder / "tokenizer")
    text = TextConfig(
        eos_token_id=tokenizer.end_id, bos_token_id=tokenizer.start_id, architectures=("CLIPTextModel",), **SMALL
    )
    save_part(folder, "text_encoder", TextEncoder(text))
    save_part(folder, "unet", UNet(UNetConfig(sample_size=64, cross_attention_dim=768)))
    picture = AutoencoderConfig(block_out_channels=(128, 256, 512, 512), layers_per_block=2, sample_size=512)
    save_part(folder, "vae", AutoencoderKL(picture))
    save_index(folder, "latents", to_config("scaled_linear", "epsilon"), {"name": "random"})
    write_json(folder / "scheduler" / "scheduler_config.json", {
        "_class_name": "DDIMScheduler", "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012,
        "clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1, "timestep_spacing": "trailing",
    })  # fmt: skip


Parts = dict[str, Callable[[], torch.Tensor]]


def ours(folder: Path, dtype: torch.dtype, size: int) -> Parts:
    from sfumato.data.pictures import from_images
    from sfumato.pipelines.text_to_image import Pipeline

    pipeline = Pipeline.load(folder, "cpu", dtype)
    model = pipeline.model
    ids, latent, words = given(model.tokenizer.encode([PROMPT, ""]), size, dtype)
    plan = pipeline.requests(
        PROMPT, seed=3, num_inference_steps=1, guidance_scale=7.5, solver="ddim", spacing="own", width=size, height=size
    )

    def whole() -> torch.Tensor:
        for step in pipeline.run(plan):
            last = step
        return from_images(last.pictures())[0]

    return {
        "text": lambda: model.text_encoder(ids).states,
        "unet": lambda: model.unet(latent, 500.0, words),
        "decode": lambda: model.vae.decode(latent[:1]),
        "whole": whole,
    }


def theirs(folder: Path, dtype: torch.dtype, size: int) -> Parts:
    from diffusers import StableDiffusionPipeline

    from sfumato.data.pictures import from_images
    from sfumato.data.tokens import Tokenizer
    from sfumato.diffusion.noise import per_sample_noise

    pipeline = StableDiffusionPipeline.from_pretrained(folder, torch_dtype=dtype, safety_checker=None)
    pipeline.set_progress_bar_config(disable=True)
    ids, latent, words = given(Tokenizer.load(folder / "tokenizer").encode([PROMPT, ""]), size, dtype)
    noise = per_sample_noise([3])(torch.empty(1, 4, size // 8, size // 8)).to(dtype)

    def whole() -> torch.Tensor:
        made = pipeline(PROMPT, num_inference_steps=1, guidance_scale=7.5, width=size, height=size, latents=noise)
        return from_images(made.images)[0]

    return {
        "text": lambda: pipeline.text_encoder(ids)[0],
        "unet": lambda: pipeline.unet(latent, 500.0, words, return_dict=False)[0],
        "decode": lambda: pipeline.vae.decode(latent[:1], return_dict=False)[0],
        "whole": whole,
    }


def given(ids: torch.Tensor, size: int, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    """Tokens, a latent for each of two branches, and states of words."""
    generator = torch.Generator().manual_seed(0)
    latent = torch.randn(1, 4, size // 8, size // 8, generator=generator).expand(2, -1, -1, -1).contiguous()
    return ids, latent.to(dtype), torch.randn(2, 77, 768, generator=generator).to(dtype)


class Time(NamedTuple):
    """Seconds by the clock, and of all processors together."""

    clock: float
    processor: float


def timed(work: Callable[[], torch.Tensor]) -> Time:
    began = Time(time.perf_counter(), time.process_time())
    work()
    return Time(time.perf_counter() - began.clock, time.process_time() - began.processor)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where the model is, or is made and kept")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--parts", nargs="+", default=["text", "unet", "decode", "whole"])
    settings = parser.parse_args()
    torch.set_num_threads(settings.threads)
    with tempfile.TemporaryDirectory() as place, torch.inference_mode():
        folder = settings.folder or Path(place)
        make(folder)
        dtype = getattr(torch, settings.dtype)
        both = {"sfumato": ours(folder, dtype, settings.size), "diffusers": theirs(folder, dtype, settings.size)}
        print(f"{settings.size} x {settings.size}, {settings.dtype}, {settings.threads} threads")
        for part in settings.parts:
            first = [np.asarray(parts[part]().float()) for parts in both.values()]  # and what is made once is made
            times: dict[str, list[Time]] = {name: [] for name in both}
            for _ in range(settings.repeats):
                for name, parts in both.items():
                    times[name].append(timed(parts[part]))
            apart = np.abs(first[0] - first[1]).max() / np.abs(first[1]).max()
            print(f"  {part}, apart by {apart:.0e} of the largest number")
            for measure in Time._fields:
                best = {name: min(getattr(one, measure) for one in each) for name, each in times.items()}
                told = "   ".join(f"{name} {seconds:7.3f} s" for name, seconds in best.items())
                print(f"    {measure:<12}{told}   ratio {best['diffusers'] / best['sfumato']:.2f}", flush=True)


if __name__ == "__main__":
    main()
