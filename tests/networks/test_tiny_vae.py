import pytest
import torch
from diffusers import AutoencoderTiny as Reference

from sfumato.errors import CheckpointError
from sfumato.networks.tiny_vae import AutoencoderTiny, TinyAutoencoderConfig

VARIANTS = {
    "f = 8, like taesd": {
        "encoder_block_out_channels": (7,) * 4,
        "decoder_block_out_channels": (9,) * 4,
    },
    "f = 4, like taesd3": {
        "encoder_block_out_channels": (6,) * 3,
        "decoder_block_out_channels": (6,) * 3,
        "num_encoder_blocks": (2, 0, 1),
        "num_decoder_blocks": (1, 2, 0),
        "latent_channels": 16,
        "latent_magnitude": 2,
        "latent_shift": 0.25,
        "scaling_factor": 1.5305,
        "shift_factor": 0.0609,
    },
    "f = 1, grey": {
        "in_channels": 1,
        "out_channels": 1,
        "encoder_block_out_channels": (5,),
        "decoder_block_out_channels": (5,),
        "num_encoder_blocks": (1,),
        "num_decoder_blocks": (1,),
    },
}


def tiny(variant: str) -> AutoencoderTiny:
    torch.manual_seed(0)
    return AutoencoderTiny(TinyAutoencoderConfig(**VARIANTS[variant])).eval()


@torch.no_grad()
@pytest.mark.parametrize("variant", VARIANTS)
def test_both_libraries_open_each_others_folder_and_compute_the_same(variant, read, write):
    def agree(ours, reference):
        z = ours.encode(picture).mean
        torch.testing.assert_close(z, reference.encode(picture).latents, atol=1e-5, rtol=1e-5)
        noise = 4 * torch.randn_like(z)
        torch.testing.assert_close(ours.decode(noise), reference.decode(noise).sample, atol=1e-5, rtol=1e-5)
        again = ours.decode(ours.from_bytes(ours.to_bytes(z)))
        torch.testing.assert_close(again, reference(picture).sample, atol=1e-5, rtol=1e-5)

    reference = Reference(**VARIANTS[variant]).eval()
    ours = read(reference, AutoencoderTiny, TinyAutoencoderConfig)
    picture = torch.randn(2, ours.config.in_channels, 16, 24)
    agree(ours, reference)
    for parameter in ours.parameters():
        parameter.add_(0.02 * torch.randn_like(parameter))
    opened = write(ours, Reference)
    assert not write.unexpected
    assert TinyAutoencoderConfig.from_dict(opened.config) == ours.config
    agree(ours, opened)


@pytest.mark.parametrize("variant", VARIANTS)
def test_factor_is_the_ratio_of_the_edges(variant):
    network = tiny(variant)
    picture = torch.randn(1, network.config.in_channels, 32, 16)
    reconstruction, posterior = network(picture)
    assert posterior.mean.shape[-2:] == (32 // network.factor, 16 // network.factor)
    assert reconstruction.shape == picture.shape


@torch.no_grad()
def test_it_serves_as_the_large_autoencoder_does():
    network = tiny("f = 4, like taesd3")
    posterior = network.encode(torch.randn(2, 3, 16, 8))
    torch.testing.assert_close(posterior.sample(torch.randn_like(posterior.mean)), posterior.mean, atol=1e-5, rtol=1e-5)
    latent = network.latent(posterior.mean)
    torch.testing.assert_close(latent, (posterior.mean - 0.0609) * 1.5305)
    torch.testing.assert_close(network.picture(latent), network.decode(posterior.mean), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("variant", ["f = 8, like taesd", "f = 4, like taesd3"])
def test_bytes_hold_latents_to_half_a_step_within_the_magnitude(variant):
    network = tiny(variant)
    config = network.config
    low = -2 * config.latent_magnitude * config.latent_shift
    z = low + 2 * config.latent_magnitude * torch.rand(1, 4, 8, 8)
    stored = network.to_bytes(z)
    assert stored.dtype == torch.uint8
    assert (network.from_bytes(stored) - z).abs().max() <= config.latent_magnitude / 255 + 1e-5
    assert torch.equal(network.to_bytes(network.from_bytes(stored)), stored)
    beyond = network.from_bytes(network.to_bytes(z + 100))
    torch.testing.assert_close(beyond, torch.full_like(z, low + 2 * config.latent_magnitude))


@torch.no_grad()
def test_half_the_precision_gives_about_the_same():
    network = tiny("f = 8, like taesd")
    picture = torch.randn(1, 3, 16, 16)
    exact = network(picture)[0]
    rounded = network.to(torch.bfloat16)(picture.bfloat16())[0]
    assert rounded.dtype == torch.bfloat16
    assert (rounded.float() - exact).norm() < 0.05 * exact.norm()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("act_fn", "gelu"),
        ("upsample_fn", "bilinear"),
        ("upsampling_scaling_factor", 3),
        ("encoder_block_out_channels", [64, 64, 64, 32]),
        ("num_decoder_blocks", [3, 3, 1]),
        ("num_encoder_blocks", [100000] * 4),
        ("latent_magnitude", 0),
        ("scaling_factor", 0),
        ("_class_name", "AutoencoderKL"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(key, value):
    with pytest.raises(CheckpointError, match=key) as error:
        TinyAutoencoderConfig.from_dict({key: value})
    assert repr(value) in str(error.value)
