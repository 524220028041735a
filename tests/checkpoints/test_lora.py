"""LoRA files of every layout give diffusers' numbers, and come out again as they went in."""

import json

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from sfumato.checkpoints.lora import METADATA, read_lora, write_lora
from sfumato.checkpoints.lora_names import ldm, spellings
from sfumato.errors import CheckpointError
from sfumato.networks import lora
from sfumato.networks.clip import TextConfig, TextEncoder
from sfumato.networks.unet import UNet
from sfumato.networks.unet_config import UNetConfig

SMALL = {
    "block_out_channels": (16, 24),
    "norm_num_groups": 8,
    "cross_attention_dim": 12,
    "attention_head_dim": 2,
    "layers_per_block": 2,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}
TEXT = {
    "vocab_size": 60,
    "hidden_size": 12,
    "intermediate_size": 20,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 9,
    "projection_dim": 10,
    "eos_token_id": 59,
}
XL = SMALL | {
    "cross_attention_dim": 24,
    "block_out_channels": (16, 16, 24),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 1, 2),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 10 + 6 * 8,
}


class Pair:
    """A random model of diffusers, and ours with the same weights."""

    def __init__(self, xl: bool):
        torch.manual_seed(0)
        self.xl = xl
        vae = AutoencoderKL(block_out_channels=(8,), norm_num_groups=8)
        unet = UNet2DConditionModel(**(XL if xl else SMALL))
        texts = {"text_encoder": CLIPTextModel(CLIPTextConfig(**TEXT))}
        common = {"vae": vae, "unet": unet, "tokenizer": None, "scheduler": DDIMScheduler()}
        if xl:
            texts["text_encoder_2"] = CLIPTextModelWithProjection(CLIPTextConfig(**TEXT))
            self.pipeline = StableDiffusionXLPipeline(**common, **texts, tokenizer_2=None)
        else:
            self.pipeline = StableDiffusionPipeline(
                **common, **texts, safety_checker=None, feature_extractor=None, requires_safety_checker=False
            )
        self.ours = {"unet": UNet(UNetConfig.from_dict(unet.config))}
        for name, text in texts.items():
            architecture = type(text).__name__
            self.ours[name] = TextEncoder(TextConfig(**TEXT, architectures=(architecture,)))
        for name, network in self.ours.items():
            network.load_state_dict(getattr(self.pipeline, name).state_dict())
            network.eval().requires_grad_(False)

    @torch.no_grad()
    def compare(self) -> float:
        """Demand that all parts compute the same; gives the sum of the U-Net's numbers."""
        torch.manual_seed(1)
        ids = torch.cat([torch.randint(0, 58, (2, 8)), torch.full((2, 1), 59)], 1)
        for name, network in self.ours.items():
            if name != "unet":
                reference = getattr(self.pipeline, name)(ids)
                states = network(ids)
                torch.testing.assert_close(states.states, reference.last_hidden_state, atol=1e-5, rtol=1e-5)
                if states.projected is not None:
                    torch.testing.assert_close(states.projected, reference.text_embeds, atol=1e-5, rtol=1e-5)
        sample, times, words = torch.randn(2, 4, 8, 8), torch.tensor([3, 700]), torch.randn(2, 5, 24 if self.xl else 12)
        added = {"text_embeds": torch.randn(2, 10), "time_ids": torch.rand(2, 6)} if self.xl else None
        expected = self.pipeline.unet(sample, times, words, added_cond_kwargs=added).sample
        torch.testing.assert_close(self.ours["unet"](sample, times, words, added=added), expected, atol=1e-5, rtol=1e-5)
        return float(expected.double().sum())


@pytest.fixture
def sd() -> Pair:
    return Pair(xl=False)


@pytest.fixture(scope="module")
def unet():
    return UNet(UNetConfig(**SMALL))


@pytest.fixture
def sdxl() -> Pair:
    return Pair(xl=True)


