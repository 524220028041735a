"""What `sfumato serve` was told."""

from __future__ import annotations

import math
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from sfumato.errors import RecipeError

KEYS = "keys.json"  # in the store's folder


@dataclass(frozen=True)
class Settings:
    """How the server listens, whom it believes, and what it writes down.

    Attributes:
        store: the folder of jobs, pictures and keys.
        host: the address it listens at; others than this machine's own need keys.
        port: 0 to 65535; 0 takes a free one.
        key_file: where the keys stand; by default `keys.json` in the store's folder.
        names: by which clients may call the server besides its address, for one behind a proxy; they need keys.
        log_prompts: whether prompts stand in the log.
        private: whether every job is private: its words are forgotten once it is done.
        wait: seconds that a call which answers with the picture itself waits for it.
        patience: seconds that a client may take for the head of a request, and for the next piece of what it sends or
            reads.
        link_life: seconds that the address of a picture holds without a key.
        keep_days: after which finished jobs and their pictures are forgotten; None: never.
        keep_gb: that all pictures together may take, in billions of bytes, before the oldest jobs are forgotten; None:
            as many as there is room for.
        data: folders within which the studio lets a person choose what to train on; the home and the current one if
            none are named.
        training: whether people with keys may train in the studio; without keys whoever sees it may.

    Raises:
        RecipeError: a value is out of its range.
    """

    store: Path
    host: str = "127.0.0.1"
    port: int = 7860
    key_file: Path | None = None
    names: tuple[str, ...] = ()
    log_prompts: bool = False
    private: bool = False
    wait: float = 600.0
    patience: float = 30.0
    link_life: float = 3600.0
    keep_days: float | None = None
    keep_gb: float | None = None
    data: tuple[Path, ...] = ()
    training: bool = False

    def __post_init__(self) -> None:
        """Raises RecipeError naming the setting."""
        if not 0 <= self.port <= 65535:
            raise RecipeError(f"port is a number from 0 to 65535, not {self.port}.")
        for name in ("wait", "patience", "link_life"):
            if not getattr(self, name) > 0:
                raise RecipeError(f"{name} is a number of seconds above 0, not {getattr(self, name)}.")
        for name in ("keep_days", "keep_gb"):
            if not (getattr(self, name) is None or 0 <= getattr(self, name) < math.inf):
                raise RecipeError(f"{name} is a number from 0, not {getattr(self, name)}.")

    @property
    def keys(self) -> Path:
        """The file of the keys."""
        return self.key_file or self.store / KEYS

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.host)

    @property
    def is_for_others(self) -> bool:
        """Whether other machines can reach the server: at its address, or by a name, through a proxy."""
        return bool(self.names) or not self.is_loopback


def is_loopback(host: str) -> bool:
    """Whether a host, without its port, is this machine as it calls itself."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
