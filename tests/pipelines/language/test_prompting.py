"""Prompts that write themselves: new, whole, within what the model for pictures can follow, and again by their seed."""

import random

import numpy as np
import pytest

import tiny_writers
from sfumato.checkpoints.files import write_json
from sfumato.data.scenes.language import Language
from sfumato.data.scenes.phrases import caption
from sfumato.data.scenes.reading import Reader
from sfumato.data.scenes.sprites import shapes
from sfumato.data.text.learned import Learned
from sfumato.data.text.tokens import TextTokenizer
from sfumato.data.tokens import Tokenizer
from sfumato.errors import CheckpointError, PromptError
from sfumato.networks.initialisation import initialise
from sfumato.networks.llama import Llama, LlamaConfig
from sfumato.pipelines.language import hearing, prompting
from sfumato.pipelines.language.hearing import Hearing, plain, reads
from sfumato.pipelines.language.language_model import LanguageModel
from sfumato.pipelines.language.prompting import expand, imagine
from sfumato.pipelines.language.writers import writer_of
from sfumato.pipelines.weighting import Reading

CAPTIONS = [
    "a red star",
    "a red star on a blue background",
    "two blue circles",
    "two blue circles on a green background",
    "a heart",
    "a heart above a star",
]


@pytest.fixture(scope="module")
def writer():
    return tiny_writers.trained(CAPTIONS)


@pytest.fixture(scope="module")
def heard():
    """What a model for pictures can follow that learned from captions of shapes."""
    return Hearing(Tokenizer.train(CAPTIONS, 600, 16), lambda text: not text.endswith(" "))


# --- new prompts ------------------------------------------------------------------------------------------------------


def test_prompts_are_whole_and_all_different_and_the_same_again_however_many(writer, heard):
    some = imagine(writer, 4, seed=3, hearing=heard)
    assert len(set(some.prompts)) == 4
    assert set(some.prompts) & set(CAPTIONS)
    assert all(heard.fault(prompt) is None for prompt in some.prompts)
    assert imagine(writer, 2, seed=3, hearing=heard).prompts == some.prompts[:2]
    assert imagine(writer, 2, seed=4, hearing=heard).prompts != some.prompts[:2]
    alone = LanguageModel(writer.network, writer.tokenizer, texts_a_pass=1)
    assert imagine(alone, 4, seed=3, hearing=heard) == some


def test_what_is_drawn_again_is_told_with_the_reason(writer, heard):
    made = imagine(writer, 4, seed=3, hearing=heard, besides=CAPTIONS[:1])
    assert CAPTIONS[0] not in made.prompts
    assert {each.text for each in made.refused if each.why == prompting.AGAIN} >= {CAPTIONS[0]}
    assert made.share_refused == len(made.refused) / (len(made.prompts) + len(made.refused))


def test_what_the_writer_learned_from_is_not_new(writer, heard):
    ends = [token for text in CAPTIONS[:2] for token in (*writer.tokenizer.encode(text), writer.tokenizer.end_id)]
    learned = Learned.of(np.array(ends, np.uint16), writer.tokenizer.end_id, 48)
    knowing = LanguageModel(writer.network, writer.tokenizer, learned=learned)
    some = imagine(writer, 4, seed=3, hearing=heard)
    assert {CAPTIONS[0], CAPTIONS[1]} & set(some.prompts)
    fresh = imagine(knowing, 4, seed=3, hearing=heard)
    assert not {CAPTIONS[0], CAPTIONS[1]} & set(fresh.prompts)
    assert prompting.LEARNED in {each.why for each in fresh.refused}
    assert imagine(knowing, 4, seed=3, hearing=heard, new=False) == some


def test_every_prompt_has_the_words_that_it_must(writer):
    made = imagine(writer, 3, seed=0, must=["heart", "star"])
    assert all("heart" in prompt.split() and "star" in prompt.split() for prompt in made.prompts)


def test_where_no_text_is_a_prompt_the_reasons_are_told(writer):
    with pytest.raises(PromptError, match=r"None of 64 texts was a prompt .*since they are not what its captions"):
        imagine(writer, seed=0, hearing=Hearing(valid=lambda text: False))
    with pytest.raises(PromptError, match="at least 1"):
        imagine(writer, 0)


