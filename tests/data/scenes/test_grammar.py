"""A grammar of templates finds everything that words can mean, and says where it failed."""

import pytest

from sfumato.data.scenes.grammar import Grammar, Misfit, Production, tokens


def means(value):
    return lambda said: value


def refused(said):
    raise Misfit("nobody has two left feet")


SUMS = Grammar(
    [
        Production("digit", "one", {}, means(1)),
        Production("digit", "two", {}, means(2)),
        Production("sum", "{a}", {"a": "digit"}, lambda said: said["a"]),
        Production("sum", "{a} plus {b}", {"a": "digit", "b": "sum"}, lambda said: said["a"] + said["b"]),
        Production("sum", "{b} after {a}", {"a": "digit", "b": "digit"}, lambda said: 10 * said["a"] + said["b"]),
        Production("sum", "twenty one", {}, means(21)),
        Production("sum", "twenty {a}", {"a": "digit"}, means("twenty times")),
        Production("sum", "left {a}", {"a": "digit"}, refused),
    ]
)


@pytest.mark.parametrize(
    ("text", "meanings"),
    [
        ("one", [1]),
        ("one plus two plus two", [5]),
        ("one after two", [21]),
        ("twenty two", ["twenty times"]),
        ("twenty one", [21, "twenty times"]),
        ("", []),
        ("one plus", []),
        ("plus one", []),
    ],
)
def test_words_mean_all_that_their_templates_say(text, meanings):
    assert SUMS.parse("sum", text.split()).meanings == meanings


@pytest.mark.parametrize(("text", "reached"), [("one plus one two", 3), ("plus", 0), ("one plus", 2)])
def test_a_parse_says_how_far_it_came(text, reached):
    assert SUMS.parse("sum", text.split()).reached == reached


def test_what_cannot_be_meant_is_said_with_the_reason():
    parse = SUMS.parse("sum", ["left", "one"])
    assert (parse.meanings, parse.misfit) == ([], (2, "nobody has two left feet"))


def test_tokens_know_where_they_stand():
    text = "A jack-o’-lantern,  the Bird’s nest!"
    found = tokens(text)
    assert [token.text for token in found] == ["a", "jack", "o", "lantern", ",", "the", "bird's", "nest", "!"]
    assert all(text[token.start :].lower().replace("’", "'").startswith(token.text) for token in found)
