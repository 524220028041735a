"""IP-Adapters: `.safetensors` in the official layout, `image_proj.*` beside `ip_adapter.N.to_k_ip.weight`.

A file has no configuration; what the network is made of follows from the tensors' shapes and from the U-Net.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from sfumato.checkpoints.files import read_tensors
from sfumato.errors import CheckpointError
from sfumato.networks.config import MOST_LAYERS
from sfumato.networks.ip_adapter import HEAD_WIDTH, ImageProjection, IPAdapter, Resampler, StatesProjection
from sfumato.networks.unet import UNet

PICKLES = (".bin", ".ckpt", ".pt", ".pth")


def load_ip_adapter(path: Path, unet: UNet, dtype: torch.dtype = torch.float32, device: str = "cpu") -> IPAdapter:
    """Read an IP-Adapter for a U-Net of the kind that it was trained for, in evaluation mode.

    There are those that know a picture by one vector, "plus" ones and "full" ones; those that know faces (FaceID) need
    a network for faces too, and are refused.

    Raises CheckpointError naming the file and the keys when it is none of these, is of another U-Net, or holds numbers
    that are not finite.
    """
    if path.suffix in PICKLES:
        raise CheckpointError(
            f"{path} is a pickle, which is not read; take the .safetensors that is published beside it."
        )
    tensors = {key: value.to(dtype) for key, value in read_tensors(path, device).items()}
    layers = {name: (each.to_k.in_features, each.to_k.out_features) for name, each in unet.cross_attentions().items()}
    with torch.device("meta"):
        adapter = IPAdapter(_image_proj(path, tensors), layers)
    try:
        missing, surplus = adapter.load_state_dict(tensors, strict=False, assign=True)
    except RuntimeError as error:
        raise CheckpointError(f"{path} is of another U-Net, or broken: {error}") from error
    if missing or surplus:
        wrong = f"{missing[0]} is missing" if missing else f"{surplus[0]} is not expected"
        raise CheckpointError(f"{path} is of another U-Net, or of a kind that is not known: {wrong}.")
    for key, value in tensors.items():
        if not value.isfinite().all():
            raise CheckpointError(f"{path} holds numbers that are not finite: in {key}.")
    return adapter.eval().requires_grad_(False)


def _image_proj(path: Path, tensors: Mapping[str, Tensor]) -> ImageProjection | StatesProjection | Resampler:
    def size(name: str, axis: int) -> int:
        shape = tensors[f"image_proj.{name}"].shape if f"image_proj.{name}" in tensors else ()
        if len(shape) <= axis or not shape[axis]:
            raise CheckpointError(f"{path}: image_proj.{name} is missing, or of a shape that cannot be.")
        return shape[axis]

    if "image_proj.proj.weight" in tensors:
        width = size("norm.weight", 0)
        return ImageProjection(size("proj.weight", 1), max(1, size("proj.weight", 0) // width), width)
    if "image_proj.proj.3.weight" in tensors:
        return StatesProjection(size("proj.0.weight", 1), size("proj.3.weight", 0))
    if "image_proj.latents" in tensors:
        layers = {key.split(".")[2] for key in tensors if key.startswith("image_proj.layers.")}
        if len(layers) > MOST_LAYERS:
            raise CheckpointError(f"{path}: image_proj.layers are more than any network has.")
        return Resampler(
            size("proj_in.weight", 1),
            size("latents", 1),
            size("proj_out.weight", 0),
            inner=size("latents", 2),
            heads=max(1, size("layers.0.0.to_q.weight", 0) // HEAD_WIDTH),
            layers=len(layers),
        )
    raise CheckpointError(
        f"{path} is no IP-Adapter that is known: image_proj has none of proj.weight, proj.3.weight and latents "
        "(FaceID adapters are not supported)."
    )
