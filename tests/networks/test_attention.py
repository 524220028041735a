"""Attention for learning is the same as that for looking."""

import pytest
import torch

from sfumato.networks import attention
from sfumato.networks.attention import attend


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("hidden", [False, True])
def test_attention_that_learns_gives_what_attention_that_looks_gives(causal, hidden):
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 5, 8) for _ in range(3))
    bias = torch.zeros(2, 1, 1, 5).index_fill(-1, torch.tensor([3]), -1e4) if hidden and not causal else None
    looked = attend(q, k, v, 2, bias, causal=causal)
    learning = attend(q.requires_grad_(), k, v, 2, bias, causal=causal)
    assert learning.requires_grad
    torch.testing.assert_close(learning, looked)


def test_both_ways_have_the_same_gradients(monkeypatch):
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 5, 8, requires_grad=True) for _ in range(3))
    attend(q, k, v, 2).square().sum().backward()
    written = [x.grad.clone() for x in (q, k, v)]
    monkeypatch.setattr(attention, "SHORT", 0)
    for x in (q, k, v):
        x.grad = None
    attend(q, k, v, 2).square().sum().backward()
    torch.testing.assert_close(written, [x.grad for x in (q, k, v)])