def learned(networks, rank=3, seed=1, alpha=2.0, convolutions=True):
    """Adapters of all layers that diffusers knows how to load in every layout, as training might have left them."""
    torch.manual_seed(seed)
    adapters = {}
    for part, network in networks.items():
        names = [
            name
            for name, layer in lora.layers(network)
            if "text" not in part or "mlp" in name or "self_attn" in name
            if convolutions or "attn" in name
        ]
        adapters[part] = lora.fresh(network, rank, alpha, names).requires_grad_(False)
        for parameter in adapters[part].parameters():
            parameter.normal_(std=0.2)
    return adapters


def attach(networks, adapters, weight=1.0):
    return [lora.attach(networks[part], adapter, weight) for part, adapter in adapters.items()]


@pytest.mark.parametrize("family", ["sd", "sdxl"])
@pytest.mark.parametrize("layout", ["peft", "kohya"])
def test_diffusers_opens_what_we_write_and_computes_the_same(family, layout, tmp_path, request):
    pair = request.getfixturevalue(family)
    plain = pair.compare()
    adapters = learned(pair.ours)
    write_lora(tmp_path / "a.safetensors", adapters, layout)
    pair.pipeline.load_lora_weights(tmp_path, weight_name="a.safetensors", adapter_name="a")
    attach(pair.ours, adapters)
    assert abs(pair.compare() - plain) > 0.02


@pytest.mark.parametrize("layout", ["peft", "kohya"])
def test_what_we_write_we_read_again_byte_by_byte(sdxl, layout, tmp_path):
    adapters = learned(sdxl.ours)
    adapters["unet"].to(torch.bfloat16)
    adapters["text_encoder"].to(torch.float16)
    write_lora(tmp_path / "1.safetensors", adapters, layout)
    again = read_lora(tmp_path / "1.safetensors", sdxl.ours)
    assert again.keys() == adapters.keys()
    for part, adapter in adapters.items():
        state = again[part].state_dict()
        assert state.keys() == adapter.state_dict().keys()
        for name, tensor in adapter.state_dict().items():
            assert tensor.dtype == state[name].dtype
            assert torch.equal(tensor, state[name])
        assert {update.alpha for update in again[part].updates().values()} == {2.0}
    write_lora(tmp_path / "2.safetensors", again, layout)
    first, second = load_file(tmp_path / "1.safetensors"), load_file(tmp_path / "2.safetensors")
    assert {name: (value.dtype, value.tolist()) for name, value in first.items()} == {
        name: (value.dtype, value.tolist()) for name, value in second.items()
    }


def test_ranks_and_alphas_that_differ_by_layer_are_followed(sd, tmp_path):
    adapters = {}
    for number, (part, network) in enumerate(sd.ours.items()):
        mixed = {}
        for rank, alpha in ((2, 1.0), (4, 1.0), (4, 3.0 + number)):
            some = learned({part: network}, rank, rank, alpha)[part].updates()
            mixed |= {name: some[name] for name in [*some][rank + int(alpha) :: 3]}
        adapters[part] = lora.Adapter(mixed)
    write_lora(tmp_path / "a.safetensors", adapters)
    sd.pipeline.load_lora_weights(tmp_path, weight_name="a.safetensors")
    attach(sd.ours, adapters)
    sd.compare()
    for part, adapter in read_lora(tmp_path / "a.safetensors", sd.ours).items():
        expected = {name: (update.rank, update.alpha) for name, update in adapters[part].updates().items()}
        assert {name: (update.rank, update.alpha) for name, update in adapter.updates().items()} == expected
        assert len(set(expected.values())) == 3


