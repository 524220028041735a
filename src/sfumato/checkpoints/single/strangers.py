"""What a file seems to be that is no whole model in a known layout, and what to do with it."""

from __future__ import annotations

import re
from collections.abc import Collection

# what it seems to be, the pattern of a name that says so, and what to do; the first that fits is told
STRANGERS = (
    (
        "a LoRA",
        r"lora_(up|down|A|B)\b|\.lora\.|\.(hada|lokr)_|^lora_|\.dora_scale$",
        "give it as --lora beside the model that it changes",
    ),
    ("a ControlNet", r"^control_model\.|^controlnet_|(^|\.)input_hint_block\.", "give it beside a model"),
    ("an IP-adapter", r"^(image_proj|ip_adapter)\.", "give it beside a model, as an adapter"),
    ("a T2I-adapter", r"^(adapter\.)?body\.\d+\.(block1|resnets)", "give it beside a model, as an adapter"),
    (
        "a textual inversion",
        r"^(emb_params|clip_[lg]|string_to_param.*|<.*>)$",
        "give it as --embedding beside a model",
    ),
    ("Chroma", r"distilled_guidance_layer\.", "this kind of model is not supported"),
    ("FLUX.2", r"(double_stream_modulation_img|single_stream_modulation)\.", "this kind of model is not supported"),
    ("Stable Cascade", r"^clip_txt_mapper\.|^down_blocks\.\d+\.\d+\.channelwise\.", "this kind is not supported"),
    ("Playground 2.5", r"^edm_(mean|std)$", "its latents' mean and spread per channel are not supported"),
    ("Stable Diffusion 2 unCLIP", r"^noise_augmentor\.", "it starts from a picture's vector, which is not supported"),
    (
        "a quantised model",
        r"\.(scale_weight|weight_scale|comfy_quant|absmax|quant_map|qweight)$|(^|\.)scaled_fp8$",
        "give the file in bf16, fp16, fp32 or plain fp8",
    ),
    ("a video model", r"\.time_stack\.|\.temporal_|motion_modules\.", "this kind of model is not supported"),
    ("an upscaling network", r"^(params_ema\.)?(RRDB_trunk|conv_first|body\.\d+\.rdb1)", "this kind is not supported"),
    (
        "a part of a diffusers folder, its denoiser",
        r"^(down_blocks\.0\.resnets|(single_)?transformer_blocks\.0|mid_block\.)",
        "give the whole folder, with model_index.json",
    ),
    (
        "an autoencoder alone",
        r"^(first_stage_model\.|vae\.)?(encoder\.(down|mid|down_blocks)\.|decoder\.(up|mid|up_blocks)\.)",
        "give it as --vae beside a model",
    ),
    (
        "a text encoder alone",
        r"^(text_encoders\.\w+\.transformer\.|cond_stage_model\.\w+\.)?"
        r"(text_model\.|encoder\.block\.|shared\.weight$|(transformer\.)?resblocks\.|token_embedding\.)",
        "give the model that it belongs to; its folder may be given as --base",
    ),
)
REFUSED = ("Chroma", "FLUX.2", "Playground 2.5", "Stable Diffusion 2 unCLIP", "a quantised model", "a video model")
"""These have a denoiser that would pass for one that is known."""


def stranger(names: Collection[str], among: Collection[str] | None = None) -> tuple[str, str] | None:
    """What a file with these tensors seems to be, and what to do; None when nothing fits.

    `among` limits what it may be.
    """
    for what, pattern, advice in STRANGERS:
        if (among is None or what in among) and any(re.search(pattern, name[:300]) for name in names):
            return what, advice
    return None
