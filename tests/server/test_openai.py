"""The openai package, as its users have it, makes, edits and varies pictures here, and understands what goes wrong."""

import base64
import io
import urllib.request

import openai
import pytest
from PIL import Image

from light_server import SIDE, png
from sfumato.server.job import Event
from sfumato.server.openai.streaming import Due


@pytest.fixture
def ask(address):
    return openai.OpenAI(api_key="none", base_url=f"{address}/v1", max_retries=0, timeout=60)


def opened(text):
    return Image.open(io.BytesIO(base64.b64decode(text)))


def test_pictures_are_generated_with_the_seeds_that_follow(ask):
    answer = ask.images.generate(prompt="a red cat", n=2, extra_body={"seed": 11, "steps": 3, "guidance_scale": 2.5})
    assert [opened(picture.b64_json).getpixel((0, 0))[0] for picture in answer.data] == [11, 12]
    assert (answer.size, answer.output_format) == (f"{SIDE}x{SIDE}", "png")
    assert "sfumato" in opened(answer.data[0].b64_json).info  # the recipe


def test_the_size_and_format_are_as_asked(ask):
    answer = ask.images.generate(prompt="a", size="64x40", output_format="jpeg", output_compression=50)
    picture = opened(answer.data[0].b64_json)
    assert (picture.size, picture.format) == ((64, 40), "JPEG")


def test_a_url_leads_to_the_picture_without_a_key(ask):
    answer = ask.images.generate(prompt="a", response_format="url", output_format="webp", extra_body={"seed": 3})
    with urllib.request.urlopen(answer.data[0].url) as file:
        assert file.headers["content-type"] == "image/webp"
        assert Image.open(io.BytesIO(file.read())).format == "WEBP"
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(answer.data[0].url[:-1] + "x")


def test_a_url_leads_to_a_picture_as_small_as_was_asked_for(ask):
    def table(quality):
        asked = {"response_format": "url", "output_format": "jpeg", "output_compression": quality}
        with urllib.request.urlopen(ask.images.generate(prompt="a", **asked).data[0].url) as file:
            return Image.open(io.BytesIO(file.read())).quantization[0]

    assert sum(table(10)) > 5 * sum(table(90))


def test_quality_means_steps(ask, engine):
    for quality in ("low", "medium", "high"):
        ask.images.generate(prompt="a", quality=quality)
    steps = [job.request["num_inference_steps"] for job in reversed(engine.store.jobs())]
    assert steps == [10, 20, 40]


def test_where_the_mask_is_transparent_the_picture_is_painted_anew(ask):
    mask = png((0, 0, 0, 255), alpha=(8, 8, 24, 24))
    image = png((9, 200, 9))
    answer = ask.images.edit(image=image, mask=mask, prompt="a dog", extra_body={"seed": 77})
    made = opened(answer.data[0].b64_json)
    assert made.getpixel((16, 16)) == (77, 100, 50)
    assert made.getpixel((2, 2)) == (9, 200, 9)


def test_without_a_mask_the_transparent_part_of_the_picture_is_it(ask, engine):
    ask.images.edit(image=png((9, 200, 9, 255), alpha=(0, 0, 16, 32)), prompt="a dog")
    assert engine.store.jobs()[0].request["mask"] is not None


def test_a_picture_without_any_mask_is_changed_as_a_whole(ask, engine):
    ask.images.edit(image=[png((9, 200, 9))], prompt="a dog", extra_body={"strength": 0.3})
    request = engine.store.jobs()[0].request
    assert (request["mask"], request["strength"]) == (None, 0.3)


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # by OpenAI, for its own server
def test_variations_are_pictures_like_one(ask, engine):
    answer = ask.images.create_variation(image=png((1, 2, 3)), n=2)
    assert len(answer.data) == 2
    assert engine.store.jobs()[0].request["strength"] == 0.6


