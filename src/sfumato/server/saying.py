"""What went wrong, in words for those who asked."""

from __future__ import annotations

import re

from sfumato.errors import DataError, PromptError, SfumatoError
from sfumato.server.batching.passes import is_out_of_memory

QUOTING = (PromptError, DataError)  # errors that may hold words of a prompt
UNSAID = "This model cannot follow what was asked for. The job is private, so what it was is not kept."
_FOLDERS = re.compile(r"(?<![\w.:/\\])(?:[A-Za-z]:)?[/\\](?:[^/\\\s'\",;:]+[/\\])*(?=[^/\\\s])")


def said(error: Exception, private: bool = False) -> str:
    """What went wrong, for people, without the folders of this machine, and where it is `private` without any words."""
    if private and isinstance(error, QUOTING):
        return UNSAID
    if isinstance(error, SfumatoError):
        return _FOLDERS.sub("", str(error))
    if is_out_of_memory(error):
        return "There is not enough memory for this picture: ask for a smaller one."
    return f"The picture could not be made, for a reason that lies with the server ({type(error).__name__})."
