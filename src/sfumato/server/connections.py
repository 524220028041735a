"""Connections: on each a request's head comes whole within some time, and is of bounded size."""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


class Connection(H11Protocol):
    """A connection that is closed when nobody asks for anything on it.

    uvicorn waits for the head of a request as long as a client pleases, and the connections that it keeps are counted:
    without this, clients that say nothing would soon be all that a server has. Its parser in C, which it takes where
    it finds it, knows no bound for the size of a head; this one does (`h11_max_incomplete_event_size`).
    """

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_waiting()

    def handle_events(self) -> None:
        super().handle_events()
        self._look()

    def _look(self) -> None:
        """Begin to wait for the head of a request, unless that is here, or waited for already."""
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()
        elif self._deadline is None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(self._patience, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None

    @property
    def _patience(self) -> float:
        patience: float = self.config.app.state.serving.settings.patience  # type: ignore[union-attr]
        return patience
