import pytest
import torch
from diffusers import LatentConsistencyModelPipeline, UNet2DConditionModel

from sfumato.errors import CheckpointError
from sfumato.networks.attention import Transformer2DModel
from sfumato.networks.blocks import ResnetBlock2D
from sfumato.networks.extras import Context
from sfumato.networks.initialisation import initialise
from sfumato.networks.unet import UNet
from sfumato.networks.unet_config import UNetConfig, unet_config
from sfumato.networks.way_down import guidance_waves

CROSS = {
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}
PLAIN = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
BASE = {"block_out_channels": (16, 24), "norm_num_groups": 8, "cross_attention_dim": 12, "attention_head_dim": 2}

VARIANTS = {
    "like stable diffusion 1": BASE | CROSS,
    "like stable diffusion 2": BASE
    | CROSS
    | {"use_linear_projection": True, "attention_head_dim": (1, 3), "upcast_attention": True},
    "like stable diffusion xl": {
        "block_out_channels": (16, 16, 32),
        "norm_num_groups": 8,
        "cross_attention_dim": 12,
        "attention_head_dim": (1, 2, 4),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 1, 2),
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 10 + 6 * 8,
    },
    "like the refiner of stable diffusion xl": {
        "block_out_channels": (8, 16, 24),
        "norm_num_groups": 4,
        "cross_attention_dim": 12,
        "attention_head_dim": (1, 2, 3),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": 2,
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 10 + 5 * 8,
    },
    "like distilled stable diffusion xl": {
        "block_out_channels": (8, 16, 24),
        "norm_num_groups": 4,
        "cross_attention_dim": 12,
        "attention_head_dim": (1, 2, 3),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (0, (1, 2), (3, 1)),
        "reverse_transformer_layers_per_block": ((1, 2, 1), (2, 1, 1), 0),
        "use_linear_projection": True,
    },
    "like inpainting": BASE | CROSS | {"in_channels": 9, "sample_size": 8},
    "told of its guidance": BASE | CROSS | {"time_cond_proj_dim": 14},
    "words of another width": BASE
    | CROSS
    | {"encoder_hid_dim": 12, "encoder_hid_dim_type": "text_proj"}
    | {"cross_attention_dim": 20},
    "like the x4 upscaler": BASE
    | CROSS
    | {"in_channels": 7, "num_class_embeds": 5, "only_cross_attention": (True, False), "use_linear_projection": True},
    "upsampler without attention": BASE
    | PLAIN
    | {"in_channels": 6, "out_channels": 3, "num_class_embeds": 5, "mid_block_type": "UNetMidBlock2D"},
    "no middle": BASE | PLAIN | {"mid_block_type": None},
    "one block": BASE
    | {
        "block_out_channels": (8,),
        "down_block_types": ("CrossAttnDownBlock2D",),
        "up_block_types": ("CrossAttnUpBlock2D",),
    },
    "heads that do not divide": BASE | CROSS | {"attention_head_dim": (3, 5)},
    "a list for everything": BASE
    | CROSS
    | {"layers_per_block": (1, 2), "cross_attention_dim": (12, 12), "transformer_layers_per_block": (2, 1)},
    "timestep class": BASE | CROSS | {"class_embed_type": "timestep"},
    "identity class": BASE | CROSS | {"class_embed_type": "identity"},
    "projected class": BASE | CROSS | {"class_embed_type": "projection", "projection_class_embeddings_input_dim": 9},
    "simply projected class": BASE
    | CROSS
    | {"class_embed_type": "simple_projection", "projection_class_embeddings_input_dim": 9},
    "other waves": BASE
    | CROSS
    | {"flip_sin_to_cos": False, "freq_shift": 1, "center_input_sample": True, "norm_eps": 1e-4},
    "odd width of the waves": BASE
    | CROSS
    | {"block_out_channels": (15, 21), "norm_num_groups": 3, "attention_head_dim": 3},
}


def inputs(config: UNetConfig, size=(8, 8), batch: int = 2) -> tuple[tuple, dict]:
    """Positional arguments, and keywords under our names."""
    sample = torch.randn(batch, config.in_channels, *size)
    attends = any(kind.startswith("Cross") for kind in config.down_block_types) or "Cross" in str(config.mid_block_type)
    states = torch.randn(batch, 5, 12) if attends else None
    labels = {
        None: torch.arange(batch) if config.num_class_embeds else None,
        "timestep": torch.linspace(0.5, 900, batch),
        "identity": torch.randn(batch, 4 * config.block_out_channels[0]),
    }.get(config.class_embed_type, torch.randn(batch, 9))
    keywords = {"class_labels": labels}
    if config.addition_embed_type:
        count = (config.class_width - 10) // (config.addition_time_embed_dim or 1)
        ids = torch.tensor([[64.0, 48, 0, 3, 64, 64][:count]] * batch)
        keywords["added"] = {"text_embeds": torch.randn(batch, 10), "time_ids": ids}
    if config.time_cond_proj_dim:
        keywords["timestep_cond"] = torch.randn(batch, config.time_cond_proj_dim)
    return (sample, torch.linspace(0.0, 987.25, batch), states), keywords


