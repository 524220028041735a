"""Models on the hub: found in the cache as huggingface_hub lays it out, fetched sparingly, refused with what to do."""

import errno
import json
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import httpx2
import huggingface_hub
import pytest
from huggingface_hub import errors

from sfumato.checkpoints import hub
from sfumato.errors import CheckpointError, StorageError
from sfumato.pipelines.finding import EMBEDDED

DIGITS, COMMIT = EMBEDDED / "digits", "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache; whoever asks the hub fails the test."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", None)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", None)
    return tmp_path / "home" / "hub"


def keep(cache, folder=DIGITS, name="models--painter--digits", commit=COMMIT, only=lambda path: True):
    """A folder in the cache: files are links to blobs, a ref names the commit."""
    root = cache / name
    for path in sorted(folder.rglob("*")):
        if path.is_file() and only(path.relative_to(folder)):
            blob = root / "blobs" / str(abs(hash(path)))
            link = root / "snapshots" / commit / path.relative_to(folder)
            for each in (blob, link):
                each.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, blob)
            link.unlink(missing_ok=True)
            link.symlink_to("/".join([".."] * (len(link.relative_to(root).parts) - 1)) + f"/blobs/{blob.name}")
    (root / "refs").mkdir(exist_ok=True)
    (root / "refs" / "main").write_text(commit)
    return root / "snapshots" / commit


def test_a_model_in_the_cache_is_found_and_loads(cache):
    from sfumato.pipelines.model import load

    snapshot = keep(cache)
    for name in ("painter/digits", "painter/digits@main", f"painter/digits@{COMMIT}"):
        assert hub.locate(name) == snapshot
    assert load(snapshot).name == "digits"


def test_the_cache_is_where_huggingface_hub_has_it(tmp_path, monkeypatch):
    """By each variable, and by those that it goes before."""
    show = "from huggingface_hub.constants import HF_HUB_CACHE; print(HF_HUB_CACHE)"
    settings = {"XDG_CACHE_HOME": "xdg", "HF_HOME": "$HOME/home", "HUGGINGFACE_HUB_CACHE": "old", "HF_HUB_CACHE": "~/c"}
    monkeypatch.delenv("HF_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    for added in ({}, *({key: value} for key, value in settings.items())):
        for key, value in added.items():
            monkeypatch.setenv(key, value)
        theirs = subprocess.run([sys.executable, "-c", show], check=True, capture_output=True, text=True).stdout
        assert str(hub.cache_folder()) == theirs.strip()


def test_the_cache_is_read_without_huggingface_hub(cache, monkeypatch):
    snapshot = keep(cache)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert hub.locate("painter/digits") == snapshot
    with pytest.raises(CheckpointError, match=r"painter/other is not in .*pip install 'sfumato\[hub\]'"):
        hub.locate("painter/other")


@pytest.mark.parametrize(
    "name",
    [
        "../../etc", "a/../b", "a/..", "./a", "a/b/c", "/a/b", "a//b", "a\\b/c", "a--b/c", "a/b--c", "a/b@../../x",
        "a/b@x//y", "a/b@/etc", "a/b@-x", "a/b\n", "a/b\0", "-a/b", "a/.b", "é/b", "a" * 200 + "/b", "", "a", "a/b@",
    ],
)  # fmt: skip
def test_no_name_leads_out_of_the_cache(cache, tmp_path, name):
    keep(tmp_path, name="x")
    assert not hub.is_hub_id(name)
    with pytest.raises(CheckpointError, match="no id of a model"):
        hub.locate(name)


@pytest.mark.parametrize("commit", ["../../../..", "/tmp", "x" * 40, "", "\udcff"])
def test_no_ref_leads_out_of_the_cache(cache, commit):
    snapshot = keep(cache)
    (snapshot.parent.parent / "refs" / "main").write_text(commit, errors="surrogateescape")
    assert hub.cached("painter/digits") is None


class Hub:
    """Stands in for the hub: its listing, and what `snapshot_download` was asked for; or an error of either."""

    def __init__(self, monkeypatch, cache, files, error=None, fails_at="list"):
        self.asked, self.files, self.error, self.fails_at = [], files, error, fails_at
        self.cache = cache
        monkeypatch.setattr(huggingface_hub.HfApi, "model_info", self.list)
        monkeypatch.setattr(huggingface_hub, "snapshot_download", self.fetch)

    def list(self, repository, revision=None):
        if self.error and self.fails_at == "list":
            raise self.error
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename=name) for name in self.files])

    def fetch(self, repository, *, revision=None, allow_patterns=None):
        if self.error and self.fails_at == "fetch":
            raise self.error
        self.asked.append(sorted(allow_patterns))
        return str(keep(self.cache, only=lambda path: str(path) in allow_patterns))


def names(folder):
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]


