"""The token view: every word is found in the prompt, and its tokens where the text encoder has them."""

from dataclasses import replace

import pytest

import tiny_models
from sfumato.data.windows import windows
from sfumato.pipelines.text_to_image import Pipeline
from sfumato.pipelines.tracing.words import words_of
from sfumato.pipelines.weighting import Reading


@pytest.fixture(scope="module")
def model():
    return Pipeline.load("digits", device="cpu").model


@pytest.mark.parametrize("profile", ["sfumato", "diffusers", "a1111", "comfyui"])
@pytest.mark.parametrize(
    "prompt",
    [
        "a seven",
        "(a:1.3) Seven, 1.3 (and (three)) (red:1.2) two",
        "seven " * 30,
        "",
        "héllo, \\(wörld\\)!",
        "one of 16:9",
        "(three BREAK four) five",
    ],
)
def test_each_token_stands_where_the_encoder_reads_it(model, prompt, profile):
    reading = Reading(profile)
    words = words_of(model, prompt, reading)
    (branch,) = reading.branches(prompt)
    rows = windows(branch.chunks, model.tokenizer.numbers, model.tokenizer.frame, profile)
    ids = [number for row in rows for number in row.ids]
    weights = [weight for row in rows for weight in row.weights]
    last = -1
    for word in words:
        assert prompt[word.start : word.end] == word.text
        assert word.start > last
        last = word.start
        for token in word.tokens:
            if token.place is not None:
                assert ids[token.place] == token.id
                assert weights[token.place] == pytest.approx(word.weight)
                assert model.tokenizer.spelling(token.id) == token.text
    heard = {place for word in words for place in word.places}
    frame = model.tokenizer.frame
    silent = {frame.start, frame.end, frame.pad}
    spoken = {place for place, number in enumerate(ids) if number not in silent}
    assert spoken <= heard | {place for place in spoken if model.tokenizer.spelling(ids[place]) in ("\\</w>", "\\")}


def test_words_that_no_caption_held_are_told(model):
    said = {word.text: word.known for word in words_of(model, "a Seven and a zebra", Reading())}
    assert said == {"a": True, "Seven": True, "and": said["and"], "zebra": False}


def test_what_is_weight_and_syntax_is_no_word(model):
    words = words_of(model, "(seven:1.3) AND 1.3 three BREAK two :0.5", Reading())
    assert [word.text for word in words] == ["seven", "1", ".", "3", "three", "two"]
    assert [word.branch for word in words] == [0, 1, 1, 1, 1, 1]
    assert words[1].start == 16


def test_prompts_that_change_say_other_words_later(model):
    reading = Reading("a1111", steps=10)
    early, late = (words_of(model, "a [three:seven:5]", replace(reading, step=step)) for step in (0, 8))
    assert ([word.text for word in early], [word.text for word in late]) == (["a", "three"], ["a", "seven"])
    assert (early[1].start, late[1].start) == (3, 9)


def test_two_encoders_have_their_states_one_behind_the_other(tmp_path):
    theirs = tiny_models.sd3(tmp_path)
    theirs.save_pretrained(tmp_path / "model")
    model = Pipeline.load(tmp_path / "model", device="cpu").model
    words = words_of(model, "a photo of a cat", Reading())
    assert [token.tokenizer for token in words[4].tokens if token.tokenizer == "tokenizer_3"]
    first = {token.place for word in words for token in word.tokens if token.tokenizer == "tokenizer"}
    second = {token.place for word in words for token in word.tokens if token.tokenizer == "tokenizer_3"}
    length = model.tokenizer.length
    assert min(first) == 1
    assert max(first) < length <= min(second) == length
