"""What comes from outside is bounded and checked, whoever sends it."""

import base64
import io
import json
import socket
import struct
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest
from anyio.to_thread import current_default_thread_limiter
from starlette.concurrency import run_in_threadpool
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from light_server import LightEngine, light_app, listening, png
from sfumato.errors import CheckpointError, PromptError, RecipeError, StorageError, StoreFull
from sfumato.server.bodies import MOST_COMMAS
from sfumato.server.keys import Keys
from sfumato.server.limits import Limits
from sfumato.server.listening import LARGEST_HEAD
from sfumato.server.logs import log_to
from sfumato.server.serving import OPEN
from sfumato.server.store import Store
from sfumato.server.streams import EventStream

ASK = {"prompt": "a"}
JSON = {"content-type": "application/json"}


@pytest.fixture
def keys(app):
    return Keys(app.state.serving.settings.keys)


@pytest.fixture
def small(tmp_path):
    """A server whose bodies have at most 100,000 bytes, and whose keys may ask 3 times a minute."""
    with Store(tmp_path / "small") as store:
        engine = LightEngine(store, Limits(body=100_000, a_minute=3))
        with TestClient(light_app(engine, tmp_path, patience=0.5), "http://localhost") as client:
            yield client


def test_other_machines_are_let_in_with_keys_alone(engine, tmp_path):
    with pytest.raises(RecipeError, match="--new-key"):
        light_app(engine, tmp_path, host="0.0.0.0")
    key = Keys(tmp_path / "keys.json").new("me")
    with TestClient(light_app(engine, tmp_path, host="0.0.0.0"), "http://picture.example") as client:
        assert client.get("/v1/models").status_code == 401
        assert client.get("/v1/models", headers={"authorization": f"Bearer {key}"}).status_code == 200
        assert client.get("/health").status_code == 200


def test_who_comes_by_a_name_through_a_proxy_is_let_in_with_a_key_alone(engine, tmp_path):
    with pytest.raises(RecipeError, match=r"pics\.example.*--new-key"):
        light_app(engine, tmp_path, names=("pics.example",))
    keys = Keys(tmp_path / "keys.json")
    keys.new("me")
    with TestClient(light_app(engine, tmp_path, names=("pics.example",)), "http://pics.example") as client:
        keys.revoke("me")
        assert client.get("/jobs").status_code == 401
        keys.file.unlink()
        assert client.get("/jobs").status_code == 401


def test_when_the_last_key_is_revoked_nobody_is_let_in(client, keys):
    assert client.get("/jobs").status_code == 200
    headers = {"authorization": f"Bearer {keys.new('me')}"}
    keys.revoke("me")
    assert [client.get("/jobs", headers=each).status_code for each in ({}, headers)] == [401, 401]


def test_a_wrong_key_is_refused_in_openais_words(client, keys):
    keys.new("me")
    for value in ("", "Bearer wrong", "Basic ???", "Bearer é", "Bearer", "wrong"):
        answer = client.get("/v1/models", headers={"authorization": value.encode()})
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "invalid_api_key"
        assert answer.headers["www-authenticate"] == "Bearer"


def test_a_key_may_be_the_password_of_basic_authentication(client, keys):
    key = keys.new("me")
    assert client.get("/sdapi/v1/sd-models", auth=("anybody", key)).status_code == 200


def test_every_route_asks_for_the_key_but_those_that_say_nothing(client, keys, app):
    keys.new("me")
    open_ = {"/health", "/ready", "/openapi.json", "/docs", "/pictures/{id}/{number}.{format}"}
    for path, methods in app.openapi()["paths"].items():
        for method in methods:
            if path not in open_:
                answer = client.request(method, path.replace("{number}", "0"))
                assert answer.status_code == 401, (method, path)


def test_nothing_is_read_of_who_has_no_key(client, keys):
    keys.new("me")
    for path in ("/jobs", "/v1/images/generations", "/v1/images/edits", "/v1/completions", "/sdapi/v1/img2img"):
        assert client.post(path, content=b"[" * 100_000, headers=JSON).status_code == 401


def test_a_revoked_key_is_void_at_once(client, keys):
    headers = {"authorization": f"Bearer {keys.new('me')}"}
    keys.new("another")
    assert client.get("/v1/models", headers=headers).status_code == 200
    keys.revoke("me")
    assert client.get("/v1/models", headers=headers).status_code == 401


