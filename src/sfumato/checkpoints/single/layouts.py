"""The layouts: which parts a family's single file holds, under which prefixes, and what its files leave unsaid."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sfumato.checkpoints.single import mmdit, text, unet, vae
from sfumato.checkpoints.single.renaming import Entry, View


class Kind(NamedTuple):
    """One way to write a part down."""

    mark: str  # a name by which it is known
    config: Callable[[View], dict[str, Any]]
    table: Callable[[Mapping[str, Any]], list[Entry]]
    unread: str = r"$^"  # a pattern of names that stand there and that no network reads
    identity: str = ""  # a name of ours whose absence means the identity matrix


CLIP_UNREAD = r"(text_model\.)?embeddings\.position_ids$|logit_scale$"  # positions are 0, 1, 2, ...
OPEN_UNREAD = r"logit_scale$|attn_mask$"
T5_UNREAD = r"encoder\.embed_tokens\.weight$|decoder\.|lm_head\."  # the first is shared.weight again

UNET = Kind("input_blocks.0.0.weight", unet.config, unet.table)
SD3 = Kind("joint_blocks.0.context_block.adaLN_modulation.1.weight", mmdit.sd3_config, mmdit.sd3_table)
FLUX = Kind("double_blocks.0.img_attn.norm.query_norm.scale", mmdit.flux_config, mmdit.flux_table)
VAE = Kind("decoder.conv_in.weight", vae.config, vae.table, r"model_ema\.|loss\.")
CLIP = Kind(
    "text_model.embeddings.token_embedding.weight",
    text.clip_config,
    text.clip_table,
    CLIP_UNREAD + r"|text_projection\.weight$",
)
BARE_CLIP = CLIP._replace(
    mark="embeddings.token_embedding.weight", config=text.bare_clip_config, table=text.bare_clip_table
)
PROJECTING_CLIP = CLIP._replace(
    config=text.projecting_clip_config, unread=CLIP_UNREAD, identity="text_projection.weight"
)
PROJECTING_GELU_CLIP = PROJECTING_CLIP._replace(config=text.projecting_gelu_clip_config)
OPEN_CLIP = Kind("token_embedding.weight", text.open_config, text.open_table, OPEN_UNREAD)
PENULTIMATE_CLIP = OPEN_CLIP._replace(config=text.penultimate_config, unread=OPEN_UNREAD + r"|text_projection$")
T5 = Kind("shared.weight", text.t5_config, text.t5_table, T5_UNREAD)


class Place(NamedTuple):
    """Where a part stands in a file; of several places for one part a file has one."""

    part: str  # its name in a model folder
    prefix: str
    kind: Kind


@dataclass(frozen=True)
class Layout:
    """The single file of a family: its places, and what is the same in all of them and told by no tensor."""

    name: str
    pipeline: str  # of diffusers
    places: tuple[Place, ...]
    scheduler: Mapping[str, Any]
    told: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # by part, what the shapes do not say
    pipelines: Mapping[int, str] = field(default_factory=dict)  # other pipelines by the denoiser's input channels
    augmentation: Mapping[str, Any] | None = None  # the scheduler of the noise that is put on a small picture first
    index: Mapping[str, Any] = field(default_factory=dict)  # what its `model_index.json` says besides


DENOISER = "model.diffusion_model."
FIRST_STAGE = "first_stage_model."
EMBEDDERS = "conditioner.embedders"
ENCODERS = "text_encoders"

LATENTS = Place("vae", FIRST_STAGE, VAE)
UNET_PLACES = (Place("unet", DENOISER, UNET), Place("unet", "", UNET), LATENTS, Place("vae", "vae.", VAE))

BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "num_train_timesteps": 1000}
STEPS = {"set_alpha_to_one": False, "steps_offset": 1, "clip_sample": False}

STABLE_DIFFUSION_1 = Layout(
    "Stable Diffusion 1",
    "StableDiffusionPipeline",
    (
        *UNET_PLACES,
        Place("text_encoder", "cond_stage_model.transformer.", CLIP),
        Place("text_encoder", "cond_stage_model.model.", PENULTIMATE_CLIP),
        Place("text_encoder", "cond_stage_model.transformer.", BARE_CLIP),
    ),
    {"_class_name": "PNDMScheduler", "skip_prk_steps": True, **BETAS, **STEPS, "prediction_type": "epsilon"},
    {"unet": {"sample_size": 64}, "vae": {"sample_size": 512, "scaling_factor": 0.18215}},
    {
        9: "StableDiffusionInpaintPipeline",
        8: "StableDiffusionInstructPix2PixPipeline",
        5: "StableDiffusionDepth2ImgPipeline",
    },
)
STABLE_DIFFUSION_2 = Layout(
    "Stable Diffusion 2",
    "StableDiffusionPipeline",
    STABLE_DIFFUSION_1.places,
    {"_class_name": "DDIMScheduler", **BETAS, **STEPS, "prediction_type": "epsilon"},
    {"unet": {"sample_size": 64, "upcast_attention": True}, "vae": {"sample_size": 768, "scaling_factor": 0.18215}},
    STABLE_DIFFUSION_1.pipelines,
)
UPSCALER = Layout(
    "Stable Diffusion x4 upscaler",
    "StableDiffusionUpscalePipeline",
    STABLE_DIFFUSION_2.places,
    {
        "_class_name": "DDIMScheduler",
        **BETAS,
        **STEPS,
        "beta_start": 0.0001,
        "beta_end": 0.02,
        "prediction_type": "v_prediction",
    },
    {"unet": {"sample_size": 128}, "vae": {"sample_size": 256, "scaling_factor": 0.08333}},
    augmentation={"_class_name": "DDPMScheduler", **BETAS, "beta_start": 0.0001, "beta_end": 0.02, "clip_sample": True},
)
STABLE_DIFFUSION_XL = Layout(
    "Stable Diffusion XL",
    "StableDiffusionXLPipeline",
    (
        *UNET_PLACES,
        Place("text_encoder", f"{EMBEDDERS}.0.transformer.", CLIP),
        Place("text_encoder_2", f"{EMBEDDERS}.1.model.", OPEN_CLIP),
    ),
    {
        "_class_name": "EulerDiscreteScheduler",
        **BETAS,
        "interpolation_type": "linear",
        "timestep_spacing": "leading",
        "steps_offset": 1,
        "prediction_type": "epsilon",
    },
    {"unet": {"sample_size": 128}, "vae": {"sample_size": 1024, "scaling_factor": 0.13025, "force_upcast": True}},
    {9: "StableDiffusionXLInpaintPipeline", 8: "StableDiffusionXLInstructPix2PixPipeline"},
    index={"force_zeros_for_empty_prompt": True},
)
REFINER = Layout(
    "Stable Diffusion XL refiner",
    "StableDiffusionXLImg2ImgPipeline",
    (*UNET_PLACES, Place("text_encoder_2", f"{EMBEDDERS}.0.model.", OPEN_CLIP)),
    STABLE_DIFFUSION_XL.scheduler,
    STABLE_DIFFUSION_XL.told,
    index={"force_zeros_for_empty_prompt": False, "requires_aesthetics_score": True},
)
STABLE_DIFFUSION_3 = Layout(
    "Stable Diffusion 3",
    "StableDiffusion3Pipeline",
    (
        Place("transformer", DENOISER, SD3),
        Place("transformer", "", SD3),
        LATENTS,
        Place("vae", "vae.", VAE),
        Place("text_encoder", f"{ENCODERS}.clip_l.transformer.", PROJECTING_CLIP),
        Place("text_encoder_2", f"{ENCODERS}.clip_g.transformer.", PROJECTING_GELU_CLIP),
        Place("text_encoder_3", f"{ENCODERS}.t5xxl.transformer.", T5),
    ),
    {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": 3.0},
    {"vae": {"sample_size": 1024, "scaling_factor": 1.5305, "shift_factor": 0.0609}},
)
FLUX_1 = Layout(
    "FLUX.1",
    "FluxPipeline",
    (
        Place("transformer", DENOISER, FLUX),
        Place("transformer", "", FLUX),
        Place("vae", "vae.", VAE),
        LATENTS,
        Place("text_encoder", f"{ENCODERS}.clip_l.transformer.", CLIP),
        Place("text_encoder_2", f"{ENCODERS}.t5xxl.transformer.", T5),
    ),
    {
        "_class_name": "FlowMatchEulerDiscreteScheduler",
        "num_train_timesteps": 1000,
        "use_dynamic_shifting": True,
        "base_shift": 0.5,
        "max_shift": 1.15,
        "base_image_seq_len": 256,
        "max_image_seq_len": 4096,
    },
    {"vae": {"sample_size": 1024, "scaling_factor": 0.3611, "shift_factor": 0.1159}},
    {384: "FluxFillPipeline", 128: "FluxControlPipeline"},
)
SCHNELL = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": 1.0}


def layout(denoiser: Mapping[str, Any]) -> Layout:
    """The layout of a model with this denoiser, by what its configuration says."""
    if denoiser["_class_name"] == "SD3Transformer2DModel":
        return STABLE_DIFFUSION_3
    if denoiser["_class_name"] == "FluxTransformer2DModel":
        return FLUX_1
    if denoiser.get("addition_embed_type"):
        return REFINER if denoiser["cross_attention_dim"] == unet.XL_WIDTHS[1] else STABLE_DIFFUSION_XL
    if denoiser.get("num_class_embeds"):
        return UPSCALER
    return STABLE_DIFFUSION_2 if denoiser["use_linear_projection"] else STABLE_DIFFUSION_1


SINGLE = ("UNet2DConditionModel", "SD3Transformer2DModel", "FluxTransformer2DModel")
"""The denoisers for which there is a layout."""
