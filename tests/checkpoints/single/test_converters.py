"""Names and numbers beside diffusers' own converters, and beside names that the published files are known to have."""

import json

import pytest
import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel, SD3Transformer2DModel, UNet2DConditionModel
from diffusers.loaders import single_file_utils as reference

from sfumato.checkpoints.single import mmdit, renaming, text
from sfumato.checkpoints.single.family import packed, recognise, unpacked
from sfumato.checkpoints.single.writing import family_of, write_single_file

DENOISER = "model.diffusion_model."


def same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def read(source):
    return {name: source.get(name) for name in source.names()}


def file_of(model):
    if not hasattr(model, "file"):
        model.file = read(packed(model.sources, family_of(model.configs)))
    return dict(model.file)


def convert(part, config, state):
    """What diffusers' converter makes of a file."""
    match config.get("_class_name"):
        case "FluxTransformer2DModel":
            return None  # the converter knows the published width alone, see below
        case "UNet2DConditionModel":
            return reference.convert_ldm_unet_checkpoint(state, config)
        case "AutoencoderKL":
            return reference.convert_ldm_vae_checkpoint(state, config)
        case "SD3Transformer2DModel":
            alone = {name: tensor for name, tensor in state.items() if name.startswith(DENOISER)}
            return reference.convert_sd3_transformer_checkpoint_to_diffusers(alone)
    if config["architectures"] == ["T5EncoderModel"]:
        return reference.convert_sd3_t5_checkpoint_to_diffusers(state)
    return None


def test_diffusers_converters_make_the_same_of_our_files(model, tensors):
    state = file_of(model)
    family = recognise(tensors(state))
    parts = unpacked(tensors(state), family)
    compared = 0
    for part, config in model.configs.items():
        converted = convert(part, config, dict(state))
        if converted is not None:
            same(converted, read(parts[part]))
            compared += 1
    assert compared or model.family == "FLUX.1"


@pytest.mark.parametrize("model", ["sd1", "sd2", "xl", "refiner", "sd3"], indirect=True)
def test_diffusers_makes_the_same_text_encoders_of_our_files(model, tensors, tmp_path):
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    state = file_of(model)
    for part, config in model.configs.items():
        if config.get("model_type") != "clip_text_model":
            continue
        kinds = {"CLIPTextModel": CLIPTextModel, "CLIPTextModelWithProjection": CLIPTextModelWithProjection}
        kind = kinds[config["architectures"][0]]
        folder = tmp_path / part
        model.networks[part].config.save_pretrained(folder)
        opened = reference.create_diffusers_clip_model_from_ldm(kind, dict(state), config=str(folder))
        expected = model.networks[part].state_dict()
        if model.name == "sd3" and part == "text_encoder":
            expected = expected | {"text_projection.weight": torch.eye(64)}  # whatever the file says
        same(dict(opened.state_dict()), dict(expected))


def test_flux_is_converted_as_by_diffusers_at_the_published_width(tensors):
    width, narrow = 3072, 2  # the converter looks at rows alone

    def rows(name):
        if "proj_mlp" in name:
            return 4 * width
        return 2 * width if "norm_out" in name else width

    with torch.device("meta"):
        names = FluxTransformer2DModel(
            num_layers=2,
            num_single_layers=2,
            attention_head_dim=32,
            num_attention_heads=2,
            axes_dims_rope=(4, 14, 14),
            guidance_embeds=True,
        ).state_dict()
    ours = {
        name: torch.randn(rows(name), narrow) if tensor.ndim == 2 else torch.randn(rows(name))
        for name, tensor in names.items()
    }
    table = mmdit.flux_table({"num_layers": 2, "num_single_layers": 2})
    theirs = renaming.theirs(tensors(ours), table)
    same(reference.convert_flux_transformer_checkpoint_to_diffusers(read(theirs)), ours)
    same(read(renaming.ours(tensors(read(theirs)), table)), ours)


