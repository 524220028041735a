"""What pictures of a model will take in memory, told from its configuration alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from sfumato.devices import named_device, usual_dtype
from sfumato.pipelines import model as models
from sfumato.pipelines.memory.estimate import Estimate
from sfumato.pipelines.memory.offloading import require_offload
from sfumato.pipelines.text_to_image import Pipeline


def foretold(
    model: str | Path | None = None,
    count: int = 1,
    device: str = "cpu",
    dtype: torch.dtype | None = None,
    offload: str | None = None,
    **settings: Any,
) -> Estimate:
    """What pictures of a model will take in memory; no weights are read, and the device need not be there.

    Args:
        model, device, dtype, offload: as in `Pipeline.load`.
        count: pictures that are made together.
        settings: fields of `Request`, such as `width` and `height`.

    Raises:
        CheckpointError: the folder holds no whole model.
        PromptError: a setting that is not valid, or a model whose way needs more than shapes.
        RecipeError: there is no such device.
    """
    where = named_device(device)
    require_offload(offload, where)
    on_paper = models.load(model, "meta", dtype or usual_dtype(where))
    pipeline = Pipeline(on_paper, pictures_a_pass=1 if where.type == "cpu" else None, offload=offload)
    return pipeline.estimate(pipeline.requests("", count, 0, **settings), where)
