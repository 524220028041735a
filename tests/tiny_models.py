"""Tiny random models of every family, made by the reference libraries: what their users would download, but small."""

from __future__ import annotations

import diffusers
import tokenizers
import torch
import transformers
from safetensors.torch import save_file
from tokenizers import models, pre_tokenizers, processors

from sfumato.data.tokens import Tokenizer
from sfumato.networks.ip_adapter import ImageProjection, Resampler

WORDS = ["a photo of a cat", "a red panda on a bicycle", "blurry, low quality", "an oil painting of the sea at night"]


def clip_tokenizer(folder):
    """CLIP's tokenizer, trained on a few words."""
    Tokenizer.train(WORDS, vocab_size=560).save(folder / "made_tokenizer")
    return transformers.CLIPTokenizer.from_pretrained(folder / "made_tokenizer")


def t5_tokenizer():
    pieces = sorted({letter for text in WORDS for letter in text.replace(" ", "▁")} | {"▁cat", "▁photo", "▁of"})
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -20.0), *((piece, -float(len(piece))) for piece in pieces)]
    model = tokenizers.Tokenizer(models.Unigram(vocabulary, unk_id=2))
    model.pre_tokenizer = pre_tokenizers.Metaspace()
    model.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=model, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=512
    )


def clip(tokenizer, *, width=32, layers=3, act="quick_gelu", project=None):
    """A text encoder of CLIP; `project` is the width of its projection, None for one without."""
    torch.manual_seed(width + layers)
    config = transformers.CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=37,
        num_hidden_layers=layers,
        num_attention_heads=4,
        hidden_act=act,
        projection_dim=project or 32,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    kind = transformers.CLIPTextModelWithProjection if project else transformers.CLIPTextModel
    return randomised(kind(config))


def t5(tokenizer, width=32):
    config = transformers.T5Config(
        vocab_size=len(tokenizer),
        d_model=width,
        d_kv=8,
        d_ff=48,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
    )
    return randomised(transformers.T5EncoderModel(config))


def vae(latents=4, **more):
    torch.manual_seed(1)
    settings = {
        "block_out_channels": (8, 16),
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
        "latent_channels": latents,
        "norm_num_groups": 4,
        "sample_size": 32,
    }
    return randomised(diffusers.AutoencoderKL(**settings | more))


def unet(**more):
    torch.manual_seed(2)
    settings = {
        "block_out_channels": (12, 24),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "cross_attention_dim": 32,
        "attention_head_dim": 4,
        "sample_size": 16,
    }
    return randomised(diffusers.UNet2DConditionModel(**settings | more))


def randomised(network):
    """The network with every parameter drawn anew, so that none that begins at zero hides a mistake."""
    generator = torch.Generator().manual_seed(sum(p.numel() for p in network.parameters()))
    with torch.no_grad():
        for parameter in network.parameters():
            scale = 0.3 / max(1, parameter[0].numel()) ** 0.5 if parameter.ndim > 1 else 0.1
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale * 2 + (parameter.ndim == 1) * 0.5)
    return network.eval()


def stable(folder, **more):
    """Stable Diffusion 1: one text encoder, noise predicted."""
    tokenizer = clip_tokenizer(folder)
    settings = {
        "vae": vae(),
        "text_encoder": clip(tokenizer),
        "tokenizer": tokenizer,
        "unet": unet(),
        "scheduler": diffusers.DDIMScheduler(
            beta_schedule="scaled_linear",
            beta_start=0.00085,
            beta_end=0.012,
            timestep_spacing="trailing",
            clip_sample=False,
        ),
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    }
    return diffusers.StableDiffusionPipeline(**settings | more)


def deep(**more):
    """What makes a U-Net of three levels of odd widths; latents of 16 x 12 end at an odd size."""
    settings = {
        "block_out_channels": (12, 20, 28),
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D", "CrossAttnUpBlock2D"),
        "layers_per_block": 2,
        "attention_head_dim": (3, 5, 7),
    }
    return settings | more


def stable_deep(folder):
    """Stable Diffusion 1 of other widths: three levels, a deeper autoencoder, a wider text encoder."""
    tokenizer = clip_tokenizer(folder)
    return stable(
        folder,
        vae=vae(block_out_channels=(6, 10), layers_per_block=2, norm_num_groups=2),
        text_encoder=clip(tokenizer, width=44, layers=4),
        unet=unet(**deep(cross_attention_dim=44, use_linear_projection=True)),
    )


