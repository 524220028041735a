"""Forward passes are shared, and no picture is another for it."""

import threading
import time

import numpy as np
import pytest
import torch
from torch import nn

from instant import Halving
from sfumato.networks.extras import Extras
from sfumato.networks.initialisation import initialise
from sfumato.networks.unet import UNet
from sfumato.networks.unet_config import unet_config
from sfumato.networks.vae import AutoencoderKL, autoencoder_config
from sfumato.pipelines.text_to_image import Pipeline
from sfumato.server.batching.call import Call, made_together
from sfumato.server.batching.passes import Passes, Sitting, Stopped
from sfumato.server.batching.sharing import Sharing
from sfumato.server.batching.turns import in_turn
from sfumato.server.batching.twin import twin, twins
from sfumato.server.preview import picture_of

HALF = torch.ones(1)


@pytest.fixture
def unet():
    torch.manual_seed(0)
    config = unet_config((8, 16), cross_attention_dim=12, head_dim=8, attention=(False, True), in_channels=4)
    return initialise(UNet(config)).eval().requires_grad_(False)


@pytest.fixture
def passes():
    """Begun, with the settings that a test names; stopped in the end."""
    begun = []

    def begin(**settings):
        begun.append(Passes(Sharing(**settings)))
        begun[-1].start()
        return begun[-1]

    yield begin
    for each in begun:
        each.stop()


def looks(unet, *lengths):
    """Calls of the U-Net with texts of some lengths, each of two rows."""
    torch.manual_seed(1)
    return [
        Call.of(
            unet, "__call__", (torch.randn(2, 4, 8, 8), torch.rand(2) * 1000, torch.randn(2, n, 12)), {"mask": mask}
        )
        for n, mask in ((n, None if n != 5 else torch.tensor([[True] * 5, [True] * 3 + [False] * 2])) for n in lengths)
    ]


def seated(passes, number, work, owner=None):
    """A thread that sits and does its work; what it gave, or the error, is in the list."""
    found = []

    def run():
        torch.set_num_threads(1)
        try:
            with passes.sitting(number if isinstance(number, Sitting) else Sitting(owner or str(number), number)):
                found.append(work())
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, found


def all_done(threads):
    for thread, _ in threads:
        thread.join(120)
        assert not thread.is_alive()
    return [found[0] for _, found in threads]


# --- calls ------------------------------------------------------------------------------------------------------------


@torch.inference_mode()
def test_one_pass_gives_each_call_what_it_would_get_alone_whatever_the_length_of_its_text(unet):
    calls = looks(unet, 3, 5, 9)
    assert len({call.key for call in calls}) == 1
    for call, made in zip(calls, made_together(calls), strict=True):
        assert torch.allclose(made, call.made(), atol=1e-5)


@torch.inference_mode()
def test_pictures_are_decoded_together():
    vae = initialise(AutoencoderKL(autoencoder_config((8, 16), size=16))).eval()
    calls = [Call.of(vae, "decode", (torch.randn(1, 4, 8, 8),), {}) for _ in range(3)]
    for call, made in zip(calls, made_together(calls), strict=True):
        assert torch.allclose(made, call.made(), atol=1e-5)


def test_calls_of_different_kinds_do_not_share_a_pass(unet):
    x, t, states = torch.zeros(2, 4, 8, 8), torch.zeros(2), torch.zeros(2, 3, 12)
    blind = torch.ones(2, dtype=torch.bool)
    calls = [
        Call.of(unet, "__call__", (x, t, states), {}),
        Call.of(unet, "__call__", (torch.zeros(2, 4, 8, 16), t, states), {}),
        Call.of(unet, "__call__", (x.double(), t, states), {}),
        Call.of(unet, "__call__", (x, t, states), {"blind": blind}),
        Call.of(unet, "__call__", (x, t, states), {"added": {"text_embeds": states[:, 0]}}),
        Call.of(twin(unet, print), "__call__", (x, t, states), {}),
    ]
    assert len({call.key for call in calls}) == len(calls)
    assert None not in {call.key for call in calls}


