"""What lies on the tray is for its owner, and makes room for newer things."""

from sfumato.server.studio.tray import KEPT, Tray


def test_things_are_for_their_owner_and_the_oldest_go():
    tray = Tray()
    names = [tray.put("ada", bytes([number]), "image/png").rpartition("/")[2] for number in range(KEPT + 1)]
    assert tray.take("ada", names[1]) == (b"\x01", "image/png")
    assert tray.take("ben", names[1]) is None
    assert tray.take("ada", names[0]) is None
    assert tray.take("", "no such") is None
    assert len(set(names)) == len(names)