def test_a_key_that_asks_too_often_is_told_when_to_come_again(small, tmp_path):
    headers = {"authorization": f"Bearer {Keys(tmp_path / 'keys.json').new('me')}"}
    answers = [small.post("/jobs", json=ASK, headers=headers) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [202, 202, 202, 429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 20
    assert small.get("/jobs", headers=headers).status_code == 200  # looking costs nothing


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "evil.example:7860", "[::1", "0.0.0.0"])
def test_a_foreign_name_for_this_machine_is_refused(client, host):
    assert client.get("/v1/models", headers={"host": host}).status_code == 403


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:7860", "[::1]:7860", "127.0.0.2", "LOCALHOST:80"])
def test_the_names_of_this_machine_are_not(client, host):
    assert client.get("/v1/models", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "http://[", "file://"])
def test_pages_of_other_servers_may_not_call(client, origin):
    assert client.post("/jobs", json=ASK, headers={"origin": origin}).status_code == 403
    assert "access-control-allow-origin" not in client.get("/v1/models", headers={"origin": origin}).headers


def test_the_servers_own_pages_may(client):
    assert client.post("/jobs", json=ASK, headers={"origin": "http://127.0.0.1:7860"}).status_code == 202


def test_websockets_of_other_pages_are_refused(client, app):
    from fastapi import WebSocket

    @app.websocket("/socket")
    async def accept(socket: WebSocket):
        await socket.accept()
        await socket.close()

    with client.websocket_connect("/socket", headers={"host": "localhost"}):
        pass
    with (
        pytest.raises(WebSocketDisconnect),
        client.websocket_connect("/socket", headers={"origin": "http://evil.example"}),
    ):
        pass


def test_a_body_that_says_that_it_is_too_large_is_not_read(small):
    answer = small.post("/jobs", content=b"{}", headers={"content-length": "100001", **JSON})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")


@pytest.mark.parametrize("path", ["/jobs", "/v1/images/generations", "/v1/images/edits", "/sdapi/v1/txt2img"])
def test_a_body_that_grows_too_large_is_stopped(small, path):
    sent = []

    def pieces():
        for _ in range(1000):
            sent.append(1)
            yield b" " * 10_000

    kind = "multipart/form-data; boundary=x" if path.endswith("edits") else "application/json"
    assert small.post(path, content=pieces(), headers={"content-type": kind}).status_code == 413


@pytest.mark.parametrize("path", ["/jobs", "/v1/images/generations", "/v1/completions", "/sdapi/v1/txt2img"])
def test_a_body_of_too_many_values_is_stopped_and_a_form_with_a_picture_is_not(client, path):
    body = b'{"prompt": "a", "mix": [' + b"0," * MOST_COMMAS + b"0]}"
    answer = client.post(path, content=body, headers=JSON)
    assert answer.status_code == 413
    assert "too many values" in answer.text
    commas = png((1, 2, 3)) + b"," * 2 * MOST_COMMAS  # what comes after a PNG is not looked at
    assert client.post("/v1/images/variations", files={"image": commas}).status_code == 200


def test_what_one_request_took_is_free_again_for_others(small):
    for _ in range(30):
        assert small.post("/jobs", content=b" " * 90_000, headers=JSON).status_code == 400


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def bomb(width, height):
    """A PNG that says that it is large; its few bytes are valid."""
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    data = zlib.compress(b"\0" * (height * (width // 8 + 1)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


JUNK = {
    "a bomb": (bomb(16_000, 8_000), 413),
    "text": (b"hello", 400),
    "nothing": (b"", 400),
    "half a picture": (png((1, 2, 3))[:60], 400),
    "a page": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 400),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", 400),
}


@pytest.mark.parametrize("name", JUNK)
def test_what_is_no_picture_or_a_bomb_is_refused(client, name):
    content, status = JUNK[name]
    text = base64.b64encode(content).decode()
    assert client.post("/jobs", json={**ASK, "picture": text}).status_code == status
    assert client.post("/sdapi/v1/img2img", json={**ASK, "init_images": [text]}).status_code == status
    assert client.post("/v1/images/edits", data=ASK, files={"image": content}).status_code == status
    assert client.post("/v1/images/variations", files={"image": content}).status_code == status


def test_a_file_without_content_is_refused_and_not_left_out(client):
    answer = client.post("/jobs", data={"request": json.dumps(ASK)}, files={"picture": b""})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "picture")
    answer = client.post("/v1/images/edits", data=ASK, files={"image": png((1, 2, 3)), "mask": b""})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "mask")


