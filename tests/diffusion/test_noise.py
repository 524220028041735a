"""Noise on the way between two seeds."""

import torch

from sfumato.diffusion.noise import per_sample_noise, turned

EMPTY = torch.empty(2, 3, 16, 16)


def between(amount, seeds=(1, 2), others=(3, 4)):
    return turned(per_sample_noise(seeds), per_sample_noise(others), amount)(EMPTY[: len(seeds)])


def test_the_ends_are_the_seeds_own_to_the_bit():
    assert torch.equal(between(0.0), per_sample_noise([1, 2])(EMPTY))
    assert torch.equal(between(1.0), per_sample_noise([3, 4])(EMPTY))


def test_between_them_it_is_as_large_as_noise_is_and_turns_evenly():
    first, middle, last = between(0.0), between(0.5), between(1.0)
    torch.testing.assert_close(middle.std(), first.std(), atol=0.03, rtol=0)
    near, far = (torch.cosine_similarity(middle.flatten(1), end.flatten(1)) for end in (first, last))
    torch.testing.assert_close(near, far)
    assert (near > 0.65).all()


def test_each_sample_is_turned_by_itself():
    assert torch.equal(between(0.3)[1:], between(0.3, [2], [4]))


def test_the_next_draw_is_the_seeds_next():
    own = per_sample_noise([1, 2])
    turned(own, per_sample_noise([3, 4]), 1.0)(EMPTY)
    plain = per_sample_noise([1, 2])
    plain(EMPTY)
    assert torch.equal(own(EMPTY), plain(EMPTY))
