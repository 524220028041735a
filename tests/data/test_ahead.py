"""Results come in order, a few ahead, and nothing goes on when nobody takes them."""

import threading

import pytest

from sfumato.data.ahead import AHEAD, in_order


def test_results_come_in_the_order_of_the_things():
    assert list(in_order(lambda n: n * n, range(50), workers=3)) == [(n, n * n) for n in range(50)]
    assert list(in_order(str, [], workers=2)) == []


def test_work_is_only_a_little_ahead_and_ends_with_its_consumer():
    begun, lock = [], threading.Lock()

    def work(number):
        with lock:
            begun.append(number)
        return number

    results = in_order(work, range(1000), workers=2)
    assert next(results) == (0, 0)
    results.close()
    assert len(begun) <= 1 + AHEAD * 2


def test_what_goes_wrong_is_raised_where_it_is_taken():
    def work(number):
        if number == 3:
            raise ValueError("three")
        return number

    with pytest.raises(ValueError, match="three"):
        list(in_order(work, range(9), workers=2))
