"""A training in few small files, to be carried from one machine to another and gone on with there.

    python scripts/parcels.py pack FOLDER OUT [--files 8] [--size 15000000] [--total 60000000]
    python scripts/parcels.py unpack IN FOLDER

FOLDER is what `sfumato train --out` makes. Packed are the parts of the model that are ready, the run folders without
sample grids, and the newest checkpoint of the stage under way, slimmed as far as it must be (see slimming.py); of a
finished training there is no checkpoint. The parcels in their order are one tar in xz:

    cat parcel-* | xz --decompress | tar --extract

The name of each holds its number, how many there are, and the beginning of the SHA-256 of them all.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import lzma
import re
import sys
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import slimming
from sfumato.checkpoints.files import storage_errors, whole_folder, write, write_text
from sfumato.errors import DataError, SfumatoError

FILES, SIZE, TOTAL = 8, 15_000_000, 60_000_000
MARK = ".parcels"  # in a folder: which parcels it was packed into, or came from
NAME = re.compile(r"parcel-(\d+)-of-(\d+)\.([0-9a-f]{16})\.xz")
BLOCK = 2**22  # bytes that are packed together
LARGEST = 2**31  # bytes that parcels may unpack to
FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 0, "lc": 3, "lp": 1, "pb": 1}]  # every other byte is like its fellow


class DoesNotFit(SfumatoError):
    """What must be carried is more than the parcels may hold."""


def pack(folder: Path, out: Path, files: int = FILES, size: int = SIZE, total: int = TOTAL) -> str:
    """Write `folder` as at most so many files of so many bytes; earlier parcels in `out` are replaced.

    Returns how the checkpoint was slimmed. Raises DoesNotFit, DataError for a folder without a training, StorageError.
    """
    if not (folder / "run").is_dir():
        raise DataError(f"{folder} holds no training: there is nothing to pack.")
    room = min(total, files * size)
    needed = []
    for form in slimming.FORMS:
        packed = _squeezed(_tar(folder, form))
        needed.append(f"{len(packed) / 1e6:.1f} MB ({form})")
        if len(packed) <= room:
            _write(packed, folder, out, size)
            return form
    raise DoesNotFit(
        f"{folder} does not fit into {files} parcels of {size / 1e6:g} MB, at most {room / 1e6:g} MB together. "
        f"It needs {', '.join(needed)}. It is as it was: allow for more, or go on where it is."
    )


def unpack(source: Path, folder: Path) -> bool:
    """Put the training of the parcels in `source` at `folder`; False where that is what is there, or went on from it.

    Raises DataError for parcels that are missing or broken and for a folder that holds another training, StorageError.
    """
    packed, digest = _read(source)
    if folder.exists():
        if _mark(folder) == digest:
            return False
        raise DataError(f"{folder} holds another training than the parcels in {source}. Move one of them away.")
    with whole_folder(folder) as temporary:
        _extract(packed, temporary, source)
        for checkpoint in temporary.glob("run/*/step-*.safetensors"):
            slimming.restore(checkpoint)
        write_text(temporary / MARK, digest)
    return True


# --- what is packed ---------------------------------------------------------------------------------------------------


def chosen(folder: Path) -> Iterator[Path]:
    """The files to carry, checkpoints not among them."""
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in place.parts)
        seen = place.parts[0] == "run" and path.suffix in (".png", ".safetensors")
        if path.is_file() and not (hidden or seen):
            yield path


def checkpoints(folder: Path) -> Iterator[Path]:
    """The newest checkpoint of each stage that is not complete."""
    for stage in sorted(path for path in (folder / "run").iterdir() if path.is_dir()):
        newest = sorted(stage.glob("step-*.safetensors"))[-1:]
        yield from newest if not (stage / "done.json").is_file() else ()


def _tar(folder: Path, form: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar, TemporaryDirectory() as room:
        for path in chosen(folder):
            _add(tar, path, path.relative_to(folder))
        for path in checkpoints(folder):
            slimmed = Path(room) / path.name
            slimming.slim(path, slimmed, form)
            _add(tar, slimmed, path.relative_to(folder))
    return buffer.getvalue()


def _add(tar: tarfile.TarFile, path: Path, place: Path) -> None:
    """Its bytes and its name; not whose it is and from when, so that equal trainings are equal parcels."""
    entry = tarfile.TarInfo(place.as_posix())
    entry.size = path.stat().st_size
    with path.open("rb") as file:
        tar.addfile(entry, file)


def _squeezed(data: bytes) -> bytes:
    """As xz, which may be several of them one after the other: packed by all processors at once."""
    blocks = [data[start : start + BLOCK] for start in range(0, len(data), BLOCK)]
    with ThreadPoolExecutor() as pool:
        return b"".join(pool.map(lambda block: lzma.compress(block, filters=FILTERS), blocks))


# --- parcels ----------------------------------------------------------------------------------------------------------


def _write(packed: bytes, folder: Path, out: Path, size: int) -> None:
    digest = _digest(packed)
    pieces = [packed[start : start + size] for start in range(0, len(packed), size)]
    names = [f"parcel-{number}-of-{len(pieces)}.{digest}.xz" for number in range(1, len(pieces) + 1)]
    for name, piece in zip(names, pieces, strict=True):
        write(out / name, lambda path, piece=piece: path.write_bytes(piece))
    write_text(folder / MARK, digest)
    with storage_errors(out):
        for old in out.iterdir():
            if NAME.fullmatch(old.name) and old.name not in names:
                old.unlink()


def _read(source: Path) -> tuple[bytes, str]:
    """The bytes of all parcels, which are whole, and their digest."""
    found = {path.name: match for path in sorted(source.glob("*")) if (match := NAME.fullmatch(path.name))}
    digests = {match[3] for match in found.values()}
    if len(digests) != 1:
        told = "no parcels" if not digests else f"the parcels of {len(digests)} packings"
        raise DataError(f"{source} holds {told}; it should hold those of one.")
    (digest,) = digests
    count = int(next(iter(found.values()))[2])
    names = [f"parcel-{number}-of-{count}.{digest}.xz" for number in range(1, count + 1)]
    if missing := sorted({*names} ^ {*found}):
        raise DataError(f"{source}: {missing[0]} is missing or too many. Carry all parcels of one packing.")
    packed = b"".join((source / name).read_bytes() for name in names)
    if _digest(packed) != digest:
        raise DataError(f"The parcels in {source} are broken: their bytes are not those that were packed.")
    return packed, digest


def _extract(packed: bytes, folder: Path, source: Path) -> None:
    try:
        with tarfile.open(fileobj=io.BytesIO(_stretched(packed)), mode="r:") as tar:
            tar.extractall(folder, filter="data")
    except (lzma.LZMAError, tarfile.TarError) as error:
        raise DataError(f"The parcels in {source} cannot be unpacked: {error}") from error


def _stretched(packed: bytes) -> bytes:
    """What was squeezed, if it is not larger than a training can be."""
    parts, length = [], 0
    while packed:
        one = lzma.LZMADecompressor(format=lzma.FORMAT_XZ)
        parts.append(one.decompress(packed, max_length=LARGEST - length + 1))
        length, packed = length + len(parts[-1]), one.unused_data
        if length > LARGEST or not one.eof:
            raise lzma.LZMAError("they are cut short, or larger than any training")
    return b"".join(parts)


def _digest(packed: bytes) -> str:
    return hashlib.sha256(packed).hexdigest()[:16]


def _mark(folder: Path) -> str | None:
    path = folder / MARK
    return path.read_text(encoding="utf-8") if path.is_file() else None


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = arguments.add_subparsers(dest="command", required=True)
    packing, unpacking = (commands.add_parser(name) for name in ("pack", "unpack"))
    packing.add_argument("folder", type=Path)
    packing.add_argument("out", type=Path)
    for name, value in (("files", FILES), ("size", SIZE), ("total", TOTAL)):
        packing.add_argument(f"--{name}", type=int, default=value)
    unpacking.add_argument("source", type=Path)
    unpacking.add_argument("folder", type=Path)
    given = arguments.parse_args()
    try:
        if given.command == "pack":
            form = pack(given.folder, given.out, given.files, given.size, given.total)
            print(f"{given.folder} is packed in {given.out}; a checkpoint under way holds: {form}")
        else:
            new = unpack(given.source, given.folder)
            print(f"{given.folder} is " + ("unpacked" if new else "where the parcels came from, and goes on"))
    except SfumatoError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
