"""API keys: shown once, stored as hashes, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from sfumato.checkpoints.files import write_json
from sfumato.errors import RecipeError

LOCAL = "local"
"""Who asks where there are no keys."""

PREFIX = "sfumato-"  # tells people, and programs that look for leaked secrets, what it is
LARGEST_FILE = 2**20  # bytes
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,64}")


@dataclass(frozen=True)
class Key:
    """What is known of a key: not the key itself.

    Attributes:
        id: of its owner, in jobs and logs.
        name: for people.
        sha256: of the key, whose 256 random bits nobody guesses; a slow hash would add nothing.
        created: seconds since 1970.
    """

    id: str
    name: str
    sha256: str
    created: float


class Keys:
    """The keys in a file; changes to it are seen at once.

    Args:
        file: a JSON file, which need not be there.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._lock = threading.Lock()
        self._seen: tuple[int, int] | None = None
        self._keys: tuple[Key, ...] = ()

    def all(self) -> tuple[Key, ...]:
        """The keys that there are.

        Raises RecipeError when the file is damaged: nobody is let in by accident.
        """
        with self._lock:
            try:
                state = self.file.stat()
            except FileNotFoundError:
                self._seen, self._keys = None, ()
                return ()
            seen = (state.st_mtime_ns, state.st_ino)
            if seen != self._seen:
                self._keys, self._seen = self._read(), seen
            return self._keys

    def asked(self) -> bool:
        """Whether callers must have a key: once there was one, also when the last is revoked, while the file is there.

        Raises RecipeError when the file is damaged.
        """
        self.all()
        return self._seen is not None

    def new(self, name: str) -> str:
        """Make a key and store its hash; what is returned is shown once and known nowhere else.

        Raises RecipeError when the name is taken, or is none.
        """
        keys = self.all()
        if not _NAME.fullmatch(name):
            raise RecipeError("The name of a key is a line of 1 to 64 characters.")
        if any(key.name == name for key in keys):
            raise RecipeError(f"There is a key named {name!r} already; revoke it first, or take another name.")
        secret = PREFIX + secrets.token_urlsafe(32)
        self._write((*keys, Key(secrets.token_hex(6), name, _hash(secret), round(time.time(), 3))))
        return secret

    def revoke(self, name: str) -> None:
        """Take a key's right away; RecipeError when there is none of this name."""
        keys = self.all()
        left = tuple(key for key in keys if key.name != name)
        if len(left) == len(keys):
            raise RecipeError(f"There is no key named {name!r:.100}.")
        self._write(left)

    def owner(self, secret: str) -> str | None:
        """Whose key this is, by its id; None when it is no key. Takes as long for a wrong one as for a right one."""
        offered, found = _hash(secret), None
        for key in self.all():
            if hmac.compare_digest(key.sha256, offered):
                found = key.id
        return found

    def _read(self) -> tuple[Key, ...]:
        damaged = f"{self.file} is damaged; restore it, or delete it and make keys with: sfumato serve --new-key NAME"
        try:
            if self.file.stat().st_size > LARGEST_FILE:
                raise ValueError
            entries = json.loads(self.file.read_text(encoding="utf-8"))["keys"]
            keys = tuple(Key(**entry) for entry in entries)
            if not all(isinstance(key.id, str) and re.fullmatch(r"[0-9a-f]{64}", key.sha256) for key in keys):
                raise ValueError
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OSError) as error:
            raise RecipeError(damaged) from error
        return keys

    def _write(self, keys: tuple[Key, ...]) -> None:
        write_json(self.file, {"keys": [asdict(key) for key in keys]})
        self.file.chmod(0o600)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
