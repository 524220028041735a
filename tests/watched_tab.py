"""A page in a browser that stays silent and asks nobody but its own server; and what axe finds wrong in a page."""

from contextlib import contextmanager

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

PATIENCE = 60_000  # milliseconds, for machines that have other things to do
SEEN = ("serious", "critical")

expect.set_options(timeout=PATIENCE)


@contextmanager
def watched(browser, address, **how):
    """A page at an address; in the end its console is empty, and all it asked for came from there."""
    context = browser.new_context(base_url=address, **{"viewport": {"width": 1200, "height": 844}, **how})
    page, wrong = context.new_page(), []
    page.set_default_timeout(PATIENCE)
    own = (address, address.replace("http", "ws"), "data:", "blob:")
    page.on("console", lambda message: message.type in ("error", "warning") and wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: request.url.startswith(own) or wrong.append(request.url))
    yield page
    context.close()
    assert not wrong


def violations(page, part="html", without=()):
    """What axe finds wrong in a part of a page, by the rules that are not switched off."""
    options = {"rules": {name: {"enabled": False} for name in without}}
    found = Axe().run(page, part, options).response["violations"]
    return [(one["id"], one["nodes"][0]["html"][:200]) for one in found if one["impact"] in SEEN]
