"""The diffusion transformers: equal to diffusers', and maps to maps with the conditions that they name."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from diffusers import DiTTransformer2DModel, FluxTransformer2DModel, PixArtTransformer2DModel, SD3Transformer2DModel
from diffusers.pipelines.flux.pipeline_flux import FluxPipeline

from sfumato.networks.dit import DiT, DiTConfig
from sfumato.networks.flux import FluxConfig, FluxTransformer, rotation_of
from sfumato.networks.initialisation import initialise
from sfumato.networks.patches import angles
from sfumato.networks.pixart import PixArtConfig, PixArtTransformer
from sfumato.networks.sd3 import SD3Config, SD3Transformer
from sfumato.networks.transformer_blocks import Rotation, rotated, within_half

WORDS, STATE, POOLED = 5, 13, 9  # how many words, and the widths of what is said of them

SD3: dict[str, Any] = {
    "sample_size": 8,
    "in_channels": 3,
    "out_channels": 3,
    "num_layers": 3,
    "attention_head_dim": 12,
    "num_attention_heads": 3,
    "joint_attention_dim": STATE,
    "caption_projection_dim": 36,
    "pooled_projection_dim": POOLED,
    "pos_embed_max_size": 7,
}
FLUX: dict[str, Any] = {
    "in_channels": 12,
    "num_layers": 2,
    "num_single_layers": 3,
    "attention_head_dim": 18,
    "num_attention_heads": 3,
    "joint_attention_dim": STATE,
    "pooled_projection_dim": POOLED,
    "axes_dims_rope": (4, 6, 8),
}
PIXART: dict[str, Any] = {
    "sample_size": 8,
    "in_channels": 3,
    "out_channels": 6,
    "num_layers": 2,
    "attention_head_dim": 12,
    "num_attention_heads": 3,
    "cross_attention_dim": 36,
    "caption_channels": STATE,
    "norm_num_groups": 4,
}
DIT: dict[str, Any] = {
    "sample_size": 8,
    "in_channels": 3,
    "out_channels": 6,
    "num_layers": 2,
    "attention_head_dim": 12,
    "num_attention_heads": 3,
    "num_embeds_ada_norm": 4,
    "norm_num_groups": 4,
}


@dataclass(frozen=True)
class Family:
    """How both libraries call the same thing."""

    theirs: type
    ours: type
    config: type


FAMILIES = {
    "sd3": Family(SD3Transformer2DModel, SD3Transformer, SD3Config),
    "flux": Family(FluxTransformer2DModel, FluxTransformer, FluxConfig),
    "pixart": Family(PixArtTransformer2DModel, PixArtTransformer, PixArtConfig),
    "dit": Family(DiTTransformer2DModel, DiT, DiTConfig),
}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "like stable diffusion 3": ("sd3", SD3),
    "like stable diffusion 3.5 large": ("sd3", SD3 | {"qk_norm": "rms_norm", "attention_head_dim": 4}
                                        | {"num_attention_heads": 5, "caption_projection_dim": 20}),
    "like stable diffusion 3.5 medium": ("sd3", SD3 | {"qk_norm": "rms_norm", "dual_attention_layers": (0, 1)}),
    "dual attention to the last, without norms": ("sd3", SD3 | {"dual_attention_layers": (1, 2), "num_layers": 3}),
    "patches of three, other channels out": ("sd3", SD3 | {"patch_size": 3, "sample_size": 14, "out_channels": 5}),
    "one layer, out as in": ("sd3", SD3 | {"num_layers": 1, "out_channels": None}),
    "like flux schnell": ("flux", FLUX),
    "like flux dev": ("flux", FLUX | {"guidance_embeds": True}),
    "like flux fill": ("flux", FLUX | {"in_channels": 28, "out_channels": 12, "guidance_embeds": True}),
    "flux of double blocks": ("flux", FLUX | {"num_single_layers": 0, "axes_dims_rope": (0, 10, 8)}),
    "flux of single blocks": ("flux", FLUX | {"num_layers": 0, "attention_head_dim": 24, "axes_dims_rope": (6, 8, 10)}),
    "like pixart alpha": ("pixart", PIXART | {"use_additional_conditions": True}),
    "like pixart alpha of 1024 pixels": ("pixart", PIXART | {"sample_size": 128}),
    "like pixart sigma": ("pixart", PIXART | {"interpolation_scale": 2, "use_additional_conditions": False}),
    "pixart without variance": ("pixart", PIXART | {"out_channels": None, "attention_bias": False}),
    "pixart with states as they are": ("pixart", PIXART | {"caption_channels": None, "cross_attention_dim": STATE}
                                       | {"patch_size": 1, "num_attention_heads": 5, "attention_head_dim": 4}),
    "like dit": ("dit", DIT),
    "dit without variance": ("dit", DIT | {"out_channels": None, "attention_bias": False, "norm_eps": 1e-3}),
}  # fmt: skip


def inputs(config, size=(8, 8), batch=2, seed=1):
    """What a network of this configuration wants: positional arguments and keywords under our names."""
    draw = torch.Generator().manual_seed(seed)
    channels = config.sample_channels if isinstance(config, FluxConfig) else config.in_channels
    patch = config.factor if size == (8, 8) else 1
    edges = [edge // 2 * patch if patch > 2 else edge for edge in size]
    sample = torch.randn(batch, channels, *edges, generator=draw)
    timestep = torch.tensor([987.25, 31.0])[-batch:]
    if isinstance(config, DiTConfig):
        return (sample, timestep), {"class_labels": torch.tensor([4, 1])[-batch:]}
    states = torch.randn(batch, WORDS, STATE, generator=draw)
    more: dict[str, Any] = {}
    if isinstance(config, PixArtConfig):
        more["mask"] = torch.tensor([[True] * WORDS, [True, True, False, True, False]])[-batch:]
        if config.tells_size:
            more["picture_size"] = torch.tensor([[512, 768], [1024, 640]])[-batch:]
    else:
        more["pooled"] = torch.randn(batch, POOLED, generator=draw)
        if isinstance(config, FluxConfig) and config.guidance_embeds:
            more["guidance"] = torch.tensor([3.5, 1.25])[-batch:]
    return (sample, timestep, states), more


def answer(reference, sample, timestep, states=None, *, pooled=None, guidance=None, mask=None, **more):
    """Calls diffusers' network as its pipeline does."""
    b, _, h, w = sample.shape
    if isinstance(reference, DiTTransformer2DModel):
        return mean_of(reference(sample, timestep, more["class_labels"]).sample, sample)
    if isinstance(reference, SD3Transformer2DModel):
        return reference(sample, states, pooled, timestep).sample
    if isinstance(reference, PixArtTransformer2DModel):
        added = {"resolution": None, "aspect_ratio": None}
        if "picture_size" in more:
            edges = more["picture_size"].float()
            added = {"resolution": edges, "aspect_ratio": edges[:, :1] / edges[:, 1:]}
        return mean_of(reference(sample, states, timestep, added, encoder_attention_mask=mask).sample, sample)
    tokens = FluxPipeline._pack_latents(sample, b, sample.shape[1], h, w)
    places = FluxPipeline._prepare_latent_image_ids(b, h // 2, w // 2, sample.device, sample.dtype)
    at_zero = torch.zeros(states.shape[1], 3)
    out = reference(tokens, states, pooled, timestep / 1000, places, at_zero, guidance).sample
    return FluxPipeline._unpack_latents(out, h, w, vae_scale_factor=1)


def mean_of(out, sample):
    return out.chunk(2, dim=1)[0] if out.shape[1] == 2 * sample.shape[1] else out


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def make(variant):
    """Our network with weights drawn anew; every part has an effect."""
    name, settings = VARIANTS[variant]
    torch.manual_seed(0)
    family = FAMILIES[name]
    return family.ours(family.config.from_dict(settings)).eval().requires_grad_(False)


@torch.no_grad()
@pytest.mark.parametrize("variant", VARIANTS)
def test_both_libraries_open_each_others_folder_and_compute_the_same(variant, read, write):
    name, settings = VARIANTS[variant]
    family = FAMILIES[name]
    reference = family.theirs(**settings).eval()
    ours = read(reference, family.ours, family.config)
    positional, more = inputs(ours.config)
    expected = answer(reference, *positional, **more)
    assert expected.abs().max() > 0.1
    close(ours(*positional, **more), expected)

    for parameter in ours.parameters():
        parameter.add_(0.02 * torch.randn_like(parameter))
    opened = write(ours, family.theirs)
    assert not write.unexpected
    assert family.config.from_dict(opened.config) == ours.config
    close(ours(*positional, **more), answer(opened, *positional, **more))


@torch.no_grad()
@pytest.mark.parametrize("size", [(4, 10), (14, 6), (2, 2)])
@pytest.mark.parametrize("variant", ["like stable diffusion 3.5 medium", "like flux dev", "like pixart sigma"])
def test_other_sizes_than_in_training_are_as_in_the_reference(variant, size):
    name, settings = VARIANTS[variant]
    family = FAMILIES[name]
    reference = family.theirs(**settings).eval()
    ours = family.ours(family.config.from_dict(reference.config)).eval()
    ours.load_state_dict(reference.state_dict())
    positional, more = inputs(ours.config, size)
    out = ours(*positional, **more)
    assert out.shape[-2:] == size
    close(out, answer(reference, *positional, **more))


@pytest.mark.parametrize("settings", [SD3, SD3 | {"patch_size": 3, "sample_size": 14, "pos_embed_max_size": 5}])
def test_positions_that_a_new_network_keeps_are_those_of_the_reference(settings):
    key = "pos_embed.pos_embed"
    fresh = SD3Transformer(SD3Config(**settings)).state_dict()[key]
    close(fresh, SD3Transformer2DModel(**settings).state_dict()[key])


@torch.no_grad()
@pytest.mark.parametrize("variant", ["like stable diffusion 3", "like flux dev", "like pixart alpha", "like dit"])
def test_a_network_built_without_memory_takes_over_loaded_weights(variant):
    loaded = make(variant)
    with torch.device("meta"):
        network = type(loaded)(loaded.config).eval()
    network.load_state_dict(loaded.state_dict(), assign=True)
    positional, more = inputs(loaded.config)
    assert torch.equal(network(*positional, **more), loaded(*positional, **more))


@torch.no_grad()
@pytest.mark.parametrize("variant", VARIANTS)
def test_each_sample_is_computed_for_itself_at_its_own_timestep(variant):
    network = make(variant)
    positional, more = inputs(network.config)
    together = network(*positional, **more)
    for i in range(2):
        alone = network(*(x[i : i + 1] for x in positional), **{name: x[i : i + 1] for name, x in more.items()})
        close(alone, together[i : i + 1])


@torch.no_grad()
@pytest.mark.parametrize("variant", ["like stable diffusion 3", "like flux dev", "like pixart alpha"])
def test_one_number_serves_the_whole_batch(variant):
    network = make(variant)
    (sample, _, states), more = inputs(network.config)
    if "guidance" in more:
        more["guidance"] = torch.tensor([3.5, 3.5])
    each = network(sample, torch.tensor([12.5, 12.5]), states, **more)
    if "guidance" in more:
        more["guidance"] = 3.5
    close(network(sample, 12.5, states, **more), each)
    assert not torch.allclose(network(sample, 600.0, states, **more), each, atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_condition_is_heard(variant):
    network = make(variant)
    (sample, timestep, *states), more = inputs(network.config)
    before = network(sample, timestep, *states, **more)
    assert not torch.allclose(network(sample, timestep - 20, *states, **more), before, atol=1e-4)
    for name, value in more.items():
        other = {"mask": torch.logical_not, "class_labels": lambda labels: labels - 1}.get(name, lambda x: x * 1.5 + 1)
        changed = network(sample, timestep, *states, **more | {name: other(value)})
        assert not torch.allclose(changed, before, atol=1e-5), name
    if states:
        assert not torch.allclose(network(sample, timestep, states[0] + 1, **more), before, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("variant", VARIANTS)
def test_half_the_precision_gives_about_the_same(variant):
    network = make(variant)
    positional, more = inputs(network.config)
    exact = network(*positional, **more)
    network = network.to(torch.bfloat16)
    sample, timestep, *states = positional
    if "pooled" in more:
        more["pooled"] = more["pooled"].bfloat16()
    rounded = network(sample.bfloat16(), timestep, *(x.bfloat16() for x in states), **more)
    assert rounded.dtype == torch.bfloat16
    assert (rounded.float() - exact).norm() < 0.05 * exact.norm()


@torch.no_grad()
def test_words_that_a_mask_hides_have_no_effect():
    network = make("like pixart alpha")
    (sample, timestep, states), more = inputs(network.config)
    out = network(sample, timestep, states, **more)
    states[1, [2, 4]] += 10
    close(network(sample, timestep, states, **more), out)
    states[0, 2] += 10
    assert not torch.allclose(network(sample, timestep, states, **more)[0], out[0], atol=1e-3)


@pytest.mark.parametrize(
    "variant", ["like stable diffusion 3.5 medium", "like flux dev", "like pixart alpha", "like dit"]
)
def test_a_new_network_starts_from_zero_and_all_that_is_heard_learns_within_six_steps(variant):
    network = initialise(make(variant)).requires_grad_(True)
    positional, more = inputs(network.config)
    assert not network(*positional, **more).any()
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(6):  # the zeros open one after the other
        optimiser.zero_grad()
        (network(*positional, **more) - positional[0]).square().mean().backward()
        optimiser.step()
    # What the words ask for in the last block is not listened to, nor is what shifts all keys alike.
    deaf = {f"transformer_blocks.2.attn.{name}" for name in ("add_q_proj.weight", "add_q_proj.bias")}
    deaf |= {"transformer_blocks.2.attn.norm_added_q.weight"}
    silent = {name for name, p in network.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-12}
    assert {name for name in silent if not name.endswith("to_k.bias")} == deaf & set(network.state_dict())


def test_rotated_queries_and_keys_match_by_how_far_apart_they_lie():
    q, k = torch.randn(2, 1, 1, 1, 18).double().unbind(0)

    def score(query_at, key_at):
        turns = torch.cat([angles(torch.tensor([x]), width) for x in (query_at, key_at) for width in (8, 10)], dim=1)
        by = [Rotation.by(turn) for turn in turns.chunk(2, dim=1)]
        return (rotated(q, by[0]) * rotated(k, by[1])).sum()

    torch.testing.assert_close(score(3, 5), score(41, 43), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(score(7, 7), (q * k).sum(), atol=1e-5, rtol=1e-5)
    assert (score(3, 5) - score(3, 6)).abs() > 1e-3


def test_half_precision_stops_short_of_infinity():
    assert within_half(torch.tensor([1e5, -1e5, 3.0]).half()).tolist() == [65504.0, -65504.0, 3.0]
    assert within_half(torch.tensor([1e5])).item() == 1e5


def test_words_lie_at_the_origin_and_patches_at_their_row_and_column():
    rotation = rotation_of(3, (2, 5), (4, 6, 8))
    assert (rotation.cos[:3] == 1).all()
    assert (rotation.sin[:3] == 0).all()
    turn = torch.atan2(rotation.sin, rotation.cos)[3:, 0].unflatten(0, (2, 5))
    torch.testing.assert_close(turn[1, 2, [0, 4, 10]], torch.tensor([0.0, 1.0, 2.0]))  # the fastest of each axis


@pytest.mark.parametrize("variant", ["like stable diffusion 3", "like flux schnell", "like pixart sigma"])
def test_a_map_that_patches_do_not_fill_is_refused(variant):
    network = make(variant)
    (sample, timestep, states), more = inputs(network.config)
    with pytest.raises(ValueError, match="8x7 cannot be cut into patches of 2x2"):
        network(sample[..., :7], timestep, states, **more)


def test_a_map_beyond_the_known_positions_is_refused():
    network = make("like stable diffusion 3")
    (_, timestep, states), more = inputs(network.config)
    with pytest.raises(ValueError, match="a map of 4x16; the largest edge is 14"):
        network(torch.zeros(2, 3, 4, 16), timestep, states, **more)


@pytest.mark.parametrize(
    ("variant", "missing"),
    [
        ("like stable diffusion 3", "pooled"),
        ("like flux schnell", "pooled"),
        ("like flux dev", "guidance"),
        ("like pixart alpha", "picture_size"),
        ("like dit", "class_labels"),
    ],
)
def test_a_missing_condition_is_named(variant, missing):
    network = make(variant)
    positional, more = inputs(network.config)
    with pytest.raises(ValueError, match=missing):
        network(*positional, **more | {missing: None})
