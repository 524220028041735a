"""T2I-Adapters give the reference's features, and U-Nets take them where the reference does."""

import pytest
import torch
from diffusers import T2IAdapter as Reference
from diffusers import UNet2DConditionModel

from sfumato.errors import CheckpointError
from sfumato.networks.extras import Extras
from sfumato.networks.t2i_adapter import T2IAdapter, T2IAdapterConfig
from sfumato.networks.unet import UNet
from sfumato.networks.unet_config import UNetConfig

VARIANTS = {
    "full": {"channels": (9, 15, 21), "downscale_factor": 4, "adapter_type": "full_adapter"},
    "full, grey, one layer": {"in_channels": 1, "channels": (7, 7), "num_res_blocks": 1, "downscale_factor": 4},
    "xl": {"channels": (9, 15, 21, 21), "downscale_factor": 8, "adapter_type": "full_adapter_xl"},
    "light": {"channels": (8, 13), "num_res_blocks": 4, "downscale_factor": 4, "adapter_type": "light_adapter"},
}
SMALL = {
    "block_out_channels": (9, 15, 21),
    "norm_num_groups": 3,
    "cross_attention_dim": 12,
    "attention_head_dim": 3,
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
}
LARGE = SMALL | {
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 1, 2),
}


@torch.no_grad()
@pytest.mark.parametrize("size", [(32, 32), (24, 40)])
@pytest.mark.parametrize("variant", VARIANTS)
def test_both_libraries_open_each_others_folder_and_give_the_same_features(variant, size, read, write):
    reference = Reference(**VARIANTS[variant]).eval()
    ours = read(reference, T2IAdapter, T2IAdapterConfig)
    control = torch.rand(2, ours.config.in_channels, *size)
    opened = write(ours, Reference)
    assert T2IAdapterConfig.from_dict(opened.config) == ours.config
    for other in (reference, opened):
        for feature, expected in zip(ours(control), other(control), strict=True):
            torch.testing.assert_close(feature, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(("adapter", "config"), [("full", SMALL), ("xl", LARGE)])
@pytest.mark.parametrize("sizes", [(8, 8), (12, 8)])
def test_a_u_net_takes_features_as_in_the_reference(adapter, config, sizes, read):
    settings = VARIANTS[adapter]
    network = read(Reference(**settings).eval(), T2IAdapter, T2IAdapterConfig)
    reference = UNet2DConditionModel(**config).eval()
    unet = read(reference, UNet, UNetConfig)
    sample, states = torch.randn(2, 4, *sizes), torch.randn(2, 5, 12)
    t = torch.tensor([3.0, 700.0])
    features = [2 * feature for feature in network(torch.rand(2, 3, 4 * sizes[0], 4 * sizes[1]))]
    theirs = [feature.clone() for feature in features]
    expected = reference(sample, t, states, down_intrablock_additional_residuals=theirs).sample
    out = unet(sample, t, states, extras=Extras(features=features))
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-5)
    for missing in range(len(features)):
        fewer = [feature * (number != missing) for number, feature in enumerate(features)]
        assert (unet(sample, t, states, extras=Extras(features=fewer)) - out).abs().max() > 1e-4


@torch.no_grad()
def test_fewer_features_than_resolutions_reach_the_finest_ones(read):
    reference = UNet2DConditionModel(**SMALL).eval()
    unet = read(reference, UNet, UNetConfig)
    sample, states = torch.randn(1, 4, 8, 8), torch.randn(1, 5, 12)
    features = [torch.randn(1, 9, 8, 8)]
    expected = reference(sample, 5.0, states, down_intrablock_additional_residuals=list(features)).sample
    torch.testing.assert_close(
        unet(sample, 5.0, states, extras=Extras(features=features)), expected, atol=1e-5, rtol=1e-5
    )


def test_a_picture_that_does_not_divide_is_refused():
    network = T2IAdapter(T2IAdapterConfig(channels=(8, 8)))
    with pytest.raises(ValueError, match=r"control: 30x32 pixels; .* multiples of 8"):
        network(torch.rand(1, 3, 30, 32))


@pytest.mark.parametrize(
    ("key", "value"),
    [("adapter_type", "heavy_adapter"), ("channels", []), ("downscale_factor", 0), ("_class_name", "MultiAdapter")],
)
def test_what_is_not_supported_is_refused_by_name(key, value):
    with pytest.raises(CheckpointError, match=key):
        T2IAdapterConfig.from_dict({key: value})
