#!/usr/bin/env python3
"""What rounding costs Tiger where chance can be averaged out: noisy quadratics, one a weight, in emulated bf16.

    rounding_model.py [--updates N] [--values N] [--lr X ...] [--ways NAME ...]

Every weight x has a loss h (x - x*)^2 / 2 of its own and gradients h (x - x*) + noise of deviation 1, with curvatures h
over three decades; weights have an RMS of 0.02 and start as far from x* as they are large on average. Noise is the same
in every way. Prints the loss left after the last update, as a share of that at the start: at 20000 values a difference
of 0.0005 means something, where losses of trained networks stray by ten times as much. Needs numpy.
"""
import argparse

import numpy as np

RMS, BETA, WARMUP = 0.02, np.float32(0.965), 100
WAYS = {  # rounding of weights, of momentum, what is lost of weights fed back into the momentum
    "fp32": ("fp32", "fp32", 0),
    "momentum stochastic": ("fp32", "stochastic", 0),
    "weights stochastic": ("stochastic", "fp32", 0),
    "stochastic": ("stochastic", "stochastic", 0),
    "momentum nearest": ("stochastic", "nearest", 0),
    "weyl": ("weyl", "stochastic", 0),
    "kahan": ("kahan", "stochastic", 0),
    "nearest": ("nearest", "stochastic", 0),
    "stochastic, fed back 0.01": ("stochastic", "stochastic", 0.01),
    "stochastic, fed back 0.05": ("stochastic", "stochastic", 0.05),
    "nearest, fed back 0.01": ("nearest", "stochastic", 0.01),
}


def nearest(x):
    bits = x.astype(np.float32).view(np.uint32)
    return (((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16) << 16).view(np.float32)


def by_chance(x, chance):
    bits = x.astype(np.float32).view(np.uint32)
    return (((bits + chance) >> 16) << 16).view(np.float32)


def rounded(x, how, draw, turned=None):
    if how == "fp32":
        return x
    return by_chance(x, draw() if turned is None else turned) if how in ("stochastic", "weyl") else nearest(x)


def loss_left(lr, updates, n, way):
    weights, momentum, feedback = WAYS[way]
    rng, chances = np.random.default_rng(3), np.random.default_rng(99)

    def draw():
        return chances.integers(0, 65536, n, dtype=np.uint32)

    x = (RMS * rng.standard_normal(n)).astype(np.float32)
    target = (x + RMS * rng.standard_normal(n)).astype(np.float32)
    h = (10 ** rng.uniform(-3, 0, n) / RMS).astype(np.float32)
    m, lost, start = np.zeros(n, np.float32), np.zeros(n, np.float32), draw()
    x = x if weights == "fp32" else nearest(x)
    for t in range(updates):
        g = h * (x - target) + rng.standard_normal(n).astype(np.float32)
        m = rounded(BETA * m + np.float32(0.035) * g, momentum, draw)
        course = min(1, (t + 1) / WARMUP) * (0.1 + 0.9 * 0.5 * (1 + np.cos(np.pi * t / updates)))
        y = x + lost - np.float32(lr * course * RMS * 1.3) * np.sign(m)
        turned = (start + ((t * 0x9E3779B9 & 0xFFFFFFFF) >> 16)) & 0xFFFF if weights == "weyl" else None
        x = rounded(y, weights, draw, turned)
        if weights == "kahan":
            lost = nearest(y - x)
        if feedback > 0:  # in units of the last place
            m = rounded(m - np.float32(feedback) * (y - x) / (np.maximum(np.abs(x), 1e-6) * 2**-8), momentum, draw)
    return (0.5 * h * (x - target) ** 2).mean() / (0.5 * h * RMS**2).mean()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=2000)
    parser.add_argument("--values", type=int, default=20000)
    parser.add_argument("--lr", type=float, nargs="+", default=[1e-2, 3e-3, 1e-3, 3e-4, 1e-4])
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS), metavar="NAME")
    args = parser.parse_args()
    print("| lr | " + " | ".join(f"{lr:g}" for lr in args.lr) + " |\n| --- |" + " --- |" * len(args.lr))
    for way in args.ways:
        losses = [loss_left(lr, args.updates, args.values, way) for lr in args.lr]
        print(f"| {way} | " + " | ".join(f"{loss:.4f}" for loss in losses) + " |", flush=True)


if __name__ == "__main__":
    main()
