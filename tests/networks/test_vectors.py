"""The networks of vectors: a picture to a vector and back, and a denoiser of vectors."""

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from sfumato.networks.initialisation import initialise
from sfumato.networks.vae import Posterior
from sfumato.networks.vector_autoencoder import VectorAutoencoder, VectorAutoencoderConfig
from sfumato.networks.vector_denoiser import VectorDenoiser, VectorDenoiserConfig


def coder(**more):
    torch.manual_seed(0)
    return VectorAutoencoder(VectorAutoencoderConfig(block_out_channels=(8, 16), sample_size=16, **more))


@pytest.mark.parametrize(("size", "channels"), [(16, (8, 16)), (32, (8, 16, 24)), (24, (8, 8, 8, 8))])
def test_a_picture_becomes_one_vector_of_any_length_and_a_picture_again(size, channels):
    config = VectorAutoencoderConfig(block_out_channels=channels, sample_size=size, projection_dim=48)
    vae, pictures = VectorAutoencoder(config), torch.rand(2, 3, size, size) * 2 - 1
    posterior = vae.encode(pictures)
    assert posterior.mean.shape == posterior.logvar.shape == (2, 48)
    assert vae.decode(posterior.mean).shape == pictures.shape


def test_pictures_of_another_size_are_refused():
    with pytest.raises(ValueError, match="32x16 pixels: this autoencoder sees 16x16"):
        coder().encode(torch.zeros(1, 3, 32, 16))
    with pytest.raises(ValueError, match="cannot be halved that often"):
        VectorAutoencoderConfig(sample_size=20, block_out_channels=(8, 8, 8, 8))


def test_the_divergence_from_a_normal_around_a_caption_is_that_of_torch():
    torch.manual_seed(0)
    mean, logvar, centre = torch.randn(3, 4, 7).unbind(0)
    truth = kl_divergence(Normal(mean, (logvar / 2).exp()), Normal(centre, 1.0)).sum(1)
    assert torch.allclose(Posterior(mean, logvar).kl(centre), truth, atol=1e-5)
    assert torch.equal(Posterior(mean, logvar).kl(), Posterior(mean, logvar).kl(torch.zeros_like(mean)))


def test_unit_scale_is_undone_before_decoding():
    vae, z = coder(projection_dim=12), torch.randn(2, 12)
    vae.shift.normal_()
    vae.scale.uniform_(0.5, 2)
    assert torch.allclose(vae.picture(vae.vector(z)), vae.decode(z), atol=1e-5)
    assert not torch.allclose(vae.vector(z), z)


def test_a_new_denoiser_gives_nothing_and_all_of_it_learns_after_a_step():
    torch.manual_seed(0)
    config = VectorDenoiserConfig(vector_dim=6, condition_dim=4, hidden_size=16, num_hidden_layers=2)
    network = initialise(VectorDenoiser(config))
    x, time, condition = torch.randn(5, 6), torch.rand(5) * 1000, torch.randn(5, 4)
    assert (network(x, time, condition) == 0).all()
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(3):  # the zeros open one after the other
        optimizer.zero_grad()
        (network(x, time, condition) - x).square().mean().backward()
        optimizer.step()
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.parameters())
    for other in ((x, time + 300, condition), (x, time, condition + 1)):
        assert not torch.allclose(network(*other), network(x, time, condition))
