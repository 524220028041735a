import pytest
import torch
from diffusers import UNet2DConditionModel

from sfumato.networks.unet import UNet
from sfumato.networks.upsampler import enlarge, patch_of, upsampler_config
from sfumato.pipelines.upsampling import looking_at


@torch.no_grad()
def test_an_upsampler_opens_in_diffusers(write):
    network = UNet(upsampler_config((8, 16, 16), noise_levels=20)).eval()
    noisy, small, level = torch.randn(2, 3, 20, 28), torch.randn(2, 3, 5, 7), torch.tensor([0, 19])
    sample = torch.cat([noisy, enlarge(small, 4)], dim=1)
    out = network(sample, 3.5, class_labels=level)
    assert out.shape == noisy.shape
    reference = write(network, UNet2DConditionModel)
    torch.testing.assert_close(out, reference(sample, 3.5, None, class_labels=level).sample, atol=1e-5, rtol=1e-5)


def test_settings_may_be_overridden():
    config = upsampler_config((8, 16), picture_channels=1, attention=(False, True), layers=2)
    assert (config.in_channels, config.out_channels, config.layers_per_block) == (2, 1, 2)
    assert config.down_block_types == ("DownBlock2D", "CrossAttnDownBlock2D")


def test_enlarge_keeps_the_mean_of_a_ramp_and_its_range():
    ramp = torch.linspace(-1, 1, 6).expand(1, 3, 5, 6)
    large = enlarge(ramp, 3)
    assert large.shape == (1, 3, 15, 18)
    assert large.min() >= -1
    assert large.max() <= 1
    torch.testing.assert_close(large.mean(), ramp.mean(), atol=1e-6, rtol=0)
    torch.testing.assert_close(large[..., 1::3, 1::3], ramp)  # the middle of three lies on the pixel's centre


@pytest.mark.parametrize("patch", [1, 2, 4])
@torch.no_grad()
def test_a_pixel_of_a_square_is_told_and_given_back_in_its_place(patch):
    config = upsampler_config((8, 16), patch=patch, class_embed_type="timestep", num_class_embeds=None)
    unet = UNet(config).eval()
    assert patch_of(config) == patch
    unet.forward = lambda sample, *_, **__: sample[:, : config.out_channels]  # gives back what is noisy
    noisy = torch.randn(2, 3, 16, 16)
    network = looking_at(unet, torch.randn(2, 3, 16, 16), 0.1)
    assert torch.equal(network(noisy, torch.tensor([10.0, 500.0])), noisy)