def stable_2_base(folder):
    """Stable Diffusion 2 base: noise predicted, with levels of other depths."""
    tokenizer = clip_tokenizer(folder)
    return stable(
        folder,
        text_encoder=clip(tokenizer, width=40, layers=3, act="gelu"),
        unet=unet(**deep(cross_attention_dim=40, use_linear_projection=True, layers_per_block=(1, 2, 1))),
    )


def stable_2(folder):
    """Stable Diffusion 2.1 with zero terminal SNR: OpenCLIP's activation, linear projections, v predicted."""
    tokenizer = clip_tokenizer(folder)
    return stable(
        folder,
        text_encoder=clip(tokenizer, width=40, layers=2, act="gelu"),
        unet=unet(cross_attention_dim=40, use_linear_projection=True, attention_head_dim=(2, 4), upcast_attention=True),
        scheduler=diffusers.DDIMScheduler(
            beta_schedule="scaled_linear",
            beta_start=0.00085,
            beta_end=0.012,
            prediction_type="v_prediction",
            rescale_betas_zero_snr=True,
            clip_sample=False,
            timestep_spacing="trailing",
        ),
    )


def xl(folder, **more):
    """Stable Diffusion XL: two text encoders, and the size of the picture."""
    tokenizer = clip_tokenizer(folder)
    settings = {
        "cross_attention_dim": 56,
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 6,
        "projection_class_embeddings_input_dim": 6 * 6 + 20,
        "transformer_layers_per_block": (1, 2),
    }
    return diffusers.StableDiffusionXLPipeline(
        vae=vae(),
        text_encoder=clip(tokenizer),
        text_encoder_2=clip(tokenizer, width=24, act="gelu", project=20),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet(**settings | more),
        scheduler=diffusers.EulerDiscreteScheduler(
            beta_schedule="scaled_linear",
            beta_start=0.00085,
            beta_end=0.012,
            timestep_spacing="leading",
            steps_offset=1,
        ),
    )


def xl_deep(folder):
    """Stable Diffusion XL of three levels, of which the first has no attention, as the published one."""
    down, up = ("DownBlock2D", *("CrossAttnDownBlock2D",) * 2), (*("CrossAttnUpBlock2D",) * 2, "UpBlock2D")
    return xl(
        folder,
        **deep(
            down_block_types=down,
            up_block_types=up,
            transformer_layers_per_block=(1, 2, 3),
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + 20,
        ),
    )


def refiner(folder, **more):
    """The refiner of Stable Diffusion XL: one text encoder, and how beautiful the picture is."""
    tokenizer = clip_tokenizer(folder)
    settings = {
        "cross_attention_dim": 24,
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 6,
        "projection_class_embeddings_input_dim": 5 * 6 + 20,
    }
    return diffusers.StableDiffusionXLImg2ImgPipeline(
        vae=vae(),
        text_encoder=None,
        text_encoder_2=clip(tokenizer, width=24, act="gelu", project=20),
        tokenizer=None,
        tokenizer_2=tokenizer,
        unet=unet(**settings | more),
        scheduler=xl(folder).scheduler,
        requires_aesthetics_score=True,
        force_zeros_for_empty_prompt=False,
    )


def refiner_deep(folder):
    return refiner(folder, **deep(transformer_layers_per_block=(2, 1, 1)))


def inpaint(folder, **more):
    """Stable Diffusion for inpainting: nine channels, of them a mask and what it leaves of the picture."""
    parts = stable(folder).components
    return diffusers.StableDiffusionInpaintPipeline(
        **parts | {"unet": unet(in_channels=9, **more)}, requires_safety_checker=False
    )


def inpaint_deep(folder):
    return inpaint(folder, **deep())


def upscale(folder, **more):
    """The upscaler by four: it sees the small picture and how noisy that is."""
    parts = stable_2(folder).components
    parts.pop("image_encoder")
    return diffusers.StableDiffusionUpscalePipeline(
        **parts
        | {
            "vae": vae(block_out_channels=(8, 8, 16), down_block_types=("DownEncoderBlock2D",) * 3,
                       up_block_types=("UpDecoderBlock2D",) * 3),
            "unet": unet(in_channels=7, num_class_embeds=1000, cross_attention_dim=40, **more),
        },
        low_res_scheduler=diffusers.DDPMScheduler(beta_schedule="scaled_linear", beta_start=1e-4, beta_end=0.02),
        max_noise_level=350,
    )  # fmt: skip


