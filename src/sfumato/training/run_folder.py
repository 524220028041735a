"""The run folder of a stage: its plan, checkpoints, metrics and samples."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sfumato.checkpoints.files import read_json, storage_errors, write_json, write_text
from sfumato.errors import CheckpointError
from sfumato.pipelines.keepsake import save_picture
from sfumato.training.board import Board
from sfumato.training.recipe import Run
from sfumato.training.stage import Sample
from sfumato.training.state import State


class RunFolder:
    """Files of one stage's training. Only the leading process writes."""

    def __init__(self, path: Path, settings: Run, leads: bool) -> None:
        self.path, self.settings, self.leads = path, settings, leads
        self.kept_at = time.monotonic()
        self._board: Board | None = None

    # --- the plan and the end ---------------------------------------------------------------------------------------

    @property
    def plan(self) -> dict[str, Any] | None:
        """What was decided when the stage began, such as its steps under a budget; None before."""
        path = self.path / "plan.json"
        return read_json(path) if path.is_file() else None

    def begin(self, plan: Mapping[str, Any]) -> None:
        """Write the plan."""
        if self.leads:
            write_json(self.path / "plan.json", plan)

    @property
    def done(self) -> dict[str, Any] | None:
        """What `finish` wrote; None while the stage is not complete."""
        path = self.path / "done.json"
        return read_json(path) if path.is_file() else None

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Mark the stage complete."""
        if self.leads:
            write_json(self.path / "done.json", facts)

    def reopen(self) -> None:
        """Mark the stage as not complete any more."""
        with storage_errors(self.path):
            (self.path / "done.json").unlink(missing_ok=True)

    # --- checkpoints --------------------------------------------------------------------------------------------------

    def checkpoints(self) -> list[Path]:
        """The checkpoints there are, newest first."""
        return sorted(self.path.glob("step-*.safetensors"), reverse=True)

    def is_due(self) -> bool:
        """Whether the time for a checkpoint has come."""
        return self.leads and time.monotonic() - self.kept_at >= self.settings.checkpoint_seconds

    def keep(self, state: State) -> None:
        """Write a checkpoint, then remove those before it but for the newest few; later ones are broken."""
        if self.leads:
            path = self.path / f"step-{state.step:08}.safetensors"
            state.save(path)
            for old in [each for each in self.checkpoints() if each <= path][self.settings.keep :]:
                old.unlink(missing_ok=True)
        self.kept_at = time.monotonic()

    def restore(self, state: State) -> bool:
        """Take the newest checkpoint that is whole; False when there is none."""
        broken = []
        for path in self.checkpoints():
            try:
                state.load(path)
                return True
            except CheckpointError as error:
                broken.append(str(error))
        if broken:
            raise CheckpointError("\n".join(broken) + f"\nRemove {self.path} to begin this stage again.")
        return False

    # --- metrics and samples ------------------------------------------------------------------------------------------

    def forget_after(self, step: int) -> None:
        """Drop what a killed run left after its last checkpoint: metrics of steps to be done again, half of a next."""
        if not self.leads:
            return
        for left in self.path.glob(".step-*.partial"):
            left.unlink(missing_ok=True)
        path = self.path / "metrics.jsonl"
        if path.is_file():
            lines = path.read_text(encoding="utf-8").splitlines()
            write_text(path, "".join(f"{line}\n" for line in lines if _is_until(line, step)))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Append a line of metrics, and the same to TensorBoard."""
        if not self.leads:
            return
        path = self.path / "metrics.jsonl"
        with storage_errors(path), path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        with storage_errors(self.path):
            self._board = self._board or Board(self.path / "tensorboard", step)
            self._board.add(step, values)

    def close(self) -> None:
        """Close the curves' file."""
        board, self._board = self._board, None
        if board:
            with storage_errors(self.path):
                board.close()

    def show(self, step: int, sample: Sample) -> None:
        """Keep what the networks can do, as a picture or a text."""
        if not self.leads:
            return
        name = f"samples-{step:08}"
        if isinstance(sample, str):
            write_text(self.path / f"{name}.txt", sample)
        else:
            save_picture(sample, self.path / f"{name}.png", {})


def _is_until(line: str, step: int) -> bool:
    try:
        return json.loads(line)["step"] <= step
    except (ValueError, KeyError, TypeError):
        return False  # the line a kill cut short
