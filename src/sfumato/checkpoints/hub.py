"""Models by their id on the Hugging Face hub, `owner/name`: in its cache on this machine, or fetched to it.

The cache is read as `huggingface_hub` lays it out, which need not be there; only to fetch is it needed.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from sfumato.checkpoints.files import read_json, storage_errors
from sfumato.checkpoints.folder import PARTS, kind
from sfumato.checkpoints.weights import choose, chosen_of, files_of, open_source
from sfumato.errors import CheckpointError

INDEX = "model_index.json"
OURS = ("sfumato.json", "tuned_steps.json")  # what models that were trained here say of themselves
SCHEDULERS = ("scheduler", "low_res_scheduler")
WORD = r"\w(?:[\w.-]{0,94}\w)?"
ID = re.compile(rf"(?P<owner>{WORD})/(?P<name>{WORD})(?:@(?P<revision>{WORD}(?:/{WORD}){{0,8}}))?", re.ASCII)
TEXTS = (".json", ".txt", ".model")  # configurations, vocabularies, the pieces of T5's words
LEFT_OUT = ("safety_checker", "feature_extractor")  # parts that no picture needs


def is_hub_id(name: str) -> bool:
    """Whether a name could be of a model on the hub: "owner/name", or "owner/name@revision"."""
    match = ID.fullmatch(name)
    return match is not None and ".." not in name and "--" not in name.partition("@")[0]


def locate(name: str, variant: str | None = None, *, fetch: bool = True) -> Path:
    """The folder of a model on the hub: from the cache when it is whole there, else fetched with what it needs alone.

    Args:
        name: "owner/name" or "owner/name@revision"; a revision is a branch, a tag or a commit, "main" by default.
        variant: of the weights to fetch, such as "fp16", where a part has it.
        fetch: whether to fetch it; a name that stands in a file from elsewhere is no wish of the person.

    Raises CheckpointError when it is neither here nor can be fetched, saying why; StorageError when the disk is full.
    """
    match = ID.fullmatch(name)
    if match is None or not is_hub_id(name):
        raise CheckpointError(f"{name!r:.200} is no id of a model: it should be like owner/name.")
    repository, revision = f"{match['owner']}/{match['name']}", match["revision"] or "main"
    here = cached(repository, revision)
    lacking = _lacking(here, variant) if here else f"{repository} is not in {cache_folder()}"
    if here and not lacking:
        return here
    if not fetch:
        raise CheckpointError(
            f"{lacking}. It is not fetched for a recipe, which anyone may have written; if you trust {repository}, "
            f"fetch it first: hf download {repository}"
        )
    return _fetched(repository, revision, variant, lacking or "")


def cache_folder() -> Path:
    """Where `huggingface_hub` keeps what it fetched, by the same variables of the environment."""
    near = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or f"{near}/huggingface"
    folder = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE") or f"{home}/hub"
    return Path(os.path.expandvars(folder)).expanduser()


def cached(repository: str, revision: str = "main") -> Path | None:
    """The folder of a model in the cache, whole or not; None when it was never fetched."""
    folder = cache_folder() / f"models--{repository.replace('/', '--')}"
    try:
        commit = (folder / "refs" / revision).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        commit = revision
    snapshot = folder / "snapshots" / commit
    return snapshot if re.fullmatch(r"[0-9a-f]{7,64}", commit) and snapshot.is_dir() else None


def needed(files: Iterable[str], parts: Iterable[str], variant: str | None = None) -> list[str]:
    """Of a repository's files, those that make pictures: texts and one set of weights of each part, and the index.

    `parts` are the names of sub-folders; "" is the repository's own folder.
    """
    there: dict[str, list[str]] = {}
    for file in files:
        path = PurePosixPath(file)
        there.setdefault(str(path.parent) if path.parent.name else "", []).append(path.name)
    found = []
    for part in parts:
        names = there.get(part, [])
        texts = [name for name in names if name.endswith(TEXTS) and ".index." not in name]
        weights = files_of(names, variant) or files_of(names)
        found += [f"{part}/{name}" if part else name for name in dict.fromkeys(texts + weights)]
    return sorted(found)


def _parts(folder: Path) -> list[str]:
    """The sub-folders that a model's index names; for a single part, which has no index, its own folder."""
    if not (folder / INDEX).is_file():
        return [""]
    index = read_json(folder / INDEX)
    used = [name for name, value in index.items() if isinstance(value, list) and value and value[0]]
    return [name for name in used if re.fullmatch(r"\w[\w-]*", name) and name not in LEFT_OUT]