def test_what_cannot_be_joined_is_asked_alone(unet):
    x, t, states = torch.zeros(2, 4, 8, 8), torch.zeros(2), torch.zeros(2, 3, 12)
    assert Call.of(unet, "__call__", (x, t, states), {"extras": Extras()}).key is None
    assert Call.of(unet, "__call__", (x, torch.tensor(3.0), states), {}).key is None
    assert Call.of(unet, "__call__", (x, t, states), {}, shared=False).key is None


# --- twins ------------------------------------------------------------------------------------------------------------


def test_a_twin_is_the_network_to_all_who_look_at_it_but_has_its_looks_made_elsewhere(unet):
    asked = []
    other = twin(unet, lambda call: asked.append(call) or "made")
    assert isinstance(other, UNet)
    assert all(one is two for one, two in zip(unet.parameters(), other.parameters(), strict=True))
    x, t, states = torch.zeros(2, 4, 8, 8), torch.zeros(2), torch.zeros(2, 3, 12)
    with torch.inference_mode():
        assert other(x, t, states) == "made"
        assert asked[0].network is unet
        assert torch.equal(asked[0].made(), unet(x, t, states))


def test_a_twin_through_which_gradients_run_looks_itself():
    vae = initialise(AutoencoderKL(autoencoder_config((8, 16), size=16))).eval().requires_grad_(False)
    other = twin(vae, lambda call: pytest.fail("asked"))
    z = torch.randn(1, 4, 8, 8, requires_grad=True)
    type(other).decode(other, z).sum().backward()
    assert z.grad.abs().sum() > 0


def test_texts_are_read_one_by_one():
    calls = []
    parts = {"unet": Halving(), "text_encoder": Halving(), "words": object()}
    made = twins(parts, lambda call: calls.append(call))
    with torch.inference_mode():
        made["unet"](HALF, HALF)
        made["text_encoder"](HALF, HALF)
    assert [call.key is None for call in calls] == [False, True]
    assert made["words"] is parts["words"]


# --- passes -----------------------------------------------------------------------------------------------------------


def test_those_who_sit_run_one_at_a_time_and_share_passes(passes):
    network, running, most = Halving(), [], []
    shared = passes(rows=16, patience=None)
    other = twin(network, shared.ask)

    def work(steps):
        def run():
            x = torch.full((1, 1), 64.0)
            for _ in range(steps):
                running.append(1)
                time.sleep(0.001)  # others would run now
                most.append(len(running))
                running.pop()
                x = other(x, HALF)
            return float(x)

        def inside():
            with torch.inference_mode():
                return run()

        return inside

    network.open.clear()
    threads = [seated(shared, number, work(steps)) for number, steps in enumerate((2, 3, 5, 6))]
    network.begun.wait(60)
    network.open.set()
    assert all_done(threads) == [16.0, 8.0, 2.0, 1.0]
    assert max(most) == 1
    assert shared.tally.calls == 16
    assert len(network.passes) == shared.tally.passes < 16
    assert max(network.passes) > 1


def test_a_call_that_fails_fails_alone(passes):
    network, shared = Halving(), passes(rows=16)
    other = twin(network, shared.ask)

    def work(value):
        def run():
            with torch.inference_mode():
                return float(other(torch.full((1, 1), value), HALF))

        return run

    network.open.clear()
    threads = [seated(shared, number, work(value)) for number, value in enumerate((8.0, 2.0, -1.0, 4.0, 6.0))]
    network.begun.wait(60)
    network.open.set()
    found = all_done(threads)
    assert [each for each in found if isinstance(each, float)] == [4.0, 1.0, 2.0, 3.0]
    assert isinstance(found[2], ValueError)


class Small(nn.Module):
    """A network for which there is memory for two rows."""

    def __init__(self):
        super().__init__()
        self.passes, self.open = [], threading.Event()

    def forward(self, x, timestep):
        self.open.wait(60)
        self.passes.append(len(x))
        if len(x) > 2:
            raise torch.OutOfMemoryError("not enough")
        return x / 2


