"""What calls for pictures ask and are answered, in OpenAI's words and some of our own."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Format = Literal["png", "jpeg", "webp"]
Quality = Literal["auto", "low", "medium", "high", "xhigh", "max", "standard", "hd"]

MOST = 10  # pictures in a call


class Shape(BaseModel):
    """Fields that are known; others are refused, as OpenAI does."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, protected_namespaces=())


class Common(Shape):
    """What generations, edits and variations share."""

    model: str | None = Field(None, description="A model of /v1/models; the server's first one if left out.")
    n: int | None = Field(None, ge=1, le=MOST, description="How many pictures, 1 if left out.")
    size: str | None = Field(None, description="WIDTHxHEIGHT in pixels, or auto: as the model was trained.")
    response_format: Literal["b64_json", "url"] | None = Field(None, description="b64_json if left out.")
    user: str | None = Field(None, description="Not looked at, not stored.")
    seed: int | None = Field(None, ge=0, lt=2**63, description="Ours: of the first picture; a random one if left out.")
    steps: int | None = Field(None, ge=1, le=1000, description="Ours: denoising steps; goes before quality.")
    guidance_scale: float | None = Field(None, description="Ours: how strongly the prompt steers; 1 is not at all.")
    solver: str | None = Field(None, description="Ours: a solver's name.")
    negative_prompt: str | None = Field(None, description="Ours: what to go away from.")
    private: bool | None = Field(None, description="Ours: the words are forgotten when the pictures are done.")


class Rendered(Common):
    """What generations and edits share."""

    prompt: str = Field(description="What the picture is to show.")
    quality: Quality | None = Field(None, description="low: half the usual steps, high or hd: twice as many.")
    background: Literal["auto", "opaque", "transparent"] | None = Field(None, description="transparent is refused.")
    output_format: Format | None = Field(None, description="png if left out.")
    output_compression: int | None = Field(None, ge=0, le=100, description="Quality of jpeg and webp, 95 if left out.")
    stream: bool | None = Field(None, description="Whether to answer with server-sent events.")
    partial_images: int | None = Field(None, ge=0, le=3, description="Previews in a stream.")
    safety_identifier: str | None = Field(None, description="Not looked at, not stored.")
    style: str | None = Field(None, description="Refused: say it in the prompt.")


class Generation(Rendered):
    """A call of /v1/images/generations."""

    moderation: Literal["low", "auto"] | None = Field(None, description="There is none.")


class Edit(Rendered):
    """The text fields of a call of /v1/images/edits."""

    strength: float | None = Field(
        None, gt=0, le=1, description="Ours: how much is new, 0.7 without a mask, else all that it marks."
    )
    input_fidelity: Literal["high", "low"] | None = Field(None, description="high: a strength of 0.5.")


class Variation(Common):
    """The text fields of a call of /v1/images/variations."""

    strength: float | None = Field(None, gt=0, le=1, description="Ours: how much is new, 0.6 if left out.")
    prompt: str | None = Field(None, description="Ours: what the picture shows.")


class Picture(BaseModel):
    """A picture in an answer: its content, or where it is."""

    b64_json: str | None = None
    url: str | None = None
    revised_prompt: str | None = None


class Pictures(BaseModel):
    """The answer to a call for pictures."""

    created: int
    data: list[Picture]
    background: Literal["opaque"] = "opaque"
    output_format: Format
    size: str
