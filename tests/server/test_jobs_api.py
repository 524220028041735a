"""Jobs are accepted at once, followed, looked at, cancelled and forgotten; nobody sees those of others."""

import asyncio
import base64
import contextlib
import json

import pytest
from PIL import Image

from light_server import SIDE, LightPipeline, png
from sfumato.server import jobs_api
from sfumato.server.given import bytes_of
from sfumato.server.keys import Keys


def events(text):
    """The events of a stream, each its name and its data."""
    for block in text.strip().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if lines:
            yield lines["event"], json.loads(lines["data"])


def test_a_job_is_accepted_followed_and_its_pictures_fetched(client):
    answer = client.post("/jobs", json={"prompt": "a red cat", "seed": 5, "count": 2, "num_inference_steps": 3})
    assert answer.status_code == 202
    path = answer.headers["location"]
    told = list(events(client.get(f"{path}/events?previews=true").text))
    kinds = [kind for kind, _ in told]
    assert kinds[0] == "queued"
    assert kinds.count("picture") == 2
    assert kinds[-2:] == ["done", "job"]
    steps = [data for kind, data in told if kind == "step"]
    assert (steps[-1]["picture"], steps[-1]["step"], steps[-1]["steps"], steps[-1]["stage"]) == (1, 3, 3, "denoise")
    assert base64.b64decode(steps[0]["preview"])[:4] == b"RIFF"
    job = client.get(path).json()
    assert (job["state"], job["request"]["prompt"], job["request"]["seed"]) == ("done", "a red cat", 5)
    assert job["pictures"] == told[-1][1]["pictures"] == [f"{path}/pictures/0", f"{path}/pictures/1"]
    assert client.get(job["pictures"][1]).content[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_picture_never_changes_and_is_sent_once(client):
    job = client.post("/jobs", json={"prompt": "a"}).json()
    client.get(f"/jobs/{job['id']}/events")
    first = client.get(f"/jobs/{job['id']}/pictures/0")
    assert "immutable" in first.headers["cache-control"]
    again = client.get(f"/jobs/{job['id']}/pictures/0", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(f"/jobs/{job['id']}/pictures/1").status_code == 404


def test_pictures_come_in_base64_or_as_a_form(client, engine):
    picture, mask = png((9, 9, 9), (64, 32)), png((255, 255, 255), (64, 32))
    settings = {"prompt": "a", "strength": 0.5}
    text = base64.b64encode(picture).decode()
    both = [
        client.post("/jobs", json={**settings, "picture": text, "mask": base64.b64encode(mask).decode()}),
        client.post("/jobs", data={"request": json.dumps(settings)}, files={"picture": picture, "mask": mask}),
    ]
    assert [answer.status_code for answer in both] == [202, 202]
    first, second = (engine.store.job(answer.json()["id"]).request for answer in both)
    assert first["picture"]["sha256"] == second["picture"]["sha256"]
    assert "path" not in json.dumps(both[0].json()["request"])


def test_base64_is_decoded_beside_the_event_loop(client, monkeypatch):
    seen = []

    def noting(text, param):
        with contextlib.suppress(RuntimeError):
            seen.append(asyncio.get_running_loop())
        return bytes_of(text, param)

    monkeypatch.setattr(jobs_api, "bytes_of", noting)
    text = base64.b64encode(png((9, 9, 9))).decode()
    assert client.post("/jobs", json={"prompt": "a", "picture": text}).status_code == 202
    assert seen == []


def test_what_is_asked_for_is_checked_once(client, monkeypatch):
    checked, batch = [], LightPipeline.batch
    monkeypatch.setattr(LightPipeline, "batch", lambda *given: checked.append(given) or batch(*given))
    assert client.post("/jobs", json={"prompt": "a"}).status_code == 202
    assert len(checked) == 1


def test_the_history_is_searched_and_paged(client):
    for prompt in ("a red cat", "a blue dog", "a red dog"):
        client.post("/jobs", json={"prompt": prompt})
    prompts = lambda answer: [job["request"]["prompt"] for job in answer.json()["jobs"]]  # noqa: E731
    assert prompts(client.get("/jobs")) == ["a red dog", "a blue dog", "a red cat"]
    assert prompts(client.get("/jobs?search=red")) == ["a red dog", "a red cat"]
    page = client.get("/jobs?limit=2")
    assert prompts(client.get(f"/jobs?limit=2&before={page.json()['before']}")) == ["a red cat"]


def test_a_job_is_cancelled_and_forgotten(client, engine):
    engine.gate.clear()
    job = client.post("/jobs", json={"prompt": "a"}).json()
    assert client.delete(f"/jobs/{job['id']}").json()["state"] == "cancelled"
    assert [kind for kind, _ in events(client.get(f"/jobs/{job['id']}/events").text)][-2:] == ["cancelled", "job"]
    assert client.delete(f"/jobs/{job['id']}?forget=true").status_code == 200
    assert client.get(f"/jobs/{job['id']}").status_code == 404


def test_a_private_job_leaves_no_words(client, engine):
    job = client.post("/jobs", json={"prompt": "a secret", "negative_prompt": "a lie", "private": True}).json()
    client.get(f"/jobs/{job['id']}/events")
    told = client.get(f"/jobs/{job['id']}").text
    assert "secret" not in told
    assert "lie" not in told
    assert b"secret" not in client.get(f"/jobs/{job['id']}/pictures/0").content
    assert client.get("/jobs?search=secret").json()["jobs"] == []


WRONG = {
    "nothing": ({}, "prompt"),
    "a path": ({"prompt": "a", "picture": "/etc/passwd"}, "picture"),
    "a recipe's picture": ({"prompt": "a", "picture": {"path": "/etc/passwd", "sha256": "0" * 64}}, "picture"),
    "a network": ({"prompt": "a", "control": [{"network": "/etc", "picture": "/etc/passwd"}]}, "control"),
    "a file of times": ({"prompt": "a", "spacing": "/etc/passwd.json"}, "spacing"),
    "too many": ({"prompt": "a", "count": 1000}, "count"),
    "too long": ({"prompt": "a" * 5000}, "prompt"),
    "too many steps": ({"prompt": "a", "num_inference_steps": 999}, "num_inference_steps"),
    "too many pixels": ({"prompt": "a", "width": 8192, "height": 8192}, "width"),
    "what the model does not follow": ({"prompt": "a", "pull": 0.5}, "pull"),
    "a mask alone": ({"prompt": "a", "mask": base64.b64encode(png((0, 0, 0))).decode()}, "mask"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named(client, name):
    body, param = WRONG[name]
    answer = client.post("/jobs", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
    assert "passwd" not in answer.text


@pytest.mark.parametrize("id", ["nothing", "..%2f..%2fetc", "a" * 22, "%00", "a" * 500, "💥"])
def test_ids_that_are_none_are_not_there(client, id):
    for path in (f"/jobs/{id}", f"/jobs/{id}/events", f"/jobs/{id}/pictures/0", f"/jobs/{id}/pictures/99999999999"):
        assert client.get(path).status_code in (400, 404)
    assert client.delete(f"/jobs/{id}").status_code in (400, 404)


def test_jobs_of_others_are_not_there(client, app):
    keys = Keys(app.state.serving.settings.keys)
    mine, theirs = ({"authorization": f"Bearer {keys.new(name)}"} for name in ("me", "them"))
    job = client.post("/jobs", json={"prompt": "a"}, headers=mine).json()
    assert client.get(f"/jobs/{job['id']}", headers=mine).status_code == 200
    for path in (f"/jobs/{job['id']}", f"/jobs/{job['id']}/events", f"/jobs/{job['id']}/pictures/0"):
        assert client.get(path, headers=theirs).status_code == 404
    assert client.delete(f"/jobs/{job['id']}", headers=theirs).status_code == 404
    assert client.get("/jobs", headers=theirs).json()["jobs"] == []


def test_a_full_queue_and_a_full_disk_accept_nothing(client, engine, monkeypatch):
    from sfumato.errors import StoreFull

    engine.full = True
    answer = client.post("/jobs", json={"prompt": "a"})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    engine.full = False

    def full(*_):
        raise StoreFull("/secret/place: the disk is full")

    monkeypatch.setattr(engine.store, "add", full)
    answer = client.post("/jobs", json={"prompt": "a"})
    assert answer.status_code == 507
    assert "secret" not in answer.text


def test_the_size_is_the_models_own_if_left_out(client, engine):
    job = client.post("/jobs", json={"prompt": "a"}).json()
    client.get(f"/jobs/{job['id']}/events")
    with Image.open(engine.store.path(job["id"], 0)) as picture:
        assert picture.size == (SIDE, SIDE)