def test_openclip_is_converted_as_by_diffusers_but_for_its_unused_last_layer(tensors):
    """Stable Diffusion 2 has 24 layers in its file; diffusers leaves out number 23, by its number."""
    torch.manual_seed(0)
    width, stem = 64, "cond_stage_model.model."
    state = {
        "token_embedding.weight": torch.randn(9, width),
        "positional_embedding": torch.randn(7, width),
        "text_projection": torch.randn(width, width),
        "logit_scale": torch.tensor(1.0),
        "ln_final.weight": torch.randn(width),
        "ln_final.bias": torch.randn(width),
    }
    for layer in range(24):
        block = f"transformer.resblocks.{layer}"
        state |= {
            f"{block}.attn.in_proj_weight": torch.randn(3 * width, width),
            f"{block}.attn.in_proj_bias": torch.randn(3 * width),
            f"{block}.attn.out_proj.weight": torch.randn(width, width),
            f"{block}.attn.out_proj.bias": torch.randn(width),
            f"{block}.mlp.c_fc.weight": torch.randn(16, width),
            f"{block}.mlp.c_fc.bias": torch.randn(16),
            f"{block}.mlp.c_proj.weight": torch.randn(width, 16),
            f"{block}.mlp.c_proj.bias": torch.randn(width),
        } | {f"{block}.ln_{n}.{kind}": torch.randn(width) for n in (1, 2) for kind in ("weight", "bias")}
    config = text.penultimate_config(renaming.View({n: renaming.Origin(tensors(state), (n,)) for n in state}))
    assert (config["num_hidden_layers"], config["architectures"]) == (23, ["CLIPTextModel"])

    class Model:
        class config:
            hidden_size = width

    theirs = reference.convert_open_clip_checkpoint(Model, {stem + name: tensor for name, tensor in state.items()})
    kept = {
        name: t for name, t in state.items() if ".23." not in name and name not in ("text_projection", "logit_scale")
    }
    same(theirs, read(renaming.ours(tensors(kept), text.open_table(config))))


KNOWN = {
    "sd1": (
        "model.diffusion_model.time_embed.0.weight",
        "model.diffusion_model.input_blocks.0.0.weight",
        "model.diffusion_model.input_blocks.1.0.in_layers.2.weight",
        "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight",
        "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.ff.net.0.proj.weight",
        "model.diffusion_model.input_blocks.2.0.op.bias",
        "model.diffusion_model.middle_block.1.proj_in.weight",
        "model.diffusion_model.middle_block.2.out_layers.3.weight",
        "model.diffusion_model.output_blocks.0.0.skip_connection.weight",
        "model.diffusion_model.output_blocks.1.1.conv.weight",
        "model.diffusion_model.output_blocks.3.1.transformer_blocks.0.attn2.to_out.0.bias",
        "model.diffusion_model.out.2.bias",
        "first_stage_model.encoder.down.0.downsample.conv.weight",
        "first_stage_model.encoder.mid.attn_1.q.weight",
        "first_stage_model.encoder.norm_out.weight",
        "first_stage_model.decoder.up.1.upsample.conv.weight",
        "first_stage_model.decoder.up.0.block.0.nin_shortcut.weight",
        "first_stage_model.decoder.mid.block_2.conv2.bias",
        "first_stage_model.post_quant_conv.weight",
        "cond_stage_model.transformer.text_model.encoder.layers.0.self_attn.q_proj.weight",
        "cond_stage_model.transformer.text_model.embeddings.position_embedding.weight",
    ),
    "sd2": (
        "cond_stage_model.model.transformer.resblocks.0.attn.in_proj_weight",
        "cond_stage_model.model.transformer.resblocks.0.attn.out_proj.bias",
        "cond_stage_model.model.transformer.resblocks.0.mlp.c_fc.weight",
        "cond_stage_model.model.transformer.resblocks.0.ln_1.weight",
        "cond_stage_model.model.positional_embedding",
        "cond_stage_model.model.token_embedding.weight",
        "cond_stage_model.model.ln_final.bias",
    ),
    "xl": (
        "model.diffusion_model.label_emb.0.0.weight",
        "model.diffusion_model.label_emb.0.2.bias",
        "model.diffusion_model.input_blocks.5.1.transformer_blocks.2.attn2.to_k.weight",
        "conditioner.embedders.0.transformer.text_model.final_layer_norm.weight",
        "conditioner.embedders.1.model.text_projection",
        "conditioner.embedders.1.model.transformer.resblocks.1.attn.in_proj_bias",
    ),
    "refiner": ("conditioner.embedders.0.model.text_projection",),
    "upscaler": ("model.diffusion_model.label_emb.weight",),
    "sd3": (
        "model.diffusion_model.pos_embed",
        "model.diffusion_model.x_embedder.proj.weight",
        "model.diffusion_model.t_embedder.mlp.2.bias",
        "model.diffusion_model.y_embedder.mlp.0.weight",
        "model.diffusion_model.joint_blocks.0.context_block.adaLN_modulation.1.bias",
        "model.diffusion_model.joint_blocks.2.x_block.attn.qkv.weight",
        "model.diffusion_model.joint_blocks.2.x_block.mlp.fc1.weight",
        "model.diffusion_model.final_layer.adaLN_modulation.1.weight",
        "text_encoders.clip_l.transformer.text_model.embeddings.position_embedding.weight",
        "text_encoders.clip_g.transformer.text_projection.weight",
        "text_encoders.t5xxl.transformer.encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
        "text_encoders.t5xxl.transformer.shared.weight",
    ),
    "flux dev": (
        "model.diffusion_model.double_blocks.0.img_attn.norm.key_norm.scale",
        "vae.decoder.conv_in.weight",
        "text_encoders.t5xxl.transformer.shared.weight",
    ),
    "flux schnell, the transformer alone": (
        "double_blocks.0.img_attn.norm.key_norm.scale",
        "double_blocks.1.txt_mlp.2.bias",
        "single_blocks.0.linear1.weight",
        "single_blocks.2.modulation.lin.bias",
        "vector_in.in_layer.weight",
        "img_in.bias",
        "final_layer.linear.weight",
    ),
}


