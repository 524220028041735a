"""The interface is described as it is, and offline."""

import json
import re

import pytest


def test_each_answer_that_is_not_valid_is_described_in_our_words(app):
    described = app.openapi()
    text = json.dumps(described)
    assert "HTTPValidationError" not in text
    for path, methods in described["paths"].items():
        for told in methods.values():
            for status, answer in told["responses"].items():
                if int(status) >= 400:
                    schema = answer["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
                    assert schema == ("A1111Error" if path.startswith("/sdapi") else "ErrorAnswer"), (path, status)


def test_a_job_may_say_every_setting_of_a_request_but_the_servers_files(app):
    from dataclasses import fields

    from sfumato.pipelines.request import Request

    described = app.openapi()
    body = described["paths"]["/jobs"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/JobAsked"}
    told = described["components"]["schemas"]["JobAsked"]["properties"]
    assert set(told) == {entry.name for entry in fields(Request)} - {"control", "like"} | {"model", "count", "private"}
    assert "denoising steps" in told["num_inference_steps"]["description"]


def test_all_that_is_referred_to_is_there(app):
    described = app.openapi()
    for place in re.findall(r'"\$ref": "([^"]+)"', json.dumps(described)):
        found = described
        for name in place.removeprefix("#/").split("/"):
            found = found[name]


@pytest.mark.parametrize("path", ["/docs", "/openapi.json"])
def test_the_pages_are_there(client, path):
    assert client.get(path).status_code == 200
