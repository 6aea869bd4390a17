#!/usr/bin/env python3
"""Golden factors of the schedules, from PyTorch, Hugging Face transformers and numpy.

    schedules.py write DIR     writes DIR/schedules.txt
    schedules.py verify DIR    computes it anew and compares with the file

A case is a line "schedule TOTAL TEXT" and lines "UPDATE FACTOR" of the text's last course. Where a third number stands
it is the loss of an evaluation after that update. The peers give learning rates for a base rate of 1.
"""
import math
import os
import sys
import warnings

import numpy as np
import torch
import transformers
from torch.optim import lr_scheduler as lrs

import usage

warnings.filterwarnings("ignore")  # PyTorch's about calling step() in this order


def rates(make, total, value="lr"):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
    scheduler = make(optimizer)
    result = []
    for _ in range(total):
        result.append(optimizer.param_groups[0][value])
        optimizer.step()
        scheduler.step()
    return result


def momenta(most, total, **settings):
    """OneCycleLR's momentum over its highest."""
    make = lambda o: lrs.OneCycleLR(o, 1, total, max_momentum=most, **settings)
    return [m / most for m in rates(make, total, "momentum")]


def losses(total):
    """Falls, stalls, jumps, gains too little to count; once it is not finite."""
    result = [2.385 / (1 + 0.21 * min(u, 17)) + 0.05 * ((u * 7) % 5 == 0) - 1e-5 * u for u in range(total)]
    result[11] = float("nan")
    result[total // 2] *= 0.62
    return result


def plateau(total, wait=0, **settings):
    """Factors where every update from `wait` on is followed by an evaluation. PyTorch's eps is off: ours has none."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = lrs.ReduceLROnPlateau(optimizer, eps=0, **settings)
    result = [u / wait for u in range(wait)]
    for u in range(wait, total):
        if u > 0: # what the stage is told at its first update counts
            scheduler.step(losses(total)[u - 1])
        result.append(optimizer.param_groups[0]["lr"])
    return result


def cases():
    """(text, total, what makes the peer's scheduler out of an optimizer, or the factors themselves)"""
    yield "plateau", 120, plateau(120)
    yield "plateau:0.37,patience=3,threshold=0.01", 90, plateau(90, factor=0.37, patience=3, threshold=0.01)
    yield "plateau:0.61,patience=2,cooldown=4,min=0.02", 90, \
        plateau(90, factor=0.61, patience=2, cooldown=4, min_lr=0.02)
    yield "plateau:0.5,patience=0,threshold=0", 40, plateau(40, factor=0.5, patience=0, threshold=0)
    yield "warmup:9 > plateau:0.7,patience=1,cooldown=1", 60, plateau(60, 9, factor=0.7, patience=1, cooldown=1)
    yield "onecycle:0.41; momentum=onecycle:0.41,counter=0.85", 83, \
        momenta(0.97, 83, base_momentum=0.97 * 0.85, pct_start=0.41)
    yield "momentum=onecycle:counter=0.9,anneal_strategy=linear", 83, \
        momenta(0.95, 83, base_momentum=0.95 * 0.9, anneal_strategy="linear")
    yield "momentum=onecycle:counter=0.9,three_phase=on,pct_start=0.37", 83, \
        momenta(0.95, 83, base_momentum=0.95 * 0.9, three_phase=True, pct_start=0.37)
    for power in (0.5, 1, 2):
        yield f"lr=warmup:13 > cosine:min=0.1; gamma=as_lr:{power}", 71, lambda o, p=power: lrs.LambdaLR(
            o, lambda u: (u / 13 if u < 13 else 0.1 + 0.9 * (1 + math.cos(math.pi * (u - 13) / 58)) / 2) ** p)
    yield "constant:0.37", 20, lambda o: lrs.ConstantLR(o, 0.37, 1000)
    yield "warmup:40,from=1", 90, lambda o: lrs.LinearLR(o, 1 / 41, 1, 40)
    yield "warmup:40", 90, lambda o: transformers.get_constant_schedule_with_warmup(o, 40)
    yield "warmup:0.25", 80, lambda o: transformers.get_constant_schedule_with_warmup(o, 20)
    yield "step:7,gamma=0.83", 60, lambda o: lrs.StepLR(o, 7, 0.83)
    yield "multistep:5,6,31,gamma=0.37", 60, lambda o: lrs.MultiStepLR(o, [5, 6, 31], 0.37)
    yield "multistep:11", 30, lambda o: lrs.MultiStepLR(o, [11])
    yield "exponential:0.971", 60, lambda o: lrs.ExponentialLR(o, 0.971)
    yield "inverse_time:0.013", 60, lambda o: lrs.LambdaLR(o, lambda u: 1 / (1 + 0.013 * u))
    yield "inverse_sqrt:23", 90, lambda o: lrs.LambdaLR(o, lambda u: (23 / max(u, 23)) ** 0.5)
    yield "warmup:23 > inverse_sqrt:23,offset=23", 90, lambda o: transformers.get_inverse_sqrt_schedule(o, 23)
    yield "polynomial:1.7", 71, lambda o: lrs.PolynomialLR(o, 71, 1.7)
    yield "warmup:13 > polynomial:power=2,min=0.05", 71, \
        lambda o: transformers.get_polynomial_decay_schedule_with_warmup(o, 13, 71, lr_end=0.05, power=2)
    yield "cosine:min=0.1", 71, lambda o: lrs.CosineAnnealingLR(o, 71, 0.1)
    yield "cosine", 71, lambda o: lrs.CosineAnnealingLR(o, 71)
    yield "warmup:13>cosine", 71, lambda o: transformers.get_cosine_schedule_with_warmup(o, 13, 71)
    yield "warmup:13,from=1 > cosine:updates=20,min=0.3 > constant:0.07", 71, lambda o: lrs.SequentialLR(
        o, [lrs.LinearLR(o, 1 / 14, 1, 13), lrs.CosineAnnealingLR(o, 20, 0.3), lrs.ConstantLR(o, 0.07, 1000)], [13, 33])
    yield "cosine_restarts:9,min=0.02", 71, lambda o: lrs.CosineAnnealingWarmRestarts(o, 9, 1, 0.02)
    yield "cosine_restarts:9,T_mult=2", 271, lambda o: lrs.CosineAnnealingWarmRestarts(o, 9, 2)
    yield "cosine_restarts:4,T_mult=3", 271, lambda o: lrs.CosineAnnealingWarmRestarts(o, 4, 3)
    yield "onecycle", 100, lambda o: lrs.OneCycleLR(o, 1, 100, cycle_momentum=False)
    yield "onecycle:0.41,div_factor=7,final_div_factor=31,anneal_strategy=linear", 83, lambda o: lrs.OneCycleLR(
        o, 1, 83, pct_start=0.41, div_factor=7, final_div_factor=31, anneal_strategy="linear", cycle_momentum=False)
    yield "onecycle:0.37,three_phase=on", 83, lambda o: lrs.OneCycleLR(
        o, 1, 83, pct_start=0.37, three_phase=True, cycle_momentum=False)
    for shape, theirs in (("linear", "linear"), ("cosine", "cosine"), ("sqrt", "1-sqrt")):
        yield f"wsd:31,warmup=13,min=0.07,shape={shape}", 101, lambda o, d=theirs: wsd(o, 13, 31, 101, 0.07, d)
    knots = {0: 0.25, 17: 1, 18: 0.4, 60: 0.031}
    yield "piecewise:0=0.25,17=1,18=0.4,60=0.031", 90, np.interp(range(90), list(knots), list(knots.values()))
    yield "piecewise:17=1,60=0.1", 90, np.interp(range(90), [0, 17, 60], [0, 1, 0.1])


def wsd(optimizer, warmup, decay, total, least, shape):
    """transformers' warm-up starts at min_lr_ratio, ours at 0: its decay is taken, behind a warm-up of its own."""
    stable = transformers.get_wsd_schedule(optimizer, 0, decay, num_training_steps=total - warmup, decay_type=shape,
                                           min_lr_ratio=least)
    tail = stable.lr_lambdas[0]
    return lrs.LambdaLR(optimizer, lambda u: u / warmup if u < warmup else tail(u - warmup))


def text():
    lines = []
    for schedule, total, peer in cases():
        factors = rates(peer, total) if callable(peer) else peer
        lines.append(f"schedule {total} {schedule}")
        # Where something happens at a known update, its neighbours count: all of the short, a third of the long.
        watched = "plateau" in schedule
        seen = [u for u in range(total) if watched or total <= 30 or u % 3 != 1 or u == total - 1]
        lines += [f"{u} {float(factors[u]):.15g}" + (f" {losses(total)[u]:.15g}" if watched else "") for u in seen]
    return "\n".join(lines) + "\n"


def numbers(golden):
    for line in golden.splitlines():
        yield line.split(" ", 2) if line.startswith("schedule") else [float(x) for x in line.split()]


def verify(path):
    with open(path, encoding="ascii") as file:
        old, new = list(numbers(file.read())), list(numbers(text()))
    if len(old) != len(new):
        return f"{path}: {len(old)} lines, {len(new)} expected"
    for a, b in zip(old, new):
        if a != b and (isinstance(a[0], str) or a[0] != b[0] or abs(a[1] - b[1]) > 1e-12 or
                       not np.allclose(a[2:], b[2:], rtol=0, atol=1e-12, equal_nan=True)):
            return f"{path}: {a}, {b} expected"
    return None


def main():
    usage.check_count(__doc__, 2, 2)
    usage.check_words(__doc__, "word", sys.argv[1:2], ("write", "verify"))
    path = os.path.join(sys.argv[2], "schedules.txt")
    if sys.argv[1] == "verify":
        sys.exit(verify(path))
    with open(path, "w", encoding="ascii") as file:
        file.write(text())


if __name__ == "__main__":
    main()