def theirs(reference, positional, class_labels=None, added=None, mask=None, **others) -> torch.Tensor:
    return reference(
        *positional, class_labels=class_labels, added_cond_kwargs=added, encoder_attention_mask=mask, **others
    ).sample


@torch.no_grad()
@pytest.mark.parametrize("variant", VARIANTS)
def test_both_libraries_open_each_others_folder_and_compute_the_same(variant, read, write):
    reference = UNet2DConditionModel(**VARIANTS[variant]).eval()
    ours = read(reference, UNet, UNetConfig)
    positional, keywords = inputs(ours.config)
    expected = theirs(reference, positional, **keywords)
    torch.testing.assert_close(ours(*positional, **keywords), expected, atol=1e-5, rtol=1e-5)

    for parameter in ours.parameters():
        parameter.add_(0.02 * torch.randn_like(parameter))
    opened = write(ours, UNet2DConditionModel)
    assert UNetConfig.from_dict(opened.config) == ours.config
    torch.testing.assert_close(
        ours(*positional, **keywords), theirs(opened, positional, **keywords), atol=1e-5, rtol=1e-5
    )


@torch.no_grad()
@pytest.mark.parametrize("size", [(7, 9), (5, 8), (1, 3)])
def test_any_size_works_as_in_the_reference(size, read):
    reference = UNet2DConditionModel(**VARIANTS["like stable diffusion xl"]).eval()
    ours = read(reference, UNet, UNetConfig)
    positional, keywords = inputs(ours.config, size)
    out = ours(*positional, **keywords)
    assert out.shape[-2:] == size
    torch.testing.assert_close(out, theirs(reference, positional, **keywords), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_mask_hides_words(read):
    reference = UNet2DConditionModel(**VARIANTS["like stable diffusion 1"]).eval()
    ours = read(reference, UNet, UNetConfig)
    (sample, t, states), _ = inputs(ours.config)
    mask = torch.tensor([[True, True, False, True, False], [False] * 5])
    out = ours(sample, t, states, mask=mask)
    torch.testing.assert_close(out, theirs(reference, (sample, t, states), mask=mask), atol=1e-5, rtol=1e-5)
    states[0, 2] += 10
    torch.testing.assert_close(ours(sample, t, states, mask=mask)[0], out[0])
    torch.testing.assert_close(ours(sample, t, states[:, [0, 1, 3]])[0], out[0], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_hidden_words_stay_hidden_where_all_attention_is_to_words():
    network = UNet(UNetConfig(**VARIANTS["like the x4 upscaler"])).eval()
    (sample, t, states), keywords = inputs(network.config)
    mask = torch.tensor([[True, True, False, True, False]] * 2)
    out = network(sample, t, states, mask=mask, **keywords)
    states[:, [2, 4]] += 10
    torch.testing.assert_close(network(sample, t, states, mask=mask, **keywords), out)


@torch.no_grad()
def test_one_timestep_serves_the_whole_batch():
    network = UNet(UNetConfig(**VARIANTS["like stable diffusion 1"])).eval()
    (sample, _, states), _ = inputs(network.config)
    each = network(sample, torch.tensor([12.5, 12.5]), states)
    torch.testing.assert_close(network(sample, 12.5, states), each)
    torch.testing.assert_close(network(sample, torch.tensor(12.5), states), each)
    assert not torch.equal(network(sample, 12.0, states), each)


@torch.no_grad()
@pytest.mark.parametrize("variant", ["like stable diffusion 1", "like stable diffusion xl"])
def test_channels_last_gives_the_same_numbers_and_stays_channels_last(variant):
    network = UNet(UNetConfig(**VARIANTS[variant])).eval()
    (sample, *others), keywords = inputs(network.config)
    expected = network(sample, *others, **keywords)
    network = network.to(memory_format=torch.channels_last)
    out = network(sample.to(memory_format=torch.channels_last), *others, **keywords)
    assert out.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_parameter_learns(variant):
    network = UNet(UNetConfig(**VARIANTS[variant]))
    positional, keywords = inputs(network.config)
    network(*positional, **keywords).square().mean().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_a_new_network_starts_from_zero_and_every_parameter_is_reached_within_three_steps():
    network = initialise(UNet(unet_config((16, 32), cross_attention_dim=12, head_dim=8)))
    (sample, t, states), _ = inputs(network.config)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    assert not network(sample, t, states).any()
    transformers = [module for module in network.modules() if isinstance(module, Transformer2DModel)]
    x = torch.randn(2, 32, 4, 4)
    assert transformers
    assert all(torch.equal(transformer(x, Context(states)), x) for transformer in transformers)
    for _ in range(3):
        optimiser.zero_grad()
        (network(sample, t, states) - sample).square().mean().backward()
        optimiser.step()
    assert [name for name, p in network.named_parameters() if p.grad.abs().max() < 1e-11] == []


@torch.no_grad()
@pytest.mark.parametrize("channels", [(16,), (32, 64), (36, 72), (18, 48)])
def test_the_noise_level_is_heard_in_every_block(channels):
    network = UNet(unet_config(channels, cross_attention_dim=12, head_dim=8))
    for block in network.modules():
        if isinstance(block, ResnetBlock2D):
            x, embedding = torch.randn(1, block.norm1.num_channels, 4, 4), torch.randn(1, 4 * channels[0])
            assert (block(x, embedding) - block(x, 0 * embedding)).abs().max() > 1e-3


def test_dropout_acts_in_training_only():
    network = UNet(UNetConfig(**BASE | PLAIN | {"mid_block_type": "UNetMidBlock2D", "dropout": 0.5}))
    sample = torch.randn(1, 4, 8, 8)
    assert not torch.equal(network(sample, 1.0), network(sample, 1.0))
    network.eval()
    assert torch.equal(network(sample, 1.0), network(sample, 1.0))


def test_unet_config_chooses_heads_by_their_width():
    config = unet_config((48, 128, 256), attention=(False, True, True))
    assert config.attention_head_dim == (1, 2, 4)
    assert config.norm_num_groups == 4
    assert config.up_block_types == ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D")
    assert UNetConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("class_embed_type", "spatial"),
        ("addition_embed_type", "image"),
        ("resnet_time_scale_shift", "scale_shift"),
        ("act_fn", "gelu"),
        ("num_attention_heads", 4),
        ("norm_num_groups", 7),
        ("norm_num_groups", None),
        ("norm_num_groups", 0),
        ("block_out_channels", 320),
        ("block_out_channels", []),
        ("in_channels", "4"),
        ("mid_block_type", "UNetMidBlock2DSimpleCrossAttn"),
        ("down_block_types", ["AttnDownBlock2D"] * 4),
        ("attention_head_dim", [1, 2]),
        ("attention_head_dim", -1),
        ("transformer_layers_per_block", [[1, 2]] * 4),
        ("encoder_hid_dim_type", "image_proj"),
        ("reverse_transformer_layers_per_block", [1, 2]),
        ("reverse_transformer_layers_per_block", [[1, 2], 1, 1, 1]),
        ("_class_name", "UNet3DConditionModel"),
        ("something_new", 3),
    ],
)
def test_what_is_not_supported_is_refused_by_name(key, value):
    with pytest.raises(CheckpointError, match=key) as error:
        UNetConfig.from_dict({key: value})
    assert repr(value) in str(error.value)


