"""Language models compute what transformers computes, at once and with a cache, alone and beside other texts."""

import pytest
import torch
from transformers import GPT2Config as TheirGPT2Config
from transformers import GPT2LMHeadModel, LlamaForCausalLM
from transformers import LlamaConfig as TheirLlamaConfig

from sfumato.errors import CheckpointError
from sfumato.networks.gpt2 import GPT2, GPT2Config
from sfumato.networks.initialisation import initialise
from sfumato.networks.llama import Llama, LlamaConfig

NO_IDS = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
SMALL_GPT2 = NO_IDS | {"vocab_size": 37, "n_positions": 24, "n_embd": 24, "n_layer": 3, "n_head": 3}
SMALL_LLAMA = NO_IDS | {
    "vocab_size": 37,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 24,
}
STRETCHED = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
LAYOUTS = {
    "gpt2": (GPT2LMHeadModel, TheirGPT2Config(**SMALL_GPT2), GPT2, GPT2Config),
    "gpt2 untied": (
        GPT2LMHeadModel,
        TheirGPT2Config(**SMALL_GPT2 | {"tie_word_embeddings": False, "n_inner": 31, "activation_function": "gelu"}),
        GPT2,
        GPT2Config,
    ),
    "llama": (LlamaForCausalLM, TheirLlamaConfig(**SMALL_LLAMA), Llama, LlamaConfig),
    "llama tied, grouped heads": (
        LlamaForCausalLM,
        TheirLlamaConfig(**SMALL_LLAMA, num_key_value_heads=2, tie_word_embeddings=True, attention_bias=True),
        Llama,
        LlamaConfig,
    ),
    "llama of one group, wide heads": (
        LlamaForCausalLM,
        TheirLlamaConfig(**SMALL_LLAMA, num_key_value_heads=1, head_dim=10, mlp_bias=True),
        Llama,
        LlamaConfig,
    ),
    "llama stretched evenly": (
        LlamaForCausalLM,
        TheirLlamaConfig(**SMALL_LLAMA, rope_parameters={"rope_type": "linear", "factor": 3.0, "rope_theta": 300.0}),
        Llama,
        LlamaConfig,
    ),
    "llama 3.1": (LlamaForCausalLM, TheirLlamaConfig(**SMALL_LLAMA, rope_parameters=STRETCHED), Llama, LlamaConfig),
}
CLOSE = {"atol": 1e-4, "rtol": 0}


def shake(network):
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return network


def texts(rows=2, tokens=11):
    return torch.randint(0, 37, (rows, tokens))


@pytest.fixture(params=LAYOUTS)
def pair(request, read):
    reference, config, network, our_config = LAYOUTS[request.param]
    theirs = shake(reference(config)).eval()
    return theirs, read(theirs, network, our_config)


@pytest.fixture(params=["gpt2", "llama"])
def network(request):
    if request.param == "gpt2":
        return shake(GPT2(GPT2Config(**SMALL_GPT2))).eval()
    return shake(Llama(LlamaConfig(**SMALL_LLAMA, num_key_value_heads=2))).eval()


@torch.no_grad()
def test_logits_are_those_of_transformers_at_once_and_token_by_token(pair):
    theirs, ours = pair
    ids = texts()
    expected = theirs(ids).logits
    assert expected.std() > 0.5
    torch.testing.assert_close(ours(ids), expected, **CLOSE)
    torch.testing.assert_close(ours(ids, last=True), expected[:, -1:], **CLOSE)
    cache = ours.new_cache(2, 11)
    parts = [ours(part, cache) for part in ids.split([4, 1, 1, 3, 1, 1], dim=1)]
    torch.testing.assert_close(torch.cat(parts, dim=1), expected, **CLOSE)


@torch.no_grad()
def test_transformers_opens_our_folder_with_the_same_logits(pair, write):
    theirs, ours = pair
    opened = write(shake(ours), type(theirs), "model")
    ids = texts()
    torch.testing.assert_close(ours(ids), opened(ids).logits, **CLOSE)
    assert not write.unexpected


@torch.no_grad()
def test_texts_of_different_length_share_a_batch(network):
    ids, short = texts(), 5
    alone = network(ids[1:, :short])
    mask = torch.ones(2, 11, dtype=torch.bool)
    mask[1, : 11 - short] = False
    padded = ids.clone()
    padded[1, 11 - short :] = ids[1, :short]
    together = network(padded, mask=mask)
    torch.testing.assert_close(together[1:, -short:], alone, **CLOSE)
    torch.testing.assert_close(together[:1], network(ids[:1]), **CLOSE)
    cache = network.new_cache(2, 16)
    torch.testing.assert_close(network(padded, cache, mask=mask), together, **CLOSE)
    for token in (3, 7):
        step = torch.full((2, 1), token)
        next_ones = network(step, cache)
        longer = torch.cat([ids[1:, :short], *(torch.tensor([[t]]) for t in (3, 7)[: cache.length - 11])], dim=1)
        torch.testing.assert_close(next_ones[1:], network(longer, last=True), **CLOSE)
    right = torch.zeros(2, 11, dtype=torch.bool)
    right[0], right[1, :short] = True, True
    torch.testing.assert_close(network(ids, mask=right)[1:, :short], alone, **CLOSE)


@torch.no_grad()
def test_a_prefix_is_read_like_tokens(network):
    ids = texts()
    prefix = network.embed(ids[:, :4])
    torch.testing.assert_close(network(ids[:, 4:], prefix=prefix), network(ids)[:, 4:], **CLOSE)
    cache = network.new_cache(2, 11)
    first = network(ids[:, 4:5], cache, prefix=prefix, last=True)
    torch.testing.assert_close(first, network(ids[:, :5], last=True), **CLOSE)
    torch.testing.assert_close(network(ids[:, 5:], cache), network(ids)[:, 5:], **CLOSE)


