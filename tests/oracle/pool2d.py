#!/usr/bin/env python3
"""Writes tests/unit/pool2d_golden.h: pooling of PyTorch, in float64, that engine_pool2d_test.c compares with.

    python3 pool2d.py > ../unit/pool2d_golden.h

Values in the engine's order: a row is a place of an image. Gradients are of sum(y * probe), with the probe that
layer_harness.h has. Needs torch.
"""
import torch

from harness import grid, probe, rows, table

n, c, i, j = grid(2, 3, 5, 4)
print("/* pool2d_golden.h -- made by tests/oracle/pool2d.py: see engine_pool2d_test.c. */")
for name, pool in (("max", torch.nn.functional.max_pool2d), ("mean", torch.nn.functional.avg_pool2d)):
    x = torch.sin(1 + 7 * n + 3 * c + 2 * i + j).requires_grad_()
    y = rows(pool(x, (3, 2), stride=(2, 1), padding=(1, 1)))
    (y * probe(y.numel())).sum().backward()
    table(f"pool2d_{name}", y.detach())
    table(f"pool2d_{name}_dx", rows(x.grad))
