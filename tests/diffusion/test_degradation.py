"""Degradations: nothing at severity 0, everything at 1, each sample by itself; the real codec agrees."""

import io

import pytest
import torch
from PIL import Image

from sfumato.data.overlay import sheets
from sfumato.data.pictures import from_images, to_image
from sfumato.diffusion import degradation as d

ORDER = torch.randint(0, 6, (3, 1, 20, 24), generator=torch.Generator().manual_seed(0)).float()
DEGRADATIONS = {
    "blur": d.blur,
    "downsample": d.downsample,
    "jpeg": d.jpeg,
    "covered": d.covered(ORDER, 6, colour=0.3),
    "fade": d.fade(torch.tensor([[0.5, 0.5], [0.1, 0.9], [0.525, 0.3125]])),  # the last one on a pixel's centre
}
each = pytest.mark.parametrize("degrade", DEGRADATIONS.values(), ids=DEGRADATIONS)


@pytest.fixture
def pictures():
    generator = torch.Generator().manual_seed(1)
    small = torch.rand(3, 3, 5, 6, generator=generator) * 2 - 1
    return torch.nn.functional.interpolate(small, size=(20, 24), mode="bilinear", align_corners=False)


@each
@pytest.mark.parametrize("zero", [torch.tensor(0.0), torch.zeros(3, dtype=torch.float64)])
def test_severity_zero_is_the_picture_itself(degrade, zero, pictures):
    assert torch.equal(degrade(pictures, zero), pictures)


def test_of_many_sizes_few_are_remembered():
    for side in range(4, 44):
        d.blur(torch.zeros(1, 3, side, side), torch.tensor(0.5))
    assert d.cosines.cache_info().currsize <= 8


@each
def test_at_severity_one_a_single_colour_is_left(degrade, pictures):
    lost = degrade(pictures, torch.ones(3))
    assert lost.flatten(2).std(2).max() < 0.01
    assert torch.isfinite(lost).all()


@each
def test_damage_grows_with_severity(degrade, pictures):
    damage = [
        (degrade(pictures, torch.tensor(s)) - pictures).square().mean().item() for s in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    ]
    assert damage == sorted(damage)
    assert damage[1] > 0


@each
def test_each_sample_has_its_own_severity(degrade, pictures):
    severities = torch.tensor([0.9, 0.0, 0.35])
    together = degrade(pictures, severities)
    for i, severity in enumerate(severities):
        assert torch.allclose(together[i], degrade(pictures, severity)[i], atol=1e-5)


@pytest.mark.parametrize("degrade", [d.blur, d.downsample], ids=["blur", "downsample"])
def test_the_mean_colour_stays(degrade, pictures):
    square = pictures[..., :16, :16]
    for severity in (0.3, 0.7, 1.0):
        after = degrade(square, torch.tensor(severity))
        assert torch.allclose(after.mean((2, 3)), square.mean((2, 3)), atol=1e-5)


def test_blur_is_convolution_with_a_gaussian():
    point = torch.zeros(1, 1, 33, 33)
    point[..., 16, 16] = 1
    severity = torch.tensor(0.35)
    std = 33 * torch.expm1(5 * severity) / torch.expm1(torch.tensor(5.0))
    distance = torch.arange(33) - 16
    gaussian = (-distance.square() / (2 * std**2)).exp()
    gaussian /= gaussian.sum()
    assert torch.allclose(d.blur(point, severity)[0, 0], gaussian[:, None] * gaussian, atol=1e-3)


def test_the_cosine_waves_are_orthonormal():
    assert torch.allclose(d.cosines(12) @ d.cosines(12).T, torch.eye(12), atol=1e-6)


@pytest.mark.parametrize("quality", [5, 20, 50, 75, 90])
def test_jpeg_does_what_a_real_codec_does(quality, pictures):
    image = to_image(pictures[0])
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, subsampling=0)
    before, real = from_images([image]), from_images([Image.open(file)])
    ours = d.jpeg(before, torch.tensor(d.jpeg_severity(quality)))
    assert (ours - real).abs().mean() < 0.35 * (real - before).abs().mean() + 0.004


def test_text_covers_more_and_more_with_legible_letters():
    orders = sheets(4, 32, 40)
    shares = [(orders <= layer).float().mean().item() for layer in (0, 10, 20, 38, 39)]
    assert 0.005 < shares[0] < 0.15
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert not torch.equal(orders[0], orders[1])
    assert torch.equal(orders, sheets.__wrapped__(4, 32, 40))
    assert not torch.equal(orders, sheets(4, 32, 40, seed=1))