def upscale_deep(folder):
    return upscale(folder, **deep(only_cross_attention=(True, True, False)))


def sd3(folder, *, with_t5=True, **more):
    """Stable Diffusion 3.5 medium: two CLIPs and, if wanted, T5; a transformer of 16 channels along a shifted flow."""
    tokenizer, t5_words = clip_tokenizer(folder), t5_tokenizer()
    settings = {
        "sample_size": 16,
        "patch_size": 2,
        "in_channels": 16,
        "out_channels": 16,
        "num_layers": 2,
        "attention_head_dim": 8,
        "num_attention_heads": 4,
        "caption_projection_dim": 32,
        "joint_attention_dim": 48,
        "pooled_projection_dim": 40,
        "pos_embed_max_size": 24,
        "qk_norm": "rms_norm",
        "dual_attention_layers": (0,),
    }
    torch.manual_seed(4)
    return diffusers.StableDiffusion3Pipeline(
        vae=vae(16, use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.06, scaling_factor=1.5),
        text_encoder=clip(tokenizer, width=16, project=16),
        text_encoder_2=clip(tokenizer, width=24, act="gelu", project=24),
        text_encoder_3=t5(t5_words, 48) if with_t5 else None,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        tokenizer_3=t5_words if with_t5 else None,
        transformer=randomised(diffusers.SD3Transformer2DModel(**settings | more)),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
    )


def sd3_medium(folder):
    """Stable Diffusion 3 medium: queries and keys as they are, one attention a layer."""
    heads = {"num_attention_heads": 3, "attention_head_dim": 12, "caption_projection_dim": 36}
    return sd3(folder, **heads, num_layers=3, qk_norm=None, dual_attention_layers=(), pos_embed_max_size=17)


def sd3_large(folder):
    """Stable Diffusion 3.5 large: queries and keys are normalised, one attention a layer."""
    return sd3(folder, dual_attention_layers=(), num_layers=1, num_attention_heads=5, caption_projection_dim=40)


def flux(folder, *, dev=True, **more):
    """FLUX.1: T5's states and CLIP's vector; dev is told the scale of its guidance, schnell knows none."""
    tokenizer, t5_words = clip_tokenizer(folder), t5_tokenizer()
    settings = {
        "in_channels": 64,
        "num_layers": 1,
        "num_single_layers": 2,
        "attention_head_dim": 16,
        "num_attention_heads": 2,
        "joint_attention_dim": 48,
        "pooled_projection_dim": 16,
        "guidance_embeds": dev,
        "axes_dims_rope": (4, 6, 6),
    }
    torch.manual_seed(5)
    return diffusers.FluxPipeline(
        vae=vae(16, use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.1, scaling_factor=0.4),
        text_encoder=clip(tokenizer, width=16),
        text_encoder_2=t5(t5_words, 48),
        tokenizer=tokenizer,
        tokenizer_2=t5_words,
        transformer=randomised(diffusers.FluxTransformer2DModel(**settings | more)),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True)
        if dev
        else diffusers.FlowMatchEulerDiscreteScheduler(shift=1.0),
    )


def flux_schnell(folder):
    return flux(folder, dev=False)


def flux_deep(folder, *, dev=True):
    heads = {"num_attention_heads": 3, "attention_head_dim": 12, "axes_dims_rope": (2, 4, 6)}
    return flux(folder, dev=dev, **heads, num_layers=3, num_single_layers=1)


def flux_schnell_deep(folder):
    return flux_deep(folder, dev=False)


def sd3_without_t5(folder):
    return sd3(folder, with_t5=False)


def pixart(folder, *, kind=diffusers.PixArtSigmaPipeline, **more):
    """PixArt: T5 alone; the words beyond the prompt are hidden."""
    t5_words = t5_tokenizer()
    torch.manual_seed(6)
    settings = {
        "sample_size": 16,
        "num_layers": 2,
        "attention_head_dim": 12,
        "num_attention_heads": 3,
        "cross_attention_dim": 36,
        "caption_channels": 48,
        "in_channels": 4,
        "out_channels": 8,
    }
    return kind(
        tokenizer=t5_words,
        text_encoder=t5(t5_words, 48),
        vae=vae(),
        transformer=randomised(diffusers.PixArtTransformer2DModel(**settings | more)),
        scheduler=diffusers.DDIMScheduler(timestep_spacing="trailing", clip_sample=False),
    )


