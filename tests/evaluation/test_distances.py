"""Distances between sets of features: closed forms, references of numpy and scipy, invariances, and what is refused."""

import numpy as np
import pytest
import scipy.linalg
import torch

from sfumato.errors import DataError
from sfumato.evaluation.coverage import coverage
from sfumato.evaluation.discrepancy import cmmd, kid
from sfumato.evaluation.frechet import frechet_distance


def normal(count, width=6, seed=0):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def exactly(mean, covariance, count=200):
    """Points whose mean and unbiased covariance are these to the digit."""
    points = normal(count, len(mean))
    points -= points.mean(0)
    points = torch.linalg.solve_triangular(torch.linalg.cholesky(points.T.cov()), points.T, upper=False).T
    return points @ torch.linalg.cholesky(covariance).T + mean


# --- Fréchet ----------------------------------------------------------------------------------------------------------


def test_the_frechet_distance_of_gaussians_is_the_closed_form():
    mean_a, mean_b = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    a, b = torch.tensor([4.0, 1.0, 0.25]), torch.tensor([1.0, 9.0, 0.25])  # variances along the axes
    known = (mean_a - mean_b).square().sum() + (a.sqrt() - b.sqrt()).square().sum()
    made, real = (exactly(mean, torch.diag(each).double()) for mean, each in ((mean_a, a), (mean_b, b)))
    assert frechet_distance(made, real) == pytest.approx(known.item(), rel=1e-9)


@pytest.mark.parametrize(("n", "m", "width"), [(300, 200, 8), (40, 25, 64), (3, 90, 16), (2, 2, 32)])
def test_the_frechet_distance_is_that_of_the_matrix_square_root(n, m, width):
    a, b = normal(n, width, 1) * 1.7, normal(m, width, 2) @ normal(width, width, 3) + 0.3
    first, second = (np.cov(x.numpy(), rowvar=False) for x in (a, b))
    eigenvalues = scipy.linalg.eigvals(first @ second)
    root = np.sqrt(eigenvalues.real.clip(min=0)).sum()
    known = (a.mean(0) - b.mean(0)).square().sum().item() + np.trace(first) + np.trace(second) - 2 * root
    assert frechet_distance(a, b) == pytest.approx(known, rel=1e-5)


def test_the_frechet_distance_knows_itself_its_two_sides_and_no_direction():
    a, b = normal(50, 12, 1), normal(70, 12, 2) + 1
    turn = torch.linalg.qr(normal(12, 12, 3)).Q
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a))
    assert frechet_distance(a @ turn + 5, b @ turn + 5) == pytest.approx(frechet_distance(a, b))
    assert frechet_distance(a.flip(0), b) == pytest.approx(frechet_distance(a, b))


# --- maximum mean discrepancies ---------------------------------------------------------------------------------------


def test_cmmd_is_the_double_sum_of_its_definition():
    a, b = normal(7, 5, 1), normal(9, 5, 2) + 1
    unit_a, unit_b = (x / x.norm(dim=1, keepdim=True) for x in (a, b))

    def mean(x, y):
        return np.mean([np.exp(-((i - j) ** 2).sum().item() / 200) for i in x for j in y])

    known = 1000 * (mean(unit_a, unit_a) + mean(unit_b, unit_b) - 2 * mean(unit_a, unit_b))
    assert cmmd(a, b) == pytest.approx(known, rel=1e-6)


def test_cmmd_hears_directions_alone_and_is_nothing_for_the_same_pictures():
    a, b = normal(30, 8, 1), normal(40, 8, 2) + 0.5
    assert cmmd(a, a) == pytest.approx(0, abs=1e-9)
    assert cmmd(3 * a, b / 7) == pytest.approx(cmmd(a, b))
    assert cmmd(a, b) == pytest.approx(cmmd(b, a))
    assert cmmd(a, b + 3) > cmmd(a, b) > 0


