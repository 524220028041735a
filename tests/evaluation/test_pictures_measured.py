"""Scores of pictures: with their words, with themselves after an autoencoder, and among other seeds."""

import math

import numpy as np
import pytest
import scipy.ndimage
import torch

from sfumato.errors import DataError
from sfumato.evaluation.clip_score import clip_scores
from sfumato.evaluation.diversity import diversity
from sfumato.evaluation.reconstruction import psnr, ssim


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_clip_score_is_the_cosine_stretched_and_never_below_nothing():
    pictures = torch.tensor([[1.0, 0.0], [2.0, 2.0], [1.0, 0.0]])
    texts = torch.tensor([[3.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    assert clip_scores(pictures, texts).tolist() == pytest.approx([2.5, 2.5 / math.sqrt(2), 0])


def test_clip_score_wants_a_text_for_each_picture():
    with pytest.raises(DataError, match="2 and 3"):
        clip_scores(random(2, 4), random(3, 4))
    with pytest.raises(DataError, match="one network"):
        clip_scores(random(3, 4), random(3, 5))


def test_psnr_is_that_of_the_error_put_in():
    picture = random(2, 3, 16, 16) / 2
    assert psnr(picture + 0.02, picture).tolist() == pytest.approx([40, 40], rel=1e-4)  # 10 log10(4 / 0.02^2)
    assert psnr(picture, picture).tolist() == [math.inf, math.inf]
    assert psnr(picture * 1e9, picture.sign()).tolist() == [math.inf, math.inf]  # clipped as a file would be


def test_ssim_is_that_of_gaussian_windows_by_scipy():
    a, b = random(1, 3, 24, 20), random(1, 3, 24, 20, seed=1)
    b = 0.7 * a + 0.3 * b

    def blurred(x):
        return scipy.ndimage.gaussian_filter(x, 1.5, truncate=5 / 1.5)[5:-5, 5:-5]

    found = []
    for x, y in zip(a[0].double().numpy(), b[0].double().numpy(), strict=True):
        mx, my, c1, c2 = blurred(x), blurred(y), 0.02**2, 0.06**2
        vx, vy, both = blurred(x * x) - mx**2, blurred(y * y) - my**2, blurred(x * y) - mx * my
        found.append(((2 * mx * my + c1) * (2 * both + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean())
    assert ssim(a, b).item() == pytest.approx(np.mean(found), rel=1e-6)


def test_ssim_is_one_for_the_same_picture_and_falls_with_noise():
    picture = random(1, 3, 32, 32).cumsum(-1).clamp(-1, 1)
    noisy = [ssim(picture + noise * random(1, 3, 32, 32, seed=1), picture).item() for noise in (0, 0.1, 0.5)]
    assert noisy[0] == pytest.approx(1)
    assert noisy[0] > noisy[1] > noisy[2]
    assert ssim(picture, noise := random(1, 3, 32, 32)).item() == pytest.approx(ssim(noise, picture).item())


@pytest.mark.parametrize("measure", [psnr, ssim])
def test_pictures_of_other_shapes_or_none_are_refused(measure):
    with pytest.raises(DataError, match="their own shape"):
        measure(random(1, 3, 16, 16), random(1, 3, 16, 17))
    with pytest.raises(DataError, match="their own shape"):
        measure(random(0, 3, 16, 16), random(0, 3, 16, 16))


def test_ssim_refuses_pictures_smaller_than_its_window():
    with pytest.raises(DataError, match="windows of 11 pixels; these pictures have 10x16"):
        ssim(random(1, 3, 10, 16), random(1, 3, 10, 16))


def test_the_same_picture_for_every_seed_is_one_picture_and_directions_apart_are_all_different():
    same, apart = torch.ones(1, 4, 6), torch.eye(6)[None, :4]
    assert diversity(same) == pytest.approx((0, 1), abs=1e-6)
    assert diversity(apart) == pytest.approx((1, 4))
    assert diversity(torch.cat([same, apart])) == pytest.approx((0.5, 2.5))
    assert diversity(torch.eye(6)[None, [0, 0, 1, 1]]) == pytest.approx((2 / 3, 2))


def test_diversity_of_one_seed_is_refused():
    with pytest.raises(DataError, match="at least 2"):
        diversity(torch.ones(3, 1, 6))