def pixart_alpha(folder):
    return pixart(folder, kind=diffusers.PixArtAlphaPipeline, sample_size=128, use_additional_conditions=True)


def pixart_deep(folder):
    """PixArt of odd widths, made for larger pictures, whose places are told apart more finely."""
    heads = {"num_attention_heads": 5, "attention_head_dim": 8, "cross_attention_dim": 40}
    return pixart(folder, **heads, num_layers=3, sample_size=32, interpolation_scale=2)


def pixart_alpha_512(folder):
    """PixArt-alpha for pictures of 512 pixels, which is not told their size."""
    return pixart(folder, kind=diffusers.PixArtAlphaPipeline, sample_size=64, num_layers=3)


def lcm(folder):
    """A latent consistency model: told the scale of its guidance, and where each step's path ends."""
    parts = stable(folder).components
    scheduler = diffusers.LCMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    more = {"unet": unet(time_cond_proj_dim=24), "scheduler": scheduler}
    return diffusers.LatentConsistencyModelPipeline(**parts | more, requires_safety_checker=False)


def doubler(folder, **more):
    """The latent upscaler by two: a U-Net of k-diffusion, which sees small latents beside the noisy ones."""
    tokenizer = clip_tokenizer(folder)
    down = ("KDownBlock2D", "KCrossAttnDownBlock2D", "KCrossAttnDownBlock2D")
    network = unet(
        in_channels=8,
        out_channels=5,
        block_out_channels=(32, 64, 64),
        down_block_types=down,
        up_block_types=("KCrossAttnUpBlock2D", "KCrossAttnUpBlock2D", "KUpBlock2D"),
        mid_block_type=None,
        norm_num_groups=None,
        attention_head_dim=16,
        conv_in_kernel=1,
        conv_out_kernel=1,
        act_fn="gelu",
        resnet_time_scale_shift="scale_shift",
        time_embedding_type="fourier",
        timestep_post_act="gelu",
        cross_attention_norm="layer_norm",
        time_cond_proj_dim=128 + 32,
        **more,
    )
    return diffusers.StableDiffusionLatentUpscalePipeline(
        vae=vae(),
        text_encoder=clip(tokenizer),
        tokenizer=tokenizer,
        unet=network,
        scheduler=diffusers.EulerDiscreteScheduler(
            beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, prediction_type="original_sample"
        ),
    )


def doubler_deep(folder):
    return doubler(folder, layers_per_block=2)


def controlnet(unet, **more):
    """A ControlNet for a U-Net, whose latents are two pixels a side."""
    settings = {"conditioning_embedding_out_channels": (4, 6), "load_weights_from_unet": False}
    return randomised(diffusers.ControlNetModel.from_unet(unet, **settings | more))


def t2i_adapter(**more):
    torch.manual_seed(4)
    settings = {"channels": (12, 24), "num_res_blocks": 1, "downscale_factor": 2, "adapter_type": "full_adapter"}
    return randomised(diffusers.T2IAdapter(**settings | more))


def image_encoder(width=24, project=20):
    config = transformers.CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=37,
        num_hidden_layers=3,
        num_attention_heads=4,
        image_size=28,
        patch_size=7,
        projection_dim=project,
    )
    return randomised(transformers.CLIPVisionModelWithProjection(config))


def ip_adapter(path, unet, kind="base", seed=5):
    """A file in the official layout for an `image_encoder`: of a vector ("base"), or of states ("plus")."""
    words = unet.config.cross_attention_dim
    torch.manual_seed(seed)
    projection = (
        ImageProjection(20, 4, words) if kind == "base" else Resampler(24, 5, words, inner=16, heads=1, layers=4)
    )
    tensors = {f"image_proj.{name}": tensor for name, tensor in randomised(projection).state_dict().items()}
    names = [name for name in unet.attn_processors if "attn2" in name]
    widths = [unet.get_submodule(name.removesuffix(".processor")).to_k.out_features for name in names]
    for number, width in enumerate(widths):
        for each in ("k", "v"):
            tensors[f"ip_adapter.{2 * number + 1}.to_{each}_ip.weight"] = torch.randn(width, words) * 0.4
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return path