@pytest.mark.filterwarnings("ignore:Already found a `peft_config`")
def test_several_at_once_by_weight_are_those_of_set_adapters_and_fuse_lora(sd, tmp_path):
    plain = sd.compare()
    both = {"a": 0.6, "b": -0.3}
    read = {}
    for seed, name in enumerate(both):
        write_lora(tmp_path / f"{name}.safetensors", learned(sd.ours, rank=2 + seed, seed=seed), "kohya")
        sd.pipeline.load_lora_weights(tmp_path, weight_name=f"{name}.safetensors", adapter_name=name)
        read[name] = read_lora(tmp_path / f"{name}.safetensors", sd.ours)
    handles = {name: attach(sd.ours, adapters) for name, adapters in read.items()}
    for weights in (both, {"a": 1.0, "b": 0.25}):
        sd.pipeline.set_adapters(list(weights), list(weights.values()))
        for name, weight in weights.items():
            for handle in handles[name]:
                handle.weight = weight
        assert abs(sd.compare() - plain) > 0.02
    for handle in (*handles["a"], *handles["b"]):
        handle.detach()
    sd.pipeline.fuse_lora(adapter_names=list(both))
    sd.pipeline.unload_lora_weights()
    fused = [
        lora.fuse(network, [(read[name][part], weight) for name, weight in weights.items()])
        for part, network in sd.ours.items()
    ]
    assert abs(sd.compare() - plain) > 0.02
    for each in fused:
        each.unfuse()
    for name, network in sd.ours.items():
        fresh = Pair(xl=False).ours[name].state_dict()
        assert all(torch.equal(value, fresh[key]) for key, value in network.state_dict().items())


def renamed(path, rename):
    save_file({rename(key): value for key, value in load_file(path).items()}, path)


def old_diffusers(key):
    """The layout of `LoRAAttnProcessor`, of early 2023."""
    for modern, old in (("q_proj", "to_q"), ("k_proj", "to_k"), ("v_proj", "to_v"), ("out_proj", "to_out")):
        key = key.replace(f".{modern}.lora_A", f".{old}_lora.down").replace(f".{modern}.lora_B", f".{old}_lora.up")
    for name in ("to_q", "to_k", "to_v", "to_out.0"):
        old = name.removesuffix(".0")
        key = key.replace(f".{name}.lora_A", f".processor.{old}_lora.down")
        key = key.replace(f".{name}.lora_B", f".processor.{old}_lora.up")
    return key


def middle_aged_diffusers(key):
    """The layout before PEFT's."""
    name = "lora_linear_layer" if key.startswith("text") else "lora"
    return key.replace(".lora_A", f".{name}.down").replace(".lora_B", f".{name}.up")


RENAMINGS = {
    "old": old_diffusers,
    "middle-aged": middle_aged_diffusers,
    "without text_model": lambda key: key.replace("text_model.", ""),
    "default": lambda key: key.replace(".weight", ".default.weight"),
}


@pytest.mark.parametrize("renaming", RENAMINGS)
def test_diffusers_older_layouts_are_read_as_it_reads_them(renaming, sd, tmp_path):
    path = tmp_path / "a.safetensors"
    adapters = learned(sd.ours, alpha=None, convolutions=False)
    if renaming == "old":  # which had attention only
        some = {name: each for name, each in adapters["text_encoder"].updates().items() if "self_attn" in name}
        adapters["text_encoder"] = lora.Adapter(some)
        some = {name: each for name, each in adapters["unet"].updates().items() if ".to_" in name}
        adapters["unet"] = lora.Adapter(some)
    write_lora(path, adapters)
    renamed(path, RENAMINGS[renaming])
    if renaming != "default":
        sd.pipeline.load_lora_weights(tmp_path, weight_name=path.name)
    else:
        write_lora(tmp_path / "plain.safetensors", adapters)
        sd.pipeline.load_lora_weights(tmp_path, weight_name="plain.safetensors")
    attach(sd.ours, read_lora(path, sd.ours))
    sd.compare()


