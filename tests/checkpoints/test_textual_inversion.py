"""A file's word, in a prompt, gives diffusers' numbers; files that are something else are refused."""

import pickle
import resource
import subprocess
import sys
import zipfile

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from sfumato.checkpoints.textual_inversion import read_embedding, write_embedding
from sfumato.data.tokens import Tokenizer
from sfumato.errors import CheckpointError, DataError
from sfumato.networks.clip import TextConfig, TextEncoder
from sfumato.networks.vocabulary import add_vectors

WIDTH = 12
CAPTIONS = ["a photo of a cat in the snow", "a painting of a dog, by night"] * 3
PROMPTS = [
    "a photo of <cat-toy>",
    "<cat-toy> in the snow, <cat-toy>",
    "a <CAT-TOY>x by night",
    "nothing new",
    "a dog <cat-toy>_1 alone",
    "a " * 20 + "<cat-toy> too late",
]


def a1111(path, vectors, name="<cat-toy>"):
    content = {"string_to_token": {"*": 265}, "string_to_param": {"*": vectors}, "name": name, "step": 99}
    torch.save(content | {"sd_checkpoint": None, "sd_checkpoint_name": None}, path)


FILES = {
    "A1111's pickle": ("e.pt", a1111),
    "A1111's parameter": ("e.pt", lambda path, vectors: a1111(path, torch.nn.Parameter(vectors))),
    "diffusers' pickle": ("learned_embeds.bin", lambda path, vectors: torch.save({"<cat-toy>": vectors}, path)),
    "diffusers": ("learned_embeds.safetensors", lambda path, vectors: save_file({"<cat-toy>": vectors}, path)),
    "A1111": ("<cat-toy>.safetensors", lambda path, vectors: save_file({"emb_params": vectors}, path)),
}


@pytest.fixture
def tokenizer(tmp_path):
    ours = Tokenizer.train(CAPTIONS, vocab_size=540, length=24)
    ours.save(tmp_path / "tokenizer")
    return ours


def encoders(vocab, projects=False, eos=None):
    torch.manual_seed(0)
    shape = {
        "vocab_size": vocab,
        "hidden_size": WIDTH,
        "intermediate_size": 20,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 24,
        "projection_dim": 10,
        "eos_token_id": vocab - 1 if eos is None else eos,
        "bos_token_id": vocab - 2,
    }
    kind = CLIPTextModelWithProjection if projects else CLIPTextModel
    theirs = kind(CLIPTextConfig(**shape)).eval()
    ours = TextEncoder(TextConfig(**shape, architectures=(kind.__name__,)))
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours.eval().requires_grad_(False)


def teach(embedding, tokenizer, encoder, part="text_encoder"):
    vectors = embedding.fitting(part, encoder.config.hidden_size)
    larger = tokenizer.with_word(embedding.word, len(embedding))
    add_vectors(encoder, vectors, tokenizer.vocab_size, tokenizer.end_id)
    return larger


