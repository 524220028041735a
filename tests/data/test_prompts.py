"""Prompts are taken apart as the programs they were written for do it, and no text can harm."""

import contextlib
import json
import math
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfumato.data.prompts import HEAVIEST, PROFILES, Branch, Piece, ends, parse, parse_at
from sfumato.data.prompts.editing import first_edit, schedule
from sfumato.errors import PromptError

A1111, COMFYUI = (json.loads((Path(__file__).parent / f"prompts_{name}.json").read_text()) for name in PROFILES[2:])

SYNTAX = [
    "(",
    ")",
    "[",
    "]",
    "\\",
    ":",
    ":1.3)",
    ":-2)",
    ":1e999)",
    ":nan)",
    ":0.5]",
    "|",
    " AND ",
    " BREAK ",
    " ",
    "\n",
]
PROMPTS = st.lists(st.sampled_from(SYNTAX) | st.text(max_size=5), max_size=25).map("".join)
PLAIN = st.text(st.characters(exclude_characters="()[]\\", exclude_categories=["Cs"])).filter(
    lambda text: "AND" not in text and "BREAK" not in text and not text.rstrip().endswith(tuple("0123456789."))
)


def told(branches: tuple[Branch, ...]) -> list:
    """Pieces and weights as they are recorded."""
    return [[branch.weight, [[[p.text, p.weight] for p in chunk] for chunk in branch.chunks]] for branch in branches]


def flat(told: list) -> list:
    """Nested lists without their nesting."""
    return [one for item in told for one in (flat(item) if isinstance(item, list) else [item])]


def alike(ours: list, theirs: list) -> bool:
    """Equal in structure and texts, weights up to rounding."""
    if isinstance(ours, list):
        return len(ours) == len(theirs) and all(alike(a, b) for a, b in zip(ours, theirs, strict=True))
    return ours == theirs if isinstance(ours, str) else math.isclose(ours, theirs, rel_tol=1e-12)


def test_a1111_takes_prompts_apart_like_a1111() -> None:
    followed = 0
    for text, expected in A1111["parses"]:
        heavy = any(isinstance(one, float) and abs(one) > HEAVIEST for one in flat(expected))
        if heavy or text in A1111["changing"]:
            with pytest.raises(PromptError, match="weights lie between" if heavy else "from step to step"):
                parse(text, "a1111")
        else:
            assert alike(told(parse(text, "a1111")), expected), text
            assert parse_at(text, "a1111", step=3, steps=20) == parse(text, "a1111")
            assert ends(text, "a1111", steps=20) == [20]
            followed += 1
    assert followed > 150


def test_comfyui_takes_prompts_apart_like_comfyui() -> None:
    for text, expected in COMFYUI["parses"]:
        assert alike(told(parse(text, "comfyui")), [[1.0, [expected]]]), text


@pytest.mark.parametrize(("text", "steps", "expected"), A1111["schedules"])
def test_prompts_that_change_do_so_at_a1111s_steps(text, steps, expected) -> None:
    assert [list(entry) for entry in schedule(text, steps)] == expected


EXAMPLES = {
    "a (red:1.3) cat": [("a ", 1), ("red", 1.3), (" cat", 1)],
    "((a)) [b]": [("a", 1.21), (" ", 1), ("b", 1 / 1.1)],
    "(a (b:2):1.5)": [("a ", 1.5), ("b", 3)],
    "(a:-0.5)": [("a", -0.5)],
    "(unbalanced [text": [("(unbalanced [text", 1)],
    "unbalanced) text]": [("unbalanced) text]", 1)],
    "(a [b) c]": [("a [b", 1.1), (" c]", 1)],
    "a ((b:1.3)": [("a (", 1), ("b", 1.3)],
    r"\(a\) \[b\] \\ \c": [(r"(a) [b] \ \c", 1)],
    "(a:1..2)": [("a:1..2", 1.1)],
    "(a:b:1.2)": [("a:b", 1.2)],
    "a:1.2) at 10:30": [("a:1.2) at 10:30", 1)],
    "(un)(necessary)": [("unnecessary", 1.1)],
    "(a AND b)": [("a AND b", 1.1)],
    "BRAND ANDY BREAKFAST": [("BRAND ANDY BREAKFAST", 1)],
    "a | b": [("a | b", 1)],
    "()": [],
    "": [],
}


@pytest.mark.parametrize("text", EXAMPLES)
def test_our_own_rules(text) -> None:
    (branch,) = parse(text)
    (chunk,) = branch.chunks
    expected = [[words, float(weight)] for words, weight in EXAMPLES[text]]
    assert branch.weight == 1
    assert alike([[piece.text, piece.weight] for piece in chunk], expected)


