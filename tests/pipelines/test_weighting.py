"""Weighted text states are those of the program whose profile is named; unweighted ones are the encoder's own."""

import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from diffusers import StableDiffusionPipeline
from hypothesis import given
from hypothesis import strategies as st
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from sfumato.data.prompts import PROFILES, Piece, parse
from sfumato.data.tokens import Tokenizer
from sfumato.data.windows import Window, empty, windows
from sfumato.diffusion.guidance import guided_in_one_pass
from sfumato.diffusion.levels import Level
from sfumato.errors import PromptError
from sfumato.networks.clip import TextConfig, TextEncoder
from sfumato.pipelines.model import load
from sfumato.pipelines.text_to_image import Pipeline
from sfumato.pipelines.weighting import Encoded, Reading, layers_skipped, weighted
from sfumato.pipelines.words import branches_of, condition_of

DATA = Path(__file__).parent.parent / "data"
RECORDED = {name: json.loads((DATA / f"prompts_{name}.json").read_text()) for name in PROFILES[2:]}
CAPTIONS, CONFIG = RECORDED["a1111"]["captions"], RECORDED["a1111"]["config"]


def make(length: int) -> tuple[Tokenizer, TextEncoder]:
    """The tokenizer and the text encoder that the numbers were recorded with."""
    tokenizer = Tokenizer.train(CAPTIONS, RECORDED["a1111"]["vocab_size"], length)
    sizes = {"vocab_size": tokenizer.vocab_size, "max_position_embeddings": length, "eos_token_id": tokenizer.end_id}
    encoder = TextEncoder(TextConfig(**CONFIG, **sizes)).requires_grad_(False)
    for k, (name, parameter) in enumerate(sorted(encoder.named_parameters())):
        places = torch.arange(parameter.numel(), dtype=torch.float64)
        wave = 0.3 * torch.sin(places * (0.7 + 0.013 * k) + k).reshape(parameter.shape)
        parameter.copy_(wave + 1 if "norm" in name and name.endswith("weight") else wave)
    return tokenizer, encoder


TOKENIZER, ENCODER = make(12)


def encode(ids: torch.Tensor, skip: int = 0) -> tuple[torch.Tensor, torch.Tensor | None]:
    made = ENCODER(ids, skip=skip)
    return made.states, made.projected


def encoded(text: str, profile: str, tokenizer: Tokenizer = TOKENIZER, skip: int = 0) -> Encoded:
    (branch,) = parse(text, profile)
    rows = windows(branch.chunks, tokenizer.numbers, tokenizer.frame, profile)
    return weighted(rows, tokenizer.frame, partial(encode, skip=skip), profile)


