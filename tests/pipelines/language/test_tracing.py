"""The trace of a text tells the probabilities by which it was written."""

import math

import pytest
import torch

from sfumato.errors import PromptError
from sfumato.pipelines.language.choosing import Sampling, chances, choose
from sfumato.pipelines.language.tracing import trace_text


def test_a_traced_text_is_the_one_that_is_written_and_each_token_has_its_own_probability(model):
    sampling = Sampling(temperature=0.8, top_k=7)
    trace = trace_text(model, "the cat", tokens=20, sampling=sampling, seed=4, top=5)
    (text,) = model.write("the cat", tokens=20, sampling=sampling, seed=4)
    assert trace.text == text
    assert [step.chosen.token for step in trace.steps] == list(text.tokens)
    told = [math.log(step.chosen.probability) for step in trace.steps]
    assert told == pytest.approx(text.log_probabilities, abs=1e-4)


def test_candidates_fall_in_probability_and_the_rules_leave_as_many_as_they_say(model):
    trace = trace_text(model, "a", tokens=12, sampling=Sampling(top_k=3), seed=1, top=6)
    for step in trace.steps:
        likely = [each.probability for each in step.candidates]
        assert likely == sorted(likely, reverse=True)
        assert len(likely) == 6
        assert step.kept == 3
        assert [each.chance > 0 for each in step.candidates] == [True] * 3 + [False] * 3
        assert sum(each.chance for each in step.candidates) == pytest.approx(1, abs=1e-5)
        assert step.cut == pytest.approx(1 - sum(likely[:3]), abs=1e-5)
        assert step.rank < 3
        assert step.chosen == step.candidates[step.rank]
        assert 0 <= step.entropy <= math.log(model.tokenizer.vocab_size)


def test_without_chance_the_first_candidate_alone_is_left(model):
    trace = trace_text(model, "", tokens=6, sampling=Sampling(temperature=0), seed=1)
    assert all(step.kept == 1 and step.rank == 0 and step.chosen.chance == 1 for step in trace.steps)


def test_the_penalty_of_repetition_counts_what_was_read_and_written(model):
    sampling = Sampling(repetition_penalty=1.5)
    plain, hindered = (
        trace_text(model, "the cat", tokens=3, sampling=each, seed=2, top=1000) for each in (Sampling(), sampling)
    )
    assert all(each.chance == pytest.approx(each.probability, abs=1e-5) for each in plain.steps[0].candidates)
    said = set(model.opening("the cat"))
    for step in hindered.steps:
        shares = {each.token: each.chance / each.probability for each in step.candidates}
        unsaid = [shares[token] for token in set(shares) - said]
        assert unsaid == pytest.approx([max(unsaid)] * len(unsaid), rel=1e-3)
        assert max(shares[token] for token in said & set(shares)) < 0.999 * max(unsaid)
        said.add(step.chosen.token)


def test_chances_are_how_often_each_token_is_chosen():
    logits = torch.tensor([[2.0, 1.0, 0.5, -1.0]])
    sampling = Sampling(temperature=0.9, top_p=0.9)
    noise = torch.rand(20_000, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    chosen = choose(logits.expand(len(noise), -1), sampling, noise).tokens
    often = torch.bincount(chosen, minlength=4) / len(noise)
    assert torch.allclose(often, chances(logits, sampling)[0], atol=0.015)
    assert chances(logits, sampling)[0, 3] == 0


@pytest.mark.parametrize("top", [0, 1001])
def test_only_some_candidates_are_told(model, top):
    with pytest.raises(PromptError, match="top="):
        trace_text(model, "a", top=top)
