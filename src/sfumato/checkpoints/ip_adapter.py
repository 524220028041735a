"""IP-Adapters: `.safetensors` in the official layout, `image_proj.*` beside `ip_adapter.N.to_k_ip.weight`.

A file has no configuration; what the network is made of follows from the tensors' shapes and from the U-Net.
"""

from __future__ import annotations

from pathlib import Path

import torch

from sfumato.checkpoints.fill import build, fill
from sfumato.checkpoints.pickled import SUFFIXES
from sfumato.checkpoints.tensors import Safetensors, Source
from sfumato.errors import CheckpointError
from sfumato.networks.config import MOST_LAYERS
from sfumato.networks.ip_adapter import HEAD_WIDTH, ImageProjection, IPAdapter, Resampler, StatesProjection
from sfumato.networks.unet import UNet


def load_ip_adapter(path: Path, unet: UNet, dtype: torch.dtype = torch.float32, device: str = "cpu") -> IPAdapter:
    """Read an IP-Adapter for a U-Net of the kind that it was trained for, in evaluation mode.

    There are those that know a picture by one vector, "plus" ones and "full" ones; those that know faces (FaceID) need
    a network for faces too, and are refused.

    Raises CheckpointError naming the file and the keys when it is none of these, is of another U-Net, or holds numbers
    that are not finite.
    """
    if path.suffix in SUFFIXES:
        raise CheckpointError(
            f"{path} is a pickle, which is not read; take the .safetensors that is published beside it."
        )
    source = Safetensors(path)
    layers = {name: (each.to_k.in_features, each.to_k.out_features) for name, each in unet.cross_attentions().items()}
    adapter = build(lambda: IPAdapter(_image_proj(source), layers), source)
    assert isinstance(adapter, IPAdapter)
    for name, weight in adapter.ip_adapter.state_dict(prefix="ip_adapter.").items():
        if name not in source.entries or source.entries[name].shape != weight.shape:
            raise CheckpointError(f"{path} is for another U-Net: {name} should be of {tuple(weight.shape)}.")
    fill(adapter, source, dtype, device)
    return adapter.eval().requires_grad_(False)


def _image_proj(source: Source) -> ImageProjection | StatesProjection | Resampler:
    path, tensors = source.path, source.entries

    def size(name: str, axis: int) -> int:
        shape = tensors[f"image_proj.{name}"].shape if f"image_proj.{name}" in tensors else ()
        if len(shape) <= axis or 0 in shape:  # an axis of 0 lets another be as long as it likes
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
