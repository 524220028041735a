"""`sfumato verify` as a person meets it: what it prints, and its exit codes."""

import pytest
from PIL import Image
from typer.testing import CliRunner

from marked_pictures import photograph_like
from sfumato.cli.main import app
from sfumato.errors import PromptError
from sfumato.pipelines.finding import find
from sfumato.pipelines.keepsake import save_picture
from sfumato.pipelines.marks.watermark import Watermark
from sfumato.pipelines.marks.writing import Marks
from sfumato.pipelines.model import fingerprint

PICTURE = Image.linear_gradient("L").resize((64, 64)).convert("RGB")


def verify(*arguments):
    return CliRunner().invoke(app, ["verify", *map(str, arguments)])


def test_a_picture_whose_model_is_here_can_be_made_again(tmp_path):
    recipe = {"model": "digits", "model_fingerprint": fingerprint(find("digits")), "request": {"prompt": "7"}}
    save_picture(PICTURE, tmp_path / "p.png", recipe)
    told = verify(tmp_path / "p.png")
    assert told.exit_code == 0
    assert "marked as AI-generated: XMP" in told.output
    assert "its model is here" in told.output
    save_picture(PICTURE, tmp_path / "p.png", {**recipe, "model_fingerprint": "0" * 16})
    assert "cannot be made again here" in verify(tmp_path / "p.png").output


def test_a_private_picture_is_marked_and_cannot_be_made_again(tmp_path):
    save_picture(PICTURE, tmp_path / "p.webp", {"model": "digits", "request": {"prompt": "seven"}}, Marks(private=True))
    told = verify(tmp_path / "p.webp")
    assert told.exit_code == 0
    assert "private" in told.output
    told = CliRunner().invoke(app, ["replay", str(tmp_path / "p.webp")])
    assert isinstance(told.exception, PromptError)
    assert "private" in str(told.exception)


def test_no_mark_and_a_broken_file_have_their_exit_codes(tmp_path):
    PICTURE.save(tmp_path / "plain.png")
    told = verify(tmp_path / "plain.png")
    assert told.exit_code == 1
    assert "no mark" in told.output
    (tmp_path / "cut.png").write_bytes((tmp_path / "plain.png").read_bytes()[:-30])
    assert verify(tmp_path / "cut.png").exit_code == 2


def test_a_file_that_is_not_there_is_named(tmp_path):
    assert isinstance(verify(tmp_path / "none.png").exception, PromptError)


@pytest.mark.parametrize("name", ["hub/model", "../../x", "\x1b[31mred", ""])
def test_a_recipe_from_anywhere_fetches_nothing_and_steers_no_terminal(tmp_path, name):
    save_picture(PICTURE, tmp_path / "p.png", {"model": name, "request": {"prompt": "x"}, "additions": {"loras": 3}})
    told = verify(tmp_path / "p.png")
    assert told.exit_code == 0
    assert "cannot be made again" in told.output
    assert "\x1b" not in told.output


def test_a_watermark_of_a_secret_key_is_read_with_its_file(tmp_path):
    (tmp_path / "secret").write_text("mine\n")
    save_picture(photograph_like(64), tmp_path / "p.png", {}, Marks(watermark=Watermark(42, "mine")))
    assert "watermark 0000002a" in verify(tmp_path / "p.png", "--watermark-key", tmp_path / "secret").output
    assert "watermark 0" not in verify(tmp_path / "p.png").output


def test_a_made_picture_has_the_marks_that_were_asked_for_and_is_made_again(tmp_path):
    asked = ["generate", "a seven", "--model", "digits", "--steps", "2", "--seed", "3", "--out", str(tmp_path), "-q"]
    made = CliRunner().invoke(app, [*asked, "--watermark", "2a"])
    assert made.exit_code == 0, made.output
    told = verify(tmp_path / "a-seven-3.png")
    assert told.exit_code == 0
    assert "watermark 0000002a" in told.output
    assert "its model is here" in told.output
    again = CliRunner().invoke(app, ["replay", str(tmp_path / "a-seven-3.png")])
    assert "the same pixels" in again.output
    private = CliRunner().invoke(app, [*asked, "--private", "--previews"])
    assert private.exit_code == 0, private.output
    names = [path.name for path in tmp_path.iterdir() if path.name.startswith("picture")]
    assert "picture-3.png" in names
    assert len(names) > 1
    assert all(b"a seven" not in (tmp_path / name).read_bytes() for name in names)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["--watermark", "red"], "hex digits"),
        (["--watermark", "123456789"], "hex digits"),
        (["--watermark-key", "x"], "does nothing"),
        (["--sign", "x"], "go together"),
        (["--sign", "none.pem", "--key", "none.pem"], "cannot be read"),
    ],
)
def test_marks_that_cannot_be_made_are_refused_before_any_picture_is(tmp_path, asked, said):
    refused = CliRunner().invoke(app, ["generate", "7", "--model", "digits", "--out", str(tmp_path), *asked])
    assert isinstance(refused.exception, PromptError)
    assert said in str(refused.exception)
    assert not list(tmp_path.iterdir())
