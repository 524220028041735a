"""The page Edit."""

from __future__ import annotations

from sfumato.server.studio.layout import heading, page
from sfumato.server.studio.studio import Studio


def attach(studio: Studio) -> None:
    """Define the page."""

    @studio.page("/edit", "Edit")
    def edit() -> None:
        with page(studio, "Edit"):
            heading("Edit")
