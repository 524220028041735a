"""Tiny random language models that have something to say: their scores differ as much as those of trained ones."""

import pytest
import torch

from sfumato.data.text.tokens import TextTokenizer
from sfumato.networks.gpt2 import GPT2, GPT2Config
from sfumato.networks.llama import Llama, LlamaConfig
from sfumato.pipelines.language.language_model import LanguageModel

TEXT = "the cat sat on the mat. a dog, a café and 北京\n" * 3
POSITIONS = 48


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def scattered(network):
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3 + (parameter.ndim == 1))
    return network.eval().requires_grad_(False)


def model_of(layout, kind):
    tokenizer = (
        TextTokenizer.of_characters([TEXT], end=True) if kind == "characters" else TextTokenizer.train([TEXT], 290)
    )
    ids = {"bos_token_id": None, "eos_token_id": tokenizer.end_id}
    size = tokenizer.vocab_size + 3  # as networks are rounded up
    if layout == "gpt2":
        config = GPT2Config(vocab_size=size, n_positions=POSITIONS, n_embd=16, n_layer=2, n_head=2, **ids)
        return LanguageModel(scattered(GPT2(config)), tokenizer)
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "max_position_embeddings": POSITIONS}
    config = LlamaConfig(vocab_size=size, num_attention_heads=4, num_key_value_heads=2, **sizes, **ids)
    return LanguageModel(scattered(Llama(config)), tokenizer)


@pytest.fixture(scope="session", params=[("gpt2", "bytes"), ("llama", "characters")], ids=" ".join)
def model(request):
    return model_of(*request.param)


@pytest.fixture(scope="session")
def bytes_model():
    return model_of("llama", "bytes")


@pytest.fixture(scope="session")
def characters_model():
    return model_of("llama", "characters")
