"""What a person does with a picture on the command line."""

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from sfumato.cli import places
from sfumato.cli.main import app
from sfumato.errors import PromptError

QUICK = ["--steps", "2", "--model", "digits"]


def sfumato(*arguments):
    """What a command prints; it must succeed."""
    done = CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout.split("\n")[:-1]


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


@pytest.fixture(scope="module")
def seven(tmp_path_factory):
    """The file of a picture."""
    folder = tmp_path_factory.mktemp("seven")
    return sfumato("generate", "a handwritten seven", *QUICK, "--seed", 3, "--out", folder, "-q")[0]


def test_boxes_and_edges_as_people_type_them():
    assert places.region("a cat @ home@0,0,.5,1") == ("a cat @ home", (0, 0, 0.5, 1), 1)
    assert places.region("a cat@0,0,1,1:0.5") == ("a cat", (0, 0, 1, 1), 0.5)
    assert places.edges("64,0,64,0") == (64, 0, 64, 0)


@pytest.mark.parametrize("text", ["a cat", "a cat@0,0,1", "@", "a cat@a,b,c,d", "a cat@0,0,1,1:much"])
def test_what_is_no_box_is_refused_with_an_example(text):
    with pytest.raises(PromptError, match="a red cat@0,0"):
        places.region(text)


@pytest.mark.parametrize("text", ["64", "1,2,3,x", "1.5,0,0,0"])
def test_what_are_no_edges_is_refused_with_an_example(text):
    with pytest.raises(PromptError, match="64,0,64,0"):
        places.edges(text)


def test_regions_and_an_extension_replay_again(seven, tmp_path):
    regions = ["--region", "zero@0,0,0.5,1", "--region", "one@0.5,0,1,1:0.5"]
    edits = ["--picture", seven, "--extend", "16,0,16,0"]
    (made,) = sfumato("generate", "seven", *QUICK, *regions, *edits, "--seed", 1, "--out", tmp_path, "-q")
    assert pixels(made).shape == (64, 96, 3)
    assert sfumato("replay", made)[-1] == "the same pixels"


def test_variations_lie_beside_the_picture(seven):
    files = sfumato("vary", seven, "-n", 2, "--amount", 0.2, "--seed", 5, "-q")
    assert [file.rsplit("-", 2)[1:] for file in files] == [["varied", "5.png"], ["varied", "6.png"]]
    assert not np.array_equal(*map(pixels, files))
    assert sfumato("replay", files[0])[-1] == "the same pixels"


def test_a_strip_is_a_sheet_with_its_single_pictures(tmp_path):
    sheet = tmp_path / "strip.png"
    asked = ["zero", "one", "--frames", 3, "--seed", 1, *QUICK, "-o", sheet, "--keep", tmp_path / "single", "-q"]
    assert sfumato("strip", *asked) == [str(sheet)]
    assert pixels(sheet).shape == (64, 3 * 64 + 4, 3)
    assert len(list((tmp_path / "single").glob("*.png"))) == 3
    assert sfumato("replay", sheet)[-1] == "the same pixels"
    with pytest.raises(PromptError, match=r"saved as .png or .gif"):
        sfumato("strip", "zero", "one", "-o", tmp_path / "strip.jpg", *QUICK)


def test_a_picture_is_made_larger_and_again(seven, tmp_path):
    large = tmp_path / "large.png"
    assert sfumato("upscale", seven, "--factor", 2, "--model", "digits", "--steps", 1, "-o", large) == [str(large)]
    assert pixels(large).shape == (128, 128, 3)
    assert sfumato("replay", large)[-1] == "the same pixels"
