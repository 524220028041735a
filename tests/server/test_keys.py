"""Keys are stored as hashes and found again; rates, links and settings keep to their bounds."""

import json
import stat

import pytest

from sfumato.errors import RecipeError
from sfumato.server.keys import Keys
from sfumato.server.links import Links
from sfumato.server.rates import Rates
from sfumato.server.settings import Settings, is_loopback


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def test_a_key_is_stored_as_its_hash_for_its_owner_alone(tmp_path):
    keys = Keys(tmp_path / "store" / "keys.json")
    secret = keys.new("me")
    assert secret not in keys.file.read_text()
    assert stat.S_IMODE(keys.file.stat().st_mode) == 0o600
    (key,) = keys.all()
    assert keys.owner(secret) == key.id
    assert key.id not in secret
    for other in (secret[:-1], secret + "x", "", "é", key.sha256):
        assert keys.owner(other) is None


def test_keys_made_by_another_process_are_seen(tmp_path):
    here, there = Keys(tmp_path / "keys.json"), Keys(tmp_path / "keys.json")
    assert here.all() == ()
    secret = there.new("me")
    assert here.owner(secret)
    there.revoke("me")
    assert here.owner(secret) is None


def test_names_are_taken_once_and_revoked_once(tmp_path):
    keys = Keys(tmp_path / "keys.json")
    keys.new("me")
    with pytest.raises(RecipeError, match="already"):
        keys.new("me")
    for name in ("", "x" * 65, "a\nb"):
        with pytest.raises(RecipeError, match="1 to 64"):
            keys.new(name)
    with pytest.raises(RecipeError, match="no key named"):
        keys.revoke("nobody")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"keys": [1]}', '{"keys": [{"id": "a"}]}', "[" * 100_000])
def test_a_damaged_file_lets_nobody_in(tmp_path, content):
    (tmp_path / "keys.json").write_text(content)
    with pytest.raises(RecipeError, match="damaged"):
        Keys(tmp_path / "keys.json").owner("anything")


def test_a_file_without_its_hashes_is_damaged(tmp_path):
    entry = {"id": "a", "name": "b", "sha256": "short", "created": 0}
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [entry]}))
    with pytest.raises(RecipeError, match="damaged"):
        Keys(tmp_path / "keys.json").all()


def test_a_bucket_fills_steadily_and_holds_a_minute():
    clock = Clock()
    rates = Rates(6, clock)
    assert [rates.take("me") for _ in range(6)] == [0.0] * 6
    assert rates.take("me") == pytest.approx(10)
    assert rates.take("another") == 0
    clock.now += 10
    assert rates.take("me") == 0
    assert rates.take("me") > 0
    clock.now += 10_000
    assert [rates.take("me") == 0 for _ in range(7)] == [True] * 6 + [False]


def test_a_link_holds_for_its_picture_and_its_time():
    clock = Clock()
    links = Links(60, clock)
    query = dict(part.split("=") for part in links.path("job", 3).partition("?")[2].split("&"))
    until, signature = int(query["until"]), query["signature"]
    assert links.holds("job", 3, until, signature)
    assert not links.holds("job", 4, until, signature)
    assert not links.holds("other", 3, until, signature)
    assert not links.holds("job", 3, until + 1, signature)
    assert not links.holds("job", 3, until, "é")
    assert not Links(60, clock).holds("job", 3, until, signature)
    clock.now += 61
    assert not links.holds("job", 3, until, signature)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.9.9.9", "LOCALHOST."])
def test_this_machine_is_known(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "localhost.example", "127.0.0.1.nip.io", ""])
def test_others_are_not_taken_for_it(host):
    assert not is_loopback(host)


@pytest.mark.parametrize("wrong", [{"port": 70_000}, {"port": -1}, {"wait": 0}, {"patience": -1}])
def test_settings_out_of_range_are_named(tmp_path, wrong):
    with pytest.raises(RecipeError, match=next(iter(wrong))):
        Settings(tmp_path, **wrong)
