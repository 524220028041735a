"""A plain U-Net of diffusers, trained on latents and text states of ours by the loop of its text-to-image example.

Noise is predicted at timesteps drawn evenly from a table of 1,000 betas, by AdamW at a constant learning rate with
gradients clipped at 1, in bfloat16 by autocast; the average of the weights is kept as its `--use_ema` does.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from scene_scores import Watch
from sfumato.training.ahead import Ahead
from sfumato.training.ema import Average
from sfumato.training.loop import AHEAD
from sfumato.training.stage import Draw
from sfumato.training.stages import denoiser
from sfumato.training.state import State
from sfumato.training.workshop import PictureWorkshop

TIMESTEPS = 1000
WARMUP = 500  # steps
DECAY = 0.999  # of the average; its own 0.9999 would hardly move in so short a training
ENDLESS = 10**9  # steps


def train_peer(workshop: PictureWorkshop, seconds: float, every: float, rate: float) -> tuple[Any, Watch]:
    """A U-Net of about the size of the recipe's denoiser, trained for so long after its first step."""
    from diffusers import DDPMScheduler

    recipe, team = workshop.recipe, workshop.team
    plan = recipe.denoiser.model_copy(update={"train_words": False})
    ours = denoiser.build(workshop, recipe.with_stage("denoiser", plan))
    size = sum(parameter.numel() for parameter in ours.objective.network.parameters())
    clean = ours.batch(Draw(recipe.seed, "peer", 0, 1, team))[0]
    states = ours.objective.condition(workshop.tokenizer.encode([""]).to(team.device)).states
    torch.manual_seed(recipe.seed)
    unet = unet_of(size, clean.shape[1], clean.shape[-1], states.shape[-1]).to(team.device).train()
    table = DDPMScheduler(TIMESTEPS, beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    optimizer = torch.optim.AdamW(unet.parameters(), lr=rate, betas=(0.9, 0.999), weight_decay=1e-2, eps=1e-8)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / WARMUP))
    state = State(unet, [optimizer], Average(unet, DECAY))
    watch = Watch(recipe.run, every, team)

    def make(step: int, attempt: int) -> tuple[torch.Tensor, ...]:
        return ours.batch(Draw(recipe.seed, "peer", step, plan.batch, team, attempt))

    workshop.progress.say(f"{sum(p.numel() for p in unet.parameters()):,} parameters beside our {size:,}")
    with Ahead(make, ENDLESS, AHEAD if team.device.type == "cuda" else 0, team.device) as ahead:
        while not watch.first or watch.seconds < seconds:
            latents, ids, _, noise = ahead.take(state.step, 0)
            timesteps = torch.randint(0, TIMESTEPS, (len(latents),), device=team.device)
            noisy = table.add_noise(latents, noise, timesteps)
            with team.autocast():
                with torch.no_grad():
                    said = ours.objective.condition(ids).states
                predicted = unet(noisy, timesteps, said, return_dict=False)[0]
                loss = F.mse_loss(predicted.float(), noise.float())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            state.step += 1
            state.average.update(state.step)
            if watch.is_due():
                watch.keep(state)
        watch.keep(state)
    return unet, watch


def unet_of(size: int, channels: int, side: int, width: int) -> Any:
    """One of two resolutions with about so many parameters, attending to states of a width."""
    from diffusers import UNet2DConditionModel

    def build(widths: tuple[int, int]) -> Any:
        return UNet2DConditionModel(
            sample_size=side,
            in_channels=channels,
            out_channels=channels,
            block_out_channels=widths,
            down_block_types=("CrossAttnDownBlock2D",) * 2,
            up_block_types=("CrossAttnUpBlock2D",) * 2,
            cross_attention_dim=width,
        )

    def distance(widths: tuple[int, int]) -> int:
        with torch.device("meta"):
            return abs(sum(parameter.numel() for parameter in build(widths).parameters()) - size)

    doubled = ((wide, 2 * wide + more) for wide in range(64, 385, 32) for more in (0, -32, 32))
    return build(min(doubled, key=distance))
