"""A client that asks and reads as the package webuiapi does gets along with /sdapi/v1."""

import base64
import io
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest
from PIL import Image, PngImagePlugin

from addresses import holds_up_the_loop
from light_server import SIDE, painted, png
from sfumato.server.given import bytes_of

# what the client always sends
ALWAYS = {
    "enable_hr": False,
    "hr_scale": 2,
    "hr_upscaler": "Latent",
    "hr_second_pass_steps": 0,
    "denoising_strength": 0.7,
    "firstphase_width": 0,
    "styles": [],
    "seed": -1,
    "subseed": -1,
    "subseed_strength": 0.0,
    "seed_resize_from_h": 0,
    "batch_size": 1,
    "n_iter": 1,
    "cfg_scale": 7.0,
    "restore_faces": False,
    "tiling": False,
    "do_not_save_samples": False,
    "negative_prompt": "",
    "eta": 1.0,
    "s_churn": 0,
    "s_tmax": 0,
    "s_tmin": 0,
    "s_noise": 1,
    "override_settings": {},
    "override_settings_restore_afterwards": True,
    "sampler_name": "Euler a",
    "sampler_index": "Euler a",
    "script_name": None,
    "script_args": [],
    "send_images": True,
    "save_images": False,
    "alwayson_scripts": {},
    "steps": 20,
    "width": 512,
    "height": 512,
}
IMG2IMG = {
    "resize_mode": 0,
    "mask_blur": 4,
    "inpainting_fill": 0,
    "inpaint_full_res": True,
    "inpaint_full_res_padding": 0,
    "inpainting_mask_invert": 0,
    "initial_noise_multiplier": 1,
    "image_cfg_scale": 1.5,
    "include_init_images": False,
}


class WebUIApi:
    """The client."""

    def __init__(self, address):
        self.http = httpx.Client(base_url=f"{address}/sdapi/v1", timeout=60)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.http.close()

    def get(self, path):
        return self.http.get(path).json()

    def post(self, path, payload=None):
        return self.http.post(path, json=payload).json()

    def txt2img(self, **settings):
        return self._pictures("/txt2img", {**ALWAYS, **settings})

    def img2img(self, images, mask_image=None, **settings):
        payload = {**ALWAYS, **IMG2IMG, "init_images": [self._url(each) for each in images], **settings}
        if mask_image is not None:
            payload["mask"] = self._url(mask_image)
        return self._pictures("/img2img", payload)

    def _pictures(self, path, payload):
        answer = self.http.post(path, json=payload)
        if answer.status_code != 200:
            raise RuntimeError(answer.status_code, answer.text)
        told = answer.json()
        pictures = [Image.open(io.BytesIO(base64.b64decode(text))) for text in told["images"]]
        return pictures, json.loads(told["info"]), told["parameters"]

    @staticmethod
    def _url(content):
        return "data:image/png;base64," + base64.b64encode(content).decode()


@pytest.fixture
def api(address):
    with WebUIApi(address) as api:
        yield api


def test_a_call_with_all_that_the_client_always_sends_makes_pictures(api, engine):
    pictures, info, parameters = api.txt2img(prompt="a (red:1.2) cat", seed=41, batch_size=2, steps=4)
    assert [picture.size for picture in pictures] == [(512, 512)] * 2
    assert [picture.getpixel((0, 0))[0] for picture in pictures] == [41, 42]
    assert (info["seed"], info["all_seeds"], info["sampler_name"]) == (41, [41, 42], "Euler a")
    assert parameters["steps"] == 4
    request = engine.store.jobs()[0].request
    assert (request["solver"], request["eta"], request["prompt_syntax"]) == ("euler-ancestral", 1.0, "a1111")


def test_pictures_carry_the_text_that_its_users_know(api):
    pictures, info, _ = api.txt2img(prompt="a cat", negative_prompt="a dog", seed=1, steps=3, width=64, height=32)
    lines = pictures[0].info["parameters"].splitlines()
    assert lines[:2] == ["a cat", "Negative prompt: a dog"]
    assert lines[2].startswith("Steps: 3, Sampler: Euler a, ")
    assert "CFG scale: 7.0, Seed: 1, Size: 64x32, Model: light" in lines[2]
    assert info["infotexts"][0] == pictures[0].info["parameters"]


def test_png_info_tells_how_a_picture_was_made(api):
    pictures, _, _ = api.txt2img(prompt="a cat", seed=1, steps=3)
    file = io.BytesIO()
    pictures[0].save(file, format="PNG")  # the client's way loses what Pillow does not keep
    assert api.post("/png-info", {"image": api._url(file.getvalue())})["info"] == ""
    told = api.post("/png-info", {"image": api._url(with_text(pictures[0]))})
    assert told["info"].startswith("a cat\nSteps: 3")
    assert api.http.post("/png-info", json={"image": "junk"}).status_code == 400


