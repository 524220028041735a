"""What a person asks for becomes a command that the command line understands."""

from pathlib import Path

import pytest

from sfumato.errors import RecipeError
from sfumato.server.studio.training.asked import Asked, checked, fitting


def test_the_command_names_everything_and_data_come_last():
    asked = Asked("/home/me/-photos", "pictures", "tiny", "10m", ("run.previews=1",))
    command = asked.command(Path("/models/mine"), "--estimate")
    assert command[1:5] == ["-P", "-m", "sfumato", "train"]
    assert command[5:10] == [
        "--out=/models/mine",
        "--recipe=pictures",
        "--size=tiny",
        "--budget=10m",
        "--set=run.previews=1",
    ]
    assert command[10:] == ["--estimate", "--", "/home/me/-photos"]


def test_what_is_left_open_is_the_recipes_own():
    assert not {"--size", "--budget", "--set"} & {
        part.split("=")[0] for part in Asked("digits", "digits").command(Path())
    }


def test_it_survives_being_written_down():
    asked = Asked("digits", "digits", "", "1h", ("a=1", "b=2"))
    assert Asked.from_dict(asked.to_dict()) == asked


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"recipe": "../secret"}, "no recipe"),
        ({"recipe": "digits", "size": "huge"}, "size"),
        ({"recipe": "digits", "budget": "soon"}, "A budget is a time"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_it_is_begun(fields, message):
    with pytest.raises(RecipeError, match=message):
        checked("digits", **fields)


def test_built_in_data_have_recipes_of_their_own():
    assert [fitting(data) for data in ("digits", "scenes", "/home/me/photos")] == ["digits", "scenes", "pictures"]
