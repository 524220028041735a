"""Every family of models shares passes: what one is told besides the noisy thing is joined with what others are."""

import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image

import tiny_models
from sfumato.pipelines.text_to_image import Pipeline
from sfumato.server.batching.passes import Passes, Sitting
from sfumato.server.batching.sharing import Sharing
from sfumato.server.batching.twin import twins
from sfumato.server.preview import picture_of

GIVEN = Image.effect_noise((32, 32), 40).convert("RGB")
MASK = Image.linear_gradient("L").resize((32, 32))
FAMILIES = {
    "stable": {"picture": GIVEN, "strength": 0.8},
    "xl": {"solver": "heun"},
    "sd3": {},
    "flux": {},
    "pixart": {},
    "inpaint": {"picture": GIVEN, "mask": MASK},
    "lcm": {"solver": "lcm"},
}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    made = {}

    def get(name):
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            getattr(tiny_models, name)(folder).save_pretrained(folder / "model")
            made[name] = Pipeline.load(folder / "model", "cpu")
        return made[name]

    return get


def painted(pipeline, request):
    with torch.inference_mode():
        for painting in pipeline.paintings(pipeline.batch([request])):
            last = painting
        return np.asarray(picture_of(last)).astype(int)


def together(pipeline, requests, sharing):
    """The pictures of requests that begin at the same moment, and how often they shared a pass."""
    passes, made = Passes(sharing), {}
    shared = pipeline.over(twins(pipeline.model.parts, passes.ask))

    def sit(number):
        torch.set_num_threads(1)
        with passes.sitting(Sitting(str(number), number)):
            made[number] = painted(shared, requests[number])

    threads = [threading.Thread(target=sit, args=(number,)) for number in range(len(requests))]
    passes.start()
    with passes.sitting(Sitting("who has them all wait", -1)):
        for thread in threads:
            thread.start()
        while len(passes._room.ready) < len(threads):
            time.sleep(0.001)
    for thread in threads:
        thread.join(120)
    passes.stop()
    return [made[number] for number in range(len(requests))], passes.tally.calls - passes.tally.passes


@pytest.mark.parametrize("name", FAMILIES)
def test_pictures_made_together_are_those_made_alone(loaded, name):
    pipeline = loaded(name)
    settings = {"width": 32, "height": 32, "guidance_scale": 3.0, **FAMILIES[name]}
    requests = [
        pipeline.requests(prompt, seed=seed, num_inference_steps=steps, **settings)[0]
        for prompt, seed, steps in (("a cat", 1, 2), ("a photo of a cat and another cat", 2, 3), ("a photo", 3, 4))
    ]
    alone = [painted(pipeline, request) for request in requests]
    made, shared = together(pipeline, requests, Sharing(rows=16, patience=None))
    assert shared > 0
    for one, other in zip(made, alone, strict=True):
        assert np.abs(one - other).max() <= 1


def test_what_is_attached_is_for_its_own_picture_alone(loaded, tmp_path):
    pipeline = loaded("stable")
    tiny_models.controlnet(tiny_models.unet()).save_pretrained(tmp_path / "control")
    settings = {"width": 32, "height": 32, "num_inference_steps": 2}
    plain = pipeline.requests("a cat", seed=1, **settings)[0]
    control = {"network": str(tmp_path / "control"), "picture": GIVEN}
    attached = pipeline.requests("a cat", seed=1, control=[control], **settings)[0]
    alone = [painted(pipeline, request) for request in (plain, attached, plain)]
    made, shared = together(pipeline, [plain, attached, plain], Sharing(rows=16, patience=None))
    assert shared > 0
    assert np.abs(alone[0] - alone[1]).max() > 1
    for one, other in zip(made, alone, strict=True):
        assert np.abs(one - other).max() <= 1