@pytest.mark.parametrize(
    "recipe",
    [
        '{"request": {"prompt": ' + "[" * 400 + "]" * 400 + "}}",
        '{"request": {"prompt": "\\ud800"}}',
        '{"request": ["a cat"]}',
        "[" * 100_000,
    ],
)
def test_a_recipe_that_no_answer_can_hold_is_none(api, recipe):
    chunks, file = PngImagePlugin.PngInfo(), io.BytesIO()
    chunks.add_itxt("sfumato", recipe)
    Image.new("RGB", (8, 8)).save(file, format="PNG", pnginfo=chunks)
    answer = api.post("/png-info", {"image": api._url(file.getvalue())})
    assert answer == {"info": "", "items": {}, "parameters": {}}


def test_few_large_pictures_are_read_at_a_time(api, monkeypatch):
    going, most, opened = [0], [0], Image.open

    @contextmanager
    def counted(*given, **named):
        going[0] += 1
        most[0] = max(most[0], going[0])
        time.sleep(0.05)
        with opened(*given, **named) as picture:
            yield picture
        going[0] -= 1

    monkeypatch.setattr(Image, "open", counted)
    with ThreadPoolExecutor(8) as pool:
        for answer in pool.map(lambda _: api.post("/png-info", {"image": api._url(png("red"))}), range(8)):
            assert answer["info"] == ""
    assert most[0] <= 2


def test_nobody_waits_while_a_large_picture_is_read(api, monkeypatch):
    held_up = []

    def noted(text, param):
        held_up.append(holds_up_the_loop())
        return bytes_of(text, param)

    monkeypatch.setattr("sfumato.server.a1111.about.bytes_of", noted)
    assert api.post("/png-info", {"image": api._url(png("red"))})["info"] == ""
    assert held_up == [False]


def with_text(picture):
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("parameters", picture.info["parameters"])
    file = io.BytesIO()
    picture.save(file, format="PNG", pnginfo=chunks)
    return file.getvalue()


def test_the_size_left_out_is_the_models_own(api):
    pictures, info, _ = api.txt2img(prompt="a", width=None, height=None, sampler_name=None, sampler_index=None)
    assert pictures[0].size == (SIDE, SIDE) == (info["width"], info["height"])


def test_a_picture_is_changed_and_where_the_mask_is_white_painted_anew(api, engine):
    mask = io.BytesIO()
    white = Image.new("L", (SIDE, SIDE))
    white.paste(255, (0, 0, 16, 32))
    white.save(mask, format="PNG")
    picture = png((9, 200, 9))
    settings = {"prompt": "a", "seed": 77, "width": SIDE, "height": SIDE, "denoising_strength": 0.5}
    (made,), _, _ = api.img2img([picture], mask.getvalue(), **settings)
    assert (made.getpixel((2, 2)), made.getpixel((30, 2))) == ((77, 100, 50), (9, 200, 9))
    (made,), _, _ = api.img2img([picture], mask.getvalue(), inpainting_mask_invert=1, **settings)
    assert (made.getpixel((2, 2)), made.getpixel((30, 2))) == ((9, 200, 9), (77, 100, 50))
    assert engine.store.jobs()[0].request["strength"] == 0.5


@pytest.mark.parametrize("strokes", ["black", "white"])
def test_of_a_mask_with_transparency_the_opaque_part_is_painted_anew_whatever_its_colour(api, strokes):
    mask = png(strokes, alpha=(16, 0, SIDE, SIDE))
    settings = {"prompt": "a", "seed": 77, "width": SIDE, "height": SIDE, "denoising_strength": 0.5}
    (made,), _, _ = api.img2img([png((9, 200, 9))], mask, **settings)
    assert (made.getpixel((2, 2)), made.getpixel((30, 2))) == ((77, 100, 50), (9, 200, 9))


@pytest.mark.parametrize(
    ("name", "scheduler", "solver", "spacing"),
    [
        ("DPM++ 2M", "Karras", "dpmpp-2m", "karras"),
        ("DPM++ 2M Karras", None, "dpmpp-2m", "karras"),
        ("DPM++ SDE", "sgm_uniform", "dpmpp-sde", "sgm-uniform"),
        ("UniPC", "Automatic", "unipc-3", "beta"),
        ("dpmpp-2m", "beta", "dpmpp-2m", "beta"),
    ],
)
def test_samplers_and_schedulers_have_their_names(api, engine, name, scheduler, solver, spacing):
    api.txt2img(prompt="a", sampler_name=name, scheduler=scheduler)
    request = engine.store.jobs()[0].request
    assert (request["solver"], request["spacing"]) == (solver, spacing)


