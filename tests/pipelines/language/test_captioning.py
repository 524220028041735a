"""Captioning: a caption and its probability depend on the picture alone, never on what stands beside it."""

import itertools

import pytest
import torch

from sfumato.data.tokens import Tokenizer
from sfumato.errors import CheckpointError, PromptError
from sfumato.networks.captioner import Captioner, CaptionerConfig
from sfumato.pipelines.language.captioning import CaptionModel, said
from sfumato.pipelines.language.choosing import Sampling

LENGTH = 9
TOKENIZER = Tokenizer.train(["a red cat, two dogs", "a blue dog", "three cats"] * 3, length=LENGTH)
CONFIG = CaptionerConfig(
    image_size=8,
    channels=(8,),
    vocab_size=TOKENIZER.vocab_size,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    caption_length=LENGTH,
    bos_token_id=TOKENIZER.start_id,
    eos_token_id=TOKENIZER.end_id,
)
CAPTIONS = ["a red cat", "two dogs, three cats", "a blue dog", "", "cats " * 40]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    network = Captioner(CONFIG)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3 + (parameter.ndim == 1))
    return CaptionModel(network.eval().requires_grad_(False), TOKENIZER)


@pytest.fixture
def pictures():
    return torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def slowly(model, picture, seed=None, sampling=None):
    """The likeliest caption, each token from the whole text so far."""
    ids = [TOKENIZER.start_id]
    while len(ids) < LENGTH and (len(ids) == 1 or ids[-1] != TOKENIZER.end_id):
        ids.append(int(model.network(picture[None], torch.tensor([ids]))[0, -1].argmax()))
    return TOKENIZER.decode(ids)


def test_captions_are_those_that_the_network_finds_likeliest(model, pictures):
    told = model.caption(pictures)
    assert told == [slowly(model, picture) for picture in pictures]
    assert len(set(told)) > 1


def test_a_caption_is_the_same_in_any_batch(model, pictures):
    free = Sampling(temperature=1.0, top_p=0.95)
    together = model.caption(pictures, sampling=free, seed=4)
    assert together == [model.caption(pictures[n : n + 1], sampling=free, seed=4 + n)[0] for n in range(5)]
    assert together != model.caption(pictures, sampling=free, seed=40)
    assert CaptionModel(model.network, TOKENIZER, together=2).caption(pictures) == model.caption(pictures)


def test_a_caption_has_at_most_so_many_tokens(model, pictures):
    assert all(len(TOKENIZER.tokens(text)) <= 3 for text in model.caption(pictures, tokens=2))
    for wrong in (0, LENGTH):
        with pytest.raises(PromptError, match="tokens"):
            model.caption(pictures, tokens=wrong)


def test_a_probability_is_the_sum_over_the_tokens_and_the_end(model, pictures):
    told = model.log_probability(pictures, CAPTIONS)
    for picture, caption, nats in zip(pictures, CAPTIONS, told, strict=True):
        ids = TOKENIZER.encode([caption])
        counted = said(ids, TOKENIZER.end_id)
        logits = model.network(picture[None], ids[:, :-1]).log_softmax(-1)
        each = logits.gather(2, ids[:, 1:, None])[..., 0][counted]
        assert len(each) == min(len(TOKENIZER.tokens(caption)), LENGTH - 2) + 1
        assert nats == pytest.approx(float(each.sum()), abs=1e-3)
        least = model.scored(model.see(picture[None]), torch.tensor([0]), [caption], by_least=True)
        assert float(least) == pytest.approx(float(each.min()), abs=1e-3)


def test_probabilities_of_all_pairs_are_those_of_each_alone(model, pictures):
    pairs = list(itertools.product(range(5), range(5)))
    which = torch.tensor([picture for picture, _ in pairs])
    captions = [CAPTIONS[caption] for _, caption in pairs]
    for size in (1, 3, 64):
        few = CaptionModel(model.network, TOKENIZER, together=size)
        found = few.scored(few.see(pictures), which, captions)
        assert torch.allclose(found, model.log_probability(pictures[which], captions), atol=1e-3)


def test_what_does_not_belong_together_is_refused(model, pictures, tmp_path):
    with pytest.raises(CheckpointError, match="belong together"):
        CaptionModel(model.network, Tokenizer.train(["another one"], length=LENGTH))
    with pytest.raises(CheckpointError, match="sfumato train DATA --recipe captioner"):
        CaptionModel.load(tmp_path)
    with pytest.raises(ValueError, match="one for each"):
        model.log_probability(pictures, ["a cat"])