def _lacking(folder: Path, variant: str | None = None) -> str | None:
    """What a folder of the cache lacks, which a download that was cut short may have left."""
    if not (folder / INDEX).is_file() and not (folder / "config.json").is_file():
        return f"{folder} has no {INDEX}"
    parts = _parts(folder)
    for part in parts:
        if not (folder / part).is_dir() or not any(path.exists() for path in (folder / part).iterdir()):
            return f"{folder} lacks {part}"
        config = "scheduler_config.json" if part in SCHEDULERS else "config.json"
        network = not part or kind(part) in PARTS
        if (network or part in SCHEDULERS) and not (folder / part / config).exists():
            return f"{folder} lacks {part}/{config}"
        if network:
            try:
                open_source(choose(folder / part))
            except CheckpointError as error:
                return str(error)
    if variant and not any(chosen_of((path.name for path in (folder / part).iterdir()), variant) for part in parts):
        return f"{folder} has no weights of the variant {variant!r}"
    return None


def _fetched(repository: str, revision: str, variant: str | None, lacking: str) -> Path:
    try:
        import huggingface_hub
    except ImportError:
        raise CheckpointError(
            f"{lacking}. To fetch it, install huggingface_hub (pip install 'sfumato[hub]'), or name a model folder."
        ) from None
    with _told(repository, revision, lacking):
        listed = huggingface_hub.HfApi().model_info(repository, revision=revision).siblings
        files = [each.rfilename for each in listed or ()]

        def fetch(wanted: list[str]) -> Path:
            patterns = [re.sub(r"([*?[])", r"[\1]", name) for name in wanted]
            # by the revision's name, not its commit, so that the cache remembers where it points
            return Path(huggingface_hub.snapshot_download(repository, revision=revision, allow_patterns=patterns))

        told = [name for name in (INDEX, *OURS) if name in files]
        folder = fetch(told) if INDEX in files else None
        parts = _parts(folder) if folder else [""]
        wanted = needed(files, parts, variant)
        if not any(name.endswith((".safetensors", ".bin")) for name in wanted):
            raise CheckpointError(f"{repository} on the hub holds no model folder that can be read here.")
        return fetch([*(told if folder else []), *wanted])


@contextmanager
def _told(repository: str, revision: str, lacking: str) -> Iterator[None]:
    """Say of a failure what it means and what to do."""
    from huggingface_hub import errors

    page = f"https://huggingface.co/{repository}"
    try:
        yield
    except CheckpointError:
        raise
    except errors.GatedRepoError as error:
        raise CheckpointError(
            f"{repository} is given only to those who accepted its terms. Accept them at {page}, then log in with: "
            "hf auth login"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise CheckpointError(f"{repository} has no revision {revision!r}; see {page}") from error
    except errors.RepositoryNotFoundError as error:
        raise CheckpointError(
            f"There is no model {repository} on the hub, or it is private; then log in with: hf auth login"
        ) from error
    except errors.HfHubHTTPError as error:
        status: Any = getattr(error.response, "status_code", None)
        advice = " Log in with: hf auth login" if status in (401, 403) else " Try again later."
        raise CheckpointError(f"The hub refused {repository}: {str(error).splitlines()[0]}{advice}") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS):
            with storage_errors(cache_folder()):
                raise
        raise _unreachable(repository, lacking, error) from error
    except Exception as error:  # the network's own, of the library that is below the hub's
        raise _unreachable(repository, lacking, error) from error


def _unreachable(repository: str, lacking: str, error: Exception) -> CheckpointError:
    why = (str(error).splitlines() or [type(error).__name__])[0][:300]
    return CheckpointError(
        f"{lacking}, and the hub could not be reached to fetch {repository}: {why} "
        "Connect to the network, unset HF_HUB_OFFLINE, or name a model folder."
    )