def test_a_subseed_varies_the_picture_and_counts_on_in_the_place_of_the_seed(api, engine):
    _, info, _ = api.txt2img(prompt="a", seed=5, subseed=9, subseed_strength=0.25, batch_size=2)
    asked = engine.store.jobs()[0]
    assert [(one.seed, one.variation_seed, one.variation) for one in map(asked.asked, range(2))] == [
        (5, 9, 0.25),
        (5, 10, 0.25),
    ]
    assert (info["all_seeds"], info["all_subseeds"], info["subseed_strength"]) == ([5, 5], [9, 10], 0.25)


def test_every_sampler_and_scheduler_that_is_told_of_is_known(api):
    from sfumato.server.a1111.samplers import solver_and_spacing

    for sampler in api.get("/samplers"):
        assert solver_and_spacing(sampler["name"], None)[0]
    for scheduler in api.get("/schedulers"):
        solver_and_spacing(None, scheduler["name"])
        solver_and_spacing(None, scheduler["label"])


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        ({"enable_hr": True}, 422),
        ({"sampler_name": "magic"}, 404),
        ({"script_name": "x/y plot"}, 422),
        ({"width": 513}, 400),
        ({"override_settings": {"sd_model_checkpoint": "/etc/passwd"}}, 404),
        ({"alwayson_scripts": {"ADetailer": {"args": [True]}}}, 422),
    ],
)
def test_what_is_not_done_here_is_refused(api, settings, status):
    with pytest.raises(RuntimeError) as caught:
        api.txt2img(prompt="a", **settings)
    assert caught.value.args[0] == status
    assert set(json.loads(caught.value.args[1])) == {"error", "detail", "body", "errors"}


def test_scripts_that_are_off_are_no_matter(api):
    assert api.txt2img(prompt="a", alwayson_scripts={"ADetailer": {"args": [False]}, "ControlNet": {"args": []}})


def test_models_are_chosen_by_title_for_the_calls_that_follow(api):
    titles = [model["title"] for model in api.get("/sd-models")]
    assert api.get("/options")["sd_model_checkpoint"] == titles[0]
    assert api.post("/options", {"sd_model_checkpoint": titles[1]}) == {}
    assert api.get("/options")["sd_model_checkpoint"] == titles[1]
    assert api.http.post("/options", json={"sd_model_checkpoint": "/etc/passwd"}).status_code == 404


def test_what_clients_ask_for_at_their_start_is_there(api):
    assert api.get("/scripts") == {"txt2img": [], "img2img": []}
    assert api.get("/progress")["state"]["job_count"] == 0
    for path in ("cmd-flags", "upscalers", "sd-vae", "embeddings", "prompt-styles", "hypernetworks", "loras"):
        assert api.http.get(f"/{path}").status_code == 200, path
    assert api.post("/refresh-checkpoints") == {}


def test_progress_shows_the_picture_and_interrupt_ends_the_call_with_it(api, address, engine):
    engine.middle.clear()
    found = []
    call = threading.Thread(target=lambda: found.append(api.txt2img(prompt="a", seed=8, steps=4, width=64, height=64)))
    call.start()
    with WebUIApi(address) as other:
        while (told := other.get("/progress"))["state"]["sampling_step"] < 3:
            time.sleep(0.01)
        assert 0 < told["progress"] < 1
        assert told["state"]["job_count"] == 1
        assert Image.open(io.BytesIO(base64.b64decode(told["current_image"]))).getpixel((0, 0)) == (8, 100, 50)
        assert other.get("/progress?skip_current_image=true")["current_image"] is None
        assert other.post("/interrupt") == {}
    call.join()
    ((pictures, _, _),) = found
    assert pictures[0].getpixel((0, 0)) == (8, 100, 50)
    assert engine.store.jobs()[0].state == "cancelled"


def test_what_an_interrupted_call_has_is_told_with_its_own_seed_and_nothing_is_told_of_the_rest(api, address, engine):
    engine.gate.clear()
    found = []
    settings = {"prompt": "a", "seed": 40, "batch_size": 4, "width": 64, "height": 64}
    call = threading.Thread(target=lambda: found.append(api.txt2img(**settings)))
    call.start()
    while not engine.store.jobs():
        time.sleep(0.01)
    (job,) = engine.store.jobs()
    for number in (1, 3):  # pictures that are made at a time are finished in any order
        engine.store.keep(job.id, number, painted(job.asked(number)), {})
    with WebUIApi(address) as other:
        while not other.get("/progress")["state"]["job_count"]:
            time.sleep(0.01)
        other.post("/interrupt")
    call.join()
    ((pictures, info, _),) = found
    assert [picture.getpixel((0, 0))[0] for picture in pictures] == [41, 43]
    assert (info["seed"], info["all_seeds"], info["batch_size"]) == (41, [41, 43], 2)
    assert info["infotexts"] == [picture.info["parameters"] for picture in pictures]
    assert [f"Seed: {seed}" in text for seed, text in zip((41, 43), info["infotexts"], strict=True)] == [True, True]
