"""The training pictures nearest to a picture are found."""

import torch

from sfumato.data.pictures import to_image
from sfumato.data.store import prepare
from sfumato.evaluation.neighbours import SIDE, neighbours, training_pictures
from sfumato.pipelines.finding import find


def test_a_copy_is_its_own_nearest_neighbour(tmp_path):
    store = prepare("digits", SIDE, tmp_path, split="train")
    copy = to_image(store.batch(torch.tensor([500]))[0])
    found = neighbours(copy, store, 3)
    assert found[0].distance < 1e-3
    assert found[0].caption == store.captions[500][0]
    assert found[0].picture.tobytes() == copy.tobytes()
    assert found[0].distance < found[1].distance <= found[2].distance


def test_the_digits_are_known_to_their_model_and_nothing_to_one_that_does_not_tell(tmp_path):
    with training_pictures(find("digits")) as known:
        assert len(known) == 1442
    with training_pictures(tmp_path) as known:
        assert known is None
