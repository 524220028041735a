"""Shared by the tests of loading: a small published model, and an empty cache of the hub."""

import pytest

import published


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of the hub."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "hub"


@pytest.fixture(scope="session")
def stable(tmp_path_factory):
    """Stable Diffusion 1: its `folder` and its single `file`."""
    return published.stable(tmp_path_factory.mktemp("stable"))


@pytest.fixture(scope="session")
def plain(stable):
    """The picture that its folder makes."""
    return published.pixels(stable.folder)
