"""Tiny model folders, and the many ways in which a file can be broken or mean: what `fuzz.py` tries."""

import json
import os
import random
import re
import struct
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# --- what is changed --------------------------------------------------------------------------------------------------


LINEAGE = {
    "name": "tiny",
    "size": 8,
    "final_size": 16,
    "data": {"source": "cats", "pictures": 4, "fingerprint": "0" * 64, "licence": "CC0"},
    "training": {"vae": {"steps": 3, "samples": 12}},
}


def make(folder: Path, odd: bool) -> None:
    """A tiny model of random weights; the odd one has shards, a variant, a pickle and an all-in-one tokenizer."""
    import torch
    from safetensors.torch import save_file

    from sfumato.checkpoints.folder import save_index, save_part
    from sfumato.checkpoints.scheduler import to_config
    from sfumato.checkpoints.tensors import read_tensors
    from sfumato.data.tokens import Tokenizer
    from sfumato.networks.clip import TextConfig, TextEncoder
    from sfumato.networks.unet import UNet
    from sfumato.networks.unet_config import unet_config
    from sfumato.networks.vae import AutoencoderKL, autoencoder_config

    torch.manual_seed(0)
    Tokenizer.train(["a red cat", "a blue cat"] * 2, vocab_size=520, length=8).save(folder / "tokenizer")
    clip = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = TextConfig(vocab_size=520, max_position_embeddings=8, eos_token_id=519, projection_dim=16, **clip)
    save_part(folder, "text_encoder", TextEncoder(text))
    save_part(folder, "vae", AutoencoderKL(autoencoder_config((8, 8))))
    save_part(folder, "unet", UNet(unet_config((8, 16), cross_attention_dim=16, head_dim=8)))
    save_index(folder, "latents", to_config("scaled_linear", "epsilon"), LINEAGE)
    if not odd:
        return
    unet = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = read_tensors(unet)
    names = [f"diffusion_pytorch_model-0000{shard}-of-00002.safetensors" for shard in (1, 2)]
    shards = {name: names[number % 2] for number, name in enumerate(tensors)}
    for file in names:
        save_file({name: tensors[name].clone() for name in tensors if shards[name] == file}, folder / "unet" / file)
    unet.with_name(f"{unet.name}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": shards}))
    unet.unlink()
    vae = folder / "vae" / "diffusion_pytorch_model.safetensors"
    torch.save({"state_dict": read_tensors(vae), "epoch": 3}, vae.with_suffix(".bin"))
    vae.unlink()
    half = folder / "text_encoder" / "model.safetensors"
    save_file(
        {name: tensor.half() for name, tensor in read_tensors(half).items()}, half.with_suffix(".fp16.safetensors")
    )
    half.unlink()
    tokenizer = folder / "tokenizer"
    merges = (tokenizer / "merges.txt").read_text().splitlines()[1:]
    model = {"type": "BPE", "vocab": json.loads((tokenizer / "vocab.json").read_text()), "merges": merges}
    (tokenizer / "tokenizer.json").write_text(json.dumps({"version": "1.0", "model": model}))
    (tokenizer / "vocab.json").unlink()
    (tokenizer / "merges.txt").unlink()


# --- changes of bytes -------------------------------------------------------------------------------------------------


def cut(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content) + 1)]


def flip(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.choice((1, 1, 3, 30))):
        place = chance.randrange(min(len(changed), chance.choice((8, 200, 4000, len(changed)))))
        changed[place] ^= 1 << chance.randrange(8)
    return bytes(changed)


def overwrite(content: bytes, chance: random.Random) -> bytes:
    place, length = chance.randrange(len(content)), chance.choice((1, 8, 100, 1000))
    filling = chance.choice((b"\0", b"\xff", b"9", b"[", b'"', None))
    return content[:place] + (filling * length if filling else chance.randbytes(length)) + content[place + length :]


def insert(content: bytes, chance: random.Random) -> bytes:
    place = chance.choice((0, 8, len(content), chance.randrange(len(content) + 1)))
    return (
        content[:place]
        + chance.choice((b"\0", b"\xff", b"[", b"{", b" ", b"}")) * chance.choice((1, 9, 10**6))
        + content[place:]
    )


def repeat(content: bytes, chance: random.Random) -> bytes:
    begin, end = sorted(chance.randrange(len(content) + 1) for _ in range(2))
    return content[:end] + content[begin:end] * chance.choice((1, 2, 50)) + content[end:]


def empty(content: bytes, chance: random.Random) -> bytes:
    return chance.choice((b"", b"\0" * 100, b"{}", b"[]", b"null", chance.randbytes(1000), b"PK\3\4", b"\x80\x02."))


BYTES = (cut, flip, flip, overwrite, insert, repeat, empty)

# --- changes of JSON --------------------------------------------------------------------------------------------------

