"""Batches that are made ahead are those that would have been made when they are taken."""

import threading

import pytest
import torch

from sfumato.training.ahead import Ahead


def batch(step, attempt):
    return (torch.tensor([step, attempt]),)


@pytest.mark.parametrize("count", [0, 3])
def test_each_step_gets_its_own_batch(count):
    with Ahead(batch, last=10, count=count) as ahead:
        assert [ahead.take(step, 0)[0].tolist() for step in range(10)] == [[step, 0] for step in range(10)]


@pytest.mark.parametrize("count", [0, 3])
def test_after_going_back_others_are_made(count):
    with Ahead(batch, last=10, count=count) as ahead:
        ahead.take(5, 0)
        assert [ahead.take(step, 1)[0].tolist() for step in (2, 3)] == [[2, 1], [3, 1]]


def test_some_are_made_while_nothing_is_taken_and_none_beyond_the_last():
    made, third = [], threading.Event()

    def noted(step, attempt):
        made.append(step)
        if len(made) == 3:
            third.set()
        return batch(step, attempt)

    with Ahead(noted, last=3, count=5) as ahead:
        ahead.take(0, 0)  # alone
        ahead.take(1, 0)
        assert third.wait(10)
    assert sorted(made) == [0, 1, 2]


def test_what_goes_wrong_is_told_when_the_batch_is_taken():
    def broken(step, attempt):
        if step == 1:
            raise ValueError("no picture")
        return batch(step, attempt)

    with Ahead(broken, last=5, count=2) as ahead:
        ahead.take(0, 0)
        with pytest.raises(ValueError, match="no picture"):
            ahead.take(1, 0)


def test_the_first_is_made_before_any_other_is_begun():
    made = []

    def noted(step, attempt):
        made.append((step, threading.current_thread()))
        return batch(step, attempt)

    with Ahead(noted, last=9, count=3) as ahead:
        ahead.take(4, 0)
        assert made == [(4, threading.main_thread())]
        ahead.take(5, 0)
    assert threading.main_thread() not in {thread for _, thread in made[1:]}
