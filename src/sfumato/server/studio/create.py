"""The page Create."""

from __future__ import annotations

from sfumato.server.studio.layout import heading, page
from sfumato.server.studio.studio import Studio


def attach(studio: Studio) -> None:
    """Define the page."""

    @studio.page("/", "Create")
    def create() -> None:
        with page(studio, "Create"):
            heading("Create")
