"""The page X-ray."""

from __future__ import annotations

from sfumato.server.studio.layout import heading, page
from sfumato.server.studio.studio import Studio


def attach(studio: Studio) -> None:
    """Define the page."""

    @studio.page("/xray", "X-ray")
    def xray() -> None:
        with page(studio, "X-ray"):
            heading("X-ray")
