"""More like these: near what was picked, as often as wanted, and near what is a variation itself."""

import pytest

from light_studio import done
from sfumato.pipelines.request import Request
from sfumato.server.studio.pictures import picture_of
from sfumato.server.studio.studio import Studio
from sfumato.server.studio.variations import near


@pytest.fixture
def pictures(engine, tmp_path):
    studio = Studio(engine, tmp_path, None)
    jobs = [done(engine, Request(prompt, seed=seed)) for prompt, seed in (("a cat", 3), ("a dog", 5))]
    return [picture_of(studio, "local", job, 0) for job in jobs]


def test_each_of_the_picked_has_its_share(pictures):
    made = near(pictures, 0.25, count=3)
    assert [(one.prompt, one.seed) for one in made] == [("a cat", 3)] * 2 + [("a dog", 5)] * 2
    assert {one.variation for one in made} == {0.25}
    assert len({one.variation_seed for one in made}) == 4


def test_a_variation_is_varied_by_beginning_with_it(engine, pictures, tmp_path):
    varied = done(engine, near(pictures[:1], 0.25)[0])
    picture = picture_of(Studio(engine, tmp_path, None), "local", varied, 0)
    for amount, least, most in ((0.05, 0.3, 0.4), (1.0, 1.0, 1.0)):
        (request,) = near([picture], amount, count=1)
        assert request.variation_seed is None
        assert least <= request.strength <= most
        assert request.picture.open().size == (64, 64)
        again = done(engine, request)
        assert again.state == "done"