def test_names_of_the_original_stable_diffusion_are_read_as_diffusers_reads_them(sdxl, tmp_path):
    path = tmp_path / "a.safetensors"
    adapters = {"unet": learned(sdxl.ours)["unet"]}
    original = ldm(adapters["unet"].updates())
    assert original.keys() == adapters["unet"].updates().keys()
    write_lora(path, adapters, "kohya")
    names = {
        f"lora_unet_{each.replace('.', '_')}": f"lora_unet_{original[each].replace('.', '_')}" for each in original
    }
    renamed(path, lambda key: ".".join(names.get(part, part) for part in key.split(".")))
    assert any("input_blocks_4_1_transformer_blocks_0_attn1_to_q" in key for key in load_file(path))
    sdxl.pipeline.load_lora_weights(tmp_path, weight_name=path.name)
    attach(sdxl.ours, read_lora(path, sdxl.ours))
    sdxl.compare()


def test_the_folders_of_diffusers_and_dora_are_read(sd, tmp_path):
    from peft import LoraConfig, get_peft_model_state_dict

    plain = sd.compare()
    targets = ["to_q", "to_out.0", "ff.net.0.proj", "conv1", "proj_in"]
    sd.pipeline.unet.add_adapter(LoraConfig(r=3, lora_alpha=5, use_dora=True, target_modules=targets))
    torch.manual_seed(3)
    with torch.no_grad():
        for name, parameter in sd.pipeline.unet.named_parameters():
            if "lora_" in name:
                parameter.copy_(parameter + 0.2 * torch.rand_like(parameter))
    state = get_peft_model_state_dict(sd.pipeline.unet)
    StableDiffusionPipeline.save_lora_weights(tmp_path, state, unet_lora_adapter_metadata={"r": 3, "lora_alpha": 5})
    adapters = read_lora(tmp_path, {"unet": sd.ours["unet"]})
    (handle,) = attach(sd.ours, adapters)
    assert abs(sd.compare() - plain) > 0.02
    handle.detach()
    lora.fuse(sd.ours["unet"], [(adapters["unet"], 1.0)])
    sd.compare()

    for layout in ("peft", "kohya"):
        write_lora(tmp_path / f"{layout}.safetensors", adapters, layout)
        again = read_lora(tmp_path / f"{layout}.safetensors", sd.ours)["unet"].state_dict()
        assert all(torch.equal(tensor, again[name]) for name, tensor in adapters["unet"].state_dict().items())
    theirs = load_file(tmp_path / "pytorch_lora_weights.safetensors")
    ours = load_file(tmp_path / "peft.safetensors")
    assert {name: [*tensor.shape] for name, tensor in ours.items()} == {
        name: [*tensor.shape] for name, tensor in theirs.items()
    }


@pytest.mark.parametrize("layout", ["peft", "kohya"])
@pytest.mark.parametrize(("dtype", "alpha"), [(torch.bfloat16, 301.0), (torch.float16, 70_000.0)])
def test_an_alpha_that_half_precision_cannot_hold_is_kept(layout, dtype, alpha, tmp_path):
    network = torch.nn.ModuleDict({"to_q": torch.nn.Linear(4, 4)})
    adapter = lora.fresh(network, 2, alpha, ["to_q"]).to(dtype)
    write_lora(tmp_path / "a.safetensors", {"unet": adapter}, layout)
    (again,) = read_lora(tmp_path / "a.safetensors", {"unet": network})["unet"].updates().values()
    assert again.alpha == alpha
    assert again.lora_A.weight.dtype == dtype


def products(down, up, x):
    return up.double() @ (down.double() @ x)


