"""Tensors of a plain `.ckpt`, `.pth`, `.pt` or `.bin`, as `torch.save` writes it; nothing of it is ever executed.

PyTorch's unpickler with `weights_only=True` calls no function but its own; among those are some that take memory
without end, such as `bytearray(10**12)`. So the pickle's opcodes are looked at first: it may name only what plain
tensors are made of, may not be large nor repeat itself too often, and nothing in the archive is compressed, so that no
file is larger in memory than on disk.
"""

from __future__ import annotations

import os
import pickletools
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sfumato.checkpoints.files import few
from sfumato.checkpoints.tensors import Entry
from sfumato.errors import CheckpointError

SUFFIXES = (".ckpt", ".pth", ".pt", ".bin")
LARGEST_PICKLE = 16 * 2**20  # bytes that say which tensors there are; the numbers lie beside them
MOST_REPEATED = 10**7  # objects
WRAPPED = "state_dict"  # where training programs put the weights, beside what they need to go on

STORED = ("Double", "Float", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
PLAIN = frozenset(
    {
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_parameter",
        "collections OrderedDict",
        *(f"torch {kind}Storage" for kind in STORED),
    }
)
"""What a pickle of tensors names; dictionaries, lists, strings and numbers it writes without names."""

INDIRECT = frozenset({"STACK_GLOBAL", "INST", "OBJ", "EXT1", "EXT2", "EXT4", "NEWOBJ_EX"})  # other ways to name things
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
        loaded = unpickled(path)
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
        if sum(value.nbytes for value in self._tensors.values()) > 2 * path.stat().st_size:
            raise CheckpointError(f"{path} holds tensors that are larger than the file; it was not read.")
        self.entries: Mapping[str, Entry] = {
            name: Entry(value.dtype, tuple(value.shape)) for name, value in self._tensors.items()
        }

    def get(self, name: str) -> Tensor:
        """The tensor, as a view of the mapped file where its numbers lie in order."""
        return self._tensors[name].detach().contiguous()


def unpickled(path: Path, convert: str = CONVERT) -> Any:
    """What a file of `torch.save` holds: tensors on the CPU, views of the mapped file, in plain containers.

    Raises CheckpointError for anything else, naming the file and how to `convert` it.
    """
    _require_plain(path, convert)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # an unpickler that is fed nonsense raises anything
        why = str(error).split("\n")[0][:300] or type(error).__name__
        raise CheckpointError(
            f"{path} was not unpickled, since it is broken or holds more than weights: {why} {convert}"
        ) from error


def _plain(value: Tensor) -> bool:
    return (
        type(value) in (Tensor, torch.nn.Parameter)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not (value.is_quantized or value.is_complex())
    )


def _require_plain(path: Path, convert: str) -> None:
    """Refuse what is no archive of `torch.save`, names more than tensors, or could grow when it is read."""
    try:
        if not path.is_file():
            raise CheckpointError(f"{path} is missing: this is not a complete model folder.")
        size = path.stat().st_size
        if not zipfile.is_zipfile(path):
            raise CheckpointError(
                f"{path} is not of PyTorch 1.6 or later; older files cannot be read safely. {convert}"
            )
        with zipfile.ZipFile(path) as archive:
            records = archive.infolist()
            # names as they stand in the file, and in lower case, as PyTorch looks for them
            pickles = [each for each in records if each.orig_filename.lower().rpartition("/")[2] == "data.pkl"]
            compressed = [record.filename for record in records if record.compress_type != zipfile.ZIP_STORED]
            whole = sum(record.file_size for record in records) <= size and _one_directory(path)
            if len(pickles) != 1 or compressed or not whole or pickles[0].file_size > LARGEST_PICKLE:
                raise CheckpointError(f"{path} is an archive, but not as torch.save writes it; it was not read.")
            pickle = archive.read(pickles[0])
            for opcode, argument, _ in pickletools.genops(pickle):
                named = argument if opcode.name == "GLOBAL" else opcode.name if opcode.name in INDIRECT else None
                if named is not None and named not in PLAIN:
                    raise CheckpointError(f"{path} holds more than tensors: {named}. It was not unpickled. {convert}")
            if _repeated(pickle) > MOST_REPEATED:
                raise CheckpointError(f"{path} holds one thing so often in another that it cannot be read.")
    except (OSError, ValueError, LookupError, NotImplementedError, RuntimeError, zipfile.BadZipFile) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path} is not a whole file of torch.save: {error}") from error


END, LOCATOR, END_64 = struct.Struct("<4s4H2LH"), struct.Struct("<4sLQL"), struct.Struct("<4sQ2H2L4Q")
"""The records at the end of an archive that say where its directory lies; the last two are of large files (ZIP64)."""


def _one_directory(path: Path) -> bool:
    """Whether the directory of an archive ends where its last records begin, and those where the file ends.

    Elsewhere Python would look for it there, and PyTorch where the records say: they could see different files.
    """
    with path.open("rb") as file:
        begin = file.seek(-END.size, os.SEEK_END)
        sign, *_, length, start, comment = END.unpack(file.read(END.size))
        if begin >= LOCATOR.size + END_64.size:
            file.seek(begin - LOCATOR.size)
            located, _, place, _ = LOCATOR.unpack(file.read(LOCATOR.size))
            if located == b"PK\6\7":
                begin -= LOCATOR.size + END_64.size
                file.seek(begin)
                large, *_, length, start = END_64.unpack(file.read(END_64.size))
                if large != b"PK\6\6" or place != begin:
                    return False
    return sign == b"PK\5\6" and not comment and start + length == begin


def _repeated(pickle: bytes) -> int:
    """How many objects a pickle takes up again from its memory, with all that is in them; nothing of it is run.

    A pair of a pair of a pair, each time twice the same, is short, but takes 2^n steps to look up as a key.
    """
    stack: list[int | None] = []  # how many objects each holds; None is a mark
    memory: dict[Any, int] = {}
    total = 0
    for code, argument, _ in pickletools.genops(pickle):
        if code.name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            memory[len(memory) if code.name == "MEMOIZE" else argument] = stack[-1] or 1
            continue
        if code.name in ("GET", "BINGET", "LONG_BINGET", "DUP"):
            held = (stack[-1] or 1) if code.name == "DUP" else memory[argument]
            total += held
            if total > MOST_REPEATED:
                break
            stack.append(held)
            continue
        held = 1
        taken = [each for each in code.stack_before if each not in (pickletools.markobject, pickletools.stackslice)]
        if pickletools.markobject in code.stack_before:
            while (top := stack.pop()) is not None:
                held += top
        for _each in taken:
            held += stack.pop() or 0
        stack += [None if each is pickletools.markobject else held for each in code.stack_after]
    return total
