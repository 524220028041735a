"""The files of diffusion transformers: what is not supported is refused, and files of old are read."""

import pytest

from sfumato.errors import CheckpointError
from sfumato.networks.dit import DiTConfig
from sfumato.networks.flux import FluxConfig
from sfumato.networks.pixart import PixArtConfig
from sfumato.networks.sd3 import SD3Config
from sfumato.networks.t5 import T5Config

# what the reference leaves out by default, but every published PixArt has
CAPTIONED = {"caption_channels": 4096}


@pytest.mark.parametrize(
    ("config", "key", "value"),
    [
        (SD3Config, "qk_norm", "layer_norm"),
        (SD3Config, "caption_projection_dim", 1000),
        (SD3Config, "patch_size", 0),
        (SD3Config, "sample_size", 1),
        (SD3Config, "pos_embed_max_size", 0),
        (SD3Config, "sample_size", 2**70),
        (SD3Config, "pos_embed_max_size", 2**70),
        (SD3Config, "num_layers", 100_000),
        (SD3Config, "num_layers", 0),
        (SD3Config, "attention_head_dim", 0),
        (SD3Config, "_class_name", "HunyuanDiT2DModel"),
        (SD3Config, "something_new", 3),
        (FluxConfig, "patch_size", 2),
        (FluxConfig, "in_channels", 66),
        (FluxConfig, "axes_dims_rope", [15, 57, 56]),
        (FluxConfig, "axes_dims_rope", [16, 16, 16]),
        (FluxConfig, "num_single_layers", 100_000),
        (PixArtConfig, "norm_type", "ada_norm_zero"),
        (PixArtConfig, "activation_fn", "geglu"),
        (PixArtConfig, "cross_attention_dim", None),
        (PixArtConfig, "interpolation_scale", 0),
        (PixArtConfig, "interpolation_scale", 2**70),
        (PixArtConfig, "num_attention_heads", 17),
        (PixArtConfig, "caption_channels", "many"),
        (DiTConfig, "norm_type", "ada_norm_single"),
        (DiTConfig, "num_embeds_ada_norm", None),
        (DiTConfig, "num_layers", 100_000),
        (DiTConfig, "num_layers", True),
        (T5Config, "d_ff", True),
        (T5Config, "layer_norm_epsilon", 1),
    ],
)
def test_what_is_not_supported_is_refused_by_name(config, key, value):
    with pytest.raises(CheckpointError, match=key) as error:
        config.from_dict((CAPTIONED if config is PixArtConfig else {}) | {key: value})
    assert repr(value) in str(error.value)


def test_files_of_old_name_transformers_by_their_kind_of_norm():
    old = {"_class_name": "Transformer2DModel", "norm_type": "ada_norm_single", "num_vector_embeds": None}
    assert PixArtConfig.from_dict(old) == PixArtConfig()
    assert DiTConfig.from_dict(old | {"norm_type": "ada_norm_zero"}) == DiTConfig()
    with pytest.raises(CheckpointError, match="_class_name"):
        PixArtConfig.from_dict({"_class_name": "Transformer2DModel", "norm_type": "layer_norm"})