def test_the_pictures_of_few_calls_are_open_at_a_time(client, engine, monkeypatch):
    accept, going, most = engine.accept, [0], [0]

    def noted(*asked):
        going[0] += 1
        most[0] = max(most[0], going[0])
        time.sleep(0.05)
        going[0] -= 1
        return accept(*asked)

    monkeypatch.setattr(engine, "accept", noted)
    picture = png((1, 2, 3))
    text = base64.b64encode(picture).decode()
    calls = [
        lambda: client.post("/jobs", json={**ASK, "picture": text}),
        lambda: client.post("/sdapi/v1/img2img", json={**ASK, "init_images": [text]}),
        lambda: client.post("/v1/images/edits", data=ASK, files={"image": picture}),
        lambda: client.post("/v1/images/variations", files={"image": picture}),
    ]
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(call) for call in calls * 2]
        assert {answer.result(60).status_code for answer in answers} == {200, 202}
    assert most[0] == OPEN


BODIES = {
    "no JSON": b"{",
    "deep": b"[" * 100_000,
    "deep in a field": b'{"prompt":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "not a number": b'{"prompt": "a", "guidance_scale": NaN}',
    "infinite": b'{"prompt": "a", "guidance_scale": 1e999}',
    "huge": b'{"prompt": "a", "seed": ' + b"9" * 5000 + b"}",
    "half a character": b'{"prompt": "\\ud800"}',
    "no UTF-8": b'{"prompt": "\xff"}',
    "a list": b"[]",
    "null": b"null",
    "nothing": b"",
    "a number": b"7",
    "a surrogate as a name": b'{"prompt": "a", "\\ud800": 1}',
}


@pytest.mark.parametrize("path", ["/jobs", "/v1/images/generations", "/v1/completions", "/sdapi/v1/txt2img"])
@pytest.mark.parametrize("name", BODIES)
def test_junk_is_refused_and_the_server_goes_on(client, name, path):
    answer = client.post(path, content=BODIES[name], headers=JSON)
    assert answer.status_code < 500
    assert answer.status_code >= 400 or path.startswith("/sdapi")  # which does not look at what it does not know
    assert client.get("/health").status_code == 200


def test_forms_are_bounded(client):
    many = {f"field{number}": "x" for number in range(200)}
    assert client.post("/v1/images/edits", data={**ASK, **many}, files={"image": b"x"}).status_code == 400
    files = [("image", (f"{number}.png", png((1, 2, 3)))) for number in range(30)]
    assert client.post("/v1/images/edits", data=ASK, files=files).status_code == 400
    long = {"prompt": "x" * 2_000_000}
    assert client.post("/v1/images/edits", data=long, files={"image": png((1, 2, 3))}).status_code == 400
    assert client.post("/v1/images/edits", files={"prompt": (None, "a"), "image": (None, "text")}).status_code == 400
    assert client.post("/v1/images/edits", content=b"junk").status_code == 415


