"""IP-Adapters: files in the official layout give the reference's numbers here and there, and what is wrong is named."""

import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from sfumato.checkpoints.ip_adapter import load_ip_adapter
from sfumato.errors import CheckpointError
from sfumato.networks.clip import ImageConfig, ImageEncoder
from sfumato.networks.extras import Extras
from sfumato.networks.ip_adapter import ImageProjection, IPAdapter, Resampler, StatesProjection
from sfumato.networks.unet import UNet
from sfumato.networks.unet_config import UNetConfig

WIDTH = 12  # of the words' states
VECTOR, STATE = 10, 18  # of pictures

SMALL = {
    "block_out_channels": (9, 15),
    "norm_num_groups": 3,
    "cross_attention_dim": WIDTH,
    "attention_head_dim": 3,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}
LARGE = {
    "block_out_channels": (8, 16, 24),
    "norm_num_groups": 4,
    "cross_attention_dim": WIDTH,
    "attention_head_dim": (1, 2, 3),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 1, 2),
    "use_linear_projection": True,
}
PROJECTIONS = {
    "base": lambda: ImageProjection(VECTOR, 4, WIDTH),
    "full": lambda: StatesProjection(STATE, WIDTH),
    "plus": lambda: Resampler(STATE, 5, WIDTH, inner=14, heads=2, layers=4),
}


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def networks(config):
    reference = UNet2DConditionModel(**config).eval()
    unet = UNet(UNetConfig(**config)).eval()
    unet.load_state_dict(reference.state_dict())
    return unet, reference


def file(path, kind, unet):
    """A file of random weights: the modules of an adapter and its cross-attentions, down, up and in the middle."""
    widths = [each.to_k.out_features for each in unet.cross_attentions().values()]
    adapter = {f"{2 * n + 1}.to_{kv}_ip.weight": torch.randn(w, WIDTH) for n, w in enumerate(widths) for kv in "kv"}
    projection = PROJECTIONS[kind]()
    for parameter in projection.parameters():
        nn.init.normal_(parameter, std=0.3)
    tensors = {f"image_proj.{key}": value.contiguous() for key, value in projection.state_dict().items()}
    save_file(tensors | {f"ip_adapter.{key}": value for key, value in adapter.items()}, path)
    return path


def opened_by_diffusers(reference, *paths):
    """A pipeline of the U-Net alone, into which diffusers has loaded the files."""
    pipeline = StableDiffusionPipeline(
        None, None, None, reference, DDIMScheduler(), None, None, None, requires_safety_checker=False
    )
    names = [path.name for path in paths]
    folder = str(paths[0].parent)
    pipeline.load_ip_adapter(folder, subfolder="", weight_name=names, image_encoder_folder=None)
    return pipeline


def pictures(kind, batch=2, count=1):
    return torch.randn(batch, count, VECTOR) if kind == "base" else torch.randn(batch, count, 7, STATE)


def theirs(reference, positional, images):
    return reference(*positional, added_cond_kwargs={"image_embeds": images}).sample


def positional():
    return torch.randn(2, 4, 8, 6), torch.tensor([3.0, 700.0]), torch.randn(2, 5, WIDTH)


@torch.no_grad()
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("config", [SMALL, LARGE])
@pytest.mark.parametrize("kind", PROJECTIONS)
def test_a_file_gives_the_references_numbers(kind, config, count, tmp_path):
    unet, reference = networks(config)
    path = file(tmp_path / "ip-adapter.safetensors", kind, unet)
    pipeline = opened_by_diffusers(reference, path)
    given, seen = positional(), pictures(kind, count=count)
    adapter = load_ip_adapter(path, unet)
    for scale in (1.0, 0.6):
        pipeline.set_ip_adapter_scale(scale)
        out = unet(*given, extras=Extras(images=(adapter(seen, scale),)))
        torch.testing.assert_close(out, theirs(reference, given, [seen]), atol=1e-5, rtol=1e-5)
        assert (out - unet(*given)).abs().max() > 1e-3


@torch.no_grad()
def test_several_adapters_with_scales_of_their_own_for_parts_of_the_network(tmp_path):
    unet, reference = networks(LARGE)
    paths = [file(tmp_path / f"{kind}.safetensors", kind, unet) for kind in ("base", "plus")]
    pipeline = opened_by_diffusers(reference, *paths)
    given, seen = positional(), [pictures("base"), pictures("plus")]
    scales = ({"up_blocks.0.attentions.1": 0.7}, {"down_blocks.2": 0.4, "mid_block": 1.2})
    pipeline.set_ip_adapter_scale(
        [{"up": {"block_0": [0.0, 0.7, 0.0]}}, {"down": {"block_1": 0.0, "block_2": 0.4}, "mid": 1.2}]
    )
    adapters = [load_ip_adapter(path, unet) for path in paths]
    prompts = tuple(adapter(one, scale) for adapter, one, scale in zip(adapters, seen, scales, strict=True))
    out = unet(*given, extras=Extras(images=prompts))
    torch.testing.assert_close(out, theirs(reference, given, seen), atol=1e-5, rtol=1e-5)
    for left in (0, 1):
        assert (unet(*given, extras=Extras(images=prompts[left : left + 1])) - out).abs().max() > 1e-3


