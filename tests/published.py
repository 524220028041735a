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
    for name, part in {**parts, "scheduler": scheduler}.items():
        index[name] = [type(part).__module__.partition(".")[0], type(part).__name__]
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
        "_class_name": "StableDiffusionPipeline",
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "safety_checker": [None, None],
        "feature_extractor": [None, None],
    })  # fmt: skip
    Tokenizer.clip().save(made.folder / "tokenizer")
    return made


def flux(folder):
    """FLUX with all its parts, as a folder, and its transformer alone as a file."""
    tokenizer = tiny_models.t5_tokenizer()
    transformer = diffusers.FluxTransformer2DModel(
        in_channels=64,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=32,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=64,
        guidance_embeds=True,
        axes_dims_rope=(4, 14, 14),
    )
    autoencoder = vae(16, use_quant_conv=False, use_post_quant_conv=False, scaling_factor=0.3611, shift_factor=0.1159)
    parts = {
        "transformer": transformer,
        "vae": autoencoder,
        "text_encoder": clip(),
        "text_encoder_2": tiny_models.t5(tokenizer),
    }
    flow = diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, max_shift=1.15, base_shift=0.5)
    files = saved(folder / "flux", parts, flow, {"_class_name": "FluxPipeline"})
    tokenizer.save_pretrained(files.folder / "tokenizer_2")
    return files


def sd3(folder):
    """Stable Diffusion 3 with T5, whose tokenizer is in neither."""
    tokenizer = tiny_models.t5_tokenizer()
    projecting = transformers.CLIPTextModelWithProjection
    transformer = diffusers.SD3Transformer2DModel(
        in_channels=16,
        num_layers=2,
        attention_head_dim=64,
        num_attention_heads=1,
        joint_attention_dim=32,
        caption_projection_dim=64,
        pooled_projection_dim=192,
        out_channels=16,
        pos_embed_max_size=8,
    )
    parts = {
        "transformer": transformer,
        "vae": vae(16, use_quant_conv=False, use_post_quant_conv=False, scaling_factor=1.5305, shift_factor=0.0609),
        "text_encoder": clip(projecting),
        "text_encoder_2": clip(projecting, 128, "gelu"),
        "text_encoder_3": tiny_models.t5(tokenizer),
    }
    flow = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    return saved(folder, parts, flow, {"_class_name": "StableDiffusion3Pipeline"})


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
