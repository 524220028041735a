"""Tiny random models of every family, made by diffusers and transformers."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

os.environ["HF_HUB_OFFLINE"] = "1"
logging.getLogger("transformers").setLevel(logging.ERROR)

V = "v_prediction"
BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "num_train_timesteps": 1000}
DDIM = {"_class_name": "DDIMScheduler", **BETAS, "prediction_type": "epsilon", "steps_offset": 1}
FLOW = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000}
DYNAMIC = {"use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 1.15}


@pytest.fixture(autouse=True)
def _one_thread_one_seed() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


class Tensors:
    """A state dict as a source, which remembers what was read."""

    def __init__(self, tensors: dict[str, torch.Tensor]):
        self.tensors, self.read = tensors, []

    def names(self):
        return self.tensors.keys()

    def shape(self, name):
        return tuple(self.tensors[name].shape)

    def dtype(self, name):
        return self.tensors[name].dtype

    def get(self, name):
        self.read.append(name)
        return self.tensors[name]


@pytest.fixture
def tensors() -> type[Tensors]:
    return Tensors


def unet(**settings: Any):
    from diffusers import UNet2DConditionModel

    down = settings.pop("down", (True, False))
    return UNet2DConditionModel(
        **{
            "block_out_channels": (32, 64),
            "down_block_types": tuple("CrossAttnDownBlock2D" if here else "DownBlock2D" for here in down),
            "up_block_types": tuple("CrossAttnUpBlock2D" if here else "UpBlock2D" for here in reversed(down)),
            "cross_attention_dim": 24,
            "attention_head_dim": 8,
            "layers_per_block": 1,
            "sample_size": None,
        }
        | settings
    )


def vae(channels: tuple[int, ...] = (32, 64), layers: int = 1, **settings: Any):
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=channels,
        down_block_types=["DownEncoderBlock2D"] * len(channels),
        up_block_types=["UpDecoderBlock2D"] * len(channels),
        layers_per_block=layers,
        **settings,
    )


def clip(width: int, layers: int, projection: int | None = None, act: str = "quick_gelu"):
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        hidden_size=width,
        num_attention_heads=width // 64,
        num_hidden_layers=layers,
        intermediate_size=3 * width,
        vocab_size=99,
        max_position_embeddings=17,
        projection_dim=projection or 512,
        hidden_act=act,
        bos_token_id=0,
        eos_token_id=2,
    )
    return CLIPTextModel(config) if projection is None else CLIPTextModelWithProjection(config)


def t5():
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(
        T5Config(vocab_size=50, d_model=24, d_kv=8, d_ff=40, num_heads=3, num_layers=2, feed_forward_proj="gated-gelu")
    )


def sd3(dual: tuple[int, ...] = (), norm: str | None = None, heads: int = 1):
    from diffusers import SD3Transformer2DModel

    return SD3Transformer2DModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        num_layers=3,
        attention_head_dim=64 // heads,
        num_attention_heads=heads,
        joint_attention_dim=24,
        caption_projection_dim=64,
        pooled_projection_dim=20,
        pos_embed_max_size=6,
        dual_attention_layers=dual,
        qk_norm=norm,
    )


def flux(guidance: bool, in_channels: int = 8, out_channels: int | None = None):
    from diffusers import FluxTransformer2DModel

    return FluxTransformer2DModel(
        in_channels=in_channels,
        out_channels=out_channels,
        num_layers=2,
        num_single_layers=3,
        attention_head_dim=32,
        num_attention_heads=2,
        joint_attention_dim=24,
        pooled_projection_dim=20,
        guidance_embeds=guidance,
        axes_dims_rope=(4, 14, 14),
    )


XL = {
    "block_out_channels": (64, 128, 128),
    "down": (False, True, True),
    "transformer_layers_per_block": [1, 2, 3],
    "attention_head_dim": [1, 2, 2],
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
}
TWO = {"use_linear_projection": True, "block_out_channels": (64, 128), "attention_head_dim": [1, 2]}
UPSCALER = {
    "in_channels": 7,
    "use_linear_projection": True,
    "block_out_channels": (32, 64, 64),
    "down": (False, True, True),
    "only_cross_attention": [True, True, False],
    "num_class_embeds": 20,
}
XL_SIZES = {"projection_class_embeddings_input_dim": 96 + 6 * 256, "cross_attention_dim": 2048}
REFINER = {
    **XL,
    "projection_class_embeddings_input_dim": 96 + 5 * 256,
    "cross_attention_dim": 1280,
    "down": (False, True, False),
    "transformer_layers_per_block": [1, 2, 2],
}
SIXTEEN = {"latent_channels": 16, "use_quant_conv": False, "use_post_quant_conv": False}
SD3_VAE = {**SIXTEEN, "scaling_factor": 1.5305, "shift_factor": 0.0609}
FLUX_VAE = {**SIXTEEN, "scaling_factor": 0.3611, "shift_factor": 0.1159}

# by name: the family's, diffusers' pipeline, the scheduler, and how the parts are made
FAMILIES: dict[str, tuple[str, str, dict[str, Any], Callable[[], dict[str, Any]]]] = {
    "sd1": (
        "Stable Diffusion 1",
        "StableDiffusionPipeline",
        DDIM,
        lambda: {"unet": unet(), "vae": vae(), "text_encoder": clip(64, 2)},
    ),
    "sd1, layers and widths": (
        "Stable Diffusion 1",
        "StableDiffusionPipeline",
        DDIM,
        lambda: {
            "unet": unet(layers_per_block=2, block_out_channels=(32, 64, 96), down=(True, False, True)),
            "vae": vae((32, 32, 96), 2, in_channels=1, out_channels=1),
        },
    ),
    "sd1 inpainting": (
        "Stable Diffusion 1",
        "StableDiffusionInpaintPipeline",
        DDIM,
        lambda: {"unet": unet(in_channels=9), "vae": vae(), "text_encoder": clip(64, 1)},
    ),
    "sd2": (
        "Stable Diffusion 2",
        "StableDiffusionPipeline",
        DDIM | {"prediction_type": V},
        lambda: {"unet": unet(**TWO), "vae": vae(), "text_encoder": clip(64, 2, act="gelu")},
    ),
    "upscaler": (
        "Stable Diffusion x4 upscaler",
        "StableDiffusionUpscalePipeline",
        DDIM | {"beta_start": 0.0001, "beta_end": 0.02, "prediction_type": V},
        lambda: {
            "unet": unet(**UPSCALER),
            "vae": vae(scaling_factor=0.08333),
            "text_encoder": clip(64, 2, act="gelu"),
        },
    ),
    "xl": (
        "Stable Diffusion XL",
        "StableDiffusionXLPipeline",
        DDIM,
        lambda: {
            "unet": unet(**XL, **XL_SIZES),
            "vae": vae(scaling_factor=0.13025),
            "text_encoder": clip(64, 2),
            "text_encoder_2": clip(128, 2, 96, "gelu"),
        },
    ),
    "xl that predicts v": (
        "Stable Diffusion XL",
        "StableDiffusionXLPipeline",
        DDIM | {"prediction_type": V, "rescale_betas_zero_snr": True},
        lambda: {"unet": unet(**XL, **XL_SIZES)},
    ),
    "refiner": (
        "Stable Diffusion XL refiner",
        "StableDiffusionXLImg2ImgPipeline",
        DDIM,
        lambda: {
            "unet": unet(**REFINER),
            "vae": vae(scaling_factor=0.13025),
            "text_encoder_2": clip(128, 2, 96, "gelu"),
        },
    ),
    "sd3": (
        "Stable Diffusion 3",
        "StableDiffusion3Pipeline",
        FLOW | {"shift": 3.0},
        lambda: {
            "transformer": sd3(),
            "vae": vae(**SD3_VAE),
            "text_encoder": clip(64, 1, 64),
            "text_encoder_2": clip(128, 2, 128, "gelu"),
            "text_encoder_3": t5(),
        },
    ),
    "sd3.5 medium, the transformer alone": (
        "Stable Diffusion 3",
        "StableDiffusion3Pipeline",
        FLOW | {"shift": 3.0},
        lambda: {"transformer": sd3((0, 1), "rms_norm", heads=4)},
    ),
    "flux dev": (
        "FLUX.1",
        "FluxPipeline",
        FLOW | DYNAMIC,
        lambda: {
            "transformer": flux(guidance=True),
            "vae": vae(**FLUX_VAE),
            "text_encoder": clip(64, 2),
            "text_encoder_2": t5(),
        },
    ),
    "flux schnell, the transformer alone": (
        "FLUX.1",
        "FluxPipeline",
        FLOW | {"shift": 1.0},
        lambda: {"transformer": flux(guidance=False)},
    ),
    "flux fill": (
        "FLUX.1",
        "FluxFillPipeline",
        FLOW | DYNAMIC,
        lambda: {"transformer": flux(guidance=True, in_channels=384, out_channels=64)},
    ),
}


@pytest.fixture(scope="session", params=FAMILIES)
def model(request) -> SimpleNamespace:
    """One tiny model: `family`, `pipeline`, `scheduler`, and by part its `networks`, `configs` and `sources`."""
    torch.manual_seed(0)
    family, pipeline, scheduler, make = FAMILIES[request.param]
    networks = make()
    configs = {part: config_json(network) for part, network in networks.items()}
    sources = {part: Tensors(stemmed(network)) for part, network in networks.items()}
    return SimpleNamespace(
        name=request.param,
        family=family,
        pipeline=pipeline,
        scheduler=scheduler,
        networks=networks,
        configs=configs,
        sources=sources,
    )


def config_json(network) -> dict[str, Any]:
    """What its `config.json` would say."""
    if hasattr(network, "to_json_string"):
        return json.loads(network.to_json_string())
    return json.loads(network.config.to_json_string()) | {"architectures": [type(network).__name__]}


def stemmed(network) -> dict[str, torch.Tensor]:
    """The tensors, with `text_model.` where this version of transformers left it out."""
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state.pop("encoder.embed_tokens.weight", None)  # shared.weight again
    bare = "embeddings.token_embedding.weight" in state
    return {f"text_model.{name}" if bare else name: tensor for name, tensor in state.items()}