def test_a_defect_tells_nothing_of_the_inside(client, engine, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("a secret prompt at /secret/place")

    monkeypatch.setattr(engine, "accept", broken)
    written = io.StringIO()
    log_to(written)
    answer = client.post("/v1/images/generations", json=ASK)
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
    assert "secret" not in answer.text + written.getvalue()
    (defect,) = defects(written)
    assert defect["error"] == "ZeroDivisionError"
    assert "test_safety.py" in defect["at"][-1]


def defects(written):
    return [line for line in map(json.loads, written.getvalue().splitlines()) if line["event"] == "defect"]


@pytest.mark.parametrize(
    ("error", "status", "code", "logged"),
    [
        (StorageError("Could not write /secret/place: Permission denied."), 500, "storage_error", True),
        (CheckpointError("/secret/place/config.json is missing."), 500, "model_error", True),
        (StoreFull("/secret/place is full."), 507, "storage_full", False),
        (PromptError("seed is a secret."), 400, "invalid_value", False),
    ],
)
def test_a_failure_of_the_servers_own_is_logged_with_its_reason(
    client, engine, monkeypatch, error, status, code, logged
):
    job = client.post("/jobs", json=ASK).json()["id"]

    def broken(*_):
        raise error

    monkeypatch.setattr(engine, "accept", broken)
    monkeypatch.setattr(engine, "follow", broken)
    written = io.StringIO()
    log_to(written)
    answer, stream = client.post("/jobs", json=ASK), client.get(f"/jobs/{job}/events").text
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert code in stream
    assert "/secret/place" not in answer.text + stream
    assert [line["message"] for line in defects(written)] == [str(error)] * 2 * logged


def test_a_damaged_file_of_keys_is_logged(client, keys):
    keys.file.write_text("{")
    written = io.StringIO()
    log_to(written)
    assert client.get("/jobs").status_code == 500
    (defect,) = defects(written)
    assert "damaged" in defect["message"]


@pytest.mark.parametrize("told", [False, True])
def test_prompts_stand_in_the_log_only_if_asked_for(engine, tmp_path, told):
    written = io.StringIO()
    log_to(written)
    with TestClient(light_app(engine, tmp_path, log_prompts=told), "http://localhost") as client:
        client.post("/jobs", json={"prompt": "a red cat"})
        client.post("/jobs", json={"prompt": "a hidden cat", "private": True})
        client.get("/jobs?search=red")
        client.get("/metrics")
    assert ("red cat" in written.getvalue()) is told
    assert "hidden" not in written.getvalue()
    assert "search" not in written.getvalue()
    requests = [line for line in map(json.loads, written.getvalue().splitlines()) if line["event"] == "request"]
    assert (requests[0]["route"], requests[0]["status"]) == ("/jobs", 202)


def test_a_private_server_makes_every_job_private(engine, tmp_path):
    with TestClient(light_app(engine, tmp_path, private=True), "http://localhost") as client:
        client.post("/v1/images/generations", json={"prompt": "a secret"})
    (job,) = engine.store.jobs()
    assert job.private
    assert "secret" not in str(job)


def test_answers_say_what_browsers_may_do_with_them(client):
    for path in ("/health", "/docs", "/nothing"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors" in headers["content-security-policy"]
    assert "default-src 'none'" in client.get("/docs").headers["content-security-policy"]


def test_the_description_for_people_asks_nothing_of_other_machines(client):
    page = client.get("/docs").text
    assert "/v1/images/generations" in page
    assert "http" not in page.replace("HTTP", "")
    assert "<script" not in page


def test_health_readiness_and_counts_are_told(client, app):
    assert client.get("/health").json() == {"status": "ok"}
    while client.get("/ready").status_code == 503:
        time.sleep(0.01)
    client.post("/v1/images/generations", json={"prompt": "a raccoon"})
    told = client.get("/metrics").text
    assert 'sfumato_requests_total{method="POST",route="/v1/images/generations",status="200"} 1.0' in told
    assert "sfumato_queued 0.0" in told
    assert "raccoon" not in told
    app.state.serving.leaving.set()
    assert client.get("/ready").status_code == 503


def test_health_and_readiness_are_told_while_every_thread_is_busy(client):
    soon(lambda: client.get("/ready").status_code == 200)
    gate, began = threading.Event(), time.monotonic()
    try:
        for _ in range(client.portal.call(threads_at_once)):
            client.portal.start_task_soon(run_in_threadpool, gate.wait, 20)
        assert [client.get(path).status_code for path in ("/health", "/ready")] == [200, 200]
        assert time.monotonic() - began < 15
    finally:
        gate.set()


async def threads_at_once():
    return int(current_default_thread_limiter().total_tokens)


def connected(address):
    host, port = address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)))


def asked(client, body, path="v1/images/generations"):
    """Send a call for pictures."""
    head = b"POST /%s HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    client.sendall(head % path.encode() + b"content-length: %d\r\n\r\n" % len(body) + body)


def soon(look, seconds=120):
    """What there is to see, as soon as there is something."""
    until = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < until
        time.sleep(0.01)
    return seen


