"""Mixing conditions: weighted estimates, and paths between contexts."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sfumato.diffusion.guidance import guided, guided_in_one_pass
from sfumato.diffusion.mixing import linear, mixed, slerp, spherical
from sfumato.diffusion.processes import Cosine, Flow

F64 = torch.float64


def toward(*place):
    """A denoiser that half believes in one place."""
    return lambda noisy, level: (noisy + torch.tensor(place, dtype=noisy.dtype)) / 2


BASE, CAT, AVOCADO = toward(0.0, 0.0), toward(3.0, 1.0), toward(-1.0, 2.0)
NOISY, LEVEL = torch.randn(3, 2, dtype=F64), Cosine()(torch.tensor([0.1, 0.5, 0.9]))


def test_mixing_is_composable_diffusion_in_units_of_noise():
    """Liu et al. 2022, eq. 11; a negative weight is their eq. 13."""
    weights, at = [4.0, 2.5, -1.0], LEVEL.like(NOISY)
    parts = [CAT, AVOCADO, toward(5.0, 5.0)]
    noise_of = lambda denoise: (NOISY - at.alpha * denoise(NOISY, LEVEL)) / at.sigma  # noqa: E731
    noise = noise_of(BASE) + sum(w * (noise_of(part) - noise_of(BASE)) for w, part in zip(weights, parts, strict=True))
    truth = (NOISY - at.sigma * noise) / at.alpha
    assert torch.allclose(mixed(BASE, parts, weights)(NOISY, LEVEL), truth, rtol=1e-9)


def test_one_part_is_classifier_free_guidance():
    found = mixed(BASE, [CAT], [7.5])(NOISY, LEVEL)
    assert torch.allclose(found, guided(CAT, BASE, 7.5)(NOISY, LEVEL), rtol=1e-12)
    assert torch.equal(mixed(BASE, [CAT], [1.0])(NOISY, LEVEL), CAT(NOISY, LEVEL))


def test_weights_per_sample_are_those_of_each():
    cat, avocado = torch.tensor([1.0, 0.6, 0.0], dtype=F64), torch.tensor([0.0, 0.4, 1.0], dtype=F64)
    together = mixed(BASE, [CAT, AVOCADO], [cat, avocado])(NOISY, LEVEL)
    for i in range(3):
        alone = mixed(BASE, [CAT, AVOCADO], [cat[i].item(), avocado[i].item()])(NOISY[i : i + 1], LEVEL[i])
        assert torch.allclose(together[i : i + 1], alone, rtol=1e-12)
    assert torch.equal(together[2:], AVOCADO(NOISY[2:], LEVEL[2]))


def test_all_branches_in_one_pass_equal_the_branches_apart():
    calls = []

    def branches(noisy, level):
        calls.append(len(noisy))
        parts = zip((CAT, AVOCADO, BASE), noisy.chunk(3), strict=True)
        return torch.cat([denoise(some, level) for denoise, some in parts])

    in_one = guided_in_one_pass(branches, 4.0, shares=(0.6, 0.4))(NOISY, LEVEL)
    assert calls == [9]
    assert torch.allclose(in_one, mixed(BASE, [CAT, AVOCADO], [4 * 0.6, 4 * 0.4])(NOISY, LEVEL), rtol=1e-12)


vectors = st.lists(st.floats(-5, 5, width=32), min_size=3, max_size=3).map(lambda v: torch.tensor([[v]]))


@given(vectors, vectors, st.floats(0, 1))
def test_a_spherical_mixture_is_finite_and_has_the_length_between(a, b, t):
    middle = slerp(a, b, t)
    assert torch.isfinite(middle).all()
    assert torch.allclose(slerp(a, b, 0.0), a, atol=1e-4)
    assert torch.allclose(slerp(a, b, 1.0), b, atol=1e-4)
    cosine = torch.nn.functional.cosine_similarity(a, b, dim=-1).abs()
    if cosine < 0.999 and min(a.norm(), b.norm()) > 0.1:
        assert middle.norm().item() == pytest.approx(torch.lerp(a.norm(), b.norm(), t).item(), rel=1e-3, abs=1e-3)


def test_a_spherical_mixture_turns_at_an_even_pace_and_each_token_for_itself():
    a = torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.5, 0.5]])
    b = torch.tensor([[0.0, 1.0], [0.0, 4.0], [-0.5, -0.5]])
    made = spherical([a, b], [2 / 3, 1 / 3])
    assert torch.allclose(made[0], torch.tensor([3**0.5 / 2, 0.5]))  # a third of a right angle
    assert torch.allclose(made[1], torch.tensor([0.0, 8 / 3]))  # equal directions: the lengths alone
    assert torch.allclose(made[2], torch.tensor([1 / 6, 1 / 6]))  # opposite ones: the straight way


def test_linear_and_spherical_meet_the_ends_and_refuse_what_is_no_whole():
    a, b, c = torch.randn(3, 2, 5)
    assert torch.equal(linear([a, b], [0.0, 1.0]), b)
    assert torch.allclose(linear([a, b, c], [0.5, 0.75, -0.25]), 0.5 * a + 0.75 * b - 0.25 * c)
    assert torch.allclose(spherical([a, b, c], [0.0, 0.0, 1.0]), c, atol=1e-6)
    with pytest.raises(ValueError, match="sum to 1"):
        linear([a, b], [0.5, 0.6])
    with pytest.raises(ValueError, match="from 0 to 1"):
        spherical([a, b], [1.5, -0.5])
    with pytest.raises(ValueError, match="2 parts"):
        mixed(BASE, [CAT, AVOCADO], [1.0])(NOISY, LEVEL)


def test_a_mixture_of_a_part_with_itself_is_that_part():
    level = Flow()(torch.tensor(0.5))
    assert torch.allclose(mixed(BASE, [CAT, CAT], [0.3, 0.7])(NOISY, level), CAT(NOISY, level), rtol=1e-12)
