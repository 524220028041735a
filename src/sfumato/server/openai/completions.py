"""/v1/completions: texts that go on from prompts."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from sfumato.server.errors import Refusal, answers
from sfumato.server.loading import loaded
from sfumato.server.openai.texts import MOST_TEXTS, Choice, Completed, Completion, Usage
from sfumato.server.serving import Asker, Here, Serving
from sfumato.server.streams import EventStream, event
from sfumato.server.waiting import awaited, failed

if TYPE_CHECKING:
    from sfumato.pipelines.language.language_model import LanguageModel
    from sfumato.pipelines.language.writing import Piece

router = APIRouter(prefix="/v1/completions", tags=["OpenAI"])

TOKENS = 16  # where nothing else is asked for, as OpenAI
STREAMS: dict[int | str, dict[str, Any]] = {
    **answers(404, 408, 413, 429, 500, 504),
    200: {"description": "The texts; with `stream` as events.", "content": {"text/event-stream": {}}},
}


@dataclass
class Written:
    """One of the texts, as far as it is written."""

    prompt: str
    seed: int
    text: str = ""
    tokens: list[int] = field(default_factory=list)
    reason: str | None = None


@router.post("", response_model=Completed, responses=STREAMS)
async def completions(asked: Completion, http: Request, here: Here, owner: Asker) -> Any:
    """Write texts that go on from prompts."""
    _require_known(asked)
    models = here.engine.models
    name = asked.model or models.default
    writer = await loaded(here, name, models.writer)
    if writer is None:
        raise Refusal(404, f"The model '{name}' has no language model.", "model", "model_not_found")
    texts = [Written(*each) for each in writer.asked(_prompts(asked, writer), asked.n or 1, asked.seed)]
    if len(texts) > MOST_TEXTS:
        raise Refusal(400, f"At most {MOST_TEXTS} texts are written in one call, not {len(texts)}.", "n", "too_many")
    head: dict[str, Any] = {"id": f"cmpl-{secrets.token_urlsafe(16)}", "created": int(time.time()), "model": name}
    begun = await run_in_threadpool(_begun, writer, asked, texts)
    pieces = here.desk.each(owner, lambda: _noted(begun, texts))
    if asked.stream:
        return EventStream(_streamed(here, writer, asked, texts, head, pieces))
    await awaited(_drained(pieces), here, http, "The text", "The server stops; ask again when it is back.")
    choices = await run_in_threadpool(_choices, writer, asked, texts)
    return Completed(**head, choices=choices, usage=_usage(writer, texts))


async def _drained(pieces: AsyncGenerator[Piece, None]) -> None:
    """Have everything written."""
    async with aclosing(pieces):
        async for _ in pieces:
            pass


async def _streamed(
    here: Serving,
    writer: LanguageModel,
    asked: Completion,
    texts: list[Written],
    head: dict[str, Any],
    pieces: AsyncGenerator[Piece, None],
) -> AsyncGenerator[str, None]:
    try:
        if asked.echo:
            for index, text in enumerate(texts):
                yield _chunk(head, Choice(text=text.prompt, index=index, finish_reason=None))
        async with aclosing(pieces):
            async for piece in pieces:
                reason = _reason(piece.reason) if piece.reason else None
                yield _chunk(head, Choice(text=piece.text, index=piece.row, finish_reason=reason))
        if (asked.stream_options or {}).get("include_usage"):
            yield event(Completed(**head, choices=[], usage=_usage(writer, texts)).model_dump())
    except Exception as error:
        yield event(failed(here, error))
    yield event("[DONE]")


def _chunk(head: dict[str, Any], choice: Choice) -> str:
    return event(Completed(**head, choices=[choice]).model_dump())


def _begun(writer: LanguageModel, asked: Completion, texts: list[Written]) -> Iterator[Piece]:
    """What is to be written, when somebody asks for it; what cannot be is refused now, while there is no answer yet."""
    from sfumato.pipelines.language.choosing import Sampling

    most = TOKENS if asked.max_tokens is None else asked.max_tokens
    if most == 0:
        return iter(())
    chosen = {name: value for name in SAMPLING if (value := getattr(asked, name)) is not None}
    stop = [asked.stop] if isinstance(asked.stop, str) else asked.stop or []
    pairs = [(text.prompt, text.seed) for text in texts]
    return writer.stream(pairs, tokens=most, sampling=Sampling(**chosen), stop=stop)


def _noted(pieces: Iterator[Piece], texts: list[Written]) -> Iterator[Piece]:
    """The same, and what was written is noted in `texts`."""
    for piece in pieces:
        text = texts[piece.row]
        text.text += piece.text
        text.tokens.append(piece.token)
        text.reason = piece.reason
        yield piece


SAMPLING = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")


def _choices(writer: LanguageModel, asked: Completion, texts: list[Written]) -> list[Choice]:
    return [_choice(writer, asked, text, index) for index, text in enumerate(texts)]


def _choice(writer: LanguageModel, asked: Completion, text: Written, index: int) -> Choice:
    said = text.prompt + text.text if asked.echo else text.text
    choice = Choice(text=said, index=index, finish_reason=_reason(text.reason))
    if asked.logprobs is not None:
        from sfumato.server.openai.likelihood import likelihood

        begun = writer.tokenizer.encode(text.prompt)
        ids = [*begun, *text.tokens]
        if not ids:
            return choice
        if len(ids) > writer.network.config.positions:
            raise Refusal(400, "The text is longer than this model reads.", "max_tokens", "context_length_exceeded")
        choice.logprobs = likelihood(writer, ids, 0 if asked.echo else len(begun), asked.logprobs)
    return choice


def _reason(reason: str | None) -> Any:
    return "stop" if reason in ("end", "stop") else "length"


def _usage(writer: LanguageModel, texts: list[Written]) -> Usage:
    read = sum(len(writer.tokenizer.encode(prompt)) for prompt in {text.prompt for text in texts})
    written = sum(len(text.tokens) for text in texts)
    return Usage(prompt_tokens=read, completion_tokens=written, total_tokens=read + written)


def _prompts(asked: Completion, writer: LanguageModel) -> list[str]:
    """The prompts as texts, also those that came as numbers of tokens."""
    prompt: Any = asked.prompt
    if isinstance(prompt, str):
        return [prompt]
    if isinstance(prompt[0], int):
        prompt = [prompt]
    if isinstance(prompt[0], str):
        return list(prompt)
    most = writer.tokenizer.vocab_size
    if any(number >= most for numbers in prompt for number in numbers):
        raise Refusal(400, f"This model has the tokens 0 to {most - 1}.", "prompt", "invalid_value")
    return [writer.tokenizer.decode(numbers) for numbers in prompt]


def _require_known(asked: Completion) -> None:
    refused = {
        "suffix": bool(asked.suffix),
        "logit_bias": bool(asked.logit_bias),
        "frequency_penalty": bool(asked.frequency_penalty),
        "presence_penalty": bool(asked.presence_penalty),
        "best_of": asked.best_of not in (None, asked.n or 1),
        "stop": asked.stop == "" or (isinstance(asked.stop, list) and "" in asked.stop),
        "logprobs": bool(asked.stream) and asked.logprobs is not None,
    }
    for name, is_asked in refused.items():
        if is_asked:
            raise Refusal(400, f"{name} is not followed here in this way.", name, "unsupported_parameter")
