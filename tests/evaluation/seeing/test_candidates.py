"""Which looks are tried where: the same ones, however many are asked for and compared."""

import pytest
import torch

from sfumato.data.scenes.compose import compose
from sfumato.data.scenes.scene import Scene, Thing
from sfumato.data.scenes.sprites import shapes
from sfumato.evaluation.seeing.candidates import LONG, SHORT, likeliest
from sfumato.evaluation.seeing.finding import Eye
from sfumato.evaluation.seeing.looks import picture_features
from sfumato.evaluation.seeing.windows import Cutter


@pytest.mark.parametrize("looks", [3, 4, 5, 9, 600])
def test_one_ranking_serves_both_efforts_even_where_looks_explain_equally_much(looks):
    gain = torch.randint(0, 4, (200, looks), generator=torch.Generator().manual_seed(looks)).float()
    score, few, many = likeliest(gain, torch.full((200, 1), 2.0), None)
    for effort, found in ((SHORT, few), (LONG, many)):
        best = gain.topk(min(effort.looks, looks))
        assert torch.equal(found, best.indices)
        assert torch.equal(score[:, : effort.looks], best.values * (best.values / 2).clamp(0, 1))


def test_looks_are_told_by_their_numbers_where_only_some_are_compared():
    gain, numbers = torch.tensor([[1.0, 3.0, 2.0]]), torch.tensor([7, 40, 12])
    _, few, many = likeliest(gain, torch.ones(1, 1), numbers)
    assert few.tolist() == many.tolist() == [[40, 12, 7]]


def test_a_few_looks_explain_as_much_by_themselves_as_among_all():
    eye = Eye(shapes())
    picture = compose([Scene("white", (Thing(1, 0.4, 0.5, 0.4, "red"),))], shapes(), 64)
    windows = Cutter(picture_features(picture, torch.ones_like(picture), torch.ones(1, 1, 64, 64)))
    boxes, numbers = eye.windows[::50], torch.tensor([1, 5, 300])
    which = torch.zeros(len(boxes), dtype=torch.int64)
    everything, there = eye._compared(windows, which, boxes)
    some, again = eye._compared(windows, which, boxes, numbers)
    assert torch.equal(there, again)
    torch.testing.assert_close(some, everything[:, numbers], rtol=1e-6, atol=1e-4)
