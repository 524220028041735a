"""Errors a person can act on: each message says what was wrong, where, and what to do."""


class SfumatoError(Exception):
    """Base of every error that sfumato raises on purpose; the command line shows its message alone."""

    exit_code = 1


class DataError(SfumatoError, ValueError):
    """Pictures or captions that cannot be used."""


class RecipeError(SfumatoError, ValueError):
    """A recipe or setting that is not valid; the message names the field."""

    exit_code = 2


class PromptError(SfumatoError, ValueError):
    """A prompt or generation setting that cannot be followed."""

    exit_code = 2


class CheckpointError(SfumatoError, ValueError):
    """A model folder or weight file that cannot be read."""


class RoomError(SfumatoError, MemoryError):
    """What is asked for takes clearly more memory than is free; nothing was begun."""


class TrainingError(SfumatoError, RuntimeError):
    """Training cannot go on; what was finished is on disk."""


class StorageError(SfumatoError, OSError):
    """A file could not be written: a full disk, a missing permission. Earlier files are intact."""

    exit_code = 74  # EX_IOERR


class StoreError(SfumatoError, RuntimeError):
    """The store of a server's jobs cannot be used so: another process has it, a job is in no state for that."""


class StoreDamaged(SfumatoError, RuntimeError):
    """The database of a store cannot be read: it is damaged or of a later version. It is left as it is."""


class StoreFull(StorageError):
    """The disk of the store is full: nothing was accepted or half-written; it goes on when there is room again."""


class ModelNotFound(SfumatoError, LookupError):
    """A model that the server does not offer; the message names those that it does."""


class JobNotFound(SfumatoError, LookupError):
    """There is no such job, or no longer."""


class QueueFull(SfumatoError, RuntimeError):
    """The server has as much to do as it accepts; `retry_after` is in how many seconds there should be room."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after
