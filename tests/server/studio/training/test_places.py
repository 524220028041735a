"""Only folders within the allowed ones are chosen, however they are written; names of models are plain."""

import pytest

from sfumato.errors import DataError
from sfumato.server.studio.training import places as rooms
from sfumato.server.studio.training.places import Places, require_bounded


@pytest.fixture
def places(tmp_path):
    root = tmp_path / "home"
    for name in ("photos/cats", "photos/dogs", ".ssh", "work"):
        (root / name).mkdir(parents=True)
    (root / "pack.tar").touch()
    (root / "note.txt").touch()
    (tmp_path / "elsewhere").mkdir()
    (root / "way-out").symlink_to(tmp_path / "elsewhere")
    return Places((root,), tmp_path / "models")


def test_folders_and_tars_below_a_root_are_chosen_by_their_full_path(places):
    root = places.roots[0]
    assert places.data(f" {root}/photos/../photos/cats ") == str(root / "photos" / "cats")
    assert places.data(str(root / "pack.tar")) == str(root / "pack.tar")
    assert places.data("digits") == "digits"


@pytest.mark.parametrize(
    "typed", ["/etc", "/", "{root}/../elsewhere", "{root}/way-out", "{root}/.ssh", "a\0b", "~nobody"]
)
def test_nothing_outside_the_roots_and_nothing_hidden_is_chosen(places, typed):
    with pytest.raises(DataError, match="Only what lies in"):
        places.data(typed.format(root=places.roots[0]))


@pytest.mark.parametrize("typed", ["", "{root}/gone", "{root}/note.txt"])
def test_what_is_no_data_is_named(places, typed):
    with pytest.raises(DataError, match=r"Name a folder|There is no folder"):
        places.data(typed.format(root=places.roots[0]))


def test_completions_stay_within_the_roots(places, tmp_path):
    root = places.roots[0]
    assert places.completions(f"{root}/ph") == [str(root / "photos")]
    assert places.completions(f"{root}/photos/") == [str(root / "photos" / name) for name in ("cats", "dogs")]
    assert ".ssh" not in "".join(places.completions(f"{root}/"))
    for typed in ("/etc/", "", f"{tmp_path}/else", "a\0b", f"{root}/.ssh/"):
        assert places.completions(typed) == [str(root)]


def test_a_models_name_is_no_path(places):
    assert places.model("night-digits_2") == places.models / "night-digits_2"
    for name in ("", "..", "a/b", "/etc", "-x", ".x", "a" * 65, "ä"):
        with pytest.raises(DataError, match="name"):
            places.model(name)


def test_a_folder_of_too_many_files_is_refused_before_it_is_read(places, monkeypatch):
    monkeypatch.setattr(rooms, "MOST_FILES", 1)
    with pytest.raises(DataError, match="more than 1 files"):
        require_bounded(str(places.roots[0]))
    require_bounded(str(places.roots[0] / "photos"))