def test_a_stream_shows_the_picture_emerge(ask):
    stream = ask.images.generate(prompt="a", stream=True, partial_images=2, extra_body={"seed": 5, "steps": 6})
    events = list(stream)
    kinds = [event.type.removeprefix("image_generation.") for event in events]
    assert kinds == ["partial_image", "partial_image", "completed"]
    assert [event.partial_image_index for event in events[:2]] == [0, 1]
    assert opened(events[-1].b64_json).getpixel((0, 0)) == (5, 100, 50)
    assert events[-1].usage.total_tokens == 0


def test_an_edit_streams_by_its_own_names(ask):
    events = list(ask.images.edit(image=png((9, 9, 9)), prompt="a", stream=True))
    assert [event.type for event in events] == ["image_edit.completed"]


def test_previews_are_due_at_even_parts_of_the_way():
    due = Due(3)
    shown = [step for step in range(21) if due.now(Event("", "step", 0, "denoise", step, 20))]
    assert shown == [5, 10, 15]


def test_a_failure_within_a_stream_is_an_error_of_the_client(ask, engine):
    engine.fails = "There is not enough memory."
    with pytest.raises(openai.APIError, match="not enough memory"):
        list(ask.images.generate(prompt="a", stream=True))


def test_a_failure_is_an_error_of_the_server(ask, engine):
    engine.fails = "There is not enough memory."
    with pytest.raises(openai.InternalServerError, match="not enough memory"):
        ask.images.generate(prompt="a")


def test_models_are_listed(ask):
    assert [model.id for model in ask.models.list()] == ["light", "words"]
    assert ask.models.retrieve("light").owned_by == "sfumato"


@pytest.mark.parametrize("name", ["dall-e-3", "/etc/passwd", "../light", "light/unet"])
def test_models_that_are_not_offered_are_not_there(ask, name):
    with pytest.raises(openai.NotFoundError) as caught:
        ask.images.generate(prompt="a", model=name)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.NotFoundError):
        ask.models.retrieve(name)


WRONG = {
    "size": ({"size": "33x33"}, "size"),
    "too large a size": ({"size": "8192x8192"}, "size"),
    "no size": ({"size": "large"}, "size"),
    "style": ({"style": "vivid"}, "style"),
    "background": ({"background": "transparent"}, "background"),
    "n": ({"n": 99}, "n"),
    "partial images": ({"partial_images": 2}, "partial_images"),
    "unknown": ({"extra_body": {"colour": "red"}}, "colour"),
    "solver": ({"extra_body": {"solver": "magic"}}, "solver"),
    "steps": ({"extra_body": {"steps": 900}}, "steps"),
    "seed": ({"extra_body": {"seed": -1}}, "seed"),
    "guidance": ({"extra_body": {"guidance_scale": 5000}}, "guidance_scale"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named(ask, name):
    settings, param = WRONG[name]
    with pytest.raises(openai.BadRequestError) as caught:
        ask.images.generate(prompt="a", **settings)
    assert caught.value.param == param
    assert caught.value.type == "invalid_request_error"


def test_a_size_that_cannot_be_made_is_answered_with_those_that_can(ask):
    with pytest.raises(openai.BadRequestError, match="32x32 pixels, and other sides that are multiples of 8"):
        ask.images.generate(prompt="a", size="33x33")


def test_wrong_masks_are_refused(ask):
    image = png((9, 9, 9))
    for mask in (png((0, 0, 0)), png((0, 0, 0, 255), (16, 16), alpha=(0, 0, 8, 8)), b"no picture"):
        with pytest.raises(openai.BadRequestError) as caught:
            ask.images.edit(image=image, mask=mask, prompt="a")
        assert caught.value.param == "mask"


def test_a_full_queue_says_when_to_come_again(ask, engine):
    engine.full = True
    with pytest.raises(openai.RateLimitError) as caught:
        ask.images.generate(prompt="a")
    assert caught.value.response.headers["retry-after"] == "7"
    assert caught.value.code == "rate_limit_exceeded"
