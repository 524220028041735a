"""Tokens -> text encoder -> the sampling loop over vectors -> decoder -> picture.

A picture's vector is made first, from a random one, and then decoded: unCLIP's two steps (Ramesh et al. 2022,
section 2) with the decoder of a variational autoencoder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.diffusion.noise import per_sample_noise
from sfumato.diffusion.pull import pulled
from sfumato.diffusion.sampling import State, sample
from sfumato.diffusion.times import SPACINGS, timetable
from sfumato.errors import PromptError
from sfumato.networks.vector_autoencoder import VectorAutoencoder
from sfumato.networks.vector_denoiser import VectorDenoiser
from sfumato.pipelines.beginning import begun
from sfumato.pipelines.condition import Condition
from sfumato.pipelines.denoising import asked_for
from sfumato.pipelines.given import Given
from sfumato.pipelines.model import Model
from sfumato.pipelines.request import GUIDED, VARYING
from sfumato.pipelines.ways.way import Batch, Painting


class Vectors:
    """A denoiser of vectors, steered by the vector of the prompt, and the decoder that makes pictures of them."""

    takes = frozenset({"solver", "eta", "pull", "picture", "strength", *GUIDED, *VARYING})
    unit = None

    def __init__(self, model: Model) -> None:
        self.model = model
        self.prior: VectorDenoiser = model.part("prior")
        self.vae: VectorAutoencoder = model.part("vector_vae")

    @property
    def base_size(self) -> int:
        return self.vae.config.sample_size

    def paint(self, batch: Batch) -> Iterator[Painting]:
        if batch.plan.guidance in ("pag", "clip"):
            raise PromptError(f"The guidance {batch.plan.guidance} is for denoisers of pictures; take cfg or apg.")
        for state in self.denoise(self.encode(batch.prompts), batch):
            shown = state.clean if state.step < state.steps else state.noisy
            yield Painting("denoise", state.step, state.steps, partial(self.decode, shown, batch.pictures_a_pass))

    def encode(self, prompts: Sequence[str]) -> Condition:
        """The vectors of the prompts, of unit scale; each is encoded by itself."""
        model = self.model
        vectors = {
            text: self.vae.vector(model.text_encoder(model.tokenizer.encode([text]).to(model.device)).projected)
            for text in set(prompts)
        }
        return Condition(torch.cat([vectors[text] for text in prompts]))

    def denoise(self, prompts: Condition, batch: Batch) -> Iterator[State]:
        """From random vectors to those of pictures, a step at a time, pulled toward the prompts if asked for.

        With a guidance scale of 0 the denoiser knows nothing of the prompt and the pull alone steers. It acts while the
        direction is open in which vectors differ most, for that is what prompts tell; the rest stays free.
        """
        plan, diffusion, noise = batch.plan, self.model.diffusions["prior"], per_sample_noise(batch.seeds)
        method = plan.method
        levels = timetable(diffusion.process, plan.num_inference_steps, SPACINGS[diffusion.spacing])
        fresh = batch.beginning(noise)(torch.empty_like(prompts.states))
        start, levels = begun(None if plan.picture is None else self.seen(plan.picture), plan, levels, fresh)
        levels = method.route(levels)
        passes = batch.pictures_a_pass

        def encode(text: str, negative: bool) -> Condition:
            return self.encode([text])

        denoise = asked_for(self.prior, diffusion, [(prompts, 1.0)], encode, plan, levels, pictures_a_pass=passes)
        steered = pulled(denoise, prompts.states.to(start), plan.pull, self.vae.spread.item())
        return sample(steered, start, levels, noise, method.step)

    def seen(self, picture: Given) -> Float[Tensor, "1 d"]:
        """The vector of a picture, of unit scale: what the autoencoder sees in its middle."""
        pixels = picture.pixels(self.base_size, self.base_size)[None]
        return self.vae.vector(self.vae.encode(pixels.to(self.vae.scale)).mean).float()

    def decode(self, vectors: Float[Tensor, "b d"], pictures_a_pass: int = 1) -> Float[Tensor, "b 3 h w"]:
        """Vectors of unit scale to pictures in about [-1, 1]."""
        some = vectors.to(self.vae.scale.dtype).split(pictures_a_pass)
        return torch.cat([self.vae.picture(few).float() for few in some])
