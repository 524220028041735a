"""What the server was told to say of its pictures they say, by whatever door they leave."""

import base64
import time
import urllib.parse

import pytest
from starlette.testclient import TestClient

from certificates import certificates
from light_server import LightEngine, light_app
from sfumato.pipelines.marks.credentials import Signer
from sfumato.pipelines.marks.verifying import verify
from sfumato.pipelines.marks.watermark import Watermark
from sfumato.pipelines.marks.writing import Marks
from sfumato.server import app as application
from sfumato.server.store import Store

SIZE = "512x512"  # room for a watermark


@pytest.fixture(scope="module")
def issued():
    pytest.importorskip("c2pa")
    return certificates()


@pytest.fixture
def marked(issued, tmp_path):
    """A client of a server that signs and hides a number."""
    with Store(tmp_path / "store", Marks(watermark=Watermark(0x2A), signer=Signer(*issued[:2]))) as store:
        engine = LightEngine(store)
        with TestClient(light_app(engine, tmp_path, port=0), "http://127.0.0.1:7860") as client:
            yield client
        engine.stop()


def generated(client, **asked):
    answer = client.post("/v1/images/generations", json={"prompt": "a cat", "size": SIZE, **asked})
    assert answer.status_code == 200, answer.text
    return answer


def by_openai(client):
    return base64.b64decode(generated(client).json()["data"][0]["b64_json"])


def in_jpeg(client):
    return base64.b64decode(generated(client, output_format="jpeg").json()["data"][0]["b64_json"])


def in_a_stream(client):
    lines = generated(client, stream=True).text.splitlines()
    last = [line for line in lines if line.startswith("data: {")][-1]
    return base64.b64decode(last.split('"b64_json":')[1].split('"')[1])


def by_address(client):
    url = generated(client, response_format="url", output_format="webp").json()["data"][0]["url"]
    return client.get(urllib.parse.urlsplit(url)._replace(scheme="", netloc="").geturl()).content


def by_a1111(client):
    answer = client.post("/sdapi/v1/txt2img", json={"prompt": "a cat", "width": 512, "height": 512, "steps": 2})
    content = base64.b64decode(answer.json()["images"][0])
    assert b"parameters" in content
    return content


@pytest.mark.parametrize("door", [by_openai, in_jpeg, in_a_stream, by_address, by_a1111])
def test_every_picture_is_signed_and_watermarked(marked, issued, door):
    verdict = verify(door(marked), trusted=issued[2])
    assert verdict.exit_code == 0, verdict
    told = " ".join(verdict.marks + verdict.notes)
    assert "content credentials" in told.lower()
    assert "0000002a" in told


def test_old_jobs_are_forgotten_while_the_server_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(application, "BETWEEN_TIDYINGS", 0.05)
    with Store(tmp_path / "store") as store:
        engine = LightEngine(store)
        with TestClient(light_app(engine, tmp_path, port=0, keep_gb=0.0), "http://127.0.0.1:7860") as client:
            id = client.post("/jobs", json={"prompt": "a cat"}).json()["id"]
            until = time.monotonic() + 60
            while client.get(f"/jobs/{id}").status_code != 404:
                assert time.monotonic() < until
                time.sleep(0.02)
        engine.stop()
