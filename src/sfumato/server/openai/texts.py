"""What calls for texts ask and are answered, in OpenAI's words."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

MOST_PROMPTS = 16
MOST_TEXTS = 16  # of all prompts together
MOST_TOKENS = 4096
LONGEST = 100_000  # characters of a prompt

Token = Annotated[int, Field(ge=0, lt=2**31)]
Line = Annotated[str, Field(max_length=LONGEST)]
Tokens = Annotated[list[Token], Field(min_length=1, max_length=LONGEST)]


class Completion(BaseModel):
    """A call of /v1/completions."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, protected_namespaces=())

    model: str | None = Field(None, description="A model of /v1/models that has a language model.")
    prompt: (
        Line
        | Annotated[list[Line], Field(min_length=1, max_length=MOST_PROMPTS)]
        | Tokens
        | Annotated[list[Tokens], Field(min_length=1, max_length=MOST_PROMPTS)]
    ) = Field("", description="What the text goes on from: texts, or numbers of tokens.")
    max_tokens: int | None = Field(None, ge=0, le=MOST_TOKENS, description="16 if left out; 0 with echo and logprobs.")
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    n: int | None = Field(None, ge=1, le=MOST_TEXTS, description="Texts for each prompt.")
    stop: Line | Annotated[list[Line], Field(max_length=4)] | None = Field(None, description="Strings that end a text.")
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    logprobs: int | None = Field(None, ge=0, le=5, description="How many of the likeliest tokens to tell.")
    echo: bool | None = Field(None, description="Whether the prompt comes too.")
    seed: int | None = Field(None, ge=-(2**62), lt=2**62, description="Of the first text.")
    best_of: int | None = Field(None, description="Refused, unless it is n.")
    suffix: str | None = Field(None, description="Refused.")
    logit_bias: dict[str, float] | None = Field(None, description="Refused, unless it is empty.")
    frequency_penalty: float | None = Field(None, description="Refused, unless it is 0; see repetition_penalty.")
    presence_penalty: float | None = Field(None, description="Refused, unless it is 0; see repetition_penalty.")
    user: str | None = Field(None, description="Not looked at, not stored.")
    top_k: int | None = Field(None, ge=1, description="Ours: choose among so many of the likeliest tokens.")
    min_p: float | None = Field(None, ge=0, le=1, description="Ours: leave out what is less likely than this part.")
    repetition_penalty: float | None = Field(None, ge=0.01, le=100, description="Ours: above 1, less of what was said.")


class Logprobs(BaseModel):
    """How probable the tokens of a text are, in nats."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None] | None
    text_offset: list[int]


class Choice(BaseModel):
    """A text, or the next piece of one."""

    text: str
    index: int
    logprobs: Logprobs | None = None
    finish_reason: Literal["stop", "length"] | None


class Usage(BaseModel):
    """How many tokens were read and written."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Completed(BaseModel):
    """The answer to a call for texts."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage | None = None