def diffusers_states(theirs, folder, prompts, **options):
    pipeline = StableDiffusionPipeline(
        vae=AutoencoderKL(block_out_channels=(8,), norm_num_groups=8),
        unet=UNet2DConditionModel(
            block_out_channels=(8,),
            norm_num_groups=8,
            cross_attention_dim=WIDTH,
            attention_head_dim=1,
            down_block_types=["CrossAttnDownBlock2D"],
            up_block_types=["CrossAttnUpBlock2D"],
        ),
        text_encoder=theirs,
        tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        scheduler=DDIMScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.load_textual_inversion(**options)
    return pipeline.encode_prompt(prompts, "cpu", 1, False)[0]


@torch.no_grad()
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("kind", FILES)
def test_a_prompt_with_the_word_has_diffusers_states(kind, count, tokenizer, tmp_path):
    name, write = FILES[kind]
    vectors = torch.randn(count, WIDTH)
    write(tmp_path / name, vectors)
    theirs, ours = encoders(tokenizer.vocab_size)
    before = ours(tokenizer.encode(PROMPTS[3:4])).states
    embedding = read_embedding(tmp_path / name)
    assert embedding.word == "<cat-toy>"
    assert torch.equal(embedding.vectors["text_encoder"], vectors)
    larger = teach(embedding, tokenizer, ours)
    prompts = [prompt for prompt in PROMPTS if count > 1 or "_1" not in prompt]
    if count > 1:  # diffusers puts the other vectors in for the word in lower case alone
        prompts = [prompt.replace("CAT-TOY", "cat-toy") for prompt in prompts]
    states = ours(larger.encode(prompts)).states
    more = {"token": "<cat-toy>"} if kind == "A1111" else {}
    options = {"pretrained_model_name_or_path": tmp_path, "weight_name": name, **more}
    expected = diffusers_states(theirs, tmp_path, prompts, **options)
    torch.testing.assert_close(states, expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(ours(larger.encode(PROMPTS[3:4])).states, before)


@torch.no_grad()
def test_several_embeddings_live_side_by_side_as_in_diffusers(tokenizer, tmp_path):
    theirs, ours = encoders(tokenizer.vocab_size)
    larger, paths = tokenizer, {}
    for count, word in enumerate(("<cat-toy>", "easynegative", "style-3"), 1):
        paths[word] = tmp_path / f"{count}.safetensors"
        save_file({word: torch.randn(count, WIDTH)}, paths[word])
        larger = teach(read_embedding(paths[word]), larger, ours)
    assert larger.vocab_size == tokenizer.vocab_size + 6 == ours.config.vocab_size
    prompts = ["easynegative, a <cat-toy> in style-3", "style-3 style-3 <cat-toy>", "xeasynegativey"]
    expected = diffusers_states(
        theirs, tmp_path, prompts, pretrained_model_name_or_path=[*map(str, paths.values())], token=[*paths]
    )
    torch.testing.assert_close(ours(larger.encode(prompts)).states, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_an_embedding_of_sdxl_has_vectors_for_both_encoders(tokenizer, tmp_path):
    words = {"clip_l": torch.randn(2, WIDTH), "clip_g": torch.randn(2, WIDTH)}
    save_file(words, tmp_path / "<cat-toy>.safetensors")
    embedding = read_embedding(tmp_path / "<cat-toy>.safetensors")
    for part, name, projects in (("text_encoder", "clip_l", False), ("text_encoder_2", "clip_g", True)):
        theirs, ours = encoders(tokenizer.vocab_size, projects)
        larger = teach(embedding, tokenizer, ours, part)
        options = {"pretrained_model_name_or_path": {"<cat-toy>": words[name]}}
        plain = CLIPTextModel(theirs.config).eval() if projects else theirs
        if projects:
            plain.load_state_dict(
                {
                    key.removeprefix("text_model."): value
                    for key, value in theirs.state_dict().items()
                    if "text_p" not in key
                }
            )
        expected = diffusers_states(plain, tmp_path, PROMPTS[:3], **options)
        prompts = [prompt.replace("CAT-TOY", "cat-toy") for prompt in PROMPTS[:2]]
        torch.testing.assert_close(ours(larger.encode(prompts)).states, expected[:2], atol=1e-5, rtol=1e-5)
    write_embedding(tmp_path / "again.safetensors", embedding)
    again = read_embedding(tmp_path / "again.safetensors")
    assert again.word == "again"
    assert all(torch.equal(value, again.vectors[part]) for part, value in embedding.vectors.items())


@torch.no_grad()
@pytest.mark.parametrize("eos", [2, None])
def test_the_end_of_a_text_is_found_behind_new_words(eos, tokenizer):
    theirs, ours = encoders(tokenizer.vocab_size, projects=True, eos=eos)
    plain = ours(tokenizer.encode(["a cat"])).projected
    vectors = torch.randn(1, WIDTH)
    larger = tokenizer.with_word("<cat-toy>")
    add_vectors(ours, vectors, tokenizer.vocab_size, tokenizer.end_id)
    torch.testing.assert_close(ours(larger.encode(["a cat"])).projected, plain)
    theirs.resize_token_embeddings(larger.vocab_size, mean_resizing=False)
    theirs.get_input_embeddings().weight[-1] = vectors[0]
    theirs.text_model.eos_token_id = tokenizer.end_id
    ids = larger.encode(["a <cat-toy> in the snow"])
    torch.testing.assert_close(ours(ids).projected, theirs(ids).text_embeds, atol=1e-5, rtol=1e-5)


def test_what_was_written_is_read_again(tmp_path):
    save_file({"<cat-toy>": torch.randn(WIDTH).half()}, tmp_path / "learned_embeds.safetensors")
    embedding = read_embedding(tmp_path)
    write_embedding(tmp_path / "b.safetensors", embedding)
    again = read_embedding(tmp_path / "b.safetensors")
    assert again.word == embedding.word
    assert torch.equal(again.vectors["text_encoder"], embedding.vectors["text_encoder"])
    assert again.vectors["text_encoder"].dtype == torch.float16
    assert read_embedding(tmp_path / "b.safetensors", word="other").word == "other"


def test_vectors_for_the_second_encoder_of_sdxl_alone_are_written_too(tmp_path):
    save_file({"clip_g": torch.randn(2, WIDTH)}, tmp_path / "toy.safetensors")
    embedding = read_embedding(tmp_path / "toy.safetensors")
    write_embedding(tmp_path / "again.safetensors", embedding)
    again = read_embedding(tmp_path / "again.safetensors")
    assert again.vectors.keys() == {"text_encoder_2"}
    assert torch.equal(again.vectors["text_encoder_2"], embedding.vectors["text_encoder_2"])


@pytest.mark.parametrize("word", ["", " ", "two words", "x" * 101, "cat", "Cat", "<Style>", "<style>_1", "tab\t"])
def test_words_that_are_known_or_none_are_refused(word, tokenizer):
    larger = tokenizer.with_word("<style>", 2)
    with pytest.raises(DataError, match="word"):
        larger.with_word(word)


def test_a_tokenizer_with_words_of_files_says_that_it_cannot_be_saved(tokenizer, tmp_path):
    with pytest.raises(DataError, match="<style>"):
        tokenizer.with_word("<style>").save(tmp_path / "new")


def test_what_is_cut_off_is_told_in_the_words_of_the_prompt(tokenizer):
    larger = tokenizer.with_word("<style>", 3)
    assert larger.tokens("a <style> cat") == ["a</w>", "<style>", "<style>_1", "<style>_2", "cat</w>"]
    assert larger.truncated("a " * 20 + "<style> cat") == "<style> cat"
    assert larger.truncated("a " * 19 + "<style>") is None


def test_vectors_that_fit_no_encoder_are_refused(tokenizer, tmp_path):
    save_file({"<cat-toy>": torch.randn(2, WIDTH + 1)}, tmp_path / "a.safetensors")
    embedding = read_embedding(tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="vectors of 13 numbers, the text_encoder has 12"):
        embedding.fitting("text_encoder", WIDTH)
    with pytest.raises(CheckpointError, match="also has a text_encoder_2"):
        embedding.fitting("text_encoder_2", WIDTH)
    _, ours = encoders(tokenizer.vocab_size)
    with pytest.raises(ValueError, match="this text encoder's have 12"):
        add_vectors(ours, torch.zeros(1, 13), tokenizer.vocab_size, tokenizer.end_id)
    with pytest.raises(ValueError, match="have no vector"):
        add_vectors(ours, torch.zeros(1, 12), tokenizer.vocab_size + 1, tokenizer.end_id)


STRANGE = {
    "two words": {"a": torch.ones(12), "b": torch.ones(12)},
    "nothing": {},
    "a picture": {"a": torch.ones(1, 3, 4, 4)},
    "too many": {"a": torch.ones(78, 12)},
    "none": {"a": torch.ones(0, 12)},
    "integers": {"a": torch.ones(12).int()},
    "not a number": {"a": torch.full((12,), float("nan"))},
    "unequal": {"clip_l": torch.ones(1, 12), "clip_g": torch.ones(2, 12)},
    "a third encoder": {"clip_l": torch.ones(1, 12), "t5xxl": torch.ones(1, 12)},
}


@pytest.mark.parametrize("strange", STRANGE)
def test_what_is_no_embedding_is_refused_by_file(strange, tmp_path):
    save_file(STRANGE[strange], tmp_path / "odd.safetensors")
    with pytest.raises(CheckpointError, match=r"odd\.safetensors"):
        read_embedding(tmp_path / "odd.safetensors")
    torch.save(STRANGE[strange], tmp_path / "odd.pt")
    with pytest.raises(CheckpointError, match=r"odd\.pt"):
        read_embedding(tmp_path / "odd.pt")


class Runs:
    def __reduce__(self):
        return (exec, ("raise SystemExit('it ran')",))


class Grows:
    """8 GB from twenty bytes, by a function that PyTorch's careful unpickler calls too."""

    def __reduce__(self):
        return (bytearray, (8 << 30,))


class Builds:
    def __reduce__(self):
        return (torch.FloatTensor, (2 << 30,))


@pytest.mark.parametrize("kind", [Runs, Grows, Builds])
def test_a_pickle_that_names_a_function_is_not_opened(kind, tmp_path):
    torch.save({"string_to_param": {"*": kind()}, "name": "x"}, tmp_path / "odd.pt")
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))\n"
        "from pathlib import Path; from sfumato.checkpoints.textual_inversion import read_embedding\n"
        f"try: read_embedding(Path({str(tmp_path / 'odd.pt')!r}))\n"
        "except ValueError as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "holds more than tensors" in done.stdout


def test_pickles_that_would_grow_are_not_opened(tmp_path):
    path = tmp_path / "odd.pt"
    a1111(path, torch.zeros(1, 1).expand(1, 2**40))  # a view of one number
    with pytest.raises(CheckpointError, match=r"odd\.pt holds vectors of shape"):
        read_embedding(path)
    a1111(path, torch.zeros(4, 12))
    with zipfile.ZipFile(path) as stored, zipfile.ZipFile(tmp_path / "small.pt", "w", zipfile.ZIP_DEFLATED) as small:
        for record in stored.infolist():
            small.writestr(record.filename, stored.read(record))
    for content in (b"", b"PK\x03\x04", pickle.dumps({"a": 1})):
        (tmp_path / "empty.pt").write_bytes(content)
        with pytest.raises(CheckpointError, match=r"empty\.pt"):
            read_embedding(tmp_path / "empty.pt")
    with pytest.raises(CheckpointError, match="an archive, but not"):
        read_embedding(tmp_path / "small.pt")
    torch.save({"a": torch.ones(12)}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointError, match=r"PyTorch 1\.6"):
        read_embedding(path)
    with path.open("wb") as file:
        file.truncate(65 * 2**20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError, match="larger than any embedding"):
        read_embedding(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 10_000


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spoilt=st.lists(st.integers(0, 2**20), min_size=1, max_size=4), pickled=st.booleans())
def test_a_spoilt_file_is_read_or_refused_and_nothing_else(spoilt, pickled, tmp_path):
    path = tmp_path / ("spoilt.pt" if pickled else "spoilt.safetensors")
    if pickled:
        a1111(path, torch.ones(2, 12))
    else:
        save_file({"clip_l": torch.ones(2, 12), "clip_g": torch.ones(2, 20)}, path)
    content = bytearray(path.read_bytes())
    for place in spoilt:
        content[place % len(content)] ^= 1 + place % 255
    path.write_bytes(content)
    try:
        assert 1 <= len(read_embedding(path)) <= 77
    except CheckpointError as error:
        assert "spoilt." in str(error)  # noqa: PT017  either is right


def test_a_missing_file_is_named(tmp_path):
    for path in (tmp_path / "none.pt", tmp_path):
        with pytest.raises(CheckpointError, match="There is no embedding"):
            read_embedding(path)
