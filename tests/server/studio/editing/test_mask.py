"""What is to be painted anew: what the browser painted arrives, anything else is refused, every step can be undone."""

import base64
import io
import pickle

import pytest
from PIL import Image, ImageDraw

from sfumato.errors import PromptError
from sfumato.server.studio.editing.boxes import Box
from sfumato.server.studio.editing.mask import HEAD, LARGEST_SIDE, MOST_BACK, Mask


def painted(size, rectangle=(2, 2, 5, 5)):
    """What a browser sends: white strokes on nothing."""
    image = Image.new("RGBA", size, (0, 0, 0, 0))
    ImageDraw.Draw(image).rectangle(rectangle, fill=(255, 255, 255, 255))
    file = io.BytesIO()
    image.save(file, format="PNG")
    return HEAD + base64.b64encode(file.getvalue()).decode()


def test_what_was_painted_is_white_and_the_rest_black():
    mask = Mask((16, 8))
    mask.paint(painted((16, 8)))
    assert mask.image.getpixel((3, 3)) == 255
    assert mask.image.getpixel((10, 3)) == 0
    assert mask.share == 16 / 128


def test_the_browser_is_given_back_what_it_painted():
    mask = Mask((16, 8))
    mask.paint(painted((16, 8)))
    again = Mask((16, 8))
    again.paint(mask.address)
    assert again.image.tobytes() == mask.image.tobytes()


@pytest.mark.parametrize(
    "sent",
    [
        "",
        None,
        7,
        "https://elsewhere.example/mask.png",
        HEAD + "no base64!",
        HEAD + base64.b64encode(b"no picture").decode(),
        HEAD + "A" * 10_000_000,
        painted((16, 9)),
        painted((4000, 4000)),
    ],
)
def test_anything_else_is_refused_and_changes_nothing(sent):
    mask = Mask((16, 8))
    with pytest.raises(PromptError, match="paint it again"):
        mask.paint(sent)
    assert not mask.share
    assert not mask.can_undo


def test_rectangles_are_added_and_taken_away():
    mask = Mask((100, 50))
    mask.rectangle(Box(0.1, 0.2, 0.5, 1))
    assert mask.share == pytest.approx(0.4 * 0.8)
    mask.rectangle(Box(0.1, 0.2, 0.3, 1), take_away=True)
    assert mask.image.getbbox() == (30, 10, 50, 50)


def test_the_smallest_rectangle_is_a_pixel():
    mask = Mask((4, 4))
    mask.rectangle(Box(0.99, 0.99, 1, 1))
    assert mask.image.getbbox() == (3, 3, 4, 4)


def test_every_change_can_be_undone():
    mask = Mask((10, 10))
    mask.rectangle(Box(0, 0, 0.5, 1))
    mask.turn_round()
    mask.clear()
    shares = []
    while mask.can_undo:
        mask.undo()
        shares.append(mask.image.getbbox())
    assert shares == [(5, 0, 10, 10), (0, 0, 5, 10), None]
    mask.undo()  # harmless


def test_the_mask_of_a_large_picture_is_bounded_and_keeps_its_shape():
    assert Mask((8000, 4000)).size == (LARGEST_SIDE, LARGEST_SIDE // 2)


def test_steps_back_take_little_room():
    mask = Mask((LARGEST_SIDE, LARGEST_SIDE))
    for step in range(MOST_BACK + 5):
        mask.rectangle(Box(0, 0, 1, (step + 1) / 40))
    raw = LARGEST_SIDE**2
    assert len(pickle.dumps(mask)) < 2 * raw  # the mask as it is, and the steps together less than one more
    for _ in range(MOST_BACK):
        mask.undo()
    assert mask.share == pytest.approx(5 / 40, abs=0.001)
    assert not mask.can_undo
