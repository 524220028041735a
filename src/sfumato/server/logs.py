"""What is written down: a line of JSON for each thing that happened, without what people typed."""

from __future__ import annotations

import json
import logging
import time
import traceback
from typing import Any, TextIO

from sfumato.errors import CheckpointError, RecipeError, StorageError
from sfumato.server.job import Job

NAME = "sfumato.server"
WITHOUT_WORDS = (CheckpointError, RecipeError, StorageError)  # their messages hold nothing of prompts


class Log:
    """Writes events.

    Args:
        prompts: whether prompts are written too; those of private jobs never are.
    """

    def __init__(self, prompts: bool = False) -> None:
        self.prompts, self._logger = prompts, logging.getLogger(NAME)

    def write(self, event: str, **values: Any) -> None:
        """Write that something happened."""
        self._logger.info(event, extra={"values": values})

    def job(self, job: Job) -> None:
        """Write that a job was accepted."""
        words = {"prompt": job.request.get("prompt", "")} if self.prompts and not job.private else {}
        steps = job.request.get("num_inference_steps")
        self.write("job", job=job.id, owner=job.owner, model=job.model, count=job.count, steps=steps, **words)

    def defect(self, error: BaseException, **values: Any) -> None:
        """Write where an error came from that is the server's own fault.

        Its message may hold what was typed, and stays out unless it is of a kind that never does.
        """
        words = {"message": str(error)} if self.prompts or isinstance(error, WITHOUT_WORDS) else {}
        self._logger.error(
            "defect", extra={"values": {**values, "error": type(error).__name__, "at": _frames(error), **words}}
        )


class Lines(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z"
        line: dict[str, Any] = {"time": at, "level": record.levelname.lower(), "event": record.getMessage()}
        if record.exc_info and (error := record.exc_info[1]):
            line |= {"error": type(error).__name__, "at": _frames(error)}
        return json.dumps({**line, **getattr(record, "values", {})}, default=str)


def _frames(error: BaseException) -> list[str]:
    """Where it happened, innermost last."""
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]


def log_to(stream: TextIO, least: int = logging.INFO) -> None:
    """Send what the server and uvicorn say to a stream, as lines of JSON; `least` is the level from which on."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Lines())
    for name in (NAME, "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(least)