def test_guidance_is_told_as_consistency_models_hear_it():
    waves = LatentConsistencyModelPipeline.get_guidance_scale_embedding(None, torch.tensor([0.0, 6.5]), 14)
    torch.testing.assert_close(guidance_waves(torch.tensor([1.0, 7.5]), 14), waves, atol=1e-4, rtol=0)


def test_a_network_that_was_not_distilled_refuses_to_be_told_of_guidance():
    network = UNet(UNetConfig(**VARIANTS["like stable diffusion 1"]))
    positional, keywords = inputs(network.config)
    with pytest.raises(ValueError, match="timestep_cond"):
        network(*positional, **keywords, timestep_cond=torch.randn(2, 14))


def test_features_that_are_off_and_private_keys_are_read_over():
    assert UNetConfig.from_dict({"_name_or_path": "x", "new_feature": False, "other": None}) == UNetConfig()


@pytest.mark.parametrize(
    ("variant", "missing"),
    [
        ("timestep class", "class_labels"),
        ("like stable diffusion xl", "added"),
        ("told of its guidance", "timestep_cond"),
    ],
)
def test_a_missing_condition_is_named(variant, missing):
    network = UNet(UNetConfig(**VARIANTS[variant]))
    positional, keywords = inputs(network.config)
    with pytest.raises(ValueError, match=missing):
        network(*positional, **keywords | {missing: None})
