"""Tiny language models that have learned a few captions, in a second."""

import torch

from sfumato.data.text.tokens import TextTokenizer
from sfumato.networks.initialisation import initialise
from sfumato.networks.llama import Llama, LlamaConfig
from sfumato.pipelines.language.language_model import LanguageModel


def trained(captions, steps=150):
    """A small model that has learned these captions, each followed by its end."""
    tokenizer = TextTokenizer.of_characters(captions, end=True)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    ends = {"bos_token_id": None, "eos_token_id": tokenizer.end_id}
    config = LlamaConfig(vocab_size=tokenizer.vocab_size, max_position_embeddings=48, **sizes, **ends)
    torch.manual_seed(0)
    network = initialise(Llama(config))
    longest = max(map(len, captions))
    rows = [[tokenizer.end_id, *tokenizer.encode(text), tokenizer.end_id] for text in captions]
    ids = torch.tensor([row + [tokenizer.end_id] * (longest + 2 - len(row)) for row in rows])
    known = torch.arange(longest + 1) < torch.tensor([len(row) - 1 for row in rows])[:, None]
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(steps):
        logits = network(ids[:, :-1])
        torch.nn.functional.cross_entropy(logits[known], ids[:, 1:][known]).backward()
        optimizer.step()
        optimizer.zero_grad()
    return LanguageModel(network.eval(), tokenizer)
