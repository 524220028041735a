"""Every picture says in its metadata that a machine made it, in every format, and says nothing private."""

import contextlib
import io
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from sfumato import __version__
from sfumato.errors import PromptError
from sfumato.pipelines.digests import fingerprint
from sfumato.pipelines.finding import find
from sfumato.pipelines.keepsake import read_recipe, save_picture
from sfumato.pipelines.marks.recipes import without_words
from sfumato.pipelines.marks.sources import COMPOSITE, TRAINED, VOCABULARY
from sfumato.pipelines.marks.verifying import replayable, verify
from sfumato.pipelines.marks.writing import FORMATS, Marks, written
from sfumato.pipelines.marks.xmp import packet, read

PICTURE = Image.linear_gradient("L").resize((32, 32)).convert("RGB")
RECIPE = {
    "sfumato_version": __version__,
    "model": "digits",
    "request": {"prompt": 'a "red" <cat> & 七', "negative_prompt": "secret dog", "seed": 3, "width": 32, "height": 32},
}


def opened(content):
    picture = Image.open(io.BytesIO(content))
    picture.load()
    return picture


@pytest.mark.parametrize("format", FORMATS)
def test_each_format_tells_the_source_the_software_and_the_recipe(format):
    content = written(PICTURE, RECIPE, format)
    picture = opened(content)
    assert (VOCABULARY + TRAINED).encode() in content
    software = picture.info.get("Software") or picture.getexif().get(ExifTags.Base.Software)
    assert software == f"sfumato {__version__}"
    found = verify(content)
    assert found.recipe == RECIPE
    assert len(found.marks) == 2
    assert found.exit_code == 0


@pytest.mark.parametrize("format", FORMATS)
def test_the_same_picture_gives_the_same_bytes(format):
    assert written(PICTURE, RECIPE, format) == written(PICTURE.copy(), dict(RECIPE), format)


@pytest.mark.parametrize("name", ["p.png", "p.jpg", "p.webp"])
def test_a_saved_picture_gives_its_recipe_back_whatever_its_format(tmp_path, name):
    save_picture(PICTURE, tmp_path / name, RECIPE)
    assert read_recipe(tmp_path / name) == RECIPE
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_name_that_is_no_text_stands_in_the_recipe_as_it_is(format):
    recipe = {**RECIPE, "model": os.fsdecode("/models/café".encode("latin-1"))}
    assert verify(written(PICTURE, recipe, format)).recipe == recipe


CAT = {"picture": {"path": "cat.png", "sha256": "0" * 64}}


@pytest.mark.parametrize(
    "recipe", [{"request": CAT}, {"strip": [CAT, CAT]}, {"restored": {"picture": "cat.png"}}, {"upscaled": CAT}]
)
@pytest.mark.parametrize("marks", [Marks(), Marks(private=True)])
def test_a_picture_made_from_a_given_one_is_a_composite(recipe, marks):
    assert (VOCABULARY + COMPOSITE).encode() in written(PICTURE, recipe, marks=marks)


@pytest.mark.parametrize("format", FORMATS)
def test_a_private_picture_holds_no_word_of_its_request(format):
    request = {
        **RECIPE["request"],
        "typed": "typed-secret",
        "mix": [["mixed-secret", 0.5]],
        "picture": {"path": "/secret/cat.png", "sha256": "0" * 64},
        "control": [{"picture": {"path": "/secret/pose.png"}}],
        "some_later_setting": "secret",
    }
    recipe = {**RECIPE, "model": "/home/secret/model", "request": request, "preview": "secret-1.png"}
    content = written(PICTURE, recipe, format, Marks(private=True))
    told = verify(content)
    assert "secret" not in json.dumps(told.recipe)
    assert "cat" not in json.dumps(told.recipe)
    for word in (b"secret", b"cat"):
        assert word not in content
    assert told.recipe["request"]["seed"] == 3
    assert told.exit_code == 0
    assert "private" in replayable(told.recipe)


