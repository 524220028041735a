"""The stages of vector latents: unit scale, and one batch for all processes."""

import pytest
import torch

from sfumato.checkpoints.folder import load_part
from sfumato.data.store import prepare
from sfumato.data.tokens import Tokenizer
from sfumato.progress import Progress
from sfumato.training import recipe as recipes
from sfumato.training.captions import Captions
from sfumato.training.stage import Draw
from sfumato.training.stages import builder
from sfumato.training.stages.prior import vectors_of_captions, vectors_of_pictures
from sfumato.training.team import Team
from sfumato.training.workshop import PictureWorkshop

STAGES = ("vectors", "prior")


@pytest.fixture(scope="module")
def workshop(tmp_path_factory, tiny_vectors):
    folder = tmp_path_factory.mktemp("model")
    recipe = recipes.load("vectors", tiny_vectors)
    store = prepare("digits", recipe.final_size, folder / "run", split="train")
    tokenizer = Tokenizer.train([t for several in store.captions for t in several], 540, 12)
    tokenizer.save(folder / "tokenizer")
    captions = Captions(store.captions, store.labels)
    place = (recipe, folder, folder / "run", Team(), Progress(quiet=True))
    return PictureWorkshop(*place, store, tokenizer, captions)


@pytest.fixture(scope="module")
def stages(workshop):
    made = {}
    for name in STAGES:
        made[name] = builder(name, workshop)(workshop.recipe)
        made[name].finish()
    return made


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_learns_and_the_processes_of_a_team_share_one_batch(workshop, stages, name):
    whole = stages[name].batch(Draw(0, name, 3, 8, Team()))
    parts = [stages[name].batch(Draw(0, name, 3, 8, Team(rank, 2))) for rank in range(2)]
    for all_of_it, *pieces in zip(whole, *parts, strict=True):
        assert torch.equal(all_of_it, torch.cat(pieces))
    metrics = stages[name].objective(*whole)
    metrics["loss"].backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in stages[name].objective.parameters())
    assert min(stages[name].preview().size) >= 16


def test_the_vectors_of_pictures_have_unit_scale_in_each_number(workshop, stages):
    mean, std = vectors_of_pictures(workshop, load_part(workshop.folder, "vector_vae")).unbind(1)
    assert len(mean) == len(workshop.store)
    torch.manual_seed(0)
    mean, std = mean.repeat(50, 1), std.repeat(50, 1)  # so many draws that noise has no direction of its own
    drawn = mean + std * torch.randn(mean.shape)
    assert drawn.mean(0).abs().max() < 0.1
    assert (drawn.std(0) - 1).abs().max() < 0.1
    farthest = torch.linalg.svdvals(drawn - drawn.mean(0))[0] / len(drawn) ** 0.5
    assert load_part(workshop.folder, "vector_vae").spread.item() == pytest.approx(farthest.item(), rel=0.05)


def test_captions_are_brought_to_the_scale_of_their_pictures(workshop, stages):
    vae, text = load_part(workshop.folder, "vector_vae"), load_part(workshop.folder, "text_encoder")
    vectors = vectors_of_captions(workshop, vae)
    texts = workshop.captions.texts
    assert len(vectors) == len(texts) + 1
    for place, prompt in ((0, texts[0]), (-1, "")):
        read = text(workshop.tokenizer.encode([prompt])).projected[0]
        assert torch.allclose(vectors[place], (read - vae.shift) * vae.scale, atol=1e-5)


def test_the_divergence_draws_captions_and_their_pictures_together(workshop):
    """Trained by the divergence alone, a picture comes nearer to its own caption than to any other."""
    plan = workshop.recipe.vectors.model_copy(update={"kl_weight": 30.0, "contrast_weight": 0.0})
    stage = builder("vectors", workshop)(workshop.recipe.with_stage("vectors", plan))
    optimizer = torch.optim.Adam(stage.objective.parameters(), 3e-3)
    gaps = []
    for step in range(40):
        pictures, ids, _, noise = stage.batch(Draw(0, "vectors", step, 16, Team()))
        metrics = stage.objective(pictures, ids, torch.arange(16), noise)
        optimizer.zero_grad()
        metrics["loss"].backward()
        optimizer.step()
        with torch.no_grad():
            apart = stage.objective.vae.encode(pictures).mean - stage.objective.text(ids).projected
        gaps.append(apart.square().mean().item())
    assert sum(gaps[-5:]) < 0.3 * sum(gaps[:5])
