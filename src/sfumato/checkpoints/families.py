"""What kind of model a folder holds: the way it makes pictures or text, its parts, and how it hears words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from sfumato.checkpoints.files import read_json
from sfumato.errors import CheckpointError

OURS = "Sfumato"  # how the class names of models begin that diffusers has no pipeline for: SfumatoPixels


@dataclass(frozen=True)
class Family:
    """What models of one class name have in common.

    Attributes:
        way: by which way they make pictures, a name in `sfumato.pipelines.ways.WAYS`; "words" makes text,
            "captions" tells what pictures show.
        needed: the parts without which they make none.
        optional: parts that they may have besides, repeated ones among them.
        words: how prompts become conditions, a name in `sfumato.pipelines.words.READERS`; "" for none.
        side: of their pictures in pixels, where their denoiser does not say.
        guidance_scale: what their makers use; None for ours.
    """

    way: str
    needed: tuple[str, ...]
    optional: tuple[str, ...] = ()
    words: str = "clip"
    side: int = 512
    guidance_scale: float | None = None


STABLE = Family("latents", ("text_encoder", "unet", "vae"), guidance_scale=7.5)
XL = Family(
    "latents",
    ("text_encoder_2", "unet", "vae"),
    ("text_encoder",),
    words="xl",
    side=1024,
    guidance_scale=5.0,
)
LARGE = Family(
    "latents",
    ("text_encoder", "text_encoder_2", "transformer", "vae"),
    ("text_encoder_3",),
    words="sd3",
    side=1024,
    guidance_scale=7.0,
)
FLUX = Family(
    "latents",
    ("text_encoder", "text_encoder_2", "transformer", "vae"),
    words="flux",
    side=1024,
    guidance_scale=3.5,
)
DOUBLER = Family("latents", ("text_encoder", "unet", "vae"), words="doubler", side=1024, guidance_scale=9.0)
PIXART = Family("latents", ("text_encoder", "transformer", "vae"), words="pixart-sigma", side=1024, guidance_scale=4.5)

FAMILIES = {
    "StableDiffusionPipeline": STABLE,
    "StableDiffusionImg2ImgPipeline": STABLE,
    "StableDiffusionInpaintPipeline": STABLE,
    "StableDiffusionControlNetPipeline": STABLE,
    "StableDiffusionUpscalePipeline": STABLE,
    "StableDiffusionLatentUpscalePipeline": DOUBLER,
    "StableDiffusionAdapterPipeline": STABLE,
    "LatentConsistencyModelPipeline": STABLE,
    "StableDiffusionXLPipeline": XL,
    "StableDiffusionXLImg2ImgPipeline": XL,
    "StableDiffusionXLInpaintPipeline": XL,
    "StableDiffusionXLControlNetPipeline": XL,
    "StableDiffusionXLAdapterPipeline": XL,
    "StableDiffusion3Pipeline": LARGE,
    "FluxPipeline": FLUX,
    "PixArtAlphaPipeline": replace(PIXART, words="pixart-alpha"),
    "PixArtSigmaPipeline": PIXART,
    f"{OURS}Latents": Family("latents", ("text_encoder", "unet", "vae")),
    f"{OURS}LatentsTransformer": Family("latents", ("text_encoder", "transformer", "vae"), words="pooled clip"),
    f"{OURS}Pixels": Family("pixels", ("text_encoder", "unet")),
    f"{OURS}PixelsTransformer": Family("pixels", ("text_encoder", "transformer"), words="pooled clip"),
    f"{OURS}Vectors": Family("vectors", ("text_encoder", "vector_vae", "prior")),
    f"{OURS}Gradient": Family("gradient", ("classifier",)),
    f"{OURS}Cold": Family("cold", ("text_encoder", "restorer")),
    f"{OURS}Captions": Family("captions", ("captioner",), words=""),
    f"{OURS}Words": Family("words", ("language_model",), words=""),
}


def family_of(folder: Path) -> Family:
    """What kind of model a folder holds, as its `model_index.json` says.

    Raises CheckpointError for a class name that is not known here, naming those that are.
    """
    path = folder / "model_index.json"
    return family_named(read_json(path).get("_class_name"), path)


def family_named(name: object, where: Path) -> Family:
    """The family of a class name that the file `where` says; CheckpointError for one that is not known here."""
    if not isinstance(name, str) or name not in FAMILIES:
        raise CheckpointError(f"{where} is of a {name!r:.100}; known here: {', '.join(FAMILIES)}.")
    return FAMILIES[name]
