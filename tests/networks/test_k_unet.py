"""The U-Net of the latent upscaler gives the reference's numbers."""

import pytest
import torch
from diffusers import UNet2DConditionModel

from sfumato.errors import CheckpointError
from sfumato.networks.k_unet import KUNet, KUNetConfig, upscaling_condition

# What the file says, without the keys that say what the reference takes for granted.
PUBLISHED = {
    "_class_name": "UNet2DConditionModel",
    "act_fn": "gelu",
    "attention_head_dim": 64,
    "block_out_channels": [384, 384, 768, 768],
    "class_embeddings_concat": False,
    "conv_in_kernel": 1,
    "conv_out_kernel": 1,
    "cross_attention_dim": 768,
    "cross_attention_norm": "layer_norm",
    "down_block_types": ["KDownBlock2D", "KCrossAttnDownBlock2D", "KCrossAttnDownBlock2D", "KCrossAttnDownBlock2D"],
    "in_channels": 8,
    "layers_per_block": 4,
    "mid_block_type": None,
    "norm_num_groups": None,
    "only_cross_attention": False,
    "out_channels": 5,
    "resnet_time_scale_shift": "scale_shift",
    "sample_size": 128,
    "time_cond_proj_dim": 896,
    "time_embedding_type": "fourier",
    "timestep_post_act": "gelu",
    "up_block_types": ["KCrossAttnUpBlock2D", "KCrossAttnUpBlock2D", "KCrossAttnUpBlock2D", "KUpBlock2D"],
    "upcast_attention": False,
    "use_linear_projection": False,
}
TINY = PUBLISHED | {"cross_attention_dim": 13, "time_cond_proj_dim": 15, "sample_size": 16}
VARIANTS = {
    "four resolutions": TINY
    | {"block_out_channels": [32, 32, 64, 64], "attention_head_dim": 16, "layers_per_block": 2},
    "three resolutions, and heads that do not divide": TINY
    | {
        "block_out_channels": [96, 192, 192],
        "attention_head_dim": 50,
        "down_block_types": ["KDownBlock2D", "KCrossAttnDownBlock2D", "KCrossAttnDownBlock2D"],
        "up_block_types": ["KCrossAttnUpBlock2D", "KCrossAttnUpBlock2D", "KUpBlock2D"],
        "layers_per_block": 1,
    },
    "attention everywhere, wider kernels": TINY
    | {
        "block_out_channels": [32, 96, 64, 64],
        "attention_head_dim": 8,
        "down_block_types": ["KCrossAttnDownBlock2D"] * 4,
        "up_block_types": ["KCrossAttnUpBlock2D"] * 4,
        "layers_per_block": 2,
        "conv_in_kernel": 3,
        "conv_out_kernel": 3,
    },
    "told nothing besides, sines first": TINY
    | {
        "block_out_channels": [32, 32, 64, 64],
        "attention_head_dim": 32,
        "time_cond_proj_dim": None,
        "flip_sin_to_cos": False,
        "layers_per_block": 3,
    },
}


def inputs(config, size=(16, 24), batch=2):
    width = config.time_cond_proj_dim
    keywords = {"timestep_cond": torch.randn(batch, width)} if width else {}
    return (torch.randn(batch, 8, *size), torch.linspace(-1.2, 1.3, batch), torch.randn(batch, 5, 13)), keywords


@torch.no_grad()
@pytest.mark.parametrize("variant", VARIANTS)
def test_both_libraries_open_each_others_folder_and_compute_the_same(variant, read, write):
    reference = UNet2DConditionModel.from_config(VARIANTS[variant]).eval()
    ours = read(reference, KUNet, KUNetConfig)
    positional, keywords = inputs(ours.config)
    out = ours(*positional, **keywords)
    torch.testing.assert_close(out, reference(*positional, **keywords).sample, atol=1e-5, rtol=1e-5)

    for parameter in ours.parameters():
        parameter.add_(0.02 * torch.randn_like(parameter))
    opened = write(ours, UNet2DConditionModel)
    assert not write.unexpected
    assert KUNetConfig.from_dict(opened.config) == ours.config
    out = ours(*positional, **keywords)
    torch.testing.assert_close(out, opened(*positional, **keywords).sample, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_mask_hides_words_as_in_the_reference(read):
    reference = UNet2DConditionModel.from_config(VARIANTS["four resolutions"]).eval()
    ours = read(reference, KUNet, KUNetConfig)
    positional, keywords = inputs(ours.config)
    mask = torch.tensor([[True, True, False, True, False], [True] * 5])
    expected = reference(*positional, encoder_attention_mask=mask, **keywords).sample
    torch.testing.assert_close(ours(*positional, mask=mask, **keywords), expected, atol=1e-5, rtol=1e-5)


def test_the_published_upscaler_has_the_references_size():
    with torch.device("meta"):
        ours, reference = KUNet(KUNetConfig.from_dict(PUBLISHED)), UNet2DConditionModel.from_config(PUBLISHED)
    shapes = {name: value.shape for name, value in reference.state_dict().items()}
    assert {name: value.shape for name, value in ours.state_dict().items()} == shapes


def test_the_condition_is_the_upscaling_pipelines():
    pooled = torch.randn(2, 768)
    told = upscaling_condition(pooled)
    assert told.shape == (2, 896)
    assert torch.equal(told, torch.cat([torch.ones(2, 64), torch.zeros(2, 64), pooled], dim=1))


@pytest.mark.parametrize("size", [(16, 20), (8, 16)])
def test_a_size_that_cannot_be_is_refused(size):
    network = KUNet(KUNetConfig.from_dict(VARIANTS["four resolutions"]))
    positional, keywords = inputs(network.config, size)
    with pytest.raises(ValueError, match=f"{size[0]}x{size[1]}, which should be multiples of 8 from 16 on"):
        network(*positional, **keywords)


def test_a_missing_condition_is_named():
    network = KUNet(KUNetConfig.from_dict(VARIANTS["four resolutions"]))
    with pytest.raises(ValueError, match="timestep_cond"):
        network(*inputs(network.config)[0])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("block_out_channels", [384, 384, 768, 640]),
        ("block_out_channels", [384, 768, 768, 768]),
        ("block_out_channels", [12, 12, 24, 24]),
        ("block_out_channels", [-32, -32, -64, -64]),
        ("down_block_types", ["KDownBlock2D"] * 4),
        ("up_block_types", ["KCrossAttnUpBlock2D", "KUpBlock2D", "KCrossAttnUpBlock2D", "KUpBlock2D"]),
        ("down_block_types", ["DownBlock2D"] * 4),
        ("layers_per_block", 0),
        ("attention_head_dim", 0),
        ("attention_head_dim", 400),
        ("conv_in_kernel", 2),
        ("act_fn", "silu"),
        ("time_embedding_type", "positional"),
        ("norm_num_groups", 32),
        ("mid_block_type", "UNetMidBlock2D"),
        ("something_new", 3),
    ],
)
def test_what_is_not_supported_is_refused_by_name(key, value):
    with pytest.raises(CheckpointError, match=key):
        KUNetConfig.from_dict(PUBLISHED | {key: value})
