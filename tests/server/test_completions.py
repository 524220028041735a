"""The openai package has a language model write, as a whole and as it comes."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, contextmanager

import httpx
import openai
import pytest
import torch

from light_server import LightEngine, light_app, listening
from sfumato.data.text.tokens import TextTokenizer
from sfumato.networks.llama import Llama, LlamaConfig
from sfumato.pipelines.language.language_model import LanguageModel
from sfumato.pipelines.language.writing import Piece
from sfumato.server.errors import Refusal
from sfumato.server.openai.writing import AT_ONCE, EACH_OWNER, Desk
from sfumato.server.store import Store


@pytest.fixture(scope="module")
def writer():
    tokenizer = TextTokenizer.of_characters(["to be or not to be, that is the question"], end=True)
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=tokenizer.vocab_size, max_position_embeddings=64, **sizes)
    return LanguageModel(Llama(config).eval(), tokenizer)


@pytest.fixture(scope="module")
def ask(writer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("words")
    with Store(folder / "store") as store:
        app = light_app(LightEngine(store, writer=writer), folder, port=0)
        with listening(app) as port:
            client = openai.OpenAI(api_key="none", base_url=f"http://127.0.0.1:{port}/v1", max_retries=0, timeout=60)
            yield client.completions


def test_texts_are_those_that_the_model_writes_alone(ask, writer):
    answer = ask.create(model="words", prompt=["to be", "or not"], n=2, max_tokens=9, seed=4, temperature=0.7)
    from sfumato.pipelines.language.choosing import Sampling

    alone = writer.write(["to be", "or not"], number=2, tokens=9, seed=4, sampling=Sampling(0.7))
    assert [choice.text for choice in answer.choices] == [text.written for text in alone]
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert answer.usage.prompt_tokens == len("to be") + len("or not")
    assert answer.usage.completion_tokens == sum(len(text.tokens) for text in alone)


def test_the_end_is_told(ask):
    stopped = ask.create(model="words", prompt="to be", max_tokens=40, seed=1, stop=[" ", "t"]).choices[0]
    assert stopped.finish_reason == "stop"
    assert not {" ", "t"} & set(stopped.text)
    short = ask.create(model="words", prompt="to be", max_tokens=1, seed=1).choices[0]
    assert short.finish_reason == "length"


def test_a_stream_says_the_same_piece_by_piece(ask):
    settings = {"model": "words", "prompt": "to be", "max_tokens": 12, "seed": 3, "n": 2}
    whole = ask.create(**settings)
    pieces = list(ask.create(**settings, stream=True, stream_options={"include_usage": True}))
    for choice in whole.choices:
        told = [piece.choices[0] for piece in pieces if piece.choices and piece.choices[0].index == choice.index]
        assert "".join(each.text for each in told) == choice.text
        assert [each.finish_reason for each in told if each.finish_reason] == [choice.finish_reason]
    assert pieces[-1].usage.completion_tokens == whole.usage.completion_tokens


def test_texts_are_scored_by_echo_without_writing(ask, writer):
    (choice,) = ask.create(model="words", prompt="to be", max_tokens=0, echo=True, logprobs=2).choices
    told = choice.logprobs
    assert choice.text == "to be"
    assert told.tokens == list("to be")
    assert told.token_logprobs[0] is None
    assert told.token_logprobs[1:] == pytest.approx(scored(writer, "to be"), abs=1e-5)
    assert told.text_offset == [0, 1, 2, 3, 4]
    assert all(len(others) == 2 for others in told.top_logprobs[1:])


def scored(writer, text):
    """What each token but the first has after those before it, in nats."""
    ids = writer.tokenizer.encode(text)
    with torch.inference_mode():
        nats = writer.network(torch.tensor([ids]))[0, :, : writer.tokenizer.vocab_size].log_softmax(-1)
    return [float(nats[place - 1, ids[place]]) for place in range(1, len(ids))]


def test_what_was_written_is_scored_too(ask):
    (choice,) = ask.create(model="words", prompt="to", max_tokens=3, seed=2, logprobs=1, temperature=0).choices
    best = [max(others.values()) for others in choice.logprobs.top_logprobs]
    assert choice.logprobs.token_logprobs == pytest.approx(best)


def test_prompts_may_be_numbers_of_tokens(ask, writer):
    ids = writer.tokenizer.encode("to be")
    answers = [ask.create(model="words", prompt=prompt, max_tokens=5, seed=9) for prompt in ("to be", ids, [ids])]
    assert len({answer.choices[0].text for answer in answers}) == 1


@pytest.mark.parametrize(
    ("settings", "param"),
    [
        ({"suffix": "x"}, "suffix"),
        ({"best_of": 3}, "best_of"),
        ({"logit_bias": {"1": 5}}, "logit_bias"),
        ({"presence_penalty": 1}, "presence_penalty"),
        ({"max_tokens": 10**9}, "max_tokens"),
        ({"n": 100}, "n"),
        ({"temperature": 3}, "temperature"),
        ({"stop": ""}, "stop"),
        ({"stop": {"a": 1}}, "stop"),
        ({"prompt": {"a": 1}}, "prompt"),
        ({"prompt": [10**6]}, "prompt"),
        ({"stream": True, "logprobs": 1}, "logprobs"),
    ],
)
def test_what_is_not_followed_is_named(ask, settings, param):
    with pytest.raises(openai.BadRequestError) as caught:
        ask.create(**{"model": "words", "prompt": "to be", **settings})
    assert caught.value.param == param


def test_a_prompt_that_is_too_long_or_of_strange_characters_is_refused(ask):
    for prompt in ("to be " * 20, "≈"):
        with pytest.raises(openai.BadRequestError):
            ask.create(model="words", prompt=prompt)
        with pytest.raises(openai.BadRequestError):
            ask.create(model="words", prompt=prompt, stream=True)


class Slow:
    """Writes as another, and takes its time: ten seconds at least, unless nobody waits for it."""

    def __init__(self, writer):
        self.ended, self.pieces = threading.Event(), 0
        self.tokenizer, self.asked = writer.tokenizer, writer.asked

    def stream(self, pairs, **_):
        try:
            for _ in range(1000):
                time.sleep(0.01)
                self.pieces += 1
                yield Piece(0, 1, -1.0, "t", None)
        finally:
            self.ended.set()


@pytest.fixture
def slow(writer):
    return Slow(writer)


@pytest.fixture
def slow_address(slow, tmp_path):
    with (
        Store(tmp_path / "store") as store,
        listening(light_app(LightEngine(store, writer=slow), tmp_path, port=0, wait=3)) as port,
    ):
        yield f"http://127.0.0.1:{port}/v1/completions"


def test_nothing_is_written_on_for_a_client_that_left(slow, slow_address):
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(slow_address, json={"model": "words", "prompt": "to be"}, timeout=0.5)
    assert slow.ended.wait(2)  # which is before the server would give it up by itself
    assert 0 < slow.pieces < 300


def test_a_text_that_takes_too_long_is_given_up_and_the_client_told(slow, slow_address):
    answer = httpx.post(slow_address, json={"model": "words", "prompt": "to be"}, timeout=60)
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "timeout")
    assert slow.ended.is_set()
    assert slow.pieces < 600


@contextmanager
def held():
    """Writes when it is let go, at last when the test ends."""
    go = threading.Event()
    try:
        yield lambda: iter([go.wait(60)]), go
    finally:
        go.set()


async def text(desk, owner, work):
    return [piece async for piece in desk.each(owner, work)]


def test_one_owner_cannot_fill_the_desk():
    async def whole():
        desk = Desk()
        with held() as (work, go):
            texts = [asyncio.create_task(text(desk, "one", work)) for _ in range(EACH_OWNER)]
            await asyncio.sleep(0)
            with pytest.raises(Refusal):
                await asyncio.wait_for(text(desk, "one", work), 1)
            others = range(AT_ONCE - EACH_OWNER)
            texts += [asyncio.create_task(text(desk, f"other {number}", work)) for number in others]
            await asyncio.sleep(0)
            with pytest.raises(Refusal):
                await asyncio.wait_for(text(desk, "another", work), 1)
            go.set()
            assert await asyncio.gather(*texts) == [[True]] * AT_ONCE
            assert await text(desk, "one", work) == [True]

    asyncio.run(whole())


def test_who_reads_slowly_keeps_nobody_from_writing():
    async def whole():
        desk, begun = Desk(), []

        def late():
            begun.append("late")
            yield 0

        async with aclosing(desk.each("slow", lambda: iter(range(3)))) as slow:
            assert await anext(slow) == 0
            assert await asyncio.wait_for(text(desk, "quick", lambda: iter("ab")), 5) == ["a", "b"]
            assert [piece async for piece in slow] == [1, 2]
        with held() as (work, go):
            first = asyncio.create_task(text(desk, "one", work))
            await asyncio.sleep(0.05)
            left = asyncio.create_task(text(desk, "another", late))
            await asyncio.sleep(0.05)
            left.cancel()
            await asyncio.wait([left], timeout=5)
            go.set()
            assert await first == [True]
        assert await text(desk, "one", lambda: iter("c")) == ["c"]
        assert begun == []

    asyncio.run(whole())


def test_a_stream_for_which_there_is_no_room_is_refused_before_it_begins(ask, monkeypatch):
    monkeypatch.setattr("sfumato.server.openai.writing.AT_ONCE", 0)
    with pytest.raises(openai.RateLimitError) as caught:
        ask.create(model="words", prompt="to be", stream=True)
    assert caught.value.response.headers["retry-after"] == "5"


def test_writing_takes_none_of_the_threads_that_everything_else_is_done_in():
    async def whole():
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        with held() as (work, _):
            writing = asyncio.create_task(text(Desk(), "one", work))
            await asyncio.sleep(0)
            assert await asyncio.wait_for(asyncio.to_thread(lambda: "done"), 5) == "done"
        await writing

    asyncio.run(whole())


def test_models_without_words_are_told(ask):
    for model in ("light", "nothing"):
        with pytest.raises(openai.NotFoundError):
            ask.create(model=model, prompt="a")
