"""What went wrong, in words for those who asked."""

from __future__ import annotations

import re

from sfumato.errors import SfumatoError
from sfumato.server.batching.passes import is_out_of_memory

_FOLDERS = re.compile(r"(?<![\w.:/\\])(?:[A-Za-z]:)?[/\\](?:[^/\\\s'\",;:]+[/\\])*(?=[^/\\\s])")


def said(error: Exception) -> str:
    """What went wrong, for people, without the folders of this machine."""
    if isinstance(error, SfumatoError):
        return _FOLDERS.sub("", str(error))
    if is_out_of_memory(error):
        return "There is not enough memory for this picture: ask for a smaller one."
    return f"The picture could not be made, for a reason that lies with the server ({type(error).__name__})."