def test_where_memory_is_too_small_passes_are_made_in_halves_and_stay_so(passes):
    network, shared = Small(), passes(rows=16, patience=None)
    other = twin(network, shared.ask)

    def work():
        with torch.inference_mode():
            return float(other(other(torch.full((1, 1), 8.0), HALF), HALF))

    threads = [seated(shared, number, work) for number in range(8)]
    network.open.set()
    assert all_done(threads) == [2.0] * 8
    assert max(network.passes[-3:]) <= 2


def test_with_exactness_nothing_is_shared(passes):
    network, shared = Halving(), passes(rows=16, exact=True)
    other = twin(network, shared.ask)

    def work():
        with torch.inference_mode():
            return float(other(torch.full((1, 1), 8.0), HALF))

    assert all_done([seated(shared, number, work) for number in range(4)]) == [4.0] * 4
    assert network.passes == [1] * 4


def test_passes_hold_at_most_so_many_rows_and_owners_take_turns(passes):
    network, shared = Halving(), passes(rows=2, patience=None)
    other, order = twin(network, shared.ask), []

    def work(name):
        def run():
            with torch.inference_mode():
                other(torch.full((1, 1), 8.0), HALF)
            order.append(name)

        return run

    network.open.clear()
    threads = [seated(shared, 0, work("first"), owner="z")]
    network.begun.wait(60)  # the others wait until this pass is made
    for number, (owner, name) in enumerate([("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1")], 1):
        threads.append(seated(shared, number, work(name), owner))
        while len(shared._room.asked) < number:
            time.sleep(0.001)
    network.open.set()
    all_done(threads)
    assert set(order[1:3]) == {"a1", "b1"}
    assert network.passes == [1, 2, 2]


def test_who_is_stopped_gets_no_pass(passes):
    network, shared = Halving(), passes(rows=2)
    other, sitting = twin(network, shared.ask), Sitting("a", 0)

    def work():
        with torch.inference_mode():
            other(torch.full((1, 1), 8.0), HALF)
            sitting.stopped = True
            other(torch.full((1, 1), 8.0), HALF)

    assert isinstance(all_done([seated(shared, sitting, work)])[0], Stopped)
    assert network.passes == [1]


def test_when_all_stops_those_who_wait_are_told(passes):
    network, shared = Halving(), passes(rows=1, patience=None)
    other = twin(network, shared.ask)

    def work():
        with torch.inference_mode():
            return float(other(torch.full((1, 1), 8.0), HALF))

    network.open.clear()
    threads = [seated(shared, number, work) for number in range(3)]
    network.begun.wait(60)
    while len(shared._room.asked) < 2:
        time.sleep(0.001)
    stopping = threading.Thread(target=shared.stop)
    stopping.start()
    network.open.set()
    stopping.join(60)
    found = all_done(threads)
    assert sorted(type(each).__name__ for each in found) == ["Stopped", "Stopped", "float"]
    with torch.inference_mode(), pytest.raises(Stopped):
        other(torch.full((1, 1), 8.0), HALF)


def test_workers_make_passes_beside_each_other_and_share_what_waits(passes):
    network, shared = Halving(), passes(rows=16, workers=2, threads=2)
    other, together = twin(network, shared.ask), threading.Barrier(2)
    forward = network.forward

    def meeting(x, timestep):
        together.wait(60)  # which no worker gets past alone
        return forward(x, timestep)

    network.forward = meeting

    def work():
        with torch.inference_mode():
            return float(other(torch.full((1, 1), 8.0), HALF))

    assert all_done([seated(shared, number, work) for number in range(2)]) == [4.0] * 2


