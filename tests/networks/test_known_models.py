"""The published models, by what is known of them; built without memory, since only shapes are asked for."""

import pytest
import torch
from diffusers import UNet2DConditionModel

from sfumato.networks.clip import ImageConfig, ImageEncoder, TextConfig, TextEncoder
from sfumato.networks.controlnet import ControlNet, ControlNetConfig
from sfumato.networks.dit import DiT, DiTConfig
from sfumato.networks.flux import FluxConfig, FluxTransformer
from sfumato.networks.pixart import PixArtConfig, PixArtTransformer
from sfumato.networks.sd3 import SD3Config, SD3Transformer
from sfumato.networks.t2i_adapter import T2IAdapter, T2IAdapterConfig
from sfumato.networks.tiny_vae import AutoencoderTiny, TinyAutoencoderConfig
from sfumato.networks.unet import UNet
from sfumato.networks.unet_config import UNetConfig
from sfumato.networks.vae import AutoencoderConfig, AutoencoderKL

# What each file says, without the keys that say what the reference takes for granted.
STABLE_DIFFUSION_1 = {"attention_head_dim": 8, "cross_attention_dim": 768, "sample_size": 64}
STABLE_DIFFUSION_2 = {
    "attention_head_dim": [5, 10, 20, 20],
    "cross_attention_dim": 1024,
    "use_linear_projection": True,
    "upcast_attention": True,
}
STABLE_DIFFUSION_XL = {
    "_class_name": "UNet2DConditionModel",
    "addition_embed_type": "text_time",
    "addition_embed_type_num_heads": 64,
    "addition_time_embed_dim": 256,
    "attention_head_dim": [5, 10, 20],
    "block_out_channels": [320, 640, 1280],
    "cross_attention_dim": 2048,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "projection_class_embeddings_input_dim": 2816,
    "transformer_layers_per_block": [1, 2, 10],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "upcast_attention": None,
    "use_linear_projection": True,
}
REFINER = STABLE_DIFFUSION_XL | {
    "attention_head_dim": [6, 12, 24, 24],
    "block_out_channels": [384, 768, 1536, 1536],
    "cross_attention_dim": 1280,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    "projection_class_embeddings_input_dim": 2560,
    "transformer_layers_per_block": 4,
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
}
INPAINTING = STABLE_DIFFUSION_1 | {"in_channels": 9}
X4_UPSCALER = {
    "attention_head_dim": 8,
    "block_out_channels": [256, 512, 512, 1024],
    "cross_attention_dim": 1024,
    "down_block_types": ["DownBlock2D", *["CrossAttnDownBlock2D"] * 3],
    "in_channels": 7,
    "num_class_embeds": 1000,
    "only_cross_attention": [True, True, True, False],
    "up_block_types": [*["CrossAttnUpBlock2D"] * 3, "UpBlock2D"],
    "use_linear_projection": True,
}
LCM_DREAMSHAPER = STABLE_DIFFUSION_1 | {"time_cond_proj_dim": 256}
CONTROLNET_1 = {
    "_class_name": "ControlNetModel",
    "attention_head_dim": 8,
    "class_embed_type": None,
    "conditioning_embedding_out_channels": [16, 32, 96, 256],
    "controlnet_conditioning_channel_order": "rgb",
    "cross_attention_dim": 768,
    "downsample_padding": 1,
    "global_pool_conditions": False,
    "mid_block_scale_factor": 1,
    "resnet_time_scale_shift": "default",
}
STABLE_DIFFUSION_VAE = {
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 2,
    "sample_size": 512,
}
SIXTEEN_CHANNEL_VAE = STABLE_DIFFUSION_VAE | {  # of Stable Diffusion 3 and FLUX.1
    "latent_channels": 16,
    "latents_mean": None,
    "latents_std": None,
    "scaling_factor": 0.3611,
    "shift_factor": 0.1159,
    "use_post_quant_conv": False,
    "use_quant_conv": False,
}
TAESD = {
    "act_fn": "relu",
    "block_out_channels": [64, 64, 64, 64],
    "latent_magnitude": 3,
    "num_decoder_blocks": [3, 3, 3, 1],
    "num_encoder_blocks": [1, 3, 3, 3],
    "upsampling_scaling_factor": 2,
}
STABLE_DIFFUSION_3_MEDIUM = {
    "_class_name": "SD3Transformer2DModel",
    "caption_projection_dim": 1536,
    "joint_attention_dim": 4096,
    "num_attention_heads": 24,
    "num_layers": 24,
    "pos_embed_max_size": 192,
}
STABLE_DIFFUSION_35_MEDIUM = STABLE_DIFFUSION_3_MEDIUM | {
    "dual_attention_layers": list(range(13)),
    "pos_embed_max_size": 384,
    "qk_norm": "rms_norm",
}
STABLE_DIFFUSION_35_LARGE = STABLE_DIFFUSION_3_MEDIUM | {
    "caption_projection_dim": 2432,
    "dual_attention_layers": [],
    "num_attention_heads": 38,
    "num_layers": 38,
    "qk_norm": "rms_norm",
}
FLUX_1_SCHNELL = {
    "_class_name": "FluxTransformer2DModel",
    "guidance_embeds": False,
    "in_channels": 64,
    "joint_attention_dim": 4096,
    "patch_size": 1,
    "pooled_projection_dim": 768,
}
PIXART_ALPHA_1024 = {
    "_class_name": "Transformer2DModel",
    "activation_fn": "gelu-approximate",
    "attention_type": "default",
    "caption_channels": 4096,
    "double_self_attention": False,
    "norm_elementwise_affine": False,
    "norm_eps": 1e-06,
    "norm_num_groups": 32,
    "norm_type": "ada_norm_single",
    "num_embeds_ada_norm": 1000,
    "num_vector_embeds": None,
    "only_cross_attention": False,
    "sample_size": 128,
    "upcast_attention": False,
    "use_linear_projection": False,
}
PIXART_SIGMA_1024 = PIXART_ALPHA_1024 | {
    "_class_name": "PixArtTransformer2DModel",
    "interpolation_scale": 2,
    "use_additional_conditions": False,
}
DIT_XL = {"norm_elementwise_affine": False, "out_channels": 8}
CLIP_L_TEXT = {
    "architectures": ["CLIPTextModel"],
    "attention_dropout": 0.0,
    "bos_token_id": 0,
    "dropout": 0.0,
    "eos_token_id": 2,
    "hidden_size": 768,
    "initializer_factor": 1.0,
    "intermediate_size": 3072,
    "model_type": "clip_text_model",
    "num_attention_heads": 12,
    "projection_dim": 768,
    "torch_dtype": "float32",
    "transformers_version": "4.22.0.dev0",
}
OPENCLIP_BIGG_TEXT = {
    "architectures": ["CLIPTextModelWithProjection"],
    "hidden_act": "gelu",
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_attention_heads": 20,
    "num_hidden_layers": 32,
    "projection_dim": 1280,
}
CLIP_L_IMAGE = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_attention_heads": 16,
    "num_hidden_layers": 24,
    "patch_size": 14,
    "projection_dim": 768,
}


