"""ControlNets give the reference's residuals, and U-Nets take them as the reference does."""

import pytest
import torch
from diffusers import ControlNetModel, MultiControlNetModel, UNet2DConditionModel

from sfumato.errors import CheckpointError
from sfumato.networks.controlnet import ControlNet, ControlNetConfig
from sfumato.networks.extras import Extras
from sfumato.networks.initialisation import initialise
from sfumato.networks.unet import UNet
from sfumato.networks.unet_config import UNetConfig

BASE = {
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "block_out_channels": (15, 21),
    "norm_num_groups": 3,
    "cross_attention_dim": 12,
    "attention_head_dim": 3,
}
UP = {"up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D")}
LARGE = {
    "block_out_channels": (8, 16, 24),
    "norm_num_groups": 4,
    "cross_attention_dim": 12,
    "attention_head_dim": (1, 2, 3),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "transformer_layers_per_block": (1, 1, 2),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 10 + 6 * 8,
}
VARIANTS = {
    "like stable diffusion 1": BASE | {"conditioning_embedding_out_channels": (5, 7, 9)},
    "like stable diffusion xl": LARGE | {"conditioning_embedding_out_channels": (4, 6, 8)},
    "in blue, green and red": BASE
    | {"conditioning_embedding_out_channels": (5, 6, 7), "controlnet_conditioning_channel_order": "bgr"},
    "pooled over all pixels": BASE
    | {"conditioning_embedding_out_channels": (4, 4, 4), "global_pool_conditions": True, "layers_per_block": 1},
    "classes and four channels of control": BASE
    | {"conditioning_embedding_out_channels": (4, 4, 4), "conditioning_channels": 4, "num_class_embeds": 5},
    "no attention in the middle": BASE
    | {"conditioning_embedding_out_channels": (4, 4, 4), "mid_block_type": "UNetMidBlock2D"},
}


def made(reference: type, **config):
    """A reference whose layers that begin as zeros are as random as the others."""
    network = reference(**config).eval()
    for parameter in network.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    return network


def inputs(config, size=(8, 6), batch=2):
    sample, states = torch.randn(batch, 4, *size), torch.randn(batch, 5, 12)
    control = torch.rand(batch, config.conditioning_channels, 4 * size[0], 4 * size[1])
    keywords = {}
    if config.num_class_embeds:
        keywords["class_labels"] = torch.arange(batch)
    if config.addition_embed_type:
        ids = torch.tensor([[64.0, 48, 0, 3, 64, 64]] * batch)
        keywords["added"] = {"text_embeds": torch.randn(batch, 10), "time_ids": ids}
    return (sample, torch.linspace(0.0, 987.25, batch), states, control), keywords


def theirs(reference, positional, scale=1.0, guess=False, added=None, class_labels=None):
    return reference(
        *positional, conditioning_scale=scale, guess_mode=guess, added_cond_kwargs=added, class_labels=class_labels
    )


def assert_same(ours, reference):
    assert len(ours.down) == len(reference.down_block_res_samples)
    for one, other in zip((*ours.down, ours.mid), (*reference[0], reference[1]), strict=True):
        assert one.abs().max() > 1e-3
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("variant", VARIANTS)
def test_both_libraries_open_each_others_folder_and_give_the_same_residuals(variant, read, write):
    reference = made(ControlNetModel, **VARIANTS[variant])
    ours = read(reference, ControlNet, ControlNetConfig)
    positional, keywords = inputs(ours.config)
    assert_same(ours(*positional, **keywords), theirs(reference, positional, **keywords))

    opened = write(ours, ControlNetModel)
    assert not write.unexpected
    assert ControlNetConfig.from_dict(opened.config) == ours.config
    assert_same(ours(*positional, **keywords), theirs(opened, positional, **keywords))


@torch.no_grad()
@pytest.mark.parametrize("variant", ["like stable diffusion 1", "pooled over all pixels"])
@pytest.mark.parametrize("guess", [False, True])
def test_residuals_are_scaled_as_in_the_reference(variant, guess, read):
    reference = made(ControlNetModel, **VARIANTS[variant])
    ours = read(reference, ControlNet, ControlNetConfig)
    positional, _ = inputs(ours.config)
    assert_same(ours(*positional, scale=0.7, guess=guess), theirs(reference, positional, 0.7, guess))