@pytest.mark.parametrize(("length", "text", "clip_skip", "expected"), RECORDED["a1111"]["states"])
def test_states_are_a1111s(length, text, clip_skip, expected) -> None:
    skip = layers_skipped(clip_skip, ENCODER.config.num_hidden_layers, profile="a1111")
    states = encoded(text, "a1111", skip=skip).states
    torch.testing.assert_close(states, torch.tensor(expected), atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize(("length", "text", "pads_with_zero", "expected", "pooled"), RECORDED["comfyui"]["states"])
def test_states_and_pooled_vector_are_comfyuis(tmp_path, length, text, pads_with_zero, expected, pooled) -> None:
    tokenizer = TOKENIZER
    if pads_with_zero:  # as the second encoder of Stable Diffusion XL does
        TOKENIZER.save(tmp_path)
        config = json.loads((tmp_path / "tokenizer_config.json").read_text())
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(config | {"pad_token": "!"}))
        tokenizer = Tokenizer.load(tmp_path)
        assert tokenizer.pad_id == 0
    made = encoded(text, "comfyui", tokenizer)
    torch.testing.assert_close(made.states, torch.tensor(expected), atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(made.pooled, torch.tensor(pooled), atol=2e-5, rtol=1e-5)


@pytest.fixture(scope="module")
def diffusers_part(tmp_path_factory) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("tokenizer")
    TOKENIZER.save(folder)
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    sizes = {"vocab_size": tokenizer.vocab_size, "max_position_embeddings": 12, "eos_token_id": tokenizer.eos_token_id}
    encoder = CLIPTextModel(CLIPTextConfig(**CONFIG, **sizes, bos_token_id=TOKENIZER.start_id, pad_token_id=0)).eval()
    state = {name: value for name, value in ENCODER.state_dict().items() if name != "text_projection.weight"}
    bare = {name.removeprefix("text_model."): value for name, value in state.items()}
    encoder.load_state_dict(state if set(state) == set(encoder.state_dict()) else bare)
    if not hasattr(encoder, "text_model"):
        encoder.text_model = SimpleNamespace(final_layer_norm=encoder.final_layer_norm)
    return SimpleNamespace(tokenizer=tokenizer, text_encoder=encoder, unet=None)


@pytest.mark.parametrize("clip_skip", [None, 0, 1, 2])
@pytest.mark.parametrize("text", ["a cat", "", "a (cat:1.3) AND [a dog] BREAK \\(b\\), " * 4])
def test_states_are_those_of_the_diffusers_pipeline(diffusers_part, text, clip_skip) -> None:
    with torch.no_grad():
        expected, _ = StableDiffusionPipeline.encode_prompt(
            diffusers_part, text, "cpu", 1, do_classifier_free_guidance=False, clip_skip=clip_skip
        )
    skip = layers_skipped(clip_skip, 3, profile="diffusers")
    torch.testing.assert_close(encoded(text, "diffusers", skip=skip).states, expected[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("text", ["a handwritten seven", "", "Seven, THE digit!", "x" * 5])
def test_a_model_reads_plain_prompts_to_the_bits_of_its_text_encoder(profile, text) -> None:
    model = load("digits")
    with torch.inference_mode():
        ((said, weight),) = branches_of(model, [text], reading=Reading(profile))
        assert torch.equal(said.states, model.text_encoder(model.tokenizer.encode([text])).states)
    assert weight == 1


def test_a_model_with_short_windows_reads_long_prompts_and_branches() -> None:
    model, prompts = load("digits"), ["a (handwritten:1.5) one, " * 8 + "AND a seven :0.5", "a two"]
    window = model.tokenizer.length
    with torch.inference_mode():
        first, second = branches_of(model, prompts, reading=Reading(clip_skip=2))
        assert first[1] == 1
        assert second[1].tolist() == [0.5, 0.0]
        assert first[0].states.shape[1] == 3 * window
        assert first[0].mask.sum(1).tolist() == [3 * window, window]
        assert condition_of(model, ["one AND two"], negative=True).states.shape[1] == window


def test_by_a1111_the_shorter_branch_ends_in_its_last_state_again_and_again() -> None:
    """As `stack_conds` of A1111's prompt_parser.py 1.7 does it; what is gone away from keeps its length there."""
    model, long = load("digits"), "a handwritten one, " * 8
    window = model.tokenizer.length
    with torch.inference_mode():
        (first, _), (second, weight) = branches_of(model, [f"{long} AND a seven :0.5"], reading=Reading("a1111"))
        seven = condition_of(model, ["a seven"], reading=Reading("a1111")).states
    assert first.states.shape[1] >= 2 * window
    assert weight == 0.5
    assert torch.equal(second.states[:, :window], seven)
    assert torch.equal(second.states[:, window:], seven[:, -1:].expand(-1, first.states.shape[1] - window, -1))
    assert second.mask is None
    with torch.inference_mode():
        ours = branches_of(model, [f"{long} AND a seven :0.5"])[1][0]
    assert torch.equal(ours.states, seven)


def test_by_a1111_all_that_a_prompt_says_on_the_way_takes_as_many_windows() -> None:
    model, long = load("digits"), "a handwritten one, " * 8
    window, text = model.tokenizer.length, f"[{long}:a seven:1]"
    with torch.inference_mode():
        early, late = (branches_of(model, [text], reading=Reading("a1111", step=k, steps=4))[0][0] for k in (0, 3))
        seven, nothing = (condition_of(model, [each]).states for each in ("a seven", ""))
    more = early.states.shape[1] // window - 1
    assert more >= 1
    assert torch.equal(late.states, torch.cat([seven, *[nothing] * more], dim=1))


def test_a_long_prompt_beside_a_short_one_changes_neither_to_the_bit() -> None:
    pipeline = Pipeline.load("digits", device="cpu")
    prompts = ["a (handwritten:1.5) one, " * 8, "a two AND a (seven:0.7) :0.4"]
    both = pipeline(prompts, seed=1, num_inference_steps=3).pictures
    for prompt, picture in zip(prompts, both, strict=True):
        assert pipeline(prompt, seed=1, num_inference_steps=3).pictures[0].tobytes() == picture.tobytes()


@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_prompts_of_other_branches_change_no_bit_before_the_rounding_to_colours(scale: float) -> None:
    pipeline = Pipeline.load("digits", device="cpu")
    settings = {"seed": 1, "num_inference_steps": 3, "guidance_scale": scale, "upsampler_steps": 0}

    def painted(*prompts: str) -> torch.Tensor:
        with torch.inference_mode():
            *_, painting = pipeline.paintings(pipeline.batch(pipeline.requests(prompts, **settings)))
            return painting.pictures()

    prompts = ["a one :0.7 AND a two :0.6", "a two", "a three AND a four AND a five", "a six :0.7 AND a one :0.6"]
    for prompt, picture in zip(prompts, painted(*prompts), strict=True):
        assert torch.equal(painted(prompt)[0], picture), prompt


def one_word(profile: str, weight: float) -> Encoded:
    chunks = [[Piece("a "), Piece("cat", weight), Piece(" and a dog")]]
    return weighted(windows(chunks, TOKENIZER.numbers, TOKENIZER.frame, profile), TOKENIZER.frame, encode, profile)


def test_a_weight_moves_its_own_state_along_the_line_from_the_empty_prompt() -> None:
    plain, nothing = one_word("sfumato", 1.0).states, encoded("", "sfumato").states
    assert TOKENIZER.numbers("cat") == [[522]]
    for weight in (-1.0, 0.0, 0.5, 1.3, 4.0):
        states = one_word("sfumato", weight).states
        expected = plain.clone()
        expected[2] = nothing[2] + weight * (plain[2] - nothing[2])
        torch.testing.assert_close(states, expected)
        others = [place for place in range(12) if place != 2]
        assert torch.equal(states[others], plain[others])


def test_by_a1111_a_weight_keeps_the_mean_and_moves_all_states() -> None:
    plain, heavy = one_word("a1111", 1.0).states, one_word("a1111", 1.5).states
    torch.testing.assert_close(heavy.mean(), plain.mean())
    assert ((heavy - plain).abs().amax(dim=1) > 1e-4).all()


@pytest.mark.parametrize("profile", ["sfumato", "a1111", "comfyui"])
def test_the_pooled_vector_is_of_the_first_window_without_weights(profile) -> None:
    (branch,) = parse("(a cat and a dog:1.4), " * 3, profile)
    first, *rest = windows(branch.chunks, TOKENIZER.numbers, TOKENIZER.frame, profile)
    assert rest
    assert not first.plain
    made = weighted([first, *rest], TOKENIZER.frame, encode, profile)
    assert torch.equal(made.pooled, encode(torch.tensor([first.ids]))[1][0])
    assert len(made.states) == 12 * (1 + len(rest))


@given(weights=st.lists(st.floats(-1000, 1000), min_size=12, max_size=12))
def test_all_weights_are_survived(weights) -> None:
    window = Window(tuple(TOKENIZER.encode(["a cat, sitting in the sun"])[0].tolist()), tuple(weights))
    for profile in ("sfumato", "a1111", "comfyui"):
        try:
            states = weighted([window], TOKENIZER.frame, encode, profile).states
        except PromptError as error:
            assert "finite" in str(error)  # noqa: PT017
        else:
            assert states.isfinite().all()


def test_weights_that_leave_no_number_are_refused() -> None:
    (row,) = windows([[Piece("a cat")]], TOKENIZER.numbers, TOKENIZER.frame)
    window = Window(row.ids, (0.0,) * 12)
    with pytest.raises(PromptError, match="not finite"):
        weighted([window], TOKENIZER.frame, encode, "a1111")


def test_states_keep_their_precision() -> None:
    (row,) = windows([[Piece("a cat", 1.3)]], TOKENIZER.numbers, TOKENIZER.frame)
    for profile in ("sfumato", "a1111"):
        half = weighted([row], TOKENIZER.frame, lambda ids: (encode(ids)[0].bfloat16(), None), profile)
        assert half.states.dtype == torch.bfloat16
        full = weighted([row], TOKENIZER.frame, encode, profile).states
        torch.testing.assert_close(half.states.float(), full, atol=0.05, rtol=0.05)


def test_branches_are_composed_as_by_a1111() -> None:
    recorded = RECORDED["a1111"]["composition"]
    estimates = torch.tensor(recorded["estimates"])[:, None]  # of three branches, then of the negative prompt
    level = Level(torch.tensor(0.6), torch.tensor(0.8))
    denoise = guided_in_one_pass(lambda noisy, level: estimates.flatten(0, 1), recorded["scale"], recorded["weights"])
    combined = denoise(torch.zeros(1, 6), level)
    torch.testing.assert_close(combined[0], torch.tensor(recorded["combined"]), atol=1e-5, rtol=1e-5)


SKIPS = [
    *[("sfumato", None, 0, 0), ("sfumato", 1, 0, 0), ("sfumato", 2, 0, 1), ("sfumato", 2, 1, 1), ("sfumato", 3, 1, 2)],
    *[("a1111", 2, 0, 1), ("a1111", 3, 1, 1), ("a1111", None, 1, 1)],
    *[("diffusers", None, 1, 1), ("diffusers", 0, 0, 0), ("diffusers", 1, 0, 1), ("diffusers", 1, 1, 2)],
    *[("comfyui", -1, 0, 0), ("comfyui", -2, 0, 1), ("comfyui", -1, 1, 0), ("comfyui", -3, 1, 2)],
]


@pytest.mark.parametrize(("profile", "clip_skip", "usual", "skipped"), SKIPS)
def test_clip_skip_counts_as_its_users_do(profile, clip_skip, usual, skipped) -> None:
    assert layers_skipped(clip_skip, 12, usual, profile) == skipped


@pytest.mark.parametrize(
    ("profile", "clip_skip"),
    [
        ("sfumato", 0),
        ("sfumato", 14),
        ("a1111", -1),
        ("diffusers", 13),
        ("comfyui", 0),
        ("comfyui", 1),
        ("a1111", True),
    ],
)
def test_a_clip_skip_beyond_the_layers_is_refused(profile, clip_skip) -> None:
    with pytest.raises(PromptError, match="clip_skip is a whole number from"):
        layers_skipped(clip_skip, 12, 0, profile)


def test_the_empty_window_is_the_empty_prompts() -> None:
    assert list(empty(TOKENIZER.frame).ids) == TOKENIZER.encode([""])[0].tolist()
