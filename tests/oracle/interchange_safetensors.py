#!/usr/bin/env python3
"""safetensors files, exchanged with the safetensors package in both directions.

    python3 interchange_safetensors.py SAFETENSORS_COPY

SAFETENSORS_COPY is the program built from safetensors_copy.c. Files that the package writes go through our reader and writer
and must come back with the same bits, names, shapes and metadata; of files damaged at random places, ours must refuse every
one that the package refuses. Needs torch and safetensors.
"""
import os
import random
import struct
import subprocess
import sys
import tempfile

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, load_file, save_file

import usage

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
          torch.uint64, torch.uint32, torch.uint16, torch.uint8, torch.bool, torch.float8_e4m3fn, torch.float8_e5m2]
SHAPES = [(), (1,), (7,), (3, 5), (2, 3, 4), (0,), (4, 0, 2), (1, 1, 2, 1, 1, 3, 1, 1)]
NAMES = ["h.0.attn.c_attn.weight", "\u20ac \U0001f600 \u00e9", 'quoted "name" \\ and / more', "tab\tnewline\n\x01", " ", ""]
METADATA = {"format": "pt", 'a "key"\n': "\u00e9\U0001f600\t", "empty": ""}
DAMAGED = 4000


def bits(tensor):
    return tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""


def tensors():
    torch.manual_seed(2385)
    made = {}
    for dtype in DTYPES:
        for shape in SHAPES:
            size = torch.empty((), dtype=dtype).element_size()
            count = int(torch.tensor(shape).prod()) if shape else 1
            raw = torch.randint(0, 2 if dtype == torch.bool else 256, (count * size,), dtype=torch.uint8)
            made[f"{dtype} {shape}"] = raw.view(dtype).reshape(shape)
    for name in NAMES:
        made[name] = torch.randn(3)
    return made


def same(a, b):
    return set(a) == set(b) and all(a[n].dtype == b[n].dtype and a[n].shape == b[n].shape and bits(a[n]) == bits(b[n])
                                    for n in a)


def exchange(program, directory):
    theirs, ours = os.path.join(directory, "theirs"), os.path.join(directory, "ours")
    good = True
    for made, metadata in ((tensors(), METADATA), ({}, {}), ({"only": torch.tensor(2.385)}, {"k": "v"})):
        save_file(made, theirs, metadata=metadata or None)
        subprocess.run([program, "copy", theirs, ours, *metadata], check=True)
        with safe_open(ours, "pt") as file:
            kept = (file.metadata() or {}) == metadata
        done = kept and same(made, load_file(ours))
        good = good and done
        print(f"{'ok  ' if done else 'FAIL'} {len(made)} tensors and {len(metadata)} metadata there and back")
    return good


def damage(chance, data, header):
    """One to three changes, most of them in the header, where they matter."""
    behind = len(data) - header
    data = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(header + 8 if chance.random() < 0.9 else len(data))
        kind = chance.random()
        if kind < 0.4:
            data[at] = chance.choice(b'0123456789{}[]",:\\u \n-+.eEFIUB\x00\xff')
        elif kind < 0.6:
            data[at] ^= 1 << chance.randrange(8)
        elif kind < 0.8:
            del data[at]
        else:
            data.insert(at, chance.choice(b'0123456789{}[]",:\\ '))
    if chance.random() < 0.8:  # a length that fits, so that the header itself is what is wrong
        data[:8] = struct.pack("<Q", len(data) - behind)
    return bytes(data)


def accepted(data):
    try:
        load(data)
        return True
    except (SafetensorError, ValueError, KeyError, OverflowError, RuntimeError):
        return False


def damaged(program, directory):
    chance = random.Random(2385)
    path = os.path.join(directory, "sound")
    save_file({"a": torch.randn(2, 3), "b\u00e9": torch.zeros(3, dtype=torch.uint8), "c": torch.zeros(0, 4)}, path,
              metadata={"k": "v"})
    with open(path, "rb") as file:
        sound = file.read()
    header = struct.unpack("<Q", sound[:8])[0]
    cases = [damage(chance, sound, header) for _ in range(DAMAGED)]
    names = []
    for number, case in enumerate(cases):
        names.append(os.path.join(directory, f"damaged{number}"))
        with open(names[-1], "wb") as file:
            file.write(case)
    lines = subprocess.run([program, "check", *names], check=True, stdout=subprocess.PIPE).stdout.decode().splitlines()
    assert len(lines) == len(cases)
    both = ours_alone = 0
    wrong = []
    for case, line in zip(cases, lines):
        theirs = accepted(case)
        both += theirs and line == "ok"
        ours_alone += theirs and line != "ok"
        if line == "ok" and not theirs:
            wrong.append(case)
    for case in wrong[:5]:
        print(f"FAIL accepted here, refused by the package: {case!r}")
    good = not wrong and 0 < both < DAMAGED
    print(f"{'ok  ' if good else 'FAIL'} {DAMAGED} damaged files: {both} still sound, {ours_alone} refused only here, "
          f"{len(wrong)} accepted only here")
    return good


def main(program):
    with tempfile.TemporaryDirectory() as directory:
        good = exchange(program, directory)
        good = damaged(program, directory) and good
    return 0 if good else 1


if __name__ == "__main__":
    usage.check_count(__doc__, 1, 1)
    sys.exit(main(sys.argv[1]))
