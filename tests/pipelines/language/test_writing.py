"""Texts are the model's own, alone and in any batch; they end where they should and hold what they must."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import GPT2LMHeadModel, LlamaForCausalLM

from sfumato.errors import CheckpointError, DataError, PromptError
from sfumato.networks.gpt2 import GPT2
from sfumato.pipelines.language import choosing
from sfumato.pipelines.language.choosing import Sampling
from sfumato.pipelines.language.constraints import Owed
from sfumato.pipelines.language.language_model import LanguageModel

GREEDY = Sampling(temperature=0)
PROMPTS = ["the cat", "a", "the mat. a dog sat on", "", "on the"]


def test_the_greedy_text_is_that_of_transformers(model, tmp_path):
    model.save(tmp_path)
    theirs = (GPT2LMHeadModel if isinstance(model.network, GPT2) else LlamaForCausalLM).from_pretrained(tmp_path)
    ids = torch.tensor([model.tokenizer.encode("the cat")])
    bad = [[number] for number in range(model.tokenizer.vocab_size, model.network.config.vocab_size)]
    expected = theirs.generate(ids, max_new_tokens=30, do_sample=False, pad_token_id=0, bad_words_ids=bad)
    (text,) = model.write("the cat", tokens=30, sampling=GREEDY)
    assert list(text.tokens) == expected[0, ids.shape[1] :].tolist()


@pytest.mark.parametrize("rounding", [2e-5, 1.0], ids=["few close choices", "all choices close"])
def test_a_text_is_the_same_alone_and_in_any_batch(model, rounding, monkeypatch):
    monkeypatch.setattr(choosing, "ROUNDING", rounding)
    sampling = Sampling(temperature=0.9, top_p=0.95, repetition_penalty=1.2)
    together = model.write(PROMPTS, number=2, tokens=20, sampling=sampling, seed=5)
    assert len({text.tokens for text in together}) == 10
    for place, text in enumerate(together):
        (alone,) = model.write(text.prompt, tokens=20, sampling=sampling, seed=5 + place)
        assert (alone.tokens, alone.written, alone.reason) == (text.tokens, text.written, text.reason)
        assert alone.log_probabilities == pytest.approx(text.log_probabilities, abs=1e-4)
    model_of_three = LanguageModel(model.network, model.tokenizer, texts_a_pass=3)
    again = model_of_three.write(PROMPTS, number=2, tokens=20, sampling=sampling, seed=5)
    assert [text.tokens for text in again] == [text.tokens for text in together]


def test_the_window_slides_where_that_is_asked_for_and_still_each_text_is_its_own(model):
    sampling = Sampling(temperature=0.7)
    prompts = ["the cat sat on the mat. a dog", "a"]
    together = model.write(prompts, tokens=90, sampling=sampling, seed=3, slide=True)
    for place, text in enumerate(together):
        (alone,) = model.write(prompts[place], tokens=90, sampling=sampling, seed=3 + place, slide=True)
        assert alone.tokens == text.tokens
    assert max(len(text.tokens) for text in together) > 48 or "end" in {text.reason for text in together}
    (long,) = model.write("the cat sat on the mat. " * 9, tokens=3, slide=True, seed=0)
    assert len(long.tokens) == 3


def test_pieces_are_whole_characters_and_make_up_the_text(bytes_model):
    asked = bytes_model.asked(["the", "北"], 2, seed=1)
    pieces = list(bytes_model.stream(asked, tokens=25))
    texts = bytes_model.write(["the", "北"], number=2, tokens=25, seed=1)
    for row, text in enumerate(texts):
        of_row = [piece for piece in pieces if piece.row == row]
        assert "".join(piece.text for piece in of_row) == text.written
        assert [piece.reason for piece in of_row] == [None] * (len(of_row) - 1) + [text.reason]
        assert len(of_row) == len(text.tokens)


def test_a_text_ends_before_its_stop_word_and_shows_nothing_of_it(model):
    settings = {"tokens": 40, "seed": 2, "number": 4}
    free = model.write("the", **settings)
    stop = next(text.written[8:11] for text in free if len(text.written) > 11)
    for text, stopped in zip(free, model.write("the", stop=[stop, "never"], **settings), strict=True):
        assert stopped.written == text.written.split(stop)[0]
        assert (stopped.reason == "stop") == (stop in text.written)
    for piece in model.stream(model.asked("the", 4, 2), tokens=40, stop=[stop]):
        assert stop not in piece.text


def test_the_probability_of_what_was_written_is_that_of_the_text(model):
    (text,) = model.write("the cat", tokens=12, seed=4)
    ended = text.reason == "end"
    (nats,) = model.log_probabilities([str(text)], ended=ended)
    if model.tokenizer.encode(str(text)) == [*model.tokenizer.encode("the cat"), *text.tokens[: 12 - ended]]:
        before = [model.tokenizer.end_id, *model.tokenizer.encode("the cat")]
        scored = model.network(torch.tensor([[*before, *text.tokens]])).log_softmax(-1)[0]
        expected = [float(scored[place, token]) for place, token in enumerate([*before, *text.tokens][1:])]
        assert nats.tolist() == pytest.approx(expected, abs=1e-4)
    assert model.log_probability(["the cat"]) == pytest.approx([float(model.log_probabilities(["the cat"])[0].sum())])
    assert model.log_probability([""]) == [0]
    ids = model.tokenizer.encode("the cat")
    told = model.network(torch.tensor([ids])).log_softmax(-1)[0, -1, text.tokens[0]]
    assert text.log_probabilities[0] == pytest.approx(float(told), abs=1e-4)


@pytest.mark.parametrize("prompt", ["the cat", "", "a dog "])
@pytest.mark.parametrize("tokens", [14, 40])
def test_a_text_contains_the_words_that_it_must(model, prompt, tokens):
    must = ["mat", "Dog", "café"]
    texts = model.write(prompt, number=6, tokens=tokens, must=must, seed=0)
    for text in texts:
        words = str(text).casefold().replace(",", " ").replace(".", " ")
        assert len(text.tokens) <= tokens
        for word in must:
            assert word.casefold() in words
    assert len({text.written for text in texts}) > 1


def test_a_word_that_stands_is_not_lengthened_nor_cut_by_a_stop_word(model):
    texts = model.write("cat", number=8, tokens=30, must=["cat", "on"], stop=["t a"], seed=0)
    owed = Owed(["cat", "on"], model.tokenizer, model.ends, (), 30)
    assert not any(owed.missing(str(text)) for text in texts)
    assert owed.missing("category on") == ["cat"]


def test_words_that_cannot_be_are_refused(model):
    for must, why in (([""], "empty"), ([" a"], "begins with blanks"), (["a" * 60], "take .* tokens, and only 10")):
        with pytest.raises(PromptError, match=why):
            model.write("the", tokens=10, must=must)
    with pytest.raises(PromptError, match="must contain 'cat' and is to stop at 'a'"):
        model.write("the", tokens=10, must=["cat"], stop=["a"])
    if model.tokenizer.kind == "characters":
        with pytest.raises(PromptError, match=r"cannot write 'Zoo'.*'Z'"):
            model.write("the", tokens=10, must=["Zoo"])


def test_a_context_that_overflows_is_told_with_its_length_and_limit(model):
    begun = len(model.tokenizer.encode("the cat"))
    with pytest.raises(PromptError, match=rf"has {begun} tokens and 60 more .* reads at most 48"):
        model.write("the cat", tokens=60)
    long = "the cat, " * 30
    with pytest.raises(PromptError, match=r"has \d+ tokens and 1 more .* reads at most 48"):
        model.write(long)
    with pytest.raises(PromptError, match="reads at most 48"):
        model.log_probability([long])
    for text in model.write(["the cat", "a"], seed=0):
        assert len(text.tokens) <= 48
        assert text.reason == "end" or len(text.tokens) == 48 - len(model.tokenizer.encode(text.prompt))


def test_wrong_settings_are_refused(model):
    with pytest.raises(PromptError, match="tokens=0"):
        model.write("a", tokens=0)
    with pytest.raises(PromptError, match="number=0"):
        model.write("a", number=0)
    with pytest.raises(PromptError, match="stop word is empty"):
        model.write("a", stop=[""])


def test_an_unknown_character_is_named(characters_model):
    with pytest.raises(DataError, match=r"'Z' \(U\+005A\), number 3"):
        characters_model.write("a Z")


@pytest.mark.parametrize("shard", ["5GB", "3KB"])
def test_a_folder_of_transformers_loads(shard, bytes_model, tmp_path):
    bytes_model.save(tmp_path / "ours")
    theirs = LlamaForCausalLM.from_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs", max_shard_size=shard)
    assert (tmp_path / "theirs" / "model.safetensors.index.json").exists() == (shard == "3KB")
    bytes_model.tokenizer.save(tmp_path / "theirs")
    again = LanguageModel.load(tmp_path / "theirs", "cpu")
    assert again.write("the", seed=1)[0] == bytes_model.write("the", seed=1)[0]
    ids = torch.tensor([bytes_model.tokenizer.encode("the cat sat")])
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids).logits, again.network(ids), atol=1e-4, rtol=0)


def test_a_language_model_is_a_part_of_a_model_folder(bytes_model, tmp_path):
    bytes_model.save(tmp_path / "language_model")
    again = LanguageModel.load(tmp_path, "cpu")
    assert again.write("the", seed=1) == bytes_model.write("the", seed=1)


def test_what_does_not_belong_together_is_refused(bytes_model, characters_model, tmp_path):
    with pytest.raises(CheckpointError, match="holds no language model"):
        LanguageModel.load(tmp_path)
    with pytest.raises(CheckpointError, match="do not belong together"):
        LanguageModel(characters_model.network, bytes_model.tokenizer)
    bytes_model.save(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    config = json.loads((tmp_path / "config.json").read_text()) | {"tie_word_embeddings": True}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"lm_head\.weight should be the same as model\.embed_tokens\.weight"):
        LanguageModel.load(tmp_path, "cpu")
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
    save_file(weights, tmp_path / "model.safetensors")
    assert LanguageModel.load(tmp_path, "cpu").network.lm_head is None
