"""The stages: what they leave in the model folder is what it should be."""

import pytest
import torch

from sfumato.checkpoints.folder import load_part
from sfumato.data.store import prepare
from sfumato.data.tokens import Tokenizer
from sfumato.networks.vae import AutoencoderKL, autoencoder_config
from sfumato.progress import Progress
from sfumato.training import recipe as recipes
from sfumato.training.captions import Captions
from sfumato.training.stage import Draw
from sfumato.training.stages import builder
from sfumato.training.stages.autoencoder import to_unit_scale
from sfumato.training.team import Team
from sfumato.training.workshop import PictureWorkshop

STAGES = recipes.load("digits").stages


@pytest.fixture(scope="module")
def workshop(tmp_path_factory, tiny):
    folder = tmp_path_factory.mktemp("model")
    recipe = recipes.load("digits", tiny)
    store = prepare("digits", recipe.final_size, folder / "run", split="train")
    tokenizer = Tokenizer.train([t for several in store.captions for t in several], 540, 12)
    tokenizer.save(folder / "tokenizer")
    captions = Captions(store.captions, store.labels)
    place = (recipe, folder, folder / "run", Team(), Progress(quiet=True))
    return PictureWorkshop(*place, store, tokenizer, captions)


def draw(workshop, stage, step=0, team=None):
    return Draw(0, stage, step, workshop.recipe.stage(stage).batch, team or workshop.team)


@pytest.fixture(scope="module")
def finished(workshop):
    """All stages, untrained, written in their order."""
    stages = {}
    for name in STAGES:
        stages[name] = builder(name, workshop)(workshop.recipe)
        stages[name].finish()
    return stages


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_learns_from_its_batches(workshop, finished, name):
    metrics = finished[name].objective(*finished[name].batch(draw(workshop, name)))
    metrics["loss"].backward()
    assert metrics["loss"].isfinite()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in finished[name].objective.parameters())


def test_clip_learns_from_altered_captions_too_where_it_is_told_so(workshop):
    recipe = workshop.recipe.with_stage("clip", workshop.recipe.clip.model_copy(update={"altered": 3}))
    stage = builder("clip", workshop)(recipe)
    *told, altered = stage.batch(draw(workshop, "clip"))
    assert altered.shape == (8, 3, 12)
    assert all(torch.equal(a, b) for a, b in zip(stage.batch(draw(workshop, "clip")), (*told, altered), strict=True))
    parts = [stage.batch(draw(workshop, "clip", team=Team(rank, 2)))[-1] for rank in range(2)]
    assert torch.equal(torch.cat(parts), altered)
    assert (altered != told[1][:, None]).any(-1).float().mean() > 0.9
    more, less = (stage.objective(*batch)["loss"] for batch in ((*told, altered), told))
    assert more > less


@pytest.mark.parametrize("name", STAGES)
def test_the_processes_of_a_team_share_one_batch(workshop, finished, name):
    whole = finished[name].batch(draw(workshop, name, 3))
    parts = [finished[name].batch(draw(workshop, name, 3, Team(rank, 2))) for rank in range(2)]
    for all_of_it, *pieces in zip(whole, *parts, strict=True):
        assert torch.equal(all_of_it, torch.cat(pieces))


@pytest.mark.parametrize("name", STAGES)
def test_a_preview_is_a_picture(finished, name):
    assert min(finished[name].preview().size) >= 16


def test_another_attempt_draws_other_batches(workshop, finished):
    stage = finished["denoiser"]
    first, second = (stage.batch(Draw(0, "denoiser", 0, 8, Team(), attempt))[0] for attempt in (0, 1))
    assert not torch.equal(first, second)


def test_latents_have_unit_scale_in_each_channel_and_pictures_stay_as_they_were(workshop):
    torch.manual_seed(0)
    vae = AutoencoderKL(autoencoder_config((8, 16), size=16))
    pictures = workshop.examples(512)
    with torch.no_grad():
        before, old = vae(pictures)[0], vae.encode(pictures)
        to_unit_scale(vae, workshop)
        after, new = vae(pictures)[0], vae.encode(pictures)
    assert torch.allclose(before, after, atol=1e-4)
    assert new.mean.mean((0, 2, 3)).abs().max() < 0.15
    assert (new.mean.std((0, 2, 3)) - 1).abs().max() < 0.15

    # each channel's signal in units of its own noise does not change
    def clearness(posterior):
        return posterior.mean.std((0, 2, 3)) / (posterior.logvar / 2).exp().mean((0, 2, 3))

    assert torch.allclose(clearness(new), clearness(old), rtol=1e-3)


def test_kept_latents_are_of_the_saved_autoencoder(workshop, finished):
    from safetensors.torch import load_file

    latents = load_file(workshop.cache / "latents.safetensors")["latents"]
    vae = load_part(workshop.folder, "vae")
    pictures = workshop.store.batch(torch.arange(4), workshop.recipe.data.size)
    assert torch.allclose(latents[:4], vae.latent(vae.encode(pictures).mean), atol=1e-5)
