"""Small models of the layouts of the published ones, as folders and single files, and what is asked of them."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import diffusers
import torch
import transformers

import tiny_models
from sfumato.checkpoints.files import read_json
from sfumato.checkpoints.single.sources import Listed
from sfumato.checkpoints.single.writing import write_single_file
from sfumato.checkpoints.weights import open_weights
from sfumato.data.tokens import CLIP_SIZE, Tokenizer
from sfumato.pipelines.text_to_image import Pipeline

PROMPT, QUICK = "a photo of a cat", {"seed": 3, "num_inference_steps": 2, "width": 32, "height": 32}


def clip(kind=transformers.CLIPTextModel, width=64, act="quick_gelu"):
    """A text encoder of the published ones' vocabulary and width of heads."""
    torch.manual_seed(width)
    return kind(
        transformers.CLIPTextConfig(
            vocab_size=CLIP_SIZE,
            hidden_size=width,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=width // 64,
            projection_dim=width,
            hidden_act=act,
            bos_token_id=49406,
            eos_token_id=49407,
        )
    ).eval()


def unet(**more):
    settings = {
        "block_out_channels": (32, 64),
        "norm_num_groups": 32,
        "attention_head_dim": 8,
        "cross_attention_dim": 64,
    }
    return tiny_models.unet(**settings | more)


def vae(latents=4, **more):
    return tiny_models.vae(latents, block_out_channels=(32, 64), norm_num_groups=32, **more)


BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


def saved(folder, parts, scheduler, index):
    """A model folder and a single file of the same parts; tokenizers are in neither."""
    for name, network in parts.items():
        network.save_pretrained(folder / "model" / name)
    scheduler.save_pretrained(folder / "model" / "scheduler")
    (folder / "model" / "model_index.json").write_text(json.dumps(index))
    configs = {name: read_json(folder / "model" / name / "config.json") for name in parts}
    sources = {name: Listed(open_weights(folder / "model" / name)) for name in parts}
    told = read_json(folder / "model" / "scheduler" / "scheduler_config.json")
    write_single_file(folder / "model.safetensors", sources, configs, told)
    return SimpleNamespace(folder=folder / "model", file=folder / "model.safetensors")


def stable(folder):
    """Stable Diffusion 1, small, but of the layout of the published."""
    parts = {"unet": unet(), "vae": vae(scaling_factor=0.18215), "text_encoder": clip()}
    made = saved(folder, parts, diffusers.PNDMScheduler(**BETAS, skip_prk_steps=True, steps_offset=1), {
        "_class_name": "StableDiffusionPipeline"
    })  # fmt: skip
    Tokenizer.clip().save(made.folder / "tokenizer")
    return made


def made(model, prompt=PROMPT, spacing="beta", **beside):
    return Pipeline.load(model, "cpu", **beside)(prompt, spacing=spacing, **QUICK)


def pixels(*arguments, **beside):
    return made(*arguments, **beside).pictures[0].tobytes()


def keep(cache, folder, name):
    """A folder in the cache of the hub."""
    root = cache / f"models--{name.replace('/', '--')}"
    snapshot = shutil.copytree(folder, root / "snapshots" / ("0" * 40))
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text("0" * 40)
    return snapshot