@pytest.mark.parametrize(("model", "known"), KNOWN.items(), indirect=["model"])
def test_files_have_the_names_that_the_published_ones_are_known_by(model, known):
    assert not set(known) - file_of(model).keys()


def test_1x1_convolutions_of_the_autoencoder_are_convolutions_in_the_file_and_linear_in_the_part(model):
    if "vae" in model.configs:
        name = next(name for name in file_of(model) if name.endswith("encoder.mid.attn_1.q.weight"))
        assert file_of(model)[name].ndim == 4
        assert (
            model.sources["vae"].shape("encoder.mid_block.attentions.0.to_q.weight") == (file_of(model)[name].shape[:2])
        )


FULL_SIZE = {
    "sd1": (
        UNet2DConditionModel,
        {"cross_attention_dim": 768, "attention_head_dim": 8},
        686,
    ),
    "sd2": (
        UNet2DConditionModel,
        {"cross_attention_dim": 1024, "attention_head_dim": [5, 10, 20, 20], "use_linear_projection": True},
        686,
    ),
    "xl": (
        UNet2DConditionModel,
        {
            "block_out_channels": [320, 640, 1280],
            "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
            "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
            "cross_attention_dim": 2048,
            "attention_head_dim": [5, 10, 20],
            "transformer_layers_per_block": [1, 2, 10],
            "use_linear_projection": True,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 2816,
        },
        1680,
    ),
    "refiner": (
        UNet2DConditionModel,
        {
            "block_out_channels": [384, 768, 1536, 1536],
            "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
            "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
            "cross_attention_dim": 1280,
            "attention_head_dim": [6, 12, 24, 24],
            "transformer_layers_per_block": 4,
            "use_linear_projection": True,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 2560,
        },
        1220,
    ),
    "upscaler": (
        UNet2DConditionModel,
        {
            "in_channels": 7,
            "block_out_channels": [256, 512, 512, 1024],
            "down_block_types": ["DownBlock2D", *["CrossAttnDownBlock2D"] * 3],
            "up_block_types": [*["CrossAttnUpBlock2D"] * 3, "UpBlock2D"],
            "cross_attention_dim": 1024,
            "attention_head_dim": 8,
            "only_cross_attention": [True, True, True, False],
            "num_class_embeds": 1000,
            "use_linear_projection": True,
        },
        None,
    ),
    "sd3 medium": (
        SD3Transformer2DModel,
        {"num_layers": 24, "num_attention_heads": 24, "caption_projection_dim": 1536, "pos_embed_max_size": 192},
        None,
    ),
    "sd3.5 medium": (
        SD3Transformer2DModel,
        {
            "num_layers": 24,
            "num_attention_heads": 24,
            "caption_projection_dim": 1536,
            "pos_embed_max_size": 384,
            "dual_attention_layers": list(range(13)),
            "qk_norm": "rms_norm",
        },
        None,
    ),
    "sd3.5 large": (
        SD3Transformer2DModel,
        {
            "num_layers": 38,
            "num_attention_heads": 38,
            "caption_projection_dim": 2432,
            "pos_embed_max_size": 192,
            "qk_norm": "rms_norm",
        },
        None,
    ),
    "flux dev": (FluxTransformer2DModel, {"guidance_embeds": True}, None),
    "flux schnell": (FluxTransformer2DModel, {}, None),
}
CONVERT = {
    UNet2DConditionModel: lambda state, config: reference.convert_ldm_unet_checkpoint(state, config),
    SD3Transformer2DModel: lambda state, config: reference.convert_sd3_transformer_checkpoint_to_diffusers(state),
    FluxTransformer2DModel: lambda state, config: reference.convert_flux_transformer_checkpoint_to_diffusers(state),
}


