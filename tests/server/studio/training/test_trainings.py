"""Trainings are processes of their own: stopped and gone on with, found again by another server, never two at once."""

import time

import pytest

from sfumato.errors import TrainingError
from sfumato.server.studio.training.asked import Asked
from sfumato.server.studio.training.places import Places
from sfumato.server.studio.training.trainings import Training, Trainings

DIGITS = Asked("digits", "digits", "tiny")

pytestmark = pytest.mark.usefixtures("pretended")


@pytest.fixture
def places(tmp_path):
    return Places((tmp_path,), tmp_path / "models")


@pytest.fixture
def trainings(places):
    made = Trainings(places)
    yield made
    made.stop()


def until(training, state, seconds=60):
    end = time.monotonic() + seconds
    while training.state != state:
        assert time.monotonic() < end, f"it is {training.state}, and said {training.said}"
        time.sleep(0.02)


def began(training):
    end = time.monotonic() + 60
    while "begins" not in training.said:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_training_runs_is_stopped_goes_on_and_is_done(trainings):
    training = trainings.named("mine")
    assert (training.state, training.asked, trainings.begun()) == ("stopped", None, [])
    training.start(DIGITS)
    assert training.state == "running"
    assert trainings.begun() == [training]
    began(training)
    training.stop()
    until(training, "stopped")
    assert training.said.endswith("Stopped.")
    (training.run / "enough").touch()
    training.go_on()
    until(training, "done")
    assert training.error == ""


def test_what_made_it_fail_is_told(trainings):
    training = trainings.named("mine")
    training.start(Asked("bad", "digits"))
    until(training, "failed")
    assert "There is nothing in it." in training.error


def test_it_is_found_again_by_another_server_which_cannot_begin_it_twice_but_can_stop_it(trainings, places):
    trainings.named("mine").start(DIGITS)
    began(trainings.named("mine"))
    (again,) = Trainings(places).begun()
    assert (again.state, again.asked) == ("running", DIGITS)
    with pytest.raises(TrainingError, match="already"):
        again.start(DIGITS)
    assert "begins" in again.said
    again.stop()
    assert again.state in ("stopping", "stopped")
    until(again, "stopped")


def test_what_was_not_begun_here_does_not_go_on_here(trainings):
    with pytest.raises(TrainingError, match="not begun here"):
        trainings.named("other").go_on()


def test_when_the_server_ends_trainings_keep_what_they_have(trainings):
    training = trainings.named("mine")
    training.start(DIGITS)
    began(training)
    trainings.stop()
    assert training.state == "stopped"


def test_what_another_server_began_goes_on_when_this_one_ends(trainings, places):
    training = trainings.named("mine")
    training.start(DIGITS)
    began(training)
    other = Trainings(places)
    other.begun()
    other.stop()
    (training.run / "enough").touch()
    until(training, "done")


def test_all_trainings_together_are_waited_for_so_long_and_no_longer(trainings, monkeypatch):
    waited = []

    def wait(training, seconds):
        waited.append(seconds)
        time.sleep(0.3)

    for name in ("one", "two", "three"):
        trainings.named(name).start(DIGITS)
        began(trainings.named(name))
    with monkeypatch.context() as patched:
        patched.setattr(Training, "wait", wait)
        trainings.stop(0.5)
    first, second, third = waited
    assert first > second > third == 0
