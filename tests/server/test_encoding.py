"""Small pictures in addresses: no larger than was asked for, to the bit where they are to be, the picture unchanged."""

from PIL import Image

import synthetic
from addresses import opened
from sfumato.server.encoding import address


def test_an_address_holds_a_picture_no_larger_than_was_asked_for_and_leaves_the_picture_as_it_is():
    picture = Image.new("L", (200, 100), 255)
    small = opened(address(picture, 50))
    assert (small.format, small.size, small.getpixel((0, 0))) == ("WEBP", (50, 25), (255, 255, 255))
    assert (picture.size, picture.mode) == ((200, 100), "L")
    assert opened(address(picture, 400)).size == (200, 100)


def test_what_must_not_lose_anything_is_kept_to_the_bit():
    picture = synthetic.scene(64)
    assert opened(address(picture, 64, lossless=True)).convert("RGB").tobytes() == picture.tobytes()
    assert len(address(picture, 64, 20)) < len(address(picture, 64, 95))
