"""What can be wrong with files of weights: models, stop predictors, checkpoints."""

from __future__ import annotations

import hashlib
import json
import random
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from benchmarks.fuzz.damage import spoil_bytes
from benchmarks.fuzz.odd import as_text, mutated


def spoil_weights(
    path: Path, record_path: Path, weights: bytes, record: dict[str, Any], rng: random.Random
) -> str:
    """Write damaged weights and a record that has their hash in half of the cases; return what is wrong."""
    chance = rng.random()
    if chance < 0.5:
        what = spoil_bytes(path, weights, rng)
    else:
        content, what = _odd_tensors(weights, rng)
        path.write_bytes(content)
    if path.is_file() and not path.is_symlink() and path.stat().st_size < 1 << 24 and rng.random() < 0.8:
        record = record | {"weights_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        what += ", its hash in the record"
    record_path.write_bytes(as_text(record, "json"))
    return f"{path.name}: {what}"


def _odd_tensors(weights: bytes, rng: random.Random) -> tuple[bytes, str]:
    """Return weights that are a safetensors file, yet not what they should be, and what is wrong."""
    tensors = safetensors.numpy.load(weights)
    name = rng.choice(list(tensors))
    tensor = tensors[name]

    def header(change: dict[str, Any]) -> bytes:
        size = int.from_bytes(weights[:8], "little")
        fields = json.loads(weights[8 : 8 + size])
        fields[name] |= change
        text = json.dumps(fields).encode()
        return len(text).to_bytes(8, "little") + text + weights[8 + size :]

    deep = b'{"a":' * 10_000 + b"1" + b"}" * 10_000
    ways: dict[str, Callable[[], bytes]] = {
        f"{name} is gone": lambda: safetensors.numpy.save({k: v for k, v in tensors.items() if k != name}),
        f"{name} holds nan": lambda: safetensors.numpy.save(tensors | {name: tensor * np.float32("nan")}),
        f"{name} holds infinity": lambda: safetensors.numpy.save(
            tensors | {name: tensor + np.float32("inf")}
        ),
        f"{name} is huge": lambda: safetensors.numpy.save(tensors | {name: tensor + np.float32(3e38)}),
        f"{name} is double": lambda: safetensors.numpy.save(tensors | {name: tensor.astype(np.float64)}),
        f"{name} is whole": lambda: safetensors.numpy.save(tensors | {name: tensor.astype(np.int64)}),
        f"{name} is truth": lambda: safetensors.numpy.save(tensors | {name: tensor.astype(bool)}),
        f"{name} is flat": lambda: safetensors.numpy.save(tensors | {name: tensor.reshape(-1)}),
        f"{name} is empty": lambda: safetensors.numpy.save(tensors | {name: tensor.reshape(-1)[:0]}),
        "one more tensor": lambda: safetensors.numpy.save(tensors | {"more": tensor}),
        "no tensors": lambda: safetensors.numpy.save({}),
        f"{name} says it is BF16": lambda: header({"dtype": "BF16", "shape": [2 * tensor.size]}),
        f"{name} says it is F8_E4M3": lambda: header({"dtype": "F8_E4M3", "shape": [4 * tensor.size]}),
        f"{name} says it is F99": lambda: header({"dtype": "F99"}),
        f"{name} says it is large": lambda: header({"shape": [2**62, 4]}),
        f"{name} lies elsewhere": lambda: header({"data_offsets": [0, 2**40]}),
        f"{name} has a negative shape": lambda: header({"shape": [-1]}),
        "a header of 2**63 bytes": lambda: (2**63).to_bytes(8, "little") + weights[8:],
        "a header of 99 MB": lambda: (99_000_000).to_bytes(8, "little") + weights[8:],
        "a deep header": lambda: len(deep).to_bytes(8, "little") + deep,
        "an empty header": lambda: (0).to_bytes(8, "little"),
    }
    what = rng.choice(list(ways))
    return ways[what](), what


def spoil_checkpoint(path: Path, rng: random.Random) -> str:
    """Damage a checkpoint, most often in its header's JSON, and return what is wrong."""
    chance = rng.random()
    if chance < 0.4:
        return f"{path.name}: {_odd_numbers(path.parent, rng)}"
    content = path.read_bytes()
    path.unlink()
    if chance < 0.6:
        return spoil_bytes(path, content, rng)
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    if rng.random() < 0.6:
        inner, what = mutated(json.loads(header["__metadata__"]["checkpoint"]), rng)
        header["__metadata__"]["checkpoint"] = as_text(inner, "json").decode("utf-8", "replace")
    else:
        name = rng.choice([name for name in header if name != "__metadata__"])
        entry, what = header.pop(name), f"{name} renamed"
        header[f"{name}x"] = entry
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + size :])
    return f"{path.name}: {what}"


ODD_NUMBERS = (10**11, -(10**11), 2**62, -(2**62), 2**63 - 1, -(2**63), -1, 0, 1, 2, 5, 7, 33, 64, 10**6)


def _odd_numbers(folder: Path, rng: random.Random) -> str:
    """Write a run's checkpoint again with another whole number in it, and return where."""
    from agents import checkpoint

    kept = checkpoint.load(folder)
    assert kept is not None
    name = rng.choice([name for name, array in kept.arrays.items() if array.nbytes >= 8])
    content = bytearray(kept.arrays[name].tobytes())
    at, value = 8 * rng.randrange(len(content) // 8), rng.choice(ODD_NUMBERS)
    content[at : at + 8] = value.to_bytes(8, "little", signed=True)
    array = np.frombuffer(content, kept.arrays[name].dtype).reshape(kept.arrays[name].shape)
    checkpoint.save(folder, replace(kept, arrays=kept.arrays | {name: array}))
    return f"{name}, byte {at}: {value}"


def spoil_zip(path: Path, rng: random.Random) -> str:
    """Write a zip that passes for a model of stable-baselines3 and is damaged, or far too large."""
    fields = {"policy_class": 1, "observation_space": 2, "note": "x" * 3000}
    members = {"data": json.dumps(fields).encode(), "policy.pth": b"no weights" * 400}
    packing = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))
    what = rng.choice(("bytes", "bytes", "file", "bomb", "lying bomb", "nothing"))
    size = 2**30 + 7 if packing == zipfile.ZIP_DEFLATED else 2**26 + 7
    if "bomb" in what:
        members[rng.choice(("data", "data", "policy.pth"))] = bytes(size)
    with zipfile.ZipFile(path, "w", packing, compresslevel=1) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    good = path.read_bytes()
    if what == "lying bomb":
        path.write_bytes(good.replace(size.to_bytes(4, "little"), (500).to_bytes(4, "little")))
    elif what == "file":
        path.unlink()
        return spoil_bytes(path, good, rng)
    elif what == "bytes":
        flipped = bytearray(good)
        for _ in range(rng.choice((1, 1, 3, 20))):
            flipped[rng.randrange(len(good))] = rng.randrange(256)
        path.write_bytes(flipped)
    return f"{path.name}: packed by method {packing}, {what}"