def test_a_model_is_fetched_with_what_it_needs_alone(cache, monkeypatch):
    extra = [
        "sd-v1-4.ckpt", "sd.safetensors",
        "unet/diffusion_pytorch_model.bin", "unet/diffusion_pytorch_model.fp16.safetensors",
        "safety_checker/model.safetensors", "safety_checker/config.json", "vae_1_0/diffusion_pytorch_model.safetensors",
        "text_encoder/flax_model.msgpack", "text_encoder/model.onnx", "preview.png",
    ]  # fmt: skip
    server = Hub(monkeypatch, cache, names(DIGITS) + extra)
    folder = hub.locate("painter/digits")
    assert server.asked[0] == ["model_index.json", "sfumato.json"]
    assert not set(server.asked[1]) & set(extra)
    index = json.loads((DIGITS / "model_index.json").read_text())
    wanted = [name for name in names(DIGITS) if "/" in name and index.get(name.split("/")[0], [None])[0]]
    assert set(server.asked[1]) == {"model_index.json", "sfumato.json", *wanted}
    server.files = None
    assert hub.locate("painter/digits") == folder  # from now on without the hub
    assert len(server.asked) == 2


def test_a_model_that_was_trained_here_is_known_as_such_from_the_hub_too(cache, monkeypatch):
    from sfumato.pipelines.model import load

    Hub(monkeypatch, cache, names(DIGITS))
    fetched = load("painter/digits")
    assert fetched.ours
    assert fetched.family == load(DIGITS).family


def test_a_variant_is_fetched_where_a_part_has_it(cache):
    unet = ["unet/config.json", "unet/diffusion_pytorch_model.safetensors"]
    half = ["unet/diffusion_pytorch_model.fp16.safetensors", "vae/diffusion_pytorch_model.fp16.safetensors"]
    files = unet + half + ["vae/diffusion_pytorch_model.bin", "text_encoder/pytorch_model.bin"]
    parts = ["unet", "vae", "text_encoder"]
    assert hub.needed(files, parts) == sorted(unet + half[1:] + files[-1:])
    assert hub.needed(files, parts, "fp16") == sorted(unet[:1] + half + files[-1:])


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        ("unet/diffusion_pytorch_model.safetensors", r"diffusion_pytorch_model\.safetensors is missing"),
        ("unet/config.json", "lacks unet/config.json"),
        ("scheduler/scheduler_config.json", "lacks scheduler"),
    ],
)
def test_a_download_that_was_cut_short_is_made_whole(cache, monkeypatch, lost, said):
    keep(cache, only=lambda path: str(path) != lost)
    assert re.search(said, hub._lacking(hub.cached("painter/digits")))
    server = Hub(monkeypatch, cache, names(DIGITS))
    assert hub._lacking(hub.locate("painter/digits")) is None
    assert len(server.asked) == 2


def answered(kind, status=404):
    return kind("said the hub", response=httpx2.Response(status, request=httpx2.Request("GET", "https://hub")))


@pytest.mark.parametrize("fails_at", ["list", "fetch"])
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (answered(errors.GatedRepoError, 403), r"accepted its terms.*co/painter/digits.*hf auth login"),
        (answered(errors.RepositoryNotFoundError), "There is no model painter/digits on the hub, or it is private"),
        (answered(errors.RevisionNotFoundError), "painter/digits has no revision 'main'"),
        (answered(errors.HfHubHTTPError, 401), "refused painter/digits.*hf auth login"),
        (answered(errors.HfHubHTTPError, 503), "refused painter/digits.*Try again later"),
        (errors.OfflineModeIsEnabled("offline"), "could not be reached.*unset HF_HUB_OFFLINE"),
        (errors.LocalEntryNotFoundError("nowhere"), "could not be reached"),
        (httpx2.ConnectError("no route"), "not in .* could not be reached to fetch painter/digits: no route"),
        (httpx2.ReadTimeout("slow"), "could not be reached"),
        (ConnectionResetError(104, "reset"), "could not be reached"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)  # fmt: skip
def test_a_refusal_says_what_it_means_and_what_to_do(cache, monkeypatch, error, said, fails_at):
    Hub(monkeypatch, cache, names(DIGITS), error, fails_at)
    with pytest.raises(CheckpointError, match=said):
        hub.locate("painter/digits")


def test_a_full_disk_is_told(cache, monkeypatch):
    Hub(monkeypatch, cache, names(DIGITS), OSError(errno.ENOSPC, "No space left on device"), "fetch")
    with pytest.raises(StorageError, match="the disk is full"):
        hub.locate("painter/digits")


def test_a_repository_without_a_model_folder_is_refused(cache, monkeypatch):
    Hub(monkeypatch, cache, ["README.md", "sd-v1-4.ckpt", "lora.safetensors"])
    with pytest.raises(CheckpointError, match="holds no model folder"):
        hub.locate("painter/digits")


def test_offline_the_real_library_is_asked_and_its_answer_told(cache, monkeypatch):
    monkeypatch.undo()  # tests run with HF_HUB_OFFLINE=1
    monkeypatch.setenv("HF_HOME", str(cache.parent))
    with pytest.raises(CheckpointError, match=r"painter/digits is not in .*could not be reached.*HF_HUB_OFFLINE"):
        hub.locate("painter/digits")
