"""Commands of sfumato as processes of their own, waited for without holding up the server."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence

from sfumato.errors import TrainingError

MOST_SAID = 16 * 1024  # bytes of an error
PATIENCE = 20.0  # seconds until a process that was asked to stop is killed


async def output_of(command: Sequence[str]) -> bytes:
    """What a command writes to its standard output; cancelling the wait ends the process.

    Raises TrainingError with what it said when it failed.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,  # a Ctrl-C at the server is not meant for it
    )
    try:
        told, said = await process.communicate()
    except asyncio.CancelledError:
        await _end(process)
        raise
    if process.returncode != 0:
        last = said[-MOST_SAID:].decode(errors="replace").strip()
        raise TrainingError(last or killed(process.returncode))
    return told


def killed(code: int | None) -> str:
    """What to say of a process that ended without a word."""
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return f"It was ended by {name}." + (" There may be too little memory for it." if name == "SIGKILL" else "")
    return f"It ended with code {code}."


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGINT)
        try:
            await asyncio.wait_for(process.wait(), PATIENCE)
        except TimeoutError:
            process.kill()
            await process.wait()
