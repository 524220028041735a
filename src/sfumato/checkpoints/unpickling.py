"""Small files of `torch.save`, read without running anything that is in them.

PyTorch's unpickler with `weights_only=True` calls no function but its own; among those are some that take memory
without end, such as `bytearray(10**12)`. So the pickle's opcodes are looked at first, and it may name only what plain
tensors are made of; and nothing in the archive may be larger in memory than on disk.
"""

from __future__ import annotations

import pickletools
import zipfile
from pathlib import Path
from typing import Any

import torch

from sfumato.errors import CheckpointError

PLAIN = frozenset(
    {
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_parameter",
        "collections OrderedDict",
        *(f"torch {kind}Storage" for kind in ("Double", "Float", "Half", "BFloat16", "Long", "Int")),
    }
)
"""What a pickle of tensors names; dictionaries, lists, strings and numbers it writes without names."""

INDIRECT = frozenset({"STACK_GLOBAL", "INST", "OBJ", "EXT1", "EXT2", "EXT4", "NEWOBJ_EX"})  # other ways to name things
CONVERT = (
    'If you trust where it is from, convert it, which runs what is in it: python -c "import torch, safetensors.torch; '
    "t = torch.load('OLD', weights_only=False)['string_to_param']['*']; "
    "safetensors.torch.save_file({'emb_params': t.detach().contiguous()}, 'NEW.safetensors')\""
)


def read_pickle(path: Path, largest: int) -> Any:
    """What a file of `torch.save` of at most `largest` bytes holds: tensors on the CPU, in plain containers.

    Raises CheckpointError for anything else, naming the file and how to convert it.
    """
    try:
        size = path.stat().st_size
        if size > largest:
            raise CheckpointError(f"{path} is larger than {largest:,} bytes; it was not read.")
        if not zipfile.is_zipfile(path):
            raise CheckpointError(f"{path} is not of PyTorch 1.6 or later, and cannot be read safely. {CONVERT}")
        with zipfile.ZipFile(path) as archive:
            records = archive.infolist()
            pickles = [record for record in records if record.filename.endswith("/data.pkl")]
            compressed = any(record.compress_type != zipfile.ZIP_STORED for record in records)
            if len(pickles) != 1 or compressed or sum(record.file_size for record in records) > size:
                raise CheckpointError(f"{path} is an archive, but not as torch.save writes it; it was not read.")
            _require_plain(path, archive.read(pickles[0]))
        return torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except Exception as error:  # an unpickler that is fed nonsense raises anything
        raise CheckpointError(f"{path} is not a whole file of torch.save: {str(error)[:300]}") from error


def _require_plain(path: Path, pickle: bytes) -> None:
    for opcode, argument, _ in pickletools.genops(pickle):
        named = argument if opcode.name == "GLOBAL" else opcode.name if opcode.name in INDIRECT else None
        if named is not None and named not in PLAIN:
            raise CheckpointError(f"{path} holds more than tensors: {named}. It was not unpickled. {CONVERT}")
