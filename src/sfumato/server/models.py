"""The models that a server offers, by the names under which it does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfumato.errors import ModelNotFound, RecipeError

if TYPE_CHECKING:
    from sfumato.pipelines.language.language_model import LanguageModel
    from sfumato.pipelines.text_to_image import Pipeline


class Models:
    """Models by name, each loaded when it is first used, and kept. All methods may be called from any thread.

    Args:
        offered: the folder, file or embedded name of each; the first is the default. Nothing else is ever loaded.
        device, settings: as `Pipeline.load` takes them, for all of them.
        load: gives a pipeline in its place, for tests.

    Attributes:
        device: the name of the one that they are on.
        offload: how their weights wait elsewhere, or None.

    Raises RecipeError when nothing is offered.
    """

    def __init__(
        self,
        offered: Mapping[str, str | Path],
        device: str = "auto",
        *,
        load: Callable[[str | Path], Pipeline] | None = None,
        **settings: Any,
    ) -> None:
        if not offered:
            raise RecipeError("A server offers at least one model.")
        self.device, self.offload = device, settings.get("offload")
        self._offered, self._settings = dict(offered), settings
        self._load = load or self._from_files
        self._pipelines: dict[str, Pipeline] = {}
        self._writers: dict[str, LanguageModel | None] = {}
        self._locks = {name: threading.RLock() for name in offered}

    def names(self) -> list[str]:
        """The names, the default's first."""
        return list(self._offered)

    @property
    def default(self) -> str:
        """The model that is meant where none is named."""
        return next(iter(self._offered))

    def offer(self, name: str, model: str | Path) -> None:
        """Offer one more, such as a model that was trained here; under a name that is known it takes that one's place.

        Raises RecipeError for the name of another model.
        """
        if self._offered.get(name, model) != model:
            raise RecipeError(f"Another model is offered as {name} already; start the server with a name of its own.")
        lock = self._locks.setdefault(name, threading.RLock())
        with lock:
            self._pipelines.pop(name, None)  # it may have been trained on
            self._writers.pop(name, None)
            self._offered[name] = model

    def pipeline(self, name: str) -> Pipeline:
        """A model's pipeline. Raises ModelNotFound, and CheckpointError when it is no whole model for pictures."""
        with self._lock(name):
            if name not in self._pipelines:
                self._pipelines[name] = self._load(self._offered[name])
            return self._pipelines[name]

    def writer(self, name: str) -> LanguageModel | None:
        """The language model of a model, or one that is offered by itself; None where there is none.

        Raises ModelNotFound, and CheckpointError when there is one that cannot be read.
        """
        with self._lock(name):
            if name not in self._writers:
                self._writers[name] = self._writer(self._offered[name])
            return self._writers[name]

    def _lock(self, name: str) -> threading.RLock:
        if name not in self._locks:
            raise ModelNotFound(f"There is no model {name!r:.100} here; there are {', '.join(self._offered)}.")
        return self._locks[name]

    def _from_files(self, model: str | Path) -> Pipeline:
        from sfumato.devices import on_threads
        from sfumato.pipelines.text_to_image import Pipeline

        with on_threads(1):  # more of them would stay for good, in the way of those that make pictures
            pipeline = Pipeline.load(model, self.device, **self._settings)
            pipeline.model.fingerprint()  # of large files it takes seconds, and is remembered
        return pipeline

    def _writer(self, model: str | Path) -> LanguageModel | None:
        from sfumato.checkpoints.folder import has_part
        from sfumato.checkpoints.language import PART
        from sfumato.pipelines.finding import EMBEDDED, found, is_embedded
        from sfumato.pipelines.language.language_model import LanguageModel

        folder = EMBEDDED / model if is_embedded(model) else found(str(model), fetch=False)
        if not has_part(folder, PART) and not (folder / "config.json").is_file():
            return None
        return LanguageModel.load(folder, self.device)
