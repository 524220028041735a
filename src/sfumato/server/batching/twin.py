"""A network that has its looks made by somebody else."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from types import new_class
from typing import Any

import torch
from torch import nn

from sfumato.checkpoints.folder import DENOISERS, kind
from sfumato.networks.vae import Autoencoder
from sfumato.networks.vector_autoencoder import VectorAutoencoder
from sfumato.server.batching.call import Call

SHARED = (*DENOISERS, "restorer")
"""The kinds of networks whose looks share passes, besides autoencoders; texts are read one by one."""

Ask = Callable[[Call], Any]
"""Has a call made, at once or later, and gives what came of it."""


def twins(parts: Mapping[str, Any], ask: Ask) -> dict[str, Any]:
    """The networks of a model, by their names, as twins; passes are shared by those of the kinds `SHARED`."""
    return {
        name: twin(part, ask, shared=kind(name) in SHARED or _method(part) == "decode")
        if isinstance(part, nn.Module)
        else part
        for name, part in parts.items()
    }


def twin(network: nn.Module, ask: Ask, *, shared: bool = True) -> nn.Module:
    """A network of the same class and the same weights, not copies of them, whose looks are made by `ask`.

    The pipeline's own code runs with it and sees no difference. Outside of inference mode the network looks itself, at
    once: gradients are to run back through what it gives. What an autoencoder is asked for is to decode; all others are
    called.
    """
    known, method = type(network), _method(network)

    def look(_: nn.Module, *given: Any, **named: Any) -> Any:
        if not torch.is_inference_mode_enabled():
            return getattr(network, method)(*given, **named)
        return ask(Call.of(network, method, given, named, shared=shared))

    other = copy.copy(network)
    other.__class__ = new_class(known.__name__, (known,), exec_body=lambda names: names.update({method: look}))
    return other


def _method(network: Any) -> str:
    return "decode" if isinstance(network, Autoencoder | VectorAutoencoder) else "__call__"