def test_our_branches_and_chunks() -> None:
    assert parse("a cat AND a dog :1.2 AND (sea:2) :-.5") == (
        Branch(((Piece("a cat "),),)),
        Branch(((Piece(" a dog "),),), 1.2),
        Branch(((Piece(" "), Piece("sea", 2.0), Piece(" ")),), -0.5),
    )
    assert parse("a BREAK b AND c at 10:30")[0].chunks == ((Piece("a"),), (Piece("b "),))
    assert parse("(a BREAK b:1.5) c")[0].chunks == ((Piece("a", 1.5),), (Piece("b", 1.5), Piece(" c")))
    assert parse("BREAK a BREAK BREAK b BREAK")[0].chunks == ((Piece("a"),), (Piece("b"),))


@pytest.mark.parametrize("profile", PROFILES)
def test_what_is_gone_away_from_has_one_branch(profile) -> None:
    (branch,) = parse("a cat AND (a dog:0.5) :2", profile, negative=True)
    assert branch.weight == 1
    assert "a cat AND " in "".join(piece.text for chunk in branch.chunks for piece in chunk)


@pytest.mark.parametrize("profile", PROFILES)
@given(text=PLAIN)
def test_text_without_syntax_is_itself(profile, text) -> None:
    (branch,) = parse(text, profile)
    expected = text.rstrip() if profile == "a1111" else text
    assert branch == Branch(((Piece(expected),) if expected else (),))


@given(text=st.text(st.characters(exclude_categories=["Cs"])).filter(lambda t: "AND" not in t and "BREAK" not in t))
def test_any_text_can_be_written_with_backslashes(text) -> None:
    escaped = "".join("\\" * (letter in "()[]\\") + letter for letter in text)
    (branch,) = parse(escaped)
    assert "".join(piece.text for piece in branch.chunks[0]) == text


@pytest.mark.parametrize("profile", PROFILES)
@given(text=PROMPTS)
def test_any_text_is_taken_apart_or_refused(profile, text) -> None:
    try:
        branches = parse(text, profile)
    except PromptError:
        return
    assert branches
    for branch in branches:
        assert branch.chunks
        weights = [branch.weight, *(piece.weight for chunk in branch.chunks for piece in chunk)]
        assert all(math.isfinite(weight) and abs(weight) <= HEAVIEST for weight in weights)


@given(text=PROMPTS, steps=st.integers(1, 30))
def test_any_text_has_a_schedule_to_the_last_step(text, steps) -> None:
    entries = schedule(text, steps)
    assert entries[-1][0] == steps
    assert [end for end, _ in entries] == sorted({end for end, _ in entries})
    if first_edit(text) is None:
        assert entries == [(steps, text)]


NESTS = {
    "open": "(" * 10_000,
    "shut": ")" * 10_000,
    "nested": "(" * 5_000 + "a" + ")" * 5_000,
    "side by side": "()" * 5_000,
    "two kinds": "([" * 2_500 + "])" * 2_500,
    "crossed": "(a[b)c]" * 1_400,
    "colons": "(a:" * 3_300,
    "editing": "[" * 5_000 + "a:b:0.5" + "]" * 5_000,
    "blanks": "a" + " " * 10_000 + "b",
    "breaks": "BREAK " * 1_600,
    "both": "AND " * 2_500,
}


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("kind", NESTS)
def test_ten_thousand_characters_are_soon_taken_apart(profile, kind) -> None:
    def seconds() -> float:
        began = time.process_time()
        with contextlib.suppress(PromptError):
            parse(NESTS[kind], profile)
        return time.process_time() - began

    assert min(seconds() for _ in range(3)) < 0.1


@pytest.mark.parametrize(
    ("profile", "text", "place"),
    [
        ("sfumato", "ab (c:1001)", 5),
        ("sfumato", "ab [c:d:0.5]", 4),
        ("sfumato", "a [b|c] AND d", 3),
        ("a1111", "a AND b [c:d:3]", 9),
        ("a1111", "a (b:1..2)", 6),
        ("a1111", "a AND b :1001", 10),
        ("a1111", "(" * 60, 51),
        ("comfyui", "ab (c:1e999)", 5),
        ("comfyui", "ab (c:nan)", 5),
        ("comfyui", "(" * 60 + "a" + ")" * 60, 112),
    ],
)
def test_what_cannot_be_followed_is_refused_and_the_character_named(profile, text, place) -> None:
    with pytest.raises(PromptError, match=f"character {place}\\b"):
        parse(text, profile)


def test_a_profile_that_does_not_exist_is_refused() -> None:
    with pytest.raises(PromptError, match="there are sfumato, diffusers, a1111, comfyui"):
        parse("a", "invokeai")
