"""Where to compute, and with how many threads."""

import threading

import torch

from sfumato.devices import on_threads


def test_a_new_thread_keeps_the_number_it_was_given_whatever_another_one_sets():
    before, told = torch.get_num_threads(), []

    def work():
        with on_threads(1):
            set_elsewhere.set()
            go_on.wait(60)
            torch.ones(8).sum()
            told.append(torch.get_num_threads())

    set_elsewhere, go_on = threading.Event(), threading.Event()
    thread = threading.Thread(target=work)
    thread.start()
    set_elsewhere.wait(60)
    with on_threads(3):
        go_on.set()
        thread.join()
    assert told == [1]
    assert torch.get_num_threads() == before