def test_kohyas_flux_is_taken_apart_as_diffusers_does_it(tmp_path):
    from diffusers.loaders.lora_conversion_utils import _convert_kohya_flux_lora_to_diffusers

    with torch.device("meta"):
        transformer = FluxTransformer2DModel(num_layers=2, num_single_layers=1)  # diffusers knows the full width alone
    known, tensors = dict(lora.layers(transformer)), {}
    torch.manual_seed(0)
    for name, places in spellings({"transformer": transformer}).items():
        if name.startswith(("lora_unet_double", "lora_unet_single")):
            outputs = sum(known[each.layer].out_features for each in places)
            tensors[f"{name}.lora_down.weight"] = torch.randn(2, known[places[0].layer].in_features)
            tensors[f"{name}.lora_up.weight"] = torch.randn(outputs, 2)
            tensors[f"{name}.alpha"] = torch.tensor(1.5)
    assert len(tensors) == 3 * (2 * 10 + 3)
    save_file(tensors, tmp_path / "a.safetensors")
    adapter = read_lora(tmp_path / "a.safetensors", {"transformer": transformer})["transformer"]
    reference = _convert_kohya_flux_lora_to_diffusers(tensors)
    assert len(reference) == 2 * len(adapter.updates()) == 2 * (2 * 14 + 6)
    for name, update in adapter.updates().items():
        x = torch.randn(known[name].in_features, dtype=torch.float64)
        down, up = (reference[f"transformer.{name}.lora_{half}.weight"] for half in "AB")
        made = update.alpha / update.rank * products(update.lora_A.weight, update.lora_B.weight, x)
        torch.testing.assert_close(made, products(down, up, x), atol=1e-4, rtol=1e-5)
    for layout in ("peft", "kohya"):
        write_lora(tmp_path / "b.safetensors", {"transformer": adapter}, layout)
        again = read_lora(tmp_path / "b.safetensors", {"transformer": transformer})["transformer"].state_dict()
        assert all(torch.equal(tensor, again[name]) for name, tensor in adapter.state_dict().items())


class Whole(dict):
    """A checkpoint whose other tensors do not matter."""

    def pop(self, key):
        return super().pop(key, torch.zeros(6, 1))


def test_kohyas_sd3_is_taken_apart_as_diffusers_converts_its_weights(tmp_path):
    from diffusers.loaders.single_file_utils import convert_sd3_transformer_checkpoint_to_diffusers

    shape = {"num_layers": 3, "attention_head_dim": 8, "num_attention_heads": 2, "joint_attention_dim": 12}
    more = {"caption_projection_dim": 16, "pooled_projection_dim": 10, "dual_attention_layers": (0,), "sample_size": 8}
    transformer = SD3Transformer2DModel(**shape, **more, pos_embed_max_size=8, in_channels=4)
    known, tensors, weights = (
        dict(lora.layers(transformer)),
        {},
        Whole({"context_embedder.weight": torch.zeros(16, 12)}),
    )
    torch.manual_seed(0)
    for name, places in spellings({"transformer": transformer}).items():
        if name.startswith("diffusion_model.joint_blocks"):
            down = torch.randn(2, known[places[0].layer].in_features)
            up = torch.randn(sum(known[each.layer].out_features for each in places), 2)
            weights[f"{name.removeprefix('diffusion_model.')}.weight"] = up @ down
            kohya = f"lora_unet_{name.removeprefix('diffusion_model.').replace('.', '_')}"
            tensors |= {f"{kohya}.lora_down.weight": down, f"{kohya}.lora_up.weight": up}
    for block in range(3):  # what the conversion looks for, though it gives nothing of it
        weights[f"joint_blocks.{block}.x_block.attn.qkv.bias"] = torch.zeros(48)
        weights[f"joint_blocks.{block}.context_block.adaLN_modulation.1.weight"] = torch.zeros(32, 16)
    save_file(tensors, tmp_path / "a.safetensors")
    updates = read_lora(tmp_path / "a.safetensors", {"transformer": transformer})["transformer"].updates()
    assert len(updates) == 3 * (2 * 3 + 4) + 2 * 3 + 4  # the last block gives nothing to the words
    reference = convert_sd3_transformer_checkpoint_to_diffusers(weights)
    for name, update in updates.items():
        made = update.applied(torch.zeros_like(known[name].weight), 1.0)
        torch.testing.assert_close(made, reference[f"{name}.weight"], msg=name)


