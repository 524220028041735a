"""sfumato: text to image by diffusion, the whole system in one small library.

    import sfumato

    pipeline = sfumato.load()                      # the embedded model, or a folder
    picture = pipeline("a cat inside a box", seed=3).pictures[0]
    sfumato.train("photos/", out="my-model", budget="30m")

Importing sfumato does not import torch; that happens when one of the names below is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Pipeline": "sfumato.pipelines.text_to_image",
    "load": "sfumato.pipelines.text_to_image",
    "train": "sfumato.training.train",
    "SfumatoError": "sfumato.errors",
}

__all__ = ["Pipeline", "SfumatoError", "__version__", "load", "train"]

if TYPE_CHECKING:
    from sfumato.errors import SfumatoError
    from sfumato.pipelines.text_to_image import Pipeline, load
    from sfumato.training.train import train


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sfumato' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