@torch.no_grad()
def test_rows_that_are_done_leave_the_cache(network):
    ids, mask = texts(3), torch.ones(3, 11, dtype=torch.bool)
    mask[2, :6] = False
    cache = network.new_cache(3, 12)
    network(ids, cache, mask=mask)
    cache.keep(torch.tensor([0, 2]))
    step = torch.tensor([[4], [5]])
    expected = [network(torch.cat([ids[row, keep][None], step[i, None]], 1), last=True)
                for i, (row, keep) in enumerate([(0, mask[0]), (2, mask[2])])]  # fmt: skip
    torch.testing.assert_close(network(step, cache), torch.cat(expected), **CLOSE)


@torch.no_grad()
def test_a_text_that_is_too_long_is_refused(network):
    with pytest.raises(ValueError, match="25 tokens: this language model reads at most 24"):
        network(texts(1, 25))
    cache = network.new_cache(1, 12)
    network(texts(1, 11), cache)
    with pytest.raises(ValueError, match=r"11 \+ 2 tokens: this cache has room for 12"):
        network(texts(1, 2), cache)
    with pytest.raises(ValueError, match="2 rows: this cache is of 1"):
        network(texts(2, 1), cache)


def test_what_is_hidden_leaves_no_trace_in_the_gradients(network):
    ids, mask = texts(), torch.ones(2, 11, dtype=torch.bool)
    mask[1, :6] = False
    network.train().requires_grad_(True)
    (network(ids, mask=mask)[1, 6:].square().sum()).backward()
    table = next(network.parameters()).grad
    hidden = [token for token in ids[1, :6].tolist() if token not in ids[1, 6:].tolist()]
    assert hidden
    assert table.isfinite().all()
    if network.config.tie_word_embeddings:
        return  # then every row of the table is a score too
    assert not table[hidden].any()


def test_dropout_works_while_learning_only(network):
    ids = texts()
    network.dropout = 0.5
    with torch.no_grad():
        torch.testing.assert_close(network(ids), network(ids))
        network.train()
        assert not torch.equal(network(ids), network(ids))


def test_a_new_network_begins_small_and_even():
    for network in (GPT2(GPT2Config(**SMALL_GPT2)), Llama(LlamaConfig(**SMALL_LLAMA))):
        logits = initialise(network)(texts())
        assert logits.std() < 0.5
        adding = [p for name, p in network.named_parameters() if name.endswith(("o_proj.weight", "attn.c_proj.weight"))]
        assert torch.cat([p.flatten() for p in adding]).std().item() == pytest.approx(0.02 / 6**0.5, rel=0.1)


@torch.no_grad()
def test_names_of_older_files_load():
    tied = LlamaConfig(**SMALL_LLAMA, tie_word_embeddings=True)
    for network, config, start in ((GPT2, GPT2Config(**SMALL_GPT2), "transformer."), (Llama, tied, "model.")):
        saved = shake(network(config)).eval()
        bare = {key.removeprefix(start): value for key, value in saved.state_dict().items()}
        bare |= {"h.0.attn.bias": torch.ones(1), "h.1.attn.masked_bias": torch.ones(1)} if network is GPT2 else {}
        bare |= {} if network is GPT2 else {"layers.0.self_attn.rotary_emb.inv_freq": torch.ones(1)}
        again = network(config).eval()
        again.load_state_dict(bare, strict=True)
        ids = texts()
        assert torch.equal(again(ids), saved(ids))


REFUSED = [
    (GPT2Config, {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx=True is not supported"),
    (GPT2Config, {"add_cross_attention": True}, "add_cross_attention"),
    (GPT2Config, {"n_head": 7}, "must divide the width"),
    (GPT2Config, {"n_layer": 10_000}, "n_layer"),
    (GPT2Config, {"sliding": 8}, "sliding=8 is not known here"),
    (LlamaConfig, {"rope_scaling": {"rope_type": "yarn", "factor": 2.0}}, "rope_type='yarn' is not supported"),
    (LlamaConfig, {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}}, "rope_type='dynamic'"),
    (LlamaConfig, {"rope_parameters": {"rope_type": "linear"}}, "factor is missing"),
    (LlamaConfig, {"rope_parameters": {"mscale": 1.0}}, "'mscale' is not known here"),
    (LlamaConfig, {"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor"),
    (LlamaConfig, {"rope_parameters": 3}, "must be a table"),
    (LlamaConfig, {"num_key_value_heads": 3}, "must be whole groups"),
    (LlamaConfig, {"model_type": "mistral"}, "model_type='mistral' is not supported"),
    (LlamaConfig, {"sliding_window": 100}, "sliding_window=100 is not known here"),
    (LlamaConfig, {"num_hidden_layers": 100_000}, "num_hidden_layers"),
    (LlamaConfig, {"rotary": {}}, "rotary"),
]


@pytest.mark.parametrize(("config", "told", "why"), REFUSED, ids=[why for *_, why in REFUSED])
def test_what_would_change_the_numbers_is_refused_by_name(config, told, why):
    with pytest.raises(CheckpointError, match=why.replace("(", r"\(")):
        config.from_dict(told)


def test_rotary_settings_of_older_files_are_read():
    older = LlamaConfig.from_dict({"rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 4.0}})
    assert (older.rotary.rope_theta, older.rotary.rope_type, older.rotary.factor) == (5e5, "linear", 4.0)
    assert LlamaConfig.from_dict(older.to_dict()) == older
