"""Captions that lie are found by whoever sees how well captions fit, in a world whose truth is known."""

import random

import pytest
import torch
import torch.nn.functional as F

from sfumato.evaluation.data_check import lies
from sfumato.evaluation.data_check.agreement import ClipAgreement
from sfumato.evaluation.data_check.evidence import Surroundings, fitted_scale, gathered
from sfumato.evaluation.data_check.regression import told_apart

COLOURS = ("red", "blue", "green", "pink", "white")
THINGS = ("cat", "dog", "tree", "ball", "boat", "lamp", "shoe", "star")
PLACES = ("left", "right", "top", "bottom")
FACTS = (COLOURS, THINGS, PLACES)
SALIENCE = (0.6, 1.2, 0.8)  # of each: what is seen easily, and what hardly
WIDTH = 48


class World:
    """Pictures that are the sum of their facts' directions, and somebody who reads captions just so.

    Some pictures are seen less clearly than others, so that a cosine alone says little.
    """

    def __init__(self, count, noise, share, seed=0, deaf=()):
        chance, generator = random.Random(seed), torch.Generator().manual_seed(seed)
        directions = {
            word: weight * torch.randn(WIDTH, generator=generator)
            for weight, words in zip(SALIENCE, FACTS, strict=True)
            for word in words
        }
        truth = [tuple(chance.choice(words) for words in FACTS) for _ in range(count)]

        def read(texts):
            heard = [
                [directions[word] for word in text.split() if word in directions and word not in deaf] for text in texts
            ]
            return torch.stack([sum(some, torch.full((WIDTH,), 1e-3)) for some in heard])

        self.captions = [self.told(facts) for facts in truth]
        seen = F.normalize(read(self.captions), dim=1)
        unclear = noise * (0.3 + 1.4 * torch.rand(count, 1, generator=generator))
        noisy = seen + unclear * torch.randn(count, WIDTH, generator=generator) / WIDTH**0.5
        self.agreement = ClipAgreement("world", noisy, read, others=48)
        self.pictures = torch.arange(count)
        self.lying = torch.zeros(count, dtype=torch.bool)
        for number in chance.sample(range(count), round(share * count)):
            facts = list(truth[number])
            if chance.random() < 0.5:
                facts = list(truth[chance.randrange(count)])
            else:
                which = chance.randrange(3)
                facts[which] = chance.choice([word for word in FACTS[which] if word != facts[which]])
            self.captions[number] = self.told(facts)
            self.lying[number] = tuple(facts) != truth[number]

    @staticmethod
    def told(facts):
        return "a {} {} at the {}".format(*facts)

    def found(self, suspicion, alarms=0.05):
        """The share of lies above the score that 5 % of the true captions reach."""
        return float((suspicion[self.lying] > suspicion[~self.lying].quantile(1 - alarms)).float().mean())


def judged(world, *args, **settings):
    return lies.judged([world.agreement], world.pictures, world.captions, *args, **{"altered": 6, **settings})


@pytest.fixture(scope="module")
def world():
    return World(400, noise=0.5, share=0.3)


@pytest.fixture(scope="module")
def judgement(world):
    return judged(world)


def test_nine_in_ten_lies_are_found_at_five_percent_false_alarms(world, judgement):
    cosine = -world.agreement(world.pictures, world.captions)
    assert world.found(judgement.suspicion) >= 0.9
    assert world.found(judgement.suspicion) > world.found(cosine) + 0.05


def test_how_many_lie_is_estimated_and_so_many_are_named_nearly_all_rightly(world, judgement):
    assert judgement.share == pytest.approx(float(world.lying.float().mean()), abs=0.1)
    assert judgement.believed
    assert 0 < int(judgement.named.sum()) <= round(judgement.share * 400)
    assert (judgement.named & world.lying).sum() >= 0.9 * judgement.named.sum()
    assert (judgement.named & world.lying).sum() >= 0.6 * world.lying.sum()


def test_what_it_says_of_itself_is_no_more_than_is_true(world, judgement):
    assert set(judgement.found) == {lies.EASY, lies.HARD}
    assert judgement.found[lies.EASY] > 0.85
    assert 0.5 < judgement.found[lies.HARD] < world.found(judgement.suspicion) + 0.05


