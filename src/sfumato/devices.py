"""Where to compute: chosen for the person, checked when named."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from sfumato.errors import RecipeError

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def usual_dtype(device: torch.device) -> torch.dtype:
    """The precision that suits a device: float32 on the CPU, float16 on an accelerator."""
    return torch.float32 if device.type == "cpu" else torch.float16


def choose_dtype(name: str | None) -> torch.dtype | None:
    """A precision by its name; None is left to `usual_dtype`. Raises RecipeError saying what may be named."""
    if name is not None and name not in DTYPES:
        raise RecipeError(f"There is no precision {name!r} here; choose {', '.join(DTYPES)}.")
    return None if name is None else DTYPES[name]


def named_dtype(dtype: torch.dtype) -> str:
    """The name by which `choose_dtype` knows a precision."""
    return str(dtype).removeprefix("torch.")


def named_device(name: str) -> torch.device:
    """A device, be it there or not; "auto" is the GPU where there is one. RecipeError for what is none."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.device(name)
    except RuntimeError:
        raise RecipeError(f"There is no device {name!r}; try auto, cpu, cuda or cuda:1.") from None


def choose_device(name: str = "auto") -> torch.device:
    """ "auto" is the GPU where there is one; under torchrun each process takes the one of its local rank.

    Raises RecipeError when there is no such device, saying what may be named.
    """
    device = named_device(name)
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise RecipeError("This machine has no CUDA device that PyTorch can use; choose the device cpu.")
        index = int(os.environ.get("LOCAL_RANK", device.index or 0))
        if index >= torch.cuda.device_count():
            raise RecipeError(f"There is no CUDA device {index}; there are {torch.cuda.device_count()}.")
        device = torch.device("cuda", index)
        torch.cuda.set_device(device)
    elif device.type != "cpu":
        raise RecipeError(f"The device {name!r} is not supported yet; choose cpu or cuda.")
    return device


def computes_bfloat16(device: torch.device) -> bool:
    """Whether the hardware multiplies bfloat16 faster than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # newer than torch 2.11
    return device.type == "cpu" and bool(capabilities.get("avx512_bf16"))


@contextmanager
def on_threads(count: int) -> Iterator[None]:
    """Compute with so many threads of the processor within, in this thread alone.

    A program whose threads compute side by side gives one of them the processor and the others one thread each: OpenMP
    keeps a crew for every thread that ever had more than one, and once all crews together are more than the processor
    has cores, none of them waits awake for its next work, and small networks take nearly twice as long.
    """
    before = torch.get_num_threads()  # a new thread asks for its number once, and would forget one that it was given
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