def test_a_pass_that_is_alone_has_all_threads_and_the_same_worker_and_of_two_each_has_its_part(passes):
    network, shared, seen = Halving(), passes(rows=16, workers=2, threads=2), []
    other, forward = twin(network, shared.ask), network.forward
    together = threading.Barrier(1)

    def watched(x, timestep):
        seen.append((threading.get_ident(), torch.get_num_threads()))
        together.wait(60)
        return forward(x, timestep)

    network.forward = watched

    def work():
        with torch.inference_mode():
            return float(other(torch.full((1, 1), 8.0), HALF))

    for number in range(6):
        assert all_done([seated(shared, number, work)]) == [4.0]
    assert seen == seen[:1] * 6
    assert seen[0][1] == 2
    together = threading.Barrier(2)
    all_done([seated(shared, number, work) for number in range(2)])
    assert seen[-2][0] != seen[-1][0]
    assert min(seen[-2][1], seen[-1][1]) == 1


def test_who_does_not_sit_may_ask_too(passes):
    other = twin(Halving(), passes(rows=16).ask)
    with torch.inference_mode():
        assert float(other(torch.full((1, 1), 8.0), HALF)) == 4.0


def test_who_takes_long_between_two_looks_holds_up_no_pass(passes):
    network, shared, done = Halving(), passes(rows=16, patience=0.01), threading.Event()
    other = twin(network, shared.ask)

    def work():
        with torch.inference_mode():
            return float(other(torch.full((1, 1), 8.0), HALF))

    network.open.clear()
    asking = seated(shared, 0, work)
    network.begun.wait(60)
    waiting = seated(shared, 1, work)
    while not shared._room.asked:
        time.sleep(0.001)
    thinking = seated(shared, 2, lambda: done.wait(60))
    network.open.set()
    until = time.monotonic() + 60
    while len(network.passes) < 2 and time.monotonic() < until:
        time.sleep(0.001)
    assert network.passes == [1, 1]
    done.set()
    assert all_done([asking, waiting, thinking]) == [4.0, 4.0, True]


def test_nobody_is_passed_over_for_ever():
    waiting, last, served = ["a", "a", "a", "b", "c"], {}, []
    for turn in range(6):
        one = in_turn(waiting, str, last=last)[0]
        served.append(one)
        last[one] = turn
    assert served == ["a", "b", "c", "a", "b", "c"]


# --- pictures ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pipeline():
    return Pipeline.load("digits", "cpu")


ASKED = [
    ("a handwritten seven", {"num_inference_steps": 4}),
    ("a tiny red three", {"num_inference_steps": 6, "solver": "euler", "guidance_scale": 2.0}),
    ("zero", {"num_inference_steps": 2, "solver": "heun", "guidance_scale": 1.0, "upsampler_steps": 1}),
    ("a four", {"num_inference_steps": 2, "guidance": "clip", "upsampler_steps": 0}),
    ("four AND a big five", {"num_inference_steps": 3, "guidance": "apg", "upsampler_steps": 2}),
    ("nine", {"num_inference_steps": 3, "solver": "euler-ancestral", "negative_prompt": "one", "width": 96}),
]


def painted(pipeline, request):
    with torch.inference_mode():
        for painting in pipeline.paintings(pipeline.batch([request])):
            last = painting
        return np.asarray(picture_of(last)).astype(int)


@pytest.mark.parametrize("exact", [True, False])
def test_pictures_that_come_and_go_are_those_made_alone(pipeline, passes, exact):
    requests = [pipeline.requests(prompt, seed=seed, **settings)[0] for seed, (prompt, settings) in enumerate(ASKED)]
    shared = passes(rows=8, workers=2, exact=exact)
    other, chairs = pipeline.over(twins(pipeline.model.parts, shared.ask)), threading.Semaphore(3)

    def work(request):
        return lambda: painted(other, request)

    threads = []
    for number, request in enumerate(requests):
        chairs.acquire()  # at most three at a time: one comes when another one leaves
        thread, found = seated(shared, number, work(request))
        threads.append((thread, found))
        threading.Thread(target=lambda thread=thread: (thread.join(), chairs.release())).start()
    for request, made in zip(requests, all_done(threads), strict=True):
        assert np.abs(made - painted(pipeline, request)).max() <= (0 if exact else 1), request.prompt
    assert (shared.tally.passes == shared.tally.calls) is exact
