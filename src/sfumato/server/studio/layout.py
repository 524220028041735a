"""What every page has around it: the way to the other pages, the choice of a model, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nicegui import ui

from sfumato import __version__
from sfumato.server.studio.controls import words
from sfumato.server.studio.studio import Studio

PLACES = (("Create", "/"), ("Edit", "/edit"), ("X-ray", "/xray"), ("Train", "/train"))
STATIC = Path(__file__).parent / "static"
STATIC_URL = "/_studio/static"

COLOURS = {"system": None, "light": False, "dark": True}
"""What the switch in the header goes through; what Quasar calls its dark mode."""

COOKIE = "sfumato-colours"


@contextmanager
def page(studio: Studio, title: str) -> Iterator[None]:
    """What is built inside stands between header and footer.

    Example:
        >>> @studio.page("/edit", "Edit")                                             # doctest: +SKIP
        ... async def edit(picture: str = "") -> None:
        ...     with page(studio, "Edit"):
        ...         ui.label("...")
    """
    colours = dress()
    client = ui.context.client
    with client.layout, ui.element("header").classes("top") as header:
        ui.link("sfumato", "/").classes("name")
        _ways(title)
        with ui.element("div").classes("top-right"):
            _models(studio)
            _colours(colours)
    header.move(target_index=0)
    ui.skip_link("Skip to the page", target=client.content)
    words("h1", title).classes("unseen")
    yield


def look(name: str) -> None:
    """Load a style sheet of one page's own, besides that of all pages."""
    ui.add_head_html(f'<link rel="stylesheet" href="{STATIC_URL}/{name}.css?{__version__}">')


def dress() -> str:
    """The looks of a page without anything on it; gives the colours that this browser chose."""
    colours = _chosen_colours()
    ui.add_head_html(
        f'<link rel="stylesheet" href="{STATIC_URL}/look.css?{__version__}">'
        f"<script>document.documentElement.dataset.colours = {colours!r}</script>"
        f'<script defer src="{STATIC_URL}/studio.js?{__version__}"></script>'
    )
    ui.context.client.content.classes("studio")
    return colours


def heading(text: str, level: int = 2) -> ui.element:
    """A heading that is one for screen readers too."""
    return words(f"h{level}", text)


def _ways(title: str) -> None:
    with ui.element("nav").props('aria-label="Places"'):
        for name, path in PLACES:
            link = ui.link(name, path)
            if name == title:
                link.props('aria-current="page"')


def _models(studio: Studio) -> None:
    """The choice of a model, where there is one."""
    names = studio.models.names()

    def choose(name: str) -> None:
        studio.choose(name)
        ui.navigate.reload()

    if len(names) > 1:
        select = ui.select(names, value=studio.model, on_change=lambda event: choose(event.value))
        select.props('aria-label="Model" dense borderless options-dense').classes("model")
    else:
        ui.label(studio.model).classes("model soft")


def _colours(chosen: str) -> None:
    """The switch between the system's colours, light and dark; the browser remembers it."""
    dark = ui.dark_mode(COLOURS[chosen])
    now = [chosen]

    def turn() -> None:
        names = list(COLOURS)
        now[0] = names[(names.index(now[0]) + 1) % len(names)]
        dark.value = COLOURS[now[0]]
        told.set_text(now[0])
        ui.run_javascript(f"sfumato.colours({now[0]!r})")

    with ui.element("button").classes("plain colours").on("click", turn).props("type=button"):
        words("span", "◐ ").props("aria-hidden=true")
        words("span", "Colours: ").classes("unseen")
        told = words("span", chosen)


def _chosen_colours() -> str:
    request = ui.context.client.request
    chosen = request.cookies.get(COOKIE, "system") if request else "system"
    return chosen if chosen in COLOURS else "system"
