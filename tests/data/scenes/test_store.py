"""Scenes as a data set."""

import multiprocessing

import pytest
import torch

from sfumato.data.scenes.sprites import shapes
from sfumato.data.scenes.store import SceneStore


@pytest.fixture(scope="module")
def store():
    return SceneStore(shapes(), count=500)


def test_a_picture_is_the_same_in_any_batch(store):
    together = store.batch(torch.tensor([7, 3, 400]), 32)
    assert torch.allclose(store.batch(torch.tensor([3]), 32)[0], together[1], atol=1e-5)
    assert together.shape == (3, 3, 32, 32)
    assert together.abs().max() <= 1


def test_a_mirrored_picture_is_mirrored(store):
    plain, mirrored = (store.batch(torch.tensor([5]), 32, torch.tensor([flip])) for flip in (False, True))
    assert torch.equal(plain.flip(-1), mirrored)
    assert not torch.equal(plain, mirrored)


def test_a_caption_belongs_to_its_number(store):
    assert store.captions(torch.tensor([9, 4]))[1] == store.captions(torch.tensor([4]))[0] == store.scenes.caption(4)


def test_other_seeds_and_counts_are_other_data(store):
    others = [SceneStore(shapes(), 500, seed=1), SceneStore(shapes(), 499), SceneStore(shapes().first(20), 500)]
    assert len({one.fingerprint for one in (store, *others)}) == 4
    assert SceneStore(shapes(), 500).fingerprint == store.fingerprint


def test_a_narrow_language_is_other_data_and_says_no_more_than_it_may():
    narrow = SceneStore(shapes(), 500, language="narrow")
    assert narrow.fingerprint != SceneStore(shapes(), 500).fingerprint
    described = [narrow.scenes.scene(number).description for number in range(200)]
    assert max(group.count for one in described for group in one.groups) == 4
    assert all(group.colour is None for one in described for group in one.groups)


def test_workers_outlive_signals_that_ask_the_training_to_stop(store):
    numbers = torch.arange(70)
    with SceneStore(shapes(), 500, workers=1) as theirs:
        theirs.captions(numbers[:1])
        for process in multiprocessing.active_children():
            process.terminate()
        assert theirs.captions(numbers) == store.captions(numbers)


def test_workers_draw_the_same_scenes(store):
    numbers = torch.arange(150)  # three pieces of different depth
    with SceneStore(shapes(), 500, workers=2) as theirs:
        assert torch.equal(theirs.batch(numbers, 16), store.batch(numbers, 16))
        assert theirs.captions(numbers) == store.captions(numbers)


def test_a_tokenizer_hears_every_word(store):
    words = {word for text in store.texts() for word in text.split()}
    assert {concept.name for concept in store.pack.concepts if " " not in concept.name} <= words