def test_cmmd_of_opposite_points_is_the_closed_form():
    a = torch.tensor([[1.0, 0.0]] * 4)
    assert cmmd(a, -a) == pytest.approx(1000 * (2 - 2 * np.exp(-4 / 200)))


def test_kid_is_the_u_statistic_of_its_definition():
    a, b = normal(6, 4, 1), normal(5, 4, 2) + 1

    def kernel(i, j):
        return (i @ j / 4 + 1).item() ** 3

    within = [np.mean([kernel(x[i], x[j]) for i in range(len(x)) for j in range(len(x)) if i != j]) for x in (a, b)]
    known = 1000 * (sum(within) - 2 * np.mean([kernel(i, j) for i in a for j in b]))
    assert kid(a, b) == pytest.approx(known)


def test_kid_of_two_samples_of_one_source_is_zero_on_average():
    values = [kid(normal(20, 4, 2 * i), normal(30, 4, 2 * i + 1)) for i in range(200)]
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(len(values))
    assert min(values) < 0


def test_many_pictures_are_taken_in_rows_with_the_same_result(monkeypatch):
    a, b = normal(50, 6, 1), normal(33, 6, 2)
    whole = cmmd(a, b), kid(a, b), coverage(a, b)
    monkeypatch.setattr("sfumato.evaluation.discrepancy.ROWS", 7)
    monkeypatch.setattr("sfumato.evaluation.coverage.ROWS", 7)
    assert (cmmd(a, b), kid(a, b)) == pytest.approx(whole[:2], rel=1e-9)
    assert coverage(a, b) == whole[2]


# --- precision and recall ---------------------------------------------------------------------------------------------


def test_the_same_pictures_are_precise_and_complete_and_strangers_are_neither():
    a = normal(40)
    assert coverage(a, a) == (1, 1)
    assert coverage(a, a + 1000) == (0, 0)


def test_one_good_picture_again_and_again_is_precise_but_covers_little():
    real = normal(200, 2)
    few = real[:1] + 1e-3 * normal(200, 2, 1)
    made = coverage(few, real)
    assert made.precision == 1
    assert made.recall < 0.05


def test_precision_and_recall_change_places_with_the_sides():
    a, b = normal(60, 3, 1), 2 * normal(80, 3, 2)
    assert tuple(coverage(a, b)) == tuple(coverage(b, a))[::-1]


def test_precision_is_that_of_the_definition():
    a, b = 2 * normal(60, 3, 1), 1.5 * normal(20, 3, 2)
    apart = np.linalg.norm(b.numpy()[:, None] - b.numpy()[None], axis=2)
    between = np.linalg.norm(a.numpy()[:, None] - b.numpy()[None], axis=2)
    shares = [(between <= np.sort(apart, axis=1)[:, k]).any(1).mean() for k in (1, 2, 3)]  # its own place is 0
    assert shares[0] < shares[1] < shares[2]
    assert [coverage(a, b, k).precision for k in (1, 2, 3)] == pytest.approx(shares)
    assert coverage(a, b) == coverage(a, b, 3)


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("measure", "least"), [(frechet_distance, 2), (cmmd, 2), (kid, 2), (lambda a, b: coverage(a, b), 4)]
)
def test_too_few_pictures_are_refused_by_number(measure, least):
    with pytest.raises(DataError, match=f"at least {least} pictures on each side, not {least - 1} and 9"):
        measure(normal(least - 1), normal(9))
    measure(normal(least), normal(9))


@pytest.mark.parametrize("measure", [frechet_distance, cmmd, kid, coverage])
def test_features_of_two_networks_or_of_broken_pictures_are_refused(measure):
    with pytest.raises(DataError, match=r"one network.*\(9, 6\) and \(9, 5\)"):
        measure(normal(9), normal(9, 5))
    with pytest.raises(DataError, match="not finite"):
        measure(normal(9).log(), normal(9))
