#!/usr/bin/env python3
"""Group and batch norm of PyTorch, in float64, that engine_groupnorm_test.c and engine_batchnorm_test.c compare with.

    python3 norms.py group > ../unit/groupnorm_golden.h
    python3 norms.py batch > ../unit/batchnorm_golden.h

Values in the engine's order: a row is a place of an image. Gradients are of sum(y * probe). Needs torch.
"""
import sys

import torch

import usage
from harness import grid, probe, rows, table


def images():
    n, c, i, j = grid(2, 6, 3, 4)
    return torch.sin(1 + 7 * n + 3 * c + 2 * i + j) + c / 2


def fill(norm):
    c = torch.arange(6, dtype=torch.float64)
    with torch.no_grad():
        norm.weight.copy_(1 + c / 7)
        norm.bias.copy_(c / 5 - 0.3)
    return norm.double()


def write(name, norm):
    x = images().requires_grad_()
    y = rows(norm(x))
    (y * probe(y.numel())).sum().backward()
    table(f"{name}", y.detach())
    table(f"{name}_dx", rows(x.grad))
    table(f"{name}_dgain", norm.weight.grad)
    table(f"{name}_dbias", norm.bias.grad)


def group():
    for groups in (1, 2, 6):
        write(f"groupnorm_{groups}", fill(torch.nn.GroupNorm(groups, 6, eps=3.7e-4)))


def batch():
    norm = fill(torch.nn.BatchNorm2d(6, eps=3.7e-4))
    write("batchnorm", norm)
    norm(images() * 2 - 1)
    table("batchnorm_running_mean", norm.running_mean)
    table("batchnorm_running_var", norm.running_var)
    table("batchnorm_evaluated", rows(norm.eval()(images()).detach()))


usage.check_count(__doc__, 1, 1)
usage.check_words(__doc__, "norm", sys.argv[1:], ("group", "batch"))
name = sys.argv[1]
print(f"/* {name}norm_golden.h -- made by tests/oracle/norms.py {name}: see engine_{name}norm_test.c. */")
{"group": group, "batch": batch}[name]()