@torch.no_grad()
@pytest.mark.parametrize("variant", ["like stable diffusion 1", "like stable diffusion xl", "pooled over all pixels"])
def test_a_u_net_takes_the_sum_of_residuals_as_in_the_reference(variant, tmp_path, read):
    settings = VARIANTS[variant]
    controls = [made(ControlNetModel, **settings) for _ in range(2)]
    networks = [read(reference, ControlNet, ControlNetConfig) for reference in controls]
    shared = {name: value for name, value in settings.items() if not name.startswith(("cond", "control", "global"))}
    up = (
        UP
        if len(settings["block_out_channels"]) == 2
        else {"up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D")}
    )
    reference = UNet2DConditionModel(**shared, **up).eval()
    unet = read(reference, UNet, UNetConfig)

    (sample, t, states, control), keywords = inputs(networks[0].config)
    other = torch.rand_like(control)
    first = networks[0](sample, t, states, control, scale=0.5, **keywords)
    second = networks[1](sample, t, states, other, scale=1.25, **keywords)
    down, mid = MultiControlNetModel(controls)(
        sample, t, states, [control, other], [0.5, 1.25], added_cond_kwargs=keywords.get("added"), return_dict=False
    )
    expected = reference(
        sample,
        t,
        states,
        down_block_additional_residuals=down,
        mid_block_additional_residual=mid,
        added_cond_kwargs=keywords.get("added"),
    ).sample
    out = unet(sample, t, states, extras=Extras(residuals=first + second), **keywords)
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-5)
    assert (out - unet(sample, t, states, **keywords)).abs().max() > 1e-3


@torch.no_grad()
@pytest.mark.parametrize("size", [(7, 9), (5, 8)])
def test_any_size_works_as_in_the_reference(size, read):
    reference = made(ControlNetModel, **VARIANTS["like stable diffusion xl"])
    ours = read(reference, ControlNet, ControlNetConfig)
    positional, keywords = inputs(ours.config, size)
    assert_same(ours(*positional, **keywords), theirs(reference, positional, **keywords))


@torch.no_grad()
def test_a_new_control_net_changes_nothing():
    settings = VARIANTS["like stable diffusion 1"]
    network = initialise(ControlNet(ControlNetConfig(**settings)))
    positional, _ = inputs(network.config)
    residuals = network(*positional)
    assert not any(state.any() for state in (*residuals.down, residuals.mid))


@torch.no_grad()
def test_hidden_words_stay_hidden():
    network = ControlNet(ControlNetConfig(**VARIANTS["like stable diffusion 1"]))
    (sample, t, states, control), _ = inputs(network.config)
    mask = torch.tensor([[True, True, False, True, False]] * 2)
    before = network(sample, t, states, control, mask=mask)
    states[:, [2, 4]] += 10
    torch.testing.assert_close(network(sample, t, states, control, mask=mask).mid, before.mid)
    assert not torch.allclose(network(sample, t, states, control).mid, before.mid)


def test_a_control_picture_of_another_size_is_refused_with_the_right_one():
    network = ControlNet(ControlNetConfig(**VARIANTS["like stable diffusion 1"]))
    (sample, t, states, control), _ = inputs(network.config)
    with pytest.raises(ValueError, match=r"control: 32x20 .* 8x6; they should be 4 times"):
        network(sample, t, states, control[..., :20])


def test_residuals_of_another_network_are_refused():
    network = ControlNet(ControlNetConfig(**BASE | {"conditioning_embedding_out_channels": (4, 4, 4)}))
    (sample, t, states, control), _ = inputs(network.config)
    unet = UNet(UNetConfig(**BASE | UP | {"layers_per_block": 1}))
    with pytest.raises(ValueError, match="residuals for 6 states, but this U-Net has 4"):
        unet(sample, t, states, extras=Extras(residuals=network(sample, t, states, control)))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("controlnet_conditioning_channel_order", "rgba"),
        ("conditioning_embedding_out_channels", []),
        ("mid_block_type", None),
        ("class_embed_type", "simple_projection"),
        ("encoder_hid_dim", 12),
        ("cross_attention_dim", [12, 12]),
        ("_class_name", "ControlNetUnionModel"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(key, value):
    with pytest.raises(CheckpointError, match=key):
        ControlNetConfig.from_dict({"projection_class_embeddings_input_dim": 9, key: value})