def test_a_model_that_knows_no_end_is_refused():
    tokenizer = TextTokenizer.of_characters(["one line"])
    config = LlamaConfig(tokenizer.vocab_size, 16, 24, num_hidden_layers=1, num_attention_heads=2)
    with pytest.raises(PromptError, match="knows no end"):
        imagine(LanguageModel(initialise(Llama(config)).eval(), tokenizer))


# --- a prompt completed -----------------------------------------------------------------------------------------------


def test_a_short_prompt_is_completed_within_what_the_model_can_follow(writer, heard):
    made = expand(writer, "two blue circles on", seed=1, hearing=heard)
    assert str(made).startswith("two blue circles on ")
    assert heard.fault(str(made)) is None
    assert made == expand(writer, "two blue circles on", seed=1, hearing=heard)
    assert "Added to the prompt" in made.told


def test_a_complete_prompt_stays_as_it_is(writer, heard):
    for text in ("a heart above a star", "a red star on a blue background"):
        made = expand(writer, text, seed=0, hearing=heard)
        assert (str(made), made.full) == (text, True)
        assert "complete" in made.told


def test_a_prompt_to_which_nothing_fits_stays_as_it_is_and_why_is_told(writer):
    made = expand(writer, "a red", seed=0, hearing=Hearing(valid=lambda text: False))
    assert (str(made), made.full, len(made.refused)) == ("a red", False, prompting.DRAWS)
    assert hearing.INVALID in made.told


def test_the_last_word_typed_stays_a_word(writer):
    made = expand(writer, "a hear", seed=0)
    assert not str(made).startswith("a heart")
    assert prompting.OTHER_WORD in {each.why for each in made.refused}


def test_weights_of_what_was_typed_stay_and_parts_are_refused(writer):
    made = expand(writer, "(two blue circles:1.3) on", seed=1)
    assert str(made).startswith("(two blue circles:1.3) on a")
    assert plain(str(made)) == "two blue circles on" + made.added
    with pytest.raises(PromptError, match="several parts"):
        expand(writer, "a heart AND a star")
    assert plain("a (heart)", Reading("diffusers")) == "a (heart)"


# --- what a model can follow ------------------------------------------------------------------------------------------


def test_faults_are_named():
    heard = Hearing(Tokenizer.train(CAPTIONS, 600, 16), lambda text: "circle" in text)
    assert heard.fault("two blue circles") is None
    assert heard.fault("  ") == hearing.EMPTY
    assert heard.fault("two blue walrus circles") == hearing.UNKNOWN
    assert heard.fault("two blue walrus circles", given="two walrus") is None
    assert heard.fault("two blue circles " * 9) == hearing.LONG
    assert heard.fault("a heart") == hearing.INVALID
    assert Hearing().fault("anything at all") is None


def test_a_model_of_scenes_hears_what_its_reader_reads(tmp_path):
    concepts = shapes().concepts
    language, chance = Language(concepts), random.Random(0)
    captions = [caption(language.draw(chance), concepts, chance) for _ in range(600)]
    tokenizer = Tokenizer.train(captions, 900, 32)
    write_json(tmp_path / "sfumato.json", {"scenes": {"concepts": len(concepts), "language": "full"}})
    heard = hearing._hearing({"tokenizer": tokenizer}, tmp_path)
    assert heard.valid is not None
    assert all(heard.valid(text) and reads(Reader(concepts), text) for text in captions[:50])
    assert heard.fault(f"{concepts[0].name} to the") == hearing.INVALID
    write_json(tmp_path / "sfumato.json", {"scenes": {"concepts": 10_000}})
    assert hearing._hearing({"tokenizer": tokenizer}, tmp_path).valid is None


def test_the_writer_is_the_models_own_or_another_and_how_to_get_one_is_told(writer, tmp_path):
    model, other = tmp_path / "model", tmp_path / "other"
    write_json(model / "sfumato.json", {"scenes": {"concepts": 100, "language": "narrow"}})
    with pytest.raises(CheckpointError, match=r"train scenes .*data.concepts=100 --set data.language=narrow(.|\n)*cp"):
        writer_of(model)
    writer.save(other)
    assert writer_of(model, other) == other
    writer.save(model / "language_model")
    assert writer_of(model) == model
    assert LanguageModel.load(writer_of(model), "cpu").tokenizer.vocab_size == writer.tokenizer.vocab_size
    with pytest.raises(CheckpointError, match="no language model"):
        writer_of(model, tmp_path / "nothing")