@pytest.mark.parametrize("path", ["v1/images/generations", "jobs", "sdapi/v1/txt2img", "v1/completions"])
def test_a_model_that_is_loading_keeps_nobody_from_anything_else(address, engine, monkeypatch, path):
    gate, pipeline, writer = threading.Event(), engine.models.pipeline, engine.models.writer
    monkeypatch.setattr(engine.models, "names", lambda: ["light", "words", "slow"])
    monkeypatch.setattr(engine.models, "pipeline", lambda name: pipeline("light" if gate.wait(20) else name))
    monkeypatch.setattr(engine.models, "writer", lambda name: writer("light" if gate.wait(20) else name))
    body = {**ASK, "model": "slow", "override_settings": {"sd_model_checkpoint": "slow"}}
    if not path.startswith("sdapi"):
        del body["override_settings"]
    with ExitStack() as open_, httpx.Client(base_url=address, timeout=60) as client:
        for _ in range(50):
            asked(open_.enter_context(connected(address)), json.dumps(body).encode(), path)
        time.sleep(0.3)
        began = time.monotonic()
        assert client.get("/jobs").json()["jobs"] == []
        assert client.get("/sdapi/v1/progress").status_code == 200
        assert time.monotonic() - began < 10
        gate.set()


def running(engine):
    return [job for job in engine.store.jobs() if job.state == "running"]


@pytest.mark.parametrize(("stream", "late"), [(b"false", False), (b"true", False), (b"true", True)])
def test_who_leaves_while_waiting_gives_the_job_up(address, engine, stream, late):
    engine.middle.clear()
    with connected(address) as client:
        asked(client, b'{"prompt": "a", "stream": %s, "partial_images": %d}' % (stream, stream == b"true"))
        (job,) = soon(lambda: running(engine))
        if late:
            assert client.recv(100)
    soon(lambda: engine.store.job(job.id).state == "cancelled")


def test_who_leaves_while_the_server_stops_does_not(address, app, engine):
    engine.middle.clear()
    with connected(address) as client:
        asked(client, b'{"prompt": "a"}')
        (job,) = soon(lambda: running(engine))
        app.state.serving.leaving.set()
    time.sleep(0.2)
    assert engine.store.job(job.id).state == "running"


@pytest.mark.parametrize("begun", [b"", b"GET /health HT", b"GET /health HTTP/1.1\r\nhost: localhost\r\nx: "])
def test_a_connection_on_which_nobody_asks_for_anything_is_closed(engine, tmp_path, begun):
    app = light_app(engine, tmp_path, patience=0.3, port=0)
    with listening(app) as port, connected(f"http://localhost:{port}") as client:
        client.settimeout(20)
        client.sendall(begun)
        time.sleep(0.2)
        client.sendall(begun and b"x")  # one that comes a byte at a time gets no more time by that
        assert client.recv(100) == b""


def test_a_connection_that_is_used_again_in_time_stays(engine, tmp_path):
    app = light_app(engine, tmp_path, patience=0.3, port=0)
    with listening(app) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        engine.gate.clear()
        threading.Timer(0.5, engine.gate.set).start()
        socket_of = []
        for path in ("/v1/images/generations", "/v1/images/generations"):
            answer = client.post(path, json=ASK)
            assert answer.status_code == 200
            socket_of.append(answer.extensions["network_stream"].get_extra_info("client_addr"))
        assert socket_of[0] == socket_of[1]


@pytest.mark.parametrize("long", [b"GET /health?%s HTTP/1.1\r\n", b"GET /health HTTP/1.1\r\nx: %s\r\n"])
def test_a_head_that_is_too_long_is_refused(address, long):
    with connected(address) as client:
        client.sendall(long % (b"x" * 2 * LARGEST_HEAD) + b"host: localhost\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 400 ")


def test_a_body_that_comes_too_slowly_is_given_up(engine, tmp_path):
    app = light_app(engine, tmp_path, patience=0.2, port=0)
    with listening(app) as port, connected(f"http://localhost:{port}") as client:
        client.sendall(b"POST /jobs HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n")
        client.sendall(b'content-type: application/json\r\n\r\n{"prompt"')
        assert client.recv(100).startswith(b"HTTP/1.1 408 ")


def test_a_reader_that_takes_nothing_is_given_up(engine, tmp_path):
    app = light_app(engine, tmp_path, patience=0.2, port=0)
    ended = threading.Event()

    async def pieces():
        while True:
            yield "x" * 2**20

    async def left():
        ended.set()

    @app.get("/endless")
    async def endless():
        return EventStream(pieces(), left)

    with listening(app) as port, connected(f"http://localhost:{port}") as client:
        client.sendall(b"GET /endless HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert ended.wait(120)
