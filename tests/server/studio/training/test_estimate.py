"""Time and memory are told by another process; what goes wrong there is told here, and waiting can be given up."""

import asyncio
import time

import pytest

from sfumato.errors import TrainingError
from sfumato.server.studio.training.asked import Asked
from sfumato.server.studio.training.closer import counted
from sfumato.server.studio.training.estimate import StageTold, estimate

pytestmark = pytest.mark.usefixtures("pretended")


def test_what_the_command_tells_is_read(tmp_path):
    told = asyncio.run(estimate(Asked("digits", "digits"), tmp_path / "model"))
    assert told.stages == (StageTold("clip", "tiny", 150, 75.0),)
    assert (told.samples, told.set_aside, told.seconds, told.memory) == (40, 2, 80.0, 2**30)
    assert told.fits


def test_what_goes_wrong_is_told_in_its_own_words(tmp_path):
    with pytest.raises(TrainingError, match="There is nothing in it"):
        asyncio.run(estimate(Asked("bad", "digits"), tmp_path / "model"))


def test_giving_up_ends_the_process(tmp_path):
    async def give_up():
        telling = asyncio.create_task(estimate(Asked("slow", "digits"), tmp_path / "model"))
        while not (tmp_path / "began").exists():
            await asyncio.sleep(0.02)
        telling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await telling

    began = time.monotonic()
    asyncio.run(give_up())
    assert time.monotonic() - began < 50  # it would have slept for a minute


def test_findings_are_counted_with_what_is_left_out_first():
    found = counted(["mirrored", "mirrored", "mirrored", "tiny", "blur", "blur", "unheard of"])
    assert [(each.title, each.count) for each in found] == [("blurred", 2), ("tiny", 1), ("mirrored duplicate", 3)]
