"""Tensors of a plain `.ckpt`, `.pth`, `.pt` or `.bin`, as `torch.save` writes it; nothing of it is ever executed.

PyTorch's unpickler with `weights_only=True` builds tensors and plain containers and refuses all else. What it does not
look at is checked beforehand: how large the pickle is, and that nothing in the archive is compressed, so that no file
is larger in memory than on disk.
"""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from sfumato.checkpoints.files import few
from sfumato.checkpoints.tensors import Entry
from sfumato.errors import CheckpointError

SUFFIXES = (".ckpt", ".pth", ".pt", ".bin")
LARGEST_PICKLE = 16 * 2**20  # bytes that say which tensors there are; the numbers lie beside them
WRAPPED = "state_dict"  # where training programs put the weights, beside what they need to go on

CONVERT = (
    "If you trust where it is from, convert it, which runs what is in it: "
    "python -c \"import torch, safetensors.torch as s; w = torch.load('OLD', weights_only=False); "
    "w = w.get('state_dict', w); s.save_file({k: v.clone() for k, v in w.items() if hasattr(v, 'dtype')}, "
    "'NEW.safetensors')\""
)


class Pickled:
    """A file of `torch.save`: its tensors, or those under "state_dict"; what is no tensor is left out.

    Raises CheckpointError for a file that is missing or broken, that holds more than tensors and plain values, or that
    is older than PyTorch 1.6, whose format cannot be mapped; it says how to convert.
    """

    def __init__(self, path: Path):
        self.path = path
        self.metadata: Mapping[str, str] = {}
        size = _checked(path)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except Exception as error:  # an unpickler that is fed nonsense raises anything
            why = str(error).split("\n")[0][:300] or type(error).__name__
            raise CheckpointError(
                f"{path} was not unpickled, since it is broken or holds more than weights: {why} {CONVERT}"
            ) from error
        if isinstance(loaded, dict) and isinstance(loaded.get(WRAPPED), dict):
            loaded = loaded[WRAPPED]
        found = loaded if isinstance(loaded, dict) else {}
        self._tensors = {name: value for name, value in found.items() if isinstance(value, Tensor)}
        if not self._tensors:
            raise CheckpointError(f"{path} holds no weights by name.")
        odd = [str(name) for name, value in self._tensors.items() if not (isinstance(name, str) and _plain(value))]
        if odd:
            raise CheckpointError(f"{path} holds what is no plain tensor: {few('see', odd)}".rstrip())
        # weights may share memory, but not so that a small file becomes a large model
        if sum(value.nbytes for value in self._tensors.values()) > 2 * size:
            raise CheckpointError(f"{path} holds tensors that are larger than the file; it was not read.")
        self.entries: Mapping[str, Entry] = {
            name: Entry(value.dtype, tuple(value.shape)) for name, value in self._tensors.items()
        }

    def get(self, name: str) -> Tensor:
        """The tensor, as a view of the mapped file where its numbers lie in order."""
        return self._tensors[name].detach().contiguous()


def _plain(value: Tensor) -> bool:
    return (
        type(value) in (Tensor, torch.nn.Parameter)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not (value.is_quantized or value.is_complex())
    )


def _checked(path: Path) -> int:
    """The size of the file; refuses what is no archive of `torch.save`, or one that could grow when it is read."""
    try:
        if not path.is_file():
            raise CheckpointError(f"{path} is missing: this is not a complete model folder.")
        size = path.stat().st_size
        if not zipfile.is_zipfile(path):
            raise CheckpointError(
                f"{path} is not of PyTorch 1.6 or later; older files cannot be read safely. {CONVERT}"
            )
        with zipfile.ZipFile(path) as archive:
            records = archive.infolist()
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path} is not a whole file of torch.save: {error}") from error
    pickles = [record for record in records if record.filename.rpartition("/")[2] == "data.pkl"]
    compressed = [record.filename for record in records if record.compress_type != zipfile.ZIP_STORED]
    whole = sum(record.file_size for record in records) <= size
    if len(pickles) != 1 or compressed or not whole or pickles[0].file_size > LARGEST_PICKLE:
        raise CheckpointError(f"{path} is an archive, but not as torch.save writes it; it was not read.")
    return size
