"""What oracles of single layers share: tests/unit/layer_harness.h in Python.

The engine's order of images, the values by which its probe multiplies outputs, and tables of numbers in C.
"""
import math

import torch

WORD, LONG = (1 << 32) - 1, (1 << 64) - 1


def grid(*sizes):
    return torch.meshgrid(*[torch.arange(n, dtype=torch.float64) for n in sizes], indexing="ij")


def rows(images):
    """(N, C, H, W) in the order of the engine: a row is a place of an image."""
    return images.permute(0, 2, 3, 1).reshape(-1)


def _mix(z):
    z = (z + 0x9E3779B97F4A7C15) & LONG
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & LONG
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & LONG
    return z ^ z >> 31


def _random(key, index):
    x = (index + key) & WORD
    x = ((x ^ x >> 16) * 0x7FEB352D) & WORD
    x = (((x ^ x >> 15) ^ key >> 32) * 0x846CA68B) & WORD
    return x ^ x >> 16


def probe(count):
    """harness_probe_value(0, i): normal values (src/base/random.h), rounded to bf16."""
    key = 77
    for part in (0, 5, 0):
        key = _mix(key) ^ part
    key = _mix(key)
    values = []
    for i in range(count):
        u, v = (_random(key, 2 * i) + 1) / 2**32, _random(key, 2 * i + 1) / 2**32
        values.append(math.sqrt(-2 * math.log(u)) * math.cos(6.283185307179586 * v))
    return torch.tensor(values, dtype=torch.float32).bfloat16().double()


def table(name, values):
    text = [f"{v:.17g}" for v in values.reshape(-1).tolist()]
    print(f"static const double {name}[] = {{")
    for at in range(0, len(text), 4):
        print("    " + ", ".join(text[at:at + 4]) + ",")
    print("};")