@pytest.mark.parametrize(
    ("network", "config", "file", "parameters"),
    [
        (UNet, UNetConfig, STABLE_DIFFUSION_1, 859_520_964),
        (UNet, UNetConfig, STABLE_DIFFUSION_2, 865_910_724),
        (UNet, UNetConfig, STABLE_DIFFUSION_XL, 2_567_463_684),
        (ControlNet, ControlNetConfig, CONTROLNET_1, 361_279_120),
        (T2IAdapter, T2IAdapterConfig, {"downscale_factor": 8}, 77_369_280),
        (T2IAdapter, T2IAdapterConfig, {"downscale_factor": 16, "adapter_type": "full_adapter_xl"}, 79_028_160),
        (AutoencoderKL, AutoencoderConfig, STABLE_DIFFUSION_VAE, 83_653_863),
        (AutoencoderKL, AutoencoderConfig, SIXTEEN_CHANNEL_VAE, 83_819_683),
        (AutoencoderTiny, TinyAutoencoderConfig, TAESD, 2_445_063),
        (AutoencoderTiny, TinyAutoencoderConfig, TAESD | {"latent_channels": 16}, 2_458_899),
        (SD3Transformer, SD3Config, STABLE_DIFFUSION_3_MEDIUM, 2_028_328_000),
        (SD3Transformer, SD3Config, STABLE_DIFFUSION_35_MEDIUM, 2_243_171_520),
        (SD3Transformer, SD3Config, STABLE_DIFFUSION_35_LARGE, 8_056_627_520),
        (FluxTransformer, FluxConfig, FLUX_1_SCHNELL, 11_891_178_560),
        (FluxTransformer, FluxConfig, FLUX_1_SCHNELL | {"guidance_embeds": True}, 11_901_408_320),
        (PixArtTransformer, PixArtConfig, PIXART_ALPHA_1024, 611_349_152),
        (PixArtTransformer, PixArtConfig, PIXART_SIGMA_1024, 610_856_096),
        (PixArtTransformer, PixArtConfig, PIXART_SIGMA_1024 | {"sample_size": 64}, 610_856_096),
        (DiT, DiTConfig, DIT_XL, 749_826_464),
        (TextEncoder, TextConfig, CLIP_L_TEXT, 123_060_480),
        (TextEncoder, TextConfig, OPENCLIP_BIGG_TEXT, 694_659_840),
        (ImageEncoder, ImageConfig, CLIP_L_IMAGE, 303_966_208),
    ],
)
def test_published_models_have_their_known_size(network, config, file, parameters):
    with torch.device("meta"):
        assert sum(p.numel() for p in network(config.from_dict(file)).parameters()) == parameters


@pytest.mark.parametrize(
    "file",
    [STABLE_DIFFUSION_2, REFINER, INPAINTING, X4_UPSCALER, LCM_DREAMSHAPER],
    ids=["2", "refiner", "inpaint", "x4", "lcm"],
)
def test_published_u_nets_have_the_references_parameters(file):
    with torch.device("meta"):
        ours, reference = UNet(UNetConfig.from_dict(file)), UNet2DConditionModel.from_config(file)
    shapes = {name: value.shape for name, value in reference.state_dict().items()}
    assert {name: value.shape for name, value in ours.state_dict().items()} == shapes


def test_a_network_built_without_memory_takes_over_loaded_weights():
    config = TextConfig(vocab_size=10, hidden_size=8, num_hidden_layers=1, intermediate_size=8, eos_token_id=9)
    loaded = TextEncoder(config)
    with torch.device("meta"):
        network = TextEncoder(config)
    network.load_state_dict(loaded.state_dict(), assign=True)
    ids = torch.tensor([[1, 2, 9]])
    assert torch.equal(network(ids).projected, loaded(ids).projected)