@torch.no_grad()
@pytest.mark.parametrize("kind", PROJECTIONS)
def test_what_is_saved_again_has_the_same_tensors(kind, tmp_path):
    unet, _ = networks(SMALL)
    path = file(tmp_path / "ip-adapter.safetensors", kind, unet)
    saved, first = load_ip_adapter(path, unet).state_dict(), load_file(path)
    assert saved.keys() == first.keys()
    assert all(torch.equal(saved[key], first[key]) for key in first)


@torch.no_grad()
def test_pictures_are_seen_as_the_reference_lets_them_be_seen():
    config = {
        "hidden_size": STATE,
        "intermediate_size": 20,
        "num_hidden_layers": 3,
        "num_attention_heads": 3,
        "image_size": 8,
        "patch_size": 4,
        "projection_dim": VECTOR,
    }
    reference = CLIPVisionModelWithProjection(CLIPVisionConfig(**config)).eval()
    encoder = ImageEncoder(ImageConfig(**config)).eval()
    encoder.load_state_dict(reference.state_dict())
    pixels = torch.randn(2, 3, 8, 8)
    base, plus = (IPAdapter(PROJECTIONS[kind](), {}) for kind in ("base", "plus"))

    def hidden(pixels):
        return reference(pixels, output_hidden_states=True).hidden_states[-2]

    torch.testing.assert_close(base.look(encoder, pixels), reference(pixels).image_embeds)
    torch.testing.assert_close(plus.look(encoder, pixels), hidden(pixels))
    torch.testing.assert_close(base.look_away(encoder, pixels), torch.zeros(2, VECTOR))
    torch.testing.assert_close(plus.look_away(encoder, pixels), hidden(torch.zeros_like(pixels)))


@torch.no_grad()
def test_the_longest_name_that_fits_counts_and_layers_not_named_take_nothing(tmp_path):
    unet, _ = networks(LARGE)
    adapter = load_ip_adapter(file(tmp_path / "a.safetensors", "base", unet), unet)
    scales = adapter(pictures("base"), {"up_blocks": 1.0, "up_blocks.0": 0.5, "down_blocks.1.attentions.1": 2}).scales
    named = dict(zip(adapter.layers, scales, strict=True))
    assert named["up_blocks.0.attentions.2.transformer_blocks.1.attn2"] == 0.5
    assert named["up_blocks.1.attentions.0.transformer_blocks.0.attn2"] == 1.0
    assert named["down_blocks.1.attentions.1.transformer_blocks.0.attn2"] == 2.0
    assert named["down_blocks.1.attentions.0.transformer_blocks.0.attn2"] == 0.0
    assert named["mid_block.attentions.0.transformer_blocks.0.attn2"] == 0.0
    with pytest.raises(ValueError, match=r"'up_blocks\.2'"):
        adapter(pictures("base"), {"up_blocks.2": 1.0})


def change(path, **changes):
    """Writes a file anew; None removes a tensor."""
    tensors = load_file(path) | changes
    save_file({key: value for key, value in tensors.items() if value is not None}, path)


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        ("base", "image_proj.norm.weight", None),
        ("base", "image_proj.norm.weight", torch.ones(0)),
        ("base", "image_proj.norm.weight", torch.ones(500)),
        ("base", "image_proj.proj.weight", torch.ones(4)),
        ("base", "image_proj.proj.bias", torch.full((48,), torch.nan)),
        ("base", "ip_adapter.1.to_k_ip.weight", None),
        ("base", "ip_adapter.1.to_k_ip.weight", torch.ones(3, 3)),
        ("base", "ip_adapter.99.to_k_ip.weight", torch.ones(9, 12)),
        ("base", "ip_adapter.0.to_k_lora.down.weight", torch.ones(9, 12)),
        ("full", "image_proj.proj.0.weight", None),
        ("plus", "image_proj.latents", torch.ones(3)),
        ("plus", "image_proj.proj_in.weight", torch.ones(0, 2**62)),
        ("plus", "image_proj.latents", None),
        ("plus", "image_proj.layers.0.0.to_q.weight", None),
        ("plus", "image_proj.layers.9.0.to_q.weight", torch.ones(128, 14)),
        ("plus", "image_proj.layers.0.0.to_q.weight", torch.ones(3, 14)),
    ],
)
def test_what_does_not_fit_is_refused_by_name(kind, key, value, tmp_path):
    unet, _ = networks(SMALL)
    path = file(tmp_path / "ip-adapter.safetensors", kind, unet)
    change(path, **{key: value})
    with pytest.raises(CheckpointError, match=r"ip-adapter\.safetensors") as error:
        load_ip_adapter(path, unet)
    assert "image_proj" in str(error.value) or "ip_adapter." in str(error.value)


def test_a_file_for_another_network_is_refused(tmp_path):
    path = file(tmp_path / "ip-adapter.safetensors", "base", networks(LARGE)[0])
    with pytest.raises(CheckpointError, match="another U-Net"):
        load_ip_adapter(path, networks(SMALL)[0])


def test_pickles_are_not_opened(tmp_path):
    path = tmp_path / "ip-adapter.bin"
    torch.save({"image_proj": {}, "ip_adapter": {}}, path)
    with pytest.raises(CheckpointError, match=r"pickle.*\.safetensors"):
        load_ip_adapter(path, networks(SMALL)[0])
