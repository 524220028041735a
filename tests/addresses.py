"""Pictures in the text of addresses, opened; and whether the event loop has to wait for what is done."""

import asyncio
import base64
import io

from PIL import Image


def opened(address):
    """The picture that an address holds."""
    return Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))


def holds_up_the_loop():
    """Whether an event loop runs in this thread, which then can do nothing else."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