@torch.no_grad()
def test_diffusers_flux_opens_what_we_write(tmp_path):
    torch.manual_seed(0)
    shape = {"num_layers": 2, "num_single_layers": 1, "attention_head_dim": 16, "num_attention_heads": 2}
    more = {"joint_attention_dim": 12, "pooled_projection_dim": 10, "axes_dims_rope": (4, 4, 8), "in_channels": 4}
    theirs, ours = (FluxTransformer2DModel(**shape, **more).eval() for _ in range(2))
    ours.load_state_dict(theirs.state_dict())
    adapters = learned({"transformer": ours})
    write_lora(tmp_path / "a.safetensors", adapters)
    pipeline = FluxPipeline(None, None, None, None, None, None, theirs)
    pipeline.load_lora_weights(tmp_path, weight_name="a.safetensors")
    sample, words, pooled = torch.randn(1, 6, 4), torch.randn(1, 3, 12), torch.randn(1, 10)
    places = {"img_ids": torch.randint(0, 4, (6, 3)), "txt_ids": torch.zeros(3, 3)}
    inputs = {"encoder_hidden_states": words, "pooled_projections": pooled, "timestep": torch.tensor([0.5]), **places}
    plain = ours(sample, **inputs).sample
    with lora.attach(ours, adapters["transformer"]):
        made = ours(sample, **inputs).sample
    torch.testing.assert_close(made, theirs(sample, **inputs).sample, atol=1e-5, rtol=1e-5)
    assert (made - plain).abs().max() > 1e-2


