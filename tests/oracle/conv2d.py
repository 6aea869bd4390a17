#!/usr/bin/env python3
"""Writes tests/unit/conv2d_golden.h: a convolution of PyTorch, in float64, that engine_conv2d_test.c compares with.

    python3 conv2d.py > ../unit/conv2d_golden.h

Values in the engine's order: a row is a place of an image. Needs torch.
"""
import torch


def grid(*sizes):
    return torch.meshgrid(*[torch.arange(n, dtype=torch.float64) for n in sizes], indexing="ij")


n, c, i, j = grid(2, 4, 5, 4)
x = torch.sin(1 + 7 * n + 3 * c + 2 * i + j)
o, c, i, j = grid(6, 2, 3, 2)
w = torch.cos(2 + 5 * o + 3 * c + 2 * i + j)
b = torch.arange(6, dtype=torch.float64) / 7
y = torch.nn.functional.conv2d(x, w, b, stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2)
values = [f"{v:.17g}" for v in y.permute(0, 2, 3, 1).reshape(-1).tolist()]
print("/* conv2d_golden.h -- made by tests/oracle/conv2d.py: see engine_conv2d_test.c. */")
print("static const double conv2d_golden[] = {")
for at in range(0, len(values), 4):
    print("    " + ", ".join(values[at:at + 4]) + ",")
print("};")