def test_what_fits_better_is_the_truth_as_a_rule(world, judgement):
    truth = World(400, noise=0.5, share=0).captions
    changed = [
        n
        for n in range(400)
        if world.lying[n] and sum(map(str.__ne__, truth[n].split(), world.captions[n].split())) == 1
    ]
    right = sum(judgement.better[n] == truth[n] for n in changed)
    assert len(changed) > 25
    assert right > 0.5 * len(changed)


def test_true_captions_are_left_alone():
    clean = World(400, noise=0.5, share=0, seed=1)
    judgement = judged(clean)
    assert judgement.share < 0.05
    assert judgement.named.float().mean() < 0.05


def test_a_judge_who_sees_nothing_names_nobody_unless_asked():
    blind = World(200, noise=100.0, share=0.3)
    assert not judged(blind).believed
    assert not judged(blind).named.any()
    asked = judged(blind, 0.3)
    assert int(asked.named.sum()) == 60


def test_a_second_judge_adds_what_the_first_cannot_hear():
    half = World(400, noise=0.5, share=0.3, deaf=PLACES)
    other = World(400, noise=0.5, share=0.3, deaf=COLOURS)
    assert half.captions == other.captions
    alone = judged(half, 0.3).suspicion
    both = lies.judged([half.agreement, other.agreement], half.pictures, half.captions, 0.3, altered=6).suspicion
    assert half.found(both) > half.found(alone) + 0.05


def test_the_same_data_give_the_same_judgement(world, judgement):
    assert torch.equal(judged(world).suspicion, judgement.suspicion)


def test_too_little_to_judge_is_no_judgement():
    assert judged(World(20, noise=0.1, share=0)) is None
    few = World(100, noise=0.1, share=0)
    few.captions = ["a red cat"] * 100
    assert judged(few) is None


def test_a_scale_is_found_at_which_scores_are_probabilities(world):
    around = Surroundings(tuple(dict.fromkeys(world.captions[:64])), world.pictures[:64])
    some = world.pictures[:100], world.captions[:100]
    scale = fitted_scale(world.agreement, *some, around)
    tenfold = fitted_scale(lambda pictures, captions: 10 * world.agreement(pictures, captions), *some, around)
    assert tenfold == pytest.approx(scale / 10, rel=0.01)
    assert scale > 1


def test_pairs_without_altered_captions_have_evidence_all_the_same(world):
    around = Surroundings(tuple(dict.fromkeys(world.captions[:64])), world.pictures[:64])
    changes = {world.captions[1]: ["a red cat at the left"]}
    some = world.pictures[:3], world.captions[:3]
    evidence = gathered(world.agreement, *some, lambda text: changes.get(text, []), around, 10.0)
    assert evidence.features.isfinite().all()
    assert evidence.features.shape == (3, 5)
    assert torch.equal(evidence.features[0, 2], evidence.features[0, 0])


def test_scores_of_pairs_are_cosines_whatever_is_asked_together(world):
    table = [(p, c) for p in range(5) for c in world.captions[:7]]
    pictures, captions = torch.tensor([p for p, _ in table]), [c for _, c in table]
    together = world.agreement(pictures, captions)
    alone = torch.cat([world.agreement(pictures[n : n + 1], captions[n : n + 1]) for n in range(35)])
    assert torch.allclose(together, alone, atol=1e-5)
    assert together.abs().max() <= 1 + 1e-5


def test_regression_gives_the_log_odds_of_two_gaussians():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4000, 1, generator=generator)
    second = torch.arange(4000) >= 2000
    x[second] += 1
    odds = told_apart(x, second, torch.ones(4000, dtype=torch.bool))
    middle = (x[:, 0] > -1) & (x[:, 0] < 2)
    assert (odds - (x[:, 0] - 0.5))[middle].abs().max() < 0.25


def test_who_hears_few_changed_words_is_still_believed_about_mistaken_captions():
    hard_of_hearing = World(400, noise=0.5, share=0.3, deaf=COLOURS + PLACES)
    judgement = judged(hard_of_hearing)
    assert judgement.believed
    assert judgement.found[lies.HARD] < 0.5 < judgement.found[lies.EASY]
    assert (judgement.named & hard_of_hearing.lying).sum() >= 0.5 * hard_of_hearing.lying.sum()
    assert (judgement.named & ~hard_of_hearing.lying).sum() <= 0.05 * (~hard_of_hearing.lying).sum()
