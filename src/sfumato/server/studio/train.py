"""The page Train."""

from __future__ import annotations

from sfumato.server.studio.layout import heading, page
from sfumato.server.studio.studio import Studio


def attach(studio: Studio) -> None:
    """Define the page."""

    @studio.page("/train", "Train")
    def train() -> None:
        with page(studio, "Train"):
            heading("Train")