MEAN: dict[str, str] = {  # what json.dumps cannot write, by what it can
    '"@deep@"': "[" * 100_000 + "]" * 100_000,
    '"@rooms@"': "{" + '"a":{' * 900 + "}" * 901,
    '"@huge@"': "1e999",
    '"@digits@"': "9" * 5000,
    '"@surrogate@"': '"\\ud800"',
    '"@wide@"': "[" + "[]," * 100_000 + "[]]",
}
VALUES = [
    None, True, False, 0, 1, -1, 2, 3, 7, 64, 0.5, -0.0, 1e-300, 1e308, 10**5, 10**9, 2**31, 2**53, 2**63,
    -(2**63), 2**200,
    float("nan"), float("inf"), "", "x", "F16", "BOOL", "F8_E4M3", "../../x", "/etc/passwd", "a\0b", "é" * 40,
    "x" * 10**5,
    [], {}, [[]], [None], ["x"], [0], [0, 0], [1, 2, 3, 4], [2**40, 2**40], [1] * 10**5, {"a": {"b": 1}},
    *(text.strip('"') for text in MEAN),
]  # fmt: skip


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each container with each key or index in it."""
    for key in list(value) if isinstance(value, dict) else range(len(value) if isinstance(value, list) else 0):
        yield value, key
        yield from places(value[key])


def change_json(value: Any, chance: random.Random) -> Any:
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        # what lies deep stands for most of a file; what lies on top means most
        found = list(places(value)) if chance.random() < 0.5 else [(value, key) for key in value]
        if not found:
            return chance.choice(VALUES)
        container, key = chance.choice(found)
        other, of_other = chance.choice(found)
        kind = chance.randrange(8)
        if kind == 0:
            del container[key]
        elif kind == 1:
            container[key], other[of_other] = other[of_other], container[key]
        elif kind == 2 and isinstance(container, dict):
            container[chance.choice(["", "x", "@deep@", f"{key} ", f"{key}_2", "__metadata__", "\n"])] = container.pop(
                key
            )
        elif kind in (2, 3) and isinstance(container[key], int | float):
            container[key] *= chance.choice((2, 10, 1000, 10**6, -1, 0.5))
        elif kind == 4 and isinstance(container[key], list):
            container[key] = container[key] * chance.choice((0, 2, 5, 200))
        else:
            container[key] = chance.choice(VALUES)
        if not isinstance(value, dict | list):
            break
    return value


def written(value: Any, chance: random.Random) -> bytes:
    text = json.dumps(value)
    for sign, meant in MEAN.items():
        text = text.replace(sign, meant)
    if chance.random() < 0.05:  # a key that stands twice
        text = re.sub(r'("[^"]{1,80}": [^,{}\[\]]*),', r"\1, \1,", text, count=1)
    return text.encode()


def in_json(content: bytes, chance: random.Random) -> bytes:
    return written(change_json(json.loads(content), chance), chance)


# --- changes of weights -----------------------------------------------------------------------------------------------


def in_header(content: bytes, chance: random.Random) -> bytes:
    length = struct.unpack("<Q", content[:8])[0]
    header = written(change_json(json.loads(content[8 : 8 + length]), chance), chance)
    if chance.random() < 0.1:
        header += b" " * chance.choice((1, 7, 10**7))
    told = len(header) if chance.random() < 0.9 else chance.choice((0, 1, 2**31, 2**63, 2**64 - 1, len(header) * 2))
    return struct.pack("<Q", told) + header + content[8 + length :]


def in_numbers(content: bytes, chance: random.Random) -> bytes:
    changed, bad = bytearray(content), struct.pack("<f", chance.choice((float("nan"), float("inf"), 3e38)))
    place = len(changed) - 4 * chance.randrange(1, len(changed) // 8)
    changed[place : place + 4] = bad
    return bytes(changed)


def in_pickle(content: bytes, chance: random.Random) -> bytes:
    """The archive of torch.save with a change in its pickle or elsewhere inside, its checksums right again."""
    with tempfile.TemporaryFile() as file:
        file.write(content)
        with zipfile.ZipFile(file) as archive:
            records = {name: archive.read(name) for name in archive.namelist()}
    name = chance.choice([*records, *(name for name in records if name.endswith("data.pkl"))])
    if chance.random() < 0.9:
        records[name] = chance.choice(BYTES)(records[name] or b"\0", chance)
    else:
        records[chance.choice(("../x", "/x", f"{name}x", "x" * 1000))] = records.pop(name)
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w", chance.choice((zipfile.ZIP_STORED,) * 4 + (zipfile.ZIP_DEFLATED,))) as archive:
            for each, record in records.items():
                archive.writestr(each, record)
        file.seek(0)
        return file.read()


INSIDE: dict[str, tuple[Callable[[bytes, random.Random], bytes], ...]] = {
    ".json": (in_json,),
    ".safetensors": (in_header, in_header, in_numbers),
    ".bin": (in_pickle,),
}

# --- changes of folders -----------------------------------------------------------------------------------------------


def move(path: Path, chance: random.Random) -> str:
    kind = chance.choice(("removed", "a folder", "a loop", "a device", "a pipe", "elsewhere", "another"))
    other = chance.choice([each for each in path.parents[1].rglob("*") if each.is_file() and not each.is_symlink()])
    content = other.read_bytes()
    path.unlink()
    if kind == "a folder":
        path.mkdir()
    elif kind == "a loop":
        path.symlink_to(path)
    elif kind == "a device":
        path.symlink_to(chance.choice(("/dev/zero", "/dev/null", "/proc/self/mem")))
    elif kind == "a pipe":
        os.mkfifo(path)
    elif kind == "elsewhere":
        path.symlink_to(chance.choice(("/etc/passwd", "../../..", "/nowhere")))
    elif kind == "another":
        path.write_bytes(content)
    return kind


def mutate(folder: Path, chance: random.Random) -> str:
    """Change a model folder; says what was done."""
    done = []
    for _ in range(chance.choice((1, 1, 1, 1, 2))):
        files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
        if not files:
            break
        path = chance.choice(files)
        if chance.random() < 0.05:
            how = move(path, chance)
        else:
            inside = INSIDE.get(path.suffix, BYTES) if chance.random() < 0.6 else BYTES
            change = chance.choice(inside)
            how = change.__name__
            try:
                path.write_bytes(change(path.read_bytes() or b"\0", chance))
            except (ValueError, LookupError, TypeError, RecursionError, struct.error, zipfile.BadZipFile):
                path.write_bytes(b"{")  # it was changed before, and is no longer what this change takes
        done.append(f"{path.relative_to(folder)}: {how}")
    return ", ".join(done)
