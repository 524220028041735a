"""The table of concepts: names that people type, plurals and articles that are right, roles that scenes can use."""

import re

import pytest

from sfumato.data.scenes.concepts import ROLES, Concept, concepts, read_table, write_table
from sfumato.data.scenes.shapes import SHAPES
from sfumato.errors import DataError

TABLES = [concepts(), tuple(shape.concept for shape in SHAPES.values())]
BY_NAME = {concept.name: concept for concept in concepts()}


def test_there_are_six_hundred_and_the_best_loved_come_first() -> None:
    assert len(concepts()) >= 600
    first = {concept.name for concept in concepts()[:150]}
    assert first >= {"cat", "dog", "raccoon", "pizza", "car", "banana", "guitar", "cactus", "elephant", "box", "basket"}
    assert first >= {"top hat", "cap", "crown", "glasses", "sunglasses", "cup", "bucket"}


@pytest.mark.parametrize("table", TABLES, ids=["emoji", "shapes"])
def test_no_word_names_two_concepts(table: tuple[Concept, ...]) -> None:
    words = [word for concept in table for word in {concept.plural, *concept.names}]
    assert len(words) == len(set(words))
    emoji = [concept.emoji for concept in table if concept.emoji]
    assert len(emoji) == len(set(emoji))


@pytest.mark.parametrize("table", TABLES, ids=["emoji", "shapes"])
def test_names_are_plain_lower_case_words(table: tuple[Concept, ...]) -> None:
    for concept in table:
        for word in (concept.plural, *concept.names):
            assert re.fullmatch(r"[a-z]+([ '-]+[a-z]+)*", word), word


@pytest.mark.parametrize(
    ("name", "plural"),
    [
        ("wolf", "wolves"),
        ("mouse", "mice"),
        ("sheep", "sheep"),
        ("cactus", "cacti"),
        ("box", "boxes"),
        ("die", "dice"),
        ("strawberry", "strawberries"),
        ("slice of cake", "slices of cake"),
        ("tooth", "teeth"),
        ("key", "keys"),
    ],
)
def test_plurals_are_english(name: str, plural: str) -> None:
    assert BY_NAME[name].plural == plural


@pytest.mark.parametrize(
    ("name", "article"),
    [
        ("cat", "a"),
        ("owl", "an"),
        ("unicorn", "a"),
        ("hourglass", "an"),
        ("x-ray", "an"),
        ("sheep", "a"),
        ("suv", "an"),
        ("glasses", ""),
        ("broccoli", ""),
        ("scissors", ""),
        ("cactus", "a"),
        ("compass", "a"),
    ],
)
def test_articles_go_by_sound_and_are_left_out_where_english_has_none(name: str, article: str) -> None:
    assert BY_NAME[name].article == article


@pytest.mark.parametrize("table", TABLES, ids=["emoji", "shapes"])
def test_every_relation_finds_its_roles(table: tuple[Concept, ...]) -> None:
    assert {role for concept in table for role in concept.roles} == ROLES
    for concept in table:
        assert (concept.head is not None) == bool(concept.roles & {"wearer", "hat", "container"}), concept.name
        assert (concept.eyes is not None) == ("wearer" in concept.roles), concept.name
    assert sum("wearer" in concept.roles for concept in concepts()) >= 40


def test_what_is_written_is_read_again() -> None:
    for table in TABLES:
        assert read_table(write_table(table), "table") == table


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("cat\tcats", "2 columns instead of 7"),
        ("cat\t\t\t\t\t\t", "no plural"),
        ("cat\tcats\t\t\tking\t\t", "role 'king'"),
        ("cat\tcats\t\t\twearer\t0.5 0.5\t", "not enough values"),
        ("cat\tcats\t\t\twearer\t0.5 nan 0.5\t", "far off"),
    ],
)
def test_a_broken_line_is_named(line: str, reason: str) -> None:
    header = write_table([])
    with pytest.raises(DataError, match=f"pets, line 2, is not a concept: .*{reason}"):
        read_table(header + line + "\n", "pets")
    with pytest.raises(DataError, match="no table of concepts"):
        read_table(line, "pets")
