"""What calls of /sdapi/v1 ask and are answered. Fields that are not here are not looked at, as A1111 does."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from sfumato.server.errors import A1111Error, answers

MOST_EXTRAS = 64  # entries of a table of settings
A1111_WRONG = answers(404, 408, 409, 413, 422, 429, 500, 503, 504, 507, shape=A1111Error)
"""What may go wrong in a call."""


class Shape(BaseModel):
    """Fields by A1111's names."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False, protected_namespaces=())


class Txt2Img(Shape):
    """A call of /sdapi/v1/txt2img. What is not done here is refused, unless it is at its neutral value."""

    prompt: str | None = ""
    negative_prompt: str | None = ""
    styles: list[str] | None = None
    seed: int | None = Field(-1, ge=-1, lt=2**63, description="-1 is a random one.")
    subseed: int | None = Field(-1, ge=-1, lt=2**63, description="-1 is a random one.")
    subseed_strength: float | None = Field(0, ge=0, le=1, description="How much of the subseed's noise is mixed in.")
    sampler_name: str | None = Field(None, description="One of /sdapi/v1/samplers.")
    sampler_index: str | None = Field(None, description="The same, from old clients.")
    scheduler: str | None = Field(None, description="One of /sdapi/v1/schedulers.")
    batch_size: int | None = Field(1, ge=1, le=10_000)
    n_iter: int | None = Field(1, ge=1, le=10_000)
    steps: int | None = Field(None, ge=1, le=1000, description="The model's own number if left out.")
    cfg_scale: float | None = Field(None, description="The model's own if left out.")
    width: int | None = Field(None, ge=1, le=2**16, description="The model's own if left out.")
    height: int | None = Field(None, ge=1, le=2**16)
    restore_faces: bool | None = None
    tiling: bool | None = None
    eta: float | None = Field(None, ge=0, le=1, description="Of samplers that add noise; others leave it.")
    s_churn: float | None = None
    enable_hr: bool | None = False
    refiner_checkpoint: str | None = None
    override_settings: dict[str, Any] | None = Field(None, max_length=MOST_EXTRAS)
    script_name: str | None = None
    alwayson_scripts: dict[str, Any] | None = Field(None, max_length=MOST_EXTRAS)
    send_images: bool | None = True
    save_images: bool | None = Field(None, description="They are kept in any case.")
    denoising_strength: float | None = Field(None, ge=0, le=1)


class Img2Img(Txt2Img):
    """A call of /sdapi/v1/img2img."""

    init_images: list[str] = Field(min_length=1, max_length=1, description="One picture in base64.")
    mask: str | None = Field(None, description="White, or opaque where it has transparency, where to paint anew.")
    resize_mode: int | None = Field(0, description="0 stretches the picture, 1 cuts its middle out.")
    inpainting_mask_invert: int | None = 0
    include_init_images: bool | None = False


class Made(BaseModel):
    """The answer: pictures as PNG in base64, and how they were made."""

    images: list[str]
    parameters: dict[str, Any]
    info: str = Field(description="JSON.")


class State(BaseModel):
    """What A1111 tells of its work."""

    skipped: bool = False
    interrupted: bool = False
    stopping_generation: bool = False
    job: str = ""
    job_count: int = 0
    job_timestamp: str = "0"
    job_no: int = 0
    sampling_step: int = 0
    sampling_steps: int = 0


class Progress(BaseModel):
    """How far the caller's work is."""

    progress: float
    eta_relative: float
    state: State
    current_image: str | None = None
    textinfo: str | None = None


class PngAsked(Shape):
    """A call of /sdapi/v1/png-info."""

    image: str = Field(description="A PNG in base64.")


class PngInfo(BaseModel):
    """How a picture was made, if it says so."""

    info: str
    items: dict[str, Any]
    parameters: dict[str, Any]


class Checkpoint(BaseModel):
    """A model."""

    title: str
    model_name: str
    hash: str | None = None
    sha256: str | None = None
    filename: str
    config: str | None = None


class Sampler(BaseModel):
    """A sampler."""

    name: str
    aliases: list[str]
    options: dict[str, str]


class Scheduler(BaseModel):
    """A way to spread the steps."""

    name: str
    label: str
    aliases: list[str] | None = None
    default_rho: float = -1
    need_inner_model: bool = False


class Upscaler(BaseModel):
    """A way to enlarge."""

    name: str
    model_name: str | None = None
    model_path: str | None = None
    model_url: str | None = None
    scale: float = 1


class Options(Shape):
    """The settings of A1111 that mean something here."""

    sd_model_checkpoint: str | None = None
    CLIP_stop_at_last_layers: int | None = Field(None, ge=1, le=12)
