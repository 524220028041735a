"""The frame of pages: what is said is escaped, and no program runs but the one that the page was given."""

import base64
import hashlib
import re

from sfumato.pages.frame import framed


def policy(page):
    return re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)[1]


def test_a_page_without_a_program_allows_none():
    page = framed("t", "n", "d", ["f"], ["<p>s</p>"])
    assert policy(page) == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert "<script" not in page


def test_the_policy_names_the_pages_program_by_its_hash():
    page = framed("t", "n", "d", [], ["<p>s</p>"], script="'use strict';\nlet $x = 1;\n")
    program = re.search(r"<script>(.*?)</script>", page, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(program.encode()).digest()).decode()
    assert policy(page).endswith(f"; script-src 'sha256-{digest}'")


def test_titles_and_facts_are_text():
    page = framed("<i>", "<script>", "<b>", ["<u>"], [])
    assert not re.search(r"<(i|script|b|u)>", page)
