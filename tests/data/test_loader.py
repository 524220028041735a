"""The order of samples is a pure function of seed and step, and every sample is seen once per pass."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sfumato.data.loader import Order, caption_choices, seeded, share
from sfumato.errors import DataError


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 40), batch=st.integers(1, 100), seed=st.integers(-5, 2**70))
def test_every_sample_is_seen_once_in_each_pass(count, batch, seed) -> None:
    order = Order(count, batch, seed)
    seen = torch.cat([order.indices(step) for step in range(count)])  # `batch` passes exactly
    assert seen.dtype == torch.int64
    for one_pass in seen.split(count):
        assert sorted(one_pass.tolist()) == list(range(count))


def test_batches_are_the_same_from_any_position_on() -> None:
    whole = [Order(100, 7, 3).indices(step).tolist() for step in range(60)]
    for step in (59, 0, 31, 14, 15):
        assert Order(100, 7, 3).indices(step).tolist() == whole[step]


def test_passes_and_seeds_differ() -> None:
    order = Order(50, 50, 0)
    assert order.indices(0).tolist() != order.indices(1).tolist()
    assert order.indices(0).tolist() != Order(50, 50, 1).indices(0).tolist()


def test_changing_a_batch_changes_no_later_one() -> None:
    order = Order(10, 10, 0)
    before = order.indices(0).clone()
    order.indices(0).zero_()
    assert torch.equal(order.indices(0), before)


@pytest.mark.parametrize(("count", "batch"), [(0, 1), (1, 0), (-1, 1)])
def test_an_order_of_nothing_is_refused(count, batch) -> None:
    with pytest.raises(DataError, match="at least one"):
        Order(count, batch, 0)


def test_steps_before_the_first_are_refused() -> None:
    with pytest.raises(DataError, match="counted from 0"):
        Order(1, 1, 0).indices(-1)


def test_caption_choices_are_uniform_in_range_and_repeatable() -> None:
    counts = torch.tensor([1, 2, 5]).repeat(2000)
    choices = caption_choices(counts, seeded(0, "captions", 3))
    assert torch.equal(choices, caption_choices(counts, seeded(0, "captions", 3)))
    assert not torch.equal(choices, caption_choices(counts, seeded(0, "captions", 4)))
    for column, count in enumerate((1, 2, 5)):
        frequencies = choices[column::3].bincount(minlength=count) / 2000
        assert len(frequencies) == count
        assert (frequencies - 1 / count).abs().max() < 0.04


def test_shares_in_order_make_up_the_batch() -> None:
    batch = torch.arange(12)
    assert torch.equal(torch.cat([share(batch, rank, 3) for rank in range(3)]), batch)
    assert torch.equal(share(batch, 0, 1), batch)


def test_uneven_shares_and_unknown_ranks_are_refused() -> None:
    with pytest.raises(DataError, match="evenly"):
        share(torch.arange(10), 0, 3)
    with pytest.raises(DataError, match="rank 3"):
        share(torch.arange(9), 3, 3)