@pytest.mark.parametrize("asked", [{"request": {"prompt": "7"}}, {"strip": [{"prompt": "7"}]}, {"upscaled": CAT}])
def test_all_that_can_be_made_again_is_said_to_be(asked):
    recipe = {"model": "digits", "model_fingerprint": fingerprint(find("digits"))}
    assert replayable({**recipe, **asked}) == ""
    assert "another picture" in replayable({**recipe, **asked, "model_fingerprint": "0" * 16})
    assert "does not tell" in replayable(recipe)


def test_what_was_made_private_once_stays_as_it_is():
    once = without_words({"request": {"picture": {"path": "x"}, "seed": 1}})
    assert without_words(once) == once


@pytest.mark.parametrize("prompt", ["a" * 70_000, "&" * 20_000, "a dog's " + '"' * 20_000])
def test_a_recipe_that_a_jpeg_cannot_hold_is_left_out_and_the_mark_stays(prompt):
    content = written(PICTURE, {"request": {"prompt": prompt}}, "jpeg")
    told = verify(content)
    assert told.recipe is None
    assert told.exit_code == 0


def test_an_unknown_format_is_named():
    with pytest.raises(PromptError, match="'gif'"):
        written(PICTURE, RECIPE, "gif")


def test_pictures_without_marks_are_not_called_generated():
    file = io.BytesIO()
    PICTURE.save(file, "PNG")
    assert verify(file.getvalue()).exit_code == 1


def test_a_source_that_contradicts_the_recipe_is_a_fault():
    file = io.BytesIO()
    PICTURE.save(file, "WEBP", xmp=packet("digitalCapture", "Camera", json.dumps(RECIPE)))
    assert verify(file.getvalue()).exit_code == 2
    file = io.BytesIO()
    PICTURE.save(file, "WEBP", xmp=packet("digitalCapture", "Camera"))
    assert verify(file.getvalue()).exit_code == 1


def test_a_recipe_of_another_size_and_a_damaged_one_are_faults():
    assert verify(written(PICTURE.resize((16, 16)), RECIPE)).exit_code == 2
    damaged = written(PICTURE, RECIPE, "webp").replace(b'"request": {', b'"request"; {')
    assert verify(damaged).exit_code == 2


def test_marks_of_other_programs_are_read_as_elements_and_resources():
    element = packet(TRAINED, "Other").decode()
    attribute = f'Iptc4xmpExt:DigitalSourceType="{VOCABULARY}{TRAINED}"'
    assert attribute in element
    for inside in (
        f"<Iptc4xmpExt:DigitalSourceType>{VOCABULARY}{TRAINED}</Iptc4xmpExt:DigitalSourceType>",
        f'<Iptc4xmpExt:DigitalSourceType rdf:resource="{VOCABULARY}{TRAINED}"/>',
    ):
        other = element.replace(attribute, "").replace('="sfumato"/>', f'="x">{inside}</rdf:Description>')
        assert read(other.encode()).sources == (VOCABULARY + TRAINED,)


def test_a_packet_that_declares_entities_is_refused():
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><x>&b;</x>'
    with pytest.raises(ValueError, match="document type"):
        read(bomb)


@given(st.binary(max_size=300))
def test_no_packet_of_junk_does_more_than_a_value_error(content):
    with contextlib.suppress(ValueError):
        read(content)


SOUND = [written(PICTURE, RECIPE, format) for format in FORMATS]


@given(st.sampled_from(SOUND), st.integers(0, 10**6), st.binary(min_size=1, max_size=8), st.booleans())
def test_a_broken_file_gets_an_answer_and_no_error(content, place, junk, cut):
    place %= len(content)
    told = verify(content[:place] if cut else content[:place] + junk + content[place + len(junk) :])
    assert told.exit_code in (0, 1, 2)


@given(st.binary(max_size=100))
def test_junk_is_no_picture(content):
    assert verify(content).exit_code == 2