Q = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"
DOWN, UP = torch.ones(2, 24), torch.ones(24, 2)
GOOD = {f"{Q}.lora_down.weight": DOWN, f"{Q}.lora_up.weight": UP, f"{Q}.alpha": torch.tensor(1.0)}
BROKEN = {
    "nothing": ({}, "holds no LoRA"),
    "unknown layer": (
        GOOD | {"lora_unet_nowhere.lora_down.weight": DOWN.clone()},
        "no layer for lora_unet_nowhere.lora_down",
    ),
    "unknown role": (GOOD | {f"{Q}.lora_sideways.weight": DOWN.clone()}, "lora_sideways"),
    "another part": (GOOD | {"lora_te2_text_model_encoder_layers_0_mlp_fc1.alpha": UP.clone()}, "lora_te2_text_model"),
    "one half": ({key: GOOD[key] for key in GOOD if "up" not in key}, "other half, the upward weight"),
    "other inputs": (GOOD | {f"{Q}.lora_down.weight": torch.ones(2, 25)}, r"lora_down.weight of shape \[2, 25\]"),
    "other outputs": (GOOD | {f"{Q}.lora_up.weight": torch.ones(25, 2)}, "should have 24 rows"),
    "ranks that differ": (GOOD | {f"{Q}.lora_up.weight": torch.ones(24, 3)}, "meet in a rank"),
    "no rank": (GOOD | {f"{Q}.lora_up.weight": torch.ones(24, 0), f"{Q}.lora_down.weight": torch.ones(0, 24)}, "rank"),
    "a rank beyond all": (
        GOOD | {f"{Q}.lora_up.weight": torch.ones(24, 5000), f"{Q}.lora_down.weight": torch.ones(5000, 24)},
        "rank from 1 to 4096",
    ),
    "a vector": (GOOD | {f"{Q}.lora_down.weight": torch.ones(24)}, "lora_down"),
    "not a number": (GOOD | {f"{Q}.lora_up.weight": UP * float("nan")}, "lora_up.weight holds numbers that are not"),
    "infinite alpha": (GOOD | {f"{Q}.alpha": torch.tensor(float("inf"))}, "alpha holds numbers"),
    "alphas": (GOOD | {f"{Q}.alpha": torch.ones(2)}, "alpha should be one number"),
    "integers": (GOOD | {f"{Q}.lora_up.weight": UP.int()}, "lora_up.weight holds torch.int32"),
    "twice": (
        GOOD | {"unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight": DOWN.clone()},
        "same layer",
    ),
    "LoHa": ({f"{Q}.hada_w1_a": DOWN}, "is a LoHa, which is not supported"),
    "LoKr": ({f"{Q}.lokr_w1": DOWN}, "is a LoKr"),
    "Tucker": (GOOD | {f"{Q}.lora_mid.weight": DOWN.clone()}, "Tucker"),
    "DoRA by inputs": (GOOD | {f"{Q}.dora_scale": torch.ones(1, 25)}, "dora_scale"),
    "DoRA by as many inputs as outputs": (GOOD | {f"{Q}.dora_scale": torch.ones(1, 24)}, "no DoRA by outputs"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_what_fits_no_layer_is_refused_by_file_and_key(broken, sd, tmp_path):
    tensors, message = BROKEN[broken]
    save_file(tensors, tmp_path / "bad.safetensors")
    with pytest.raises(CheckpointError, match=f"bad.safetensors.*{message}"):
        read_lora(tmp_path / "bad.safetensors", sd.ours)
    save_file(GOOD, tmp_path / "good.safetensors")
    assert read_lora(tmp_path / "good.safetensors", sd.ours).keys() == {"unet"}


@pytest.mark.parametrize(
    "metadata",
    ["{", "[]", '{"unet.lora_alpha": "2"}', '{"unet.lora_alpha": NaN}', '{"unet.lora_alpha": 1' + "0" * 999 + "}"],
)
def test_metadata_that_are_no_scales_are_refused(metadata, sd, tmp_path):
    tensors = {key: value for key, value in GOOD.items() if "alpha" not in key}
    save_file(tensors, tmp_path / "bad.safetensors", metadata={METADATA: metadata})
    with pytest.raises(CheckpointError, match=r"bad\.safetensors"):
        read_lora(tmp_path / "bad.safetensors", sd.ours)


def test_a_scale_by_the_root_of_the_rank_is_followed(sd, tmp_path):
    tensors = {key: value for key, value in GOOD.items() if "alpha" not in key}
    words = json.dumps({"unet.lora_alpha": 3, "unet.use_rslora": True})
    save_file(tensors, tmp_path / "a.safetensors", metadata={METADATA: words})
    (update,) = read_lora(tmp_path / "a.safetensors", sd.ours)["unet"].updates().values()
    assert update.alpha / update.rank == pytest.approx(3 / 2**0.5)


NAMES = st.sampled_from(
    [*GOOD, "alpha", "", ".lora_A.weight", "unet.conv_in.lora_A.weight", f"{Q}.lora_down", "x" * 999]
)
TENSORS = st.sampled_from(
    [DOWN, UP, torch.tensor(1.0), torch.zeros(0), torch.ones(3, 3).int(), torch.ones(24, 2, 1, 1)]
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    some=st.dictionaries(NAMES, TENSORS),
    metadata=st.text(max_size=20),
    spoilt=st.lists(st.integers(0, 2**20), max_size=3),
)
def test_a_spoilt_file_is_read_or_refused_and_nothing_else(some, metadata, spoilt, unet, tmp_path):
    path = tmp_path / "spoilt.safetensors"
    save_file({key: value.clone() for key, value in (GOOD | some).items()}, path, metadata={METADATA: metadata})
    content = bytearray(path.read_bytes())
    for place in spoilt:
        content[place % len(content)] ^= 1 + place % 255
    path.write_bytes(content)
    try:
        adapters = read_lora(path, {"unet": unet})
    except CheckpointError as error:
        assert "spoilt.safetensors" in str(error)  # noqa: PT017  either is right
    else:
        lora.fuse(unet, [(adapters["unet"], 1.0)]).unfuse()


def test_a_pickle_is_never_opened(sd, tmp_path):
    torch.save(GOOD, tmp_path / "a.pt")
    for path in (tmp_path / "a.pt", tmp_path / "nothing.safetensors", tmp_path):
        with pytest.raises(CheckpointError, match=path.name):
            read_lora(path, sd.ours)
