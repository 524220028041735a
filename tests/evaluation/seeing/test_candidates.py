"""Which looks are tried where."""

import torch

from sfumato.data.scenes.compose import compose
from sfumato.data.scenes.scene import Scene, Thing
from sfumato.data.scenes.sprites import shapes
from sfumato.evaluation.seeing.candidates import LONG, SHORT, likeliest
from sfumato.evaluation.seeing.finding import Eye
from sfumato.evaluation.seeing.looks import picture_features
from sfumato.evaluation.seeing.windows import Cutter


def test_a_short_effort_tries_the_first_of_what_a_long_one_tries():
    gain = torch.rand(200, 600, generator=torch.Generator().manual_seed(0)) * 4
    score, look = likeliest(gain, torch.full((200, 1), 2.0))
    for effort in (SHORT, LONG):
        best = gain.topk(effort.looks)
        assert torch.equal(look[:, : effort.looks], best.indices)
        assert torch.equal(score[:, : effort.looks], best.values * (best.values / 2).clamp(0, 1))


def test_a_few_looks_explain_as_much_by_themselves_as_among_all():
    eye = Eye(shapes())
    picture = compose([Scene("white", (Thing(1, 0.4, 0.5, 0.4, "red"),))], shapes(), 64)
    windows = Cutter(picture_features(picture, torch.ones_like(picture), torch.ones(1, 1, 64, 64)))
    boxes, numbers = eye.windows[::50], torch.tensor([1, 5, 300])
    which = torch.zeros(len(boxes), dtype=torch.int64)
    everything, there = eye._compared(windows, which, boxes, eye.looks.features)
    some, again = eye._compared(windows, which, boxes, eye.looks.features[numbers])
    assert torch.equal(there, again)
    torch.testing.assert_close(some, everything[:, numbers], rtol=1e-6, atol=1e-4)
