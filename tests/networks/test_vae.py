import pytest
import torch
from diffusers import AutoencoderKL as Reference

from sfumato.errors import CheckpointError
from sfumato.networks.initialisation import initialise
from sfumato.networks.vae import AutoencoderConfig, AutoencoderKL, Posterior, autoencoder_config


def variant(channels, **more) -> dict:
    blocks = {
        "down_block_types": ("DownEncoderBlock2D",) * len(channels),
        "up_block_types": ("UpDecoderBlock2D",) * len(channels),
    }
    return {"block_out_channels": channels, "norm_num_groups": 4} | blocks | more


VARIANTS = {
    "f = 1": variant((8,)),
    "f = 2": variant((8, 12), latent_channels=3, layers_per_block=2),
    "f = 4, no attention": variant((8, 8, 16), mid_block_add_attention=False, norm_num_groups=8),
    "f = 8, like flux": variant(
        (8, 8, 8, 12), latent_channels=16, use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.1159
    ),
    "grey": variant((6, 9), norm_num_groups=3, in_channels=1, out_channels=1, force_upcast=False, sample_size=[16, 8]),
}


@torch.no_grad()
@pytest.mark.parametrize("name", VARIANTS)
def test_both_libraries_open_each_others_folder_and_compute_the_same(name, read, write):
    def agree(ours, reference):
        posterior, expected = ours.encode(picture), reference.encode(picture).latent_dist
        noise = torch.randn_like(posterior.mean)
        torch.testing.assert_close(posterior.mean, expected.mean, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(posterior.logvar, expected.logvar, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(posterior.kl(), expected.kl(), atol=1e-4, rtol=1e-5)
        torch.testing.assert_close(posterior.sample(noise), expected.mean + expected.std * noise, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(ours.decode(noise), reference.decode(noise).sample, atol=1e-5, rtol=1e-5)

    reference = Reference(**VARIANTS[name]).eval()
    ours = read(reference, AutoencoderKL, AutoencoderConfig)
    picture = torch.randn(2, ours.config.in_channels, 16, 24)
    agree(ours, reference)
    for parameter in ours.parameters():
        parameter.add_(0.02 * torch.randn_like(parameter))
    opened = write(ours, Reference)
    assert AutoencoderConfig.from_dict(opened.config) == ours.config
    agree(ours, opened)


@torch.no_grad()
def test_folders_with_the_attention_names_of_old_load():
    network = AutoencoderKL(AutoencoderConfig(block_out_channels=(8,), norm_num_groups=4)).eval()
    names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    old = dict(network.state_dict())
    for key in list(old):
        for new_name, old_name in names.items():
            if f".{new_name}." in key:
                old[key.replace(new_name, old_name)] = old.pop(key)
    assert any(key.endswith("proj_attn.bias") for key in old)
    other = AutoencoderKL(network.config).eval()
    other.load_state_dict(old, strict=True)
    picture = torch.randn(1, 3, 8, 8)
    torch.testing.assert_close(other(picture)[0], network(picture)[0])


@torch.no_grad()
@pytest.mark.parametrize("shift", [None, 0.25])
def test_latents_are_shifted_scaled_and_brought_back(shift):
    config = autoencoder_config((8, 16), scaling_factor=0.5, shift_factor=shift)
    network = AutoencoderKL(config).eval()
    z = torch.randn(2, 4, 6, 6)
    torch.testing.assert_close(network.latent(z), (z - (shift or 0)) * 0.5)
    torch.testing.assert_close(network.picture(network.latent(z)), network.decode(z), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("channels", [(8,), (8, 16), (8, 16, 16), (8, 8, 8, 16)])
def test_factor_is_the_ratio_of_the_edges(channels):
    network = AutoencoderKL(autoencoder_config(channels))
    reconstruction, posterior = network(torch.randn(1, 3, 32, 16))
    assert posterior.mean.shape[-2:] == (32 // network.factor, 16 // network.factor)
    assert reconstruction.shape == (1, 3, 32, 16)


@torch.no_grad()
def test_odd_sizes_are_cut_as_in_the_reference():
    reference = Reference(**VARIANTS["f = 2"]).eval()
    ours = AutoencoderKL(AutoencoderConfig.from_dict(reference.config)).eval()
    ours.load_state_dict(reference.state_dict())
    picture = torch.randn(1, 3, 9, 13)
    expected = reference.encode(picture).latent_dist.mean
    assert expected.shape[-2:] == (4, 6)
    torch.testing.assert_close(ours.encode(picture).mean, expected, atol=1e-5, rtol=1e-5)


def test_every_parameter_learns_also_from_the_initialised_start():
    network = initialise(AutoencoderKL(autoencoder_config((8, 16))))
    picture = torch.randn(2, 3, 16, 16)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01)
    for _ in range(2):
        optimiser.zero_grad()
        reconstruction, posterior = network(picture, noise=torch.randn(2, 4, 8, 8))
        ((reconstruction - picture).square().mean() + 1e-3 * posterior.kl().mean()).backward()
        optimiser.step()
    # The bias of the keys adds the same score to each of them, and the softmax takes no notice.
    silent = [name for name, p in network.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-12]
    assert all(name.endswith("to_k.bias") for name in silent)


def test_kl_is_that_of_torch_distributions():
    posterior = Posterior(torch.randn(3, 2, 4, 4), torch.randn(3, 2, 4, 4))
    normal = torch.distributions.Normal(posterior.mean, (0.5 * posterior.logvar).exp())
    expected = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).sum((1, 2, 3))
    torch.testing.assert_close(posterior.kl(), expected)


@torch.no_grad()
def test_channels_last_gives_the_same_numbers_and_stays_channels_last():
    network = AutoencoderKL(autoencoder_config((8, 16, 16))).eval()
    picture = torch.randn(2, 3, 16, 16)
    expected, posterior = network(picture)
    network = network.to(memory_format=torch.channels_last)
    out, last = network(picture.to(memory_format=torch.channels_last))
    assert out.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(last.mean, posterior.mean, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("act_fn", "relu"),
        ("latents_mean", [0.0] * 4),
        ("down_block_types", ["AttnDownEncoderBlock2D"]),
        ("norm_num_groups", 5),
        ("block_out_channels", []),
        ("scaling_factor", 0),
        ("_class_name", "AsymmetricAutoencoderKL"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(key, value):
    with pytest.raises(CheckpointError, match=key) as error:
        AutoencoderConfig.from_dict({key: value})
    assert repr(value) in str(error.value)
