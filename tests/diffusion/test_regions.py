"""Regions that see themselves alone at first."""

import torch

from sfumato.diffusion.levels import CLEAN, PURE_NOISE, Level
from sfumato.diffusion.regions import alone_at_first

HALF = Level(torch.tensor(0.8, dtype=torch.float64), torch.tensor(0.6, dtype=torch.float64))
LEFT, RIGHT = (torch.zeros(1, 4, 4) for _ in range(2))
LEFT[..., :2], RIGHT[..., 2:] = 1, 1


def seen(early, level=HALF):
    """What two regions, the whole, and what comes behind see of a batch of two; and the batch."""
    looks = []

    def branches(noisy, level):
        looks.append(noisy)
        return torch.full_like(noisy, 0.25)

    noisy, noise = torch.randn(8, 3, 4, 4), torch.randn(2, 3, 4, 4)
    made = alone_at_first(branches, torch.stack([LEFT, RIGHT]), noise, early)(noisy, level)
    assert made.shape == noisy.shape
    return looks, noisy, noise


def test_around_a_region_there_is_an_even_noisy_ground():
    looks, noisy, noise = seen(lambda level: torch.tensor(True))
    first = looks[-1]
    ground = 0.8 * 0.25 + 0.6 * noise
    torch.testing.assert_close(first[0:2, ..., :2], noisy[0:2, ..., :2])
    torch.testing.assert_close(first[0:2, ..., 2:], ground[..., 2:])
    torch.testing.assert_close(first[2:4, ..., 2:], noisy[2:4, ..., 2:])
    torch.testing.assert_close(first[2:4, ..., :2], ground[..., :2])
    assert torch.equal(first[4:], noisy[4:])


def test_later_it_sees_all_in_one_look():
    looks, noisy, _ = seen(lambda level: level.sigma > 0.9)
    assert len(looks) == 1
    assert torch.equal(looks[0], noisy)


def test_each_sample_has_its_own_level():
    pairs = zip(astuple(PURE_NOISE), astuple(CLEAN), strict=True)
    levels = Level(*(torch.stack([one, other] * 4) for one, other in pairs))
    looks, noisy, noise = seen(lambda level: level.sigma > 0.5, levels)
    torch.testing.assert_close(looks[-1][0, ..., 2:], noise[0, ..., 2:])
    assert torch.equal(looks[-1][1], noisy[1])


def astuple(level):
    return level.alpha, level.sigma
