"""Tokens are chosen by the rules that transformers applies, as often as they are probable, whatever the rounding."""

import pytest
import torch
from transformers.generation import logits_process as theirs

from sfumato.errors import PromptError
from sfumato.pipelines.language import choosing
from sfumato.pipelines.language.choosing import Sampling, choose

RULES = {
    "all": Sampling(),
    "temperature": Sampling(temperature=0.6),
    "top-k": Sampling(top_k=5, temperature=1.5),
    "top-p": Sampling(top_p=0.7),
    "min-p": Sampling(min_p=0.1),
    "the top alone": Sampling(top_p=1e-6),
    "all of them": Sampling(temperature=0.8, top_k=12, top_p=0.9, min_p=0.05, repetition_penalty=1.7),
}


def warped(logits, sampling, ids):
    """The scores as transformers has them, -inf for what is kept out."""
    warpers = [
        theirs.RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty),
        theirs.TemperatureLogitsWarper(sampling.temperature),
        theirs.TopKLogitsWarper(sampling.top_k or logits.shape[1]),
        theirs.TopPLogitsWarper(sampling.top_p),
        theirs.MinPLogitsWarper(sampling.min_p),
    ]
    for warper in warpers:
        logits = warper(ids, logits)
    return logits


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("size", [30, 700])
def test_the_tokens_in_the_race_are_those_of_transformers(rules, size):
    torch.manual_seed(0)
    sampling, logits = RULES[rules], 2 * torch.randn(1, size)
    ids = torch.randint(0, size, (1, 9))
    expected = warped(logits.clone(), sampling, ids).isfinite()[0]
    seen = torch.zeros(1, size, dtype=torch.bool).scatter(1, ids, True)
    noise = torch.full((size, size), 0.5, dtype=torch.float64).fill_diagonal_(1e-30)  # each token's own lucky day
    winners = choose(logits.expand(size, -1), sampling, noise, seen.expand(size, -1)).tokens
    assert torch.equal(winners == torch.arange(size), expected)


@pytest.mark.parametrize("rules", ["temperature", "all of them"])
def test_tokens_come_as_often_as_they_are_probable(rules):
    torch.manual_seed(0)
    sampling, logits, draws = RULES[rules], 2 * torch.randn(1, 20), 20_000
    ids = torch.randint(0, 20, (1, 5))
    seen = torch.zeros(1, 20, dtype=torch.bool).scatter(1, ids, True).expand(draws, -1)
    noise = torch.rand(draws, 20, dtype=torch.float64)
    counts = choose(logits.expand(draws, -1), sampling, noise, seen).tokens.bincount(minlength=20)
    expected = warped(logits.clone(), sampling, ids).softmax(1)[0]
    error = (expected * (1 - expected) / draws).sqrt()
    assert ((counts / draws - expected).abs() <= 4 * error + 1e-9).all()


def test_temperature_zero_takes_the_highest_and_penalises_repetition():
    logits = torch.tensor([[3.0, 2.5, -1.0], [-3.0, -2.0, -2.5]])
    assert choose(logits, Sampling(temperature=0)).tokens.tolist() == [0, 1]
    seen = torch.tensor([[True, False, False], [False, True, False]])
    penalised = Sampling(temperature=0, repetition_penalty=2.0)
    assert choose(logits, penalised, None, seen).tokens.tolist() == [1, 2]


@pytest.mark.parametrize("rules", RULES)
def test_rounding_changes_no_choice_that_is_sure(rules, monkeypatch):
    monkeypatch.setattr(choosing, "ROUNDING", 0.01)  # so that many are not
    torch.manual_seed(0)
    logits, noise = 2 * torch.randn(2000, 40), torch.rand(2000, 40, dtype=torch.float64)
    seen = torch.rand(2000, 40) < 0.2
    choice = choose(logits, RULES[rules], noise, seen)
    if rules != "the top alone":
        assert 0.3 < choice.sure.float().mean() < 0.995
    for _ in range(4):
        error = 0.01 * logits.abs().amax(1, keepdim=True) * (2 * torch.rand_like(logits) - 1)
        other = choose(logits + 0.95 * error, RULES[rules], noise, seen)
        assert torch.equal(other.tokens[choice.sure], choice.tokens[choice.sure])


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_k": 0}, "top_k"),
        ({"top_p": 0.0}, "top_p"),
        ({"min_p": 1.5}, "min_p"),
        ({"repetition_penalty": 0.0}, "repetition_penalty"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(settings, name):
    with pytest.raises(PromptError, match=rf"^{name}=.* is out of its range"):
        Sampling(**settings)
