"""What adapters add is each sample's own."""

import pytest
import torch

from sfumato.networks.extras import Extras, ImagePrompt, Residuals
from sfumato.networks.unet import UNet
from sfumato.networks.unet_config import unet_config
from sfumato.networks.way_down import guidance_waves


@pytest.fixture
def unet():
    torch.manual_seed(0)
    return UNet(unet_config((16, 32), attention=(True, True), cross_attention_dim=12)).eval().requires_grad_(False)


def everything(unet, batch):
    residuals = Residuals(
        (*(torch.randn(batch, 16, 8, 8) for _ in range(2)), torch.randn(batch, 16, 4, 4), torch.randn(batch, 32, 4, 4)),
        torch.randn(batch, 32, 4, 4),
    )
    features = [torch.randn(batch, 16, 8, 8), torch.randn(batch, 32, 4, 4)]
    widths = [layer.to_k.out_features for layer in unet.cross_attentions().values()]
    keys, values = (tuple(torch.randn(batch, 3, width) for width in widths) for _ in "kv")
    return Extras(residuals, features, (ImagePrompt(keys, values, (0.5,) * len(widths)),))


@pytest.mark.parametrize("which", [slice(1, 3), torch.tensor([2, 0]), torch.tensor([False, True, True])])
def test_some_samples_take_their_own_share(unet, which):
    sample, t, words = torch.randn(3, 4, 8, 8), torch.tensor([1.0, 50.0, 900.0]), torch.randn(3, 5, 12)
    extras = everything(unet, 3)
    whole = unet(sample, t, words, extras=extras)
    some = unet(sample[which], t[which], words[which], extras=extras.rows(which))
    torch.testing.assert_close(some, whole[which], atol=1e-5, rtol=1e-5)
    assert (whole - unet(sample, t, words)).abs().amax(dim=(1, 2, 3)).min() > 1e-3


def test_nothing_added_changes_no_bit(unet):
    sample, words = torch.randn(2, 4, 8, 8), torch.randn(2, 5, 12)
    assert torch.equal(unet(sample, 7.0, words, extras=Extras().rows(slice(2))), unet(sample, 7.0, words))


def test_a_prompt_of_no_scale_changes_no_bit(unet):
    sample, words = torch.randn(2, 4, 8, 8), torch.randn(2, 5, 12)
    (prompt,) = everything(unet, 2).images
    unheard = ImagePrompt(prompt.keys, prompt.values, (0.0,) * len(prompt.scales))
    assert torch.equal(unet(sample, 7.0, words, extras=Extras(images=(unheard,))), unet(sample, 7.0, words))


def test_cross_attentions_are_counted_down_up_and_in_the_middle(unet):
    names = list(unet.cross_attentions())
    assert [name.split(".")[0] for name in names] == ["down_blocks"] * 2 + ["up_blocks"] * 4 + ["mid_block"]
    assert all(name in dict(unet.named_modules()) for name in names)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_precisions_are_kept(dtype):
    torch.manual_seed(0)
    config = unet_config((16, 32), attention=(True, True), cross_attention_dim=12, time_cond_proj_dim=6)
    exact = UNet(config).eval().requires_grad_(False)
    sample, words, told = torch.randn(2, 4, 8, 8), torch.randn(2, 5, 12), guidance_waves(torch.tensor([1.0, 7.5]), 6)
    extras = everything(exact, 2)
    expected = exact(sample, 7.0, words, timestep_cond=told, extras=extras)
    (image,) = extras.images
    other = Extras(
        Residuals(tuple(state.to(dtype) for state in extras.residuals.down), extras.residuals.mid.to(dtype)),
        [feature.to(dtype) for feature in extras.features],
        (ImagePrompt(*(tuple(each.to(dtype) for each in all_) for all_ in (image.keys, image.values)), image.scales),),
    )
    made = exact.to(dtype)(sample.to(dtype), 7.0, words.to(dtype), timestep_cond=told, extras=other)
    assert made.dtype == dtype
    torch.testing.assert_close(made.float(), expected, atol=0.1 if dtype == torch.bfloat16 else 1e-4, rtol=0)
