"""The text encoders: CLIP under transformers' names, CLIP under OpenCLIP's, and T5; sizes read off the shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sfumato.checkpoints.single.renaming import QKV, TRANSPOSED, Entry, View, below

HEAD_WIDTH = 64  # in every published text encoder, T5 too

OPEN_AROUND = [
    Entry("text_model.embeddings.token_embedding", "token_embedding"),
    Entry("text_model.embeddings.position_embedding.weight", "positional_embedding"),
    Entry("text_model.final_layer_norm", "ln_final"),
]
OPEN_LAYER = [
    Entry("self_attn.q_proj.weight self_attn.k_proj.weight self_attn.v_proj.weight", "attn.in_proj_weight", QKV),
    Entry("self_attn.q_proj.bias self_attn.k_proj.bias self_attn.v_proj.bias", "attn.in_proj_bias", QKV),
    Entry("self_attn.out_proj", "attn.out_proj"),
    Entry("layer_norm1", "ln_1"),
    Entry("layer_norm2", "ln_2"),
    Entry("mlp.fc1", "mlp.c_fc"),
    Entry("mlp.fc2", "mlp.c_proj"),
]


def clip_table(config: Mapping[str, Any]) -> list[Entry]:
    """Transformers' names, which are ours."""
    return [Entry("text_model", "text_model"), Entry("text_projection", "text_projection")]


def bare_clip_table(config: Mapping[str, Any]) -> list[Entry]:
    """The same without `text_model.`."""
    return [Entry(f"text_model.{name}", name) for name in ("embeddings", "encoder", "final_layer_norm")]


def open_table(config: Mapping[str, Any]) -> list[Entry]:
    """Our names of a CLIP text encoder beside OpenCLIP's."""
    entries = [*OPEN_AROUND]
    entries += _projection(config, Entry("text_projection.weight", "text_projection", TRANSPOSED))
    for layer in range(config["num_hidden_layers"]):
        entries += below(f"text_model.encoder.layers.{layer}", f"transformer.resblocks.{layer}", OPEN_LAYER)
    return entries


def t5_table(config: Mapping[str, Any]) -> list[Entry]:
    """Transformers' names, which are ours."""
    return [Entry("shared", "shared"), Entry("encoder", "encoder")]


def clip_config(file: View, stem: str = "text_model.") -> dict[str, Any]:
    """A CLIP text encoder as OpenAI made it: a quick GELU, its last state normalised and not projected."""
    layer = f"{stem}encoder.layers"
    return _clip(
        file.sizes(f"{stem}embeddings.token_embedding.weight", 2),
        positions=file.sizes(f"{stem}embeddings.position_embedding.weight", 2)[0],
        inner=file.sizes(f"{layer}.0.mlp.fc1.weight", 2)[0],
        layers=file.blocks(layer),
    )


def bare_clip_config(file: View) -> dict[str, Any]:
    """The same under names that some old merges have, without `text_model.`."""
    return clip_config(file, stem="")


def projecting_clip_config(file: View) -> dict[str, Any]:
    """The same with a projection: without one in the file it is the identity."""
    config = clip_config(file)
    width = config["hidden_size"]
    projection = file.sizes("text_projection.weight", 2)[0] if "text_projection.weight" in file else width
    return config | {"architectures": ["CLIPTextModelWithProjection"], "projection_dim": projection}


def projecting_gelu_clip_config(file: View) -> dict[str, Any]:
    """OpenCLIP's text encoder under transformers' names."""
    return projecting_clip_config(file) | {"hidden_act": "gelu"}


def open_config(file: View) -> dict[str, Any]:
    """OpenCLIP's text encoder: a GELU, and a projection."""
    config = _clip(
        file.sizes("token_embedding.weight", 2),
        positions=file.sizes("positional_embedding", 2)[0],
        inner=file.sizes("transformer.resblocks.0.mlp.c_fc.weight", 2)[0],
        layers=file.blocks("transformer.resblocks"),
    )
    architecture, projection = ["CLIPTextModelWithProjection"], file.sizes("text_projection", 2)[1]
    return config | {"hidden_act": "gelu", "architectures": architecture, "projection_dim": projection}


def penultimate_config(file: View) -> dict[str, Any]:
    """OpenCLIP's text encoder as Stable Diffusion 2 uses it: without its last layer and without its projection.

    A file that was made of parts lacks them already; it then has no `text_projection`, or 23 layers.
    """
    layers = file.blocks("transformer.resblocks")
    config = _clip(
        file.sizes("token_embedding.weight", 2),
        positions=file.sizes("positional_embedding", 2)[0],
        inner=file.sizes("transformer.resblocks.0.mlp.c_fc.weight", 2)[0],
        layers=layers - 1 if _has_last(file) else layers,
    )
    return config | {"hidden_act": "gelu"}


def _has_last(file: View) -> bool:
    return "text_projection" in file


def _clip(tokens: tuple[int, ...], *, positions: int, inner: int, layers: int) -> dict[str, Any]:
    vocabulary, width = tokens
    return {
        "architectures": ["CLIPTextModel"],
        "model_type": "clip_text_model",
        "hidden_act": "quick_gelu",
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": max(1, width // HEAD_WIDTH),
        "max_position_embeddings": positions,
        "vocab_size": vocabulary,
        "projection_dim": width,
        "layer_norm_eps": 1e-5,
        "bos_token_id": 0,
        "eos_token_id": 2,  # the highest id, as the published configurations say it
        "pad_token_id": 1,
    }


def t5_config(file: View) -> dict[str, Any]:
    """The encoder of T5 1.1, with its gated GELU."""
    attention = "encoder.block.0.layer.0.SelfAttention"
    vocabulary, width = file.sizes("shared.weight", 2)
    buckets, heads = file.sizes(f"{attention}.relative_attention_bias.weight", 2)
    inner = file.sizes("encoder.block.0.layer.1.DenseReluDense.wi_0.weight", 2)[0]
    return {
        "architectures": ["T5EncoderModel"],
        "model_type": "t5",
        "vocab_size": vocabulary,
        "d_model": width,
        "d_kv": file.sizes(f"{attention}.q.weight", 2)[0] // max(1, heads),
        "d_ff": inner,
        "num_heads": heads,
        "num_layers": file.blocks("encoder.block"),
        "relative_attention_num_buckets": buckets,
        "relative_attention_max_distance": 128,
        "dense_act_fn": "gelu_new",
        "feed_forward_proj": "gated-gelu",
        "is_gated_act": True,
        "is_encoder_decoder": False,
        "layer_norm_epsilon": 1e-6,
        "dropout_rate": 0.1,
        "pad_token_id": 0,
        "eos_token_id": 1,
    }


def _projection(config: Mapping[str, Any], entry: Entry) -> list[Entry]:
    return [entry] if config["architectures"] == ["CLIPTextModelWithProjection"] else []