@pytest.mark.parametrize("name", FULL_SIZE)
def test_the_published_sizes_are_recognised_and_converted_as_by_diffusers(name, tensors):
    kind, settings, count = FULL_SIZE[name]
    with torch.device("meta"):
        network = kind(**settings)
    part = "unet" if kind is UNet2DConditionModel else "transformer"
    config = json.loads(network.to_json_string())
    ours = network.state_dict()
    assert count in (None, len(ours))
    file = packed({part: tensors(ours)}, family_of({part: config}))
    state = {name: torch.empty(file.shape(name), device="meta") for name in file.names()}
    family = recognise(tensors(state), prediction="epsilon" if name == "sd2" else None)
    (found,) = family.configs.values()
    skipped = {"sample_size", "upcast_attention", "only_cross_attention"}
    for key in found.keys() - skipped:
        a, b = found[key], config[key]
        if isinstance(a, int) and isinstance(b, list):
            a = [a] * len(b)
        if isinstance(b, int) and isinstance(a, list):
            b = [b] * len(a)
        if key == "transformer_layers_per_block" and found["down_block_types"][0] == "DownBlock2D":
            a, b = (
                list(value)[1:] if isinstance(value, list) else value for value in (a, b)
            )  # the finest level has no transformers
        assert a == b, (key, a, b)
    parts = unpacked(tensors(state), family)
    converted = CONVERT[kind](dict(state), config)
    assert {n: tuple(t.shape) for n, t in converted.items()} == {n: parts[part].shape(n) for n in parts[part].names()}
    assert converted.keys() == ours.keys()


@pytest.mark.parametrize("model", ["sd1", "sd2", "xl"], indirect=True)
def test_diffusers_opens_the_denoiser_and_the_autoencoder_of_a_written_file(model, tmp_path):
    path = tmp_path / "model.safetensors"
    write_single_file(path, model.sources, model.configs, model.scheduler)
    for part, kind in (("unet", UNet2DConditionModel), ("vae", AutoencoderKL)):
        model.networks[part].save_config(tmp_path / part)
        opened = kind.from_single_file(str(path), config=str(tmp_path / part), local_files_only=True)
        same(opened.state_dict(), model.networks[part].state_dict())
