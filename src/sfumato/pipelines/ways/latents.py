"""Tokens -> text encoder -> the sampling loop -> autoencoder, if there is one -> picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from math import isqrt
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from sfumato.diffusion.experts import experts
from sfumato.diffusion.levels import Level
from sfumato.diffusion.noise import per_sample_noise
from sfumato.diffusion.parameterisation import Denoise
from sfumato.diffusion.sampling import State, sample
from sfumato.diffusion.solvers.consistency import with_boundary
from sfumato.errors import CheckpointError, PromptError
from sfumato.networks.flux import FluxTransformer
from sfumato.networks.unet import UNet
from sfumato.pipelines.attachments import Attachments
from sfumato.pipelines.autoencoding import pictures_of
from sfumato.pipelines.beginning import begun, kept, looking, pictured, sees
from sfumato.pipelines.changing import changing
from sfumato.pipelines.condition import Condition
from sfumato.pipelines.denoising import asked_for
from sfumato.pipelines.editing import EDITING
from sfumato.pipelines.likeness import Likeness, likeness
from sfumato.pipelines.looking import guides_itself
from sfumato.pipelines.model import Model
from sfumato.pipelines.request import GUIDED, VARYING, Request
from sfumato.pipelines.steps import levels as levels_of
from sfumato.pipelines.steps import settled
from sfumato.pipelines.ways.way import Batch, Painting
from sfumato.pipelines.words import WITHOUT_LAYERS, Branches, Reading, alike, branches_of, condition_of


class Latents:
    """A denoiser steered by words: of latents, of which the autoencoder makes pictures, or of patches of pixels."""

    takes: frozenset[str] = frozenset(
        {
            "solver", "eta", "spacing", "times", "prompt_syntax", "clip_skip", "control", "like", "tiles",
            "regions", *GUIDED, *EDITING, *VARYING,
        }
    )  # fmt: skip

    def __init__(self, model: Model) -> None:
        self.model = model
        if model.family.words in WITHOUT_LAYERS:
            self.takes = self.takes - {"clip_skip"}
        sees(model)  # or refuse it at once
        if self.base_size < 1:
            raise CheckpointError(f"{model.folder}: the sample_size of the denoiser should be above 0.")
        self.attachments = Attachments(model, self.factor)
        if len(model.denoisers) != len(model.diffusion.experts) + 1:
            raise CheckpointError(
                f"{model.folder} has {len(model.denoisers)} denoiser(s), but its scheduler names "
                f"{len(model.diffusion.experts)} time(s) at which one hands over to the next."
            )

    @property
    def factor(self) -> int:
        """How many pixels a side each place of the denoiser's maps stands for."""
        if self.model.way == "pixels":
            return isqrt(self.channels // 3)
        return self.model.vae.factor

    @property
    def base_size(self) -> int:
        side = getattr(self.model.unet.config, "sample_size", None)
        if side is None:
            return self.model.family.side
        return (side if isinstance(side, int) else side[0]) * self.factor

    @property
    def usual(self) -> dict[str, Any]:
        """The settings that the model's makers use, where nothing else is asked for."""
        model = self.model
        if model.diffusion.distilled:
            return {"solver": "lcm", "num_inference_steps": 4, "guidance_scale": 8.5}
        if isinstance(model.unet, FluxTransformer) and not guides_itself(model.unet) and not model.ours:
            return {"num_inference_steps": 4, "guidance_scale": 1.0}
        scale = None if model.ours else model.family.guidance_scale
        return {} if scale is None else {"guidance_scale": scale}

    @property
    def unit(self) -> int:
        network = self.model.unet
        return self.factor * (1 if isinstance(network, UNet) else network.config.factor)  # U-Nets halve any size

    @property
    def channels(self) -> int:
        """Of the latents, or of the patches of pixels; a denoiser may see others beside them."""
        return self.model.sample_channels if self.model.way == "pixels" else self.model.vae.config.latent_channels

    def size_of(self, picture: Image.Image, upsampling: int) -> tuple[int, int]:
        """Width and height of the small picture that is made of one that is given: in the end that will be its own.

        A model that enlarges what it is given makes it so many times larger.
        """
        times = {"small": self.factor, "latents": 2}.get(sees(self.model), 1)
        unit = self.unit
        width, height = (max(unit, side * times // (upsampling * unit) * unit) for side in picture.size)
        return width, height

    def paint(self, batch: Batch) -> Iterator[Painting]:
        passes = batch.pictures_a_pass
        for state in self._walk(batch):
            if batch.watch:
                batch.watch.stepped(state)
            shown = state.clean if state.step < state.steps else state.noisy
            yield Painting("denoise", state.step, state.steps, partial(self.decode, shown, passes, batch.plan.tiles))

    def _walk(self, batch: Batch) -> Iterator[State]:
        """The sampling of a batch; prompts of other branches are sampled apart, or one's would change others' bits."""
        groups = alike(batch.prompts, batch.plan.reading)
        some = [batch.of(places) for places in groups]
        runs = [self.denoise(self.encode(each.prompts, each), each) for each in some]
        order = torch.tensor([place for places in groups for place in places]).argsort()
        for states in zip(*runs, strict=True):
            noisy, clean = (torch.cat([getattr(each, name) for each in states])[order] for name in ("noisy", "clean"))
            yield replace(states[0], noisy=noisy, clean=clean)

    def encode(self, prompts: Sequence[str], batch: Batch | None = None, step: int = 0) -> Branches:
        """What the prompts say: the branches of them all, with their weights; each prompt is encoded by itself.

        A batch says at what size, and by whose rules the prompts are read; they may say something else at a later step.
        """
        size = (batch.height, batch.width) if batch else (self.base_size,) * 2
        reading = batch.plan.reading if batch else Reading()
        return branches_of(self.model, prompts, size, replace(reading, step=step))

    def denoise(self, branches: Branches, batch: Batch) -> Iterator[State]:
        """From pure noise, or the picture that is given, to latents, a step at a time."""
        model, plan, noise = self.model, batch.plan, per_sample_noise(batch.seeds)
        method, size = plan.method, (batch.height // self.factor, batch.width // self.factor)
        levels = levels_of(model, settled(model, plan), size)
        fresh = batch.beginning(noise)(torch.empty(len(batch.seeds), self.channels, *size, device=model.device))
        begins = plan.picture is not None and sees(model) not in ("small", "latents")
        clean = pictured(model, plan, batch.width, batch.height) if begins else None
        start, levels = begun(clean, plan, levels, fresh)
        route = method.route(levels)
        if batch.watch:
            batch.watch.began(start, route)
        denoise = self.steered(branches, batch, route, levels)
        if clean is not None and (plan.mask or plan.extend) and not sees(model):
            denoise = kept(denoise, clean, plan, batch.width, batch.height)
        return sample(denoise, start, route, noise, method.step)

    def steered(self, branches: Branches, batch: Batch, levels: Level, steps: Level | None = None) -> Denoise:
        """The denoiser, or the experts together, with the prompts of the batch, guided as it asks.

        Args:
            branches: what the prompts say at first.
            batch: what is made.
            levels: of the run.
            steps: those of them at which the prompts may change; None where they do not.
        """
        model, plan, passes = self.model, batch.plan, batch.pictures_a_pass
        if plan.guidance == "pag" and not isinstance(model.unet, UNet):
            raise PromptError(f"The denoiser of {model.name} is no U-Net, which pag needs: take another guidance.")
        decode = partial(self.decode, pictures_a_pass=passes, tiles="never")

        def asked(unet: nn.Module, said: Branches, step: int, likely: Likeness | None) -> Denoise:
            encode = partial(self._said_alone, batch, step)
            denoise = asked_for(
                unet, model.diffusion, said, encode, plan, levels, likely, passes, attached, around, batch.watch
            )
            return (
                with_boundary(denoise, model.diffusion.parameterisation.label) if model.diffusion.distilled else denoise
            )

        def said_at(step: int) -> Denoise:
            heard = self.encode(batch.prompts, batch, step) if step else branches
            said = [(seen.saying(condition), weight) for condition, weight in heard]
            reading, clip = replace(batch.plan.reading, step=step), plan.guidance == "clip"
            likely = likeness(model, batch.prompts, decode, plan.mix, passes, reading) if clip else None
            # the samples of a request stand at one level, so that an expert sees all of them or none
            steered = [asked(unet, said, step, likely) for unet in model.denoisers]
            if len(steered) == 1:
                return steered[0]
            return experts([partial(_whole, one) for one in steered], model.diffusion.handovers)

        attached = self.attachments.attached(plan, batch.width, batch.height, levels)
        low, around = per_sample_noise(batch.seeds, "small"), self._around(batch) if plan.regions else None
        seen = looking(model, branches[0][0], plan, batch.width, batch.height, low)
        if guides_itself(model.unet):
            seen, plan = self._told(seen, plan)
        if steps is None:
            return said_at(0)
        starts = [start for start in self._starts(batch) if start < len(steps) - 1]
        return changing(said_at, starts, steps) if len(starts) > 1 else said_at(0)

    def _around(self, batch: Batch) -> Float[Tensor, "b c h w"]:
        """Noise for what regions see around them."""
        size = (batch.height // self.factor, batch.width // self.factor)
        empty = torch.empty(len(batch.seeds), self.channels, *size, device=self.model.device)
        return per_sample_noise(batch.seeds, "regions")(empty)

    def _said_alone(self, batch: Batch, step: int, text: str, negative: bool) -> Condition:
        """What a text besides the prompts says to one sample."""
        reading = replace(batch.plan.reading, step=step)
        return condition_of(self.model, [text], (batch.height, batch.width), reading, negative=negative)

    def _starts(self, batch: Batch) -> list[int]:
        """The steps, from 0, at which one of the texts begins to say something else."""
        reading, others = batch.plan.reading, (batch.plan.negative_prompt, *batch.plan.texts_beside)
        starts = [*map(reading.starts, batch.prompts), *(reading.starts(text, negative=True) for text in others)]
        return sorted({start for each in starts for start in each})

    def _told(self, condition: Condition, plan: Request) -> tuple[Condition, Request]:
        """The scale told to a denoiser that guides itself, in the place of guidance."""
        if plan.guidance != "cfg" or plan.negative_prompt or plan.guidance_rescale or plan.guidance_interval:
            raise PromptError(
                f"The denoiser of {self.model.name} guides itself: it takes a guidance_scale, but no kind of guidance, "
                "negative prompt, rescale or interval."
            )
        scale = torch.full((len(condition),), float(plan.scale), device=self.model.device)
        return replace(condition, guidance=scale), replace(plan, guidance_scale=1.0)

    def decode(
        self, latents: Float[Tensor, "b c h w"], pictures_a_pass: int = 1, tiles: str = "auto"
    ) -> Float[Tensor, "b 3 h2 w2"]:
        """Latents, or patches, to pictures in about [-1, 1]; `tiles` as in a `Request`."""
        if self.model.way == "pixels":
            return F.pixel_shuffle(latents, self.factor).float()
        return pictures_of(self.model.vae, latents, pictures_a_pass, tiles)


def _whole(denoise: Denoise, rows: Tensor) -> Denoise:
    return denoise
