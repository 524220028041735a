"""The files of a tokenizer folder: vocab.json, merges.txt, tokenizer_config.json and the words of its captions."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sfumato.errors import CheckpointError, StorageError

VOCABULARY, MERGES, CONFIG, WORDS = "vocab.json", "merges.txt", "tokenizer_config.json", "words.txt"
ALL_IN_ONE, SPECIALS = "tokenizer.json", "special_tokens_map.json"
MAX_BYTES = 64 * 2**20
MAX_TOKENS = 2_000_000


def write(
    folder: Path,
    vocabulary: Mapping[str, int],
    merges: Iterable[tuple[str, str]],
    config: Mapping[str, object],
    words: Iterable[str],
) -> None:
    """Write the folder, the same bytes for the same tokenizer; raises StorageError when that fails."""
    contents = {
        VOCABULARY: json.dumps(vocabulary, ensure_ascii=False),
        MERGES: "".join(f"{line}\n" for line in ("#version: 0.2", *(f"{left} {right}" for left, right in merges))),
        CONFIG: json.dumps(config, indent=2, sort_keys=True) + "\n",
        WORDS: "".join(f"{word}\n" for word in words),
    }
    write_texts(folder, contents)


def write_texts(folder: Path, contents: Mapping[str, str]) -> None:
    """Write files of these names and contents; raises StorageError when that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            (folder / name).write_text(content, encoding="utf-8", newline="\n")
    except OSError as error:
        raise StorageError(f"{folder}: the tokenizer cannot be written: {error.strerror or error}") from error


def read(folder: Path) -> tuple[dict[str, int], list[tuple[str, str]], dict[str, Any], list[str]]:
    """Vocabulary, merges, configuration and words of a folder that may come from anyone.

    Newer folders hold vocabulary and merges in tokenizer.json alone. Configuration and words may be missing.

    Raises:
        CheckpointError: a file is missing, too large or not what it should be.
    """
    config = read_object(folder / CONFIG) if (folder / CONFIG).exists() else {}
    if "added_tokens_decoder" not in config and (folder / SPECIALS).exists():
        config |= read_object(folder / SPECIALS)  # older folders, where it has the last word
    words = _text(folder / WORDS).split() if (folder / WORDS).exists() else []
    if (folder / VOCABULARY).exists() or not (folder / ALL_IN_ONE).exists():
        vocabulary = _checked(read_object(folder / VOCABULARY), folder / VOCABULARY)
        lines = _text(folder / MERGES).splitlines()
        merges = _pairs((line for line in lines if line and not line.startswith("#")), folder / MERGES)
    else:
        path = folder / ALL_IN_ONE
        model = read_object(path).get("model")
        if not isinstance(model, dict):
            raise CheckpointError(f"{path}: holds no model")
        vocabulary = _checked(model.get("vocab"), path)
        merges = _pairs(model.get("merges", ()), path)
    return vocabulary, merges, config, words


def pairs(merges: Iterable[str | Sequence[str]]) -> list[tuple[str, str]]:
    """Merges, written as "left right" or as lists of two; raises ValueError for anything else."""
    result = []
    for merge in merges:
        left, right = merge.split() if isinstance(merge, str) else merge
        result.append((left, right))
    return result


def _pairs(merges: Any, path: Path) -> list[tuple[str, str]]:
    try:
        return pairs(merges)
    except (ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: a merge is not a pair of tokens: {error}") from error


def _checked(vocabulary: Any, path: Path) -> dict[str, int]:
    if not isinstance(vocabulary, dict) or not vocabulary:
        raise CheckpointError(f"{path}: not a table of tokens")
    numbers = list(vocabulary.values())
    if not all(type(number) is int and 0 <= number < MAX_TOKENS for number in numbers):
        raise CheckpointError(f"{path}: the tokens must be numbered from 0 to at most {MAX_TOKENS - 1:,}")
    if len(set(numbers)) != len(numbers):
        raise CheckpointError(f"{path}: two tokens have the same number")
    return vocabulary


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object; raises CheckpointError naming the file when it is missing, too large or something else."""
    try:
        content = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not JSON: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: not a JSON object")
    return content


def _text(path: Path) -> str:
    try:
        if not path.is_file():
            raise CheckpointError(f"{path}: missing")
        if path.stat().st_size > MAX_BYTES:
            raise CheckpointError(f"{path}: larger than {MAX_BYTES:,} bytes")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path}: not UTF-8") from error
