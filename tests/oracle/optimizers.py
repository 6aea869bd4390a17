#!/usr/bin/env python3
"""Golden trajectories of the optimizer rules: float64 results of 50 updates on inputs that C makes too.

    optimizers.py write DIR [RULE]...   writes DIR/RULE.txt for these rules, or all
    optimizers.py verify DIR [RULE]...  computes them anew and compares with the files
    optimizers.py peers                 holds our float64 rules against PyTorch's and optax's

A file is a list of cases. A case is one optimizer over a list of tensors; for each tensor it holds the weights and
the states after the last update: some values one by one, and for every 1024 values the sum of value i times
1 + i % 7. Tensors are sampled so that whole files stay small; the sums see every element.

Inputs: hash(seed, i) below gives 32 bits, `unit` makes them a float in [-1, 1) with 24 bits, exact in fp32. The seeds
are chosen: no argument of a sign lies within MARGIN of zero (relative to their RMS), so fp32 takes every sign alike.
"""
import os
import sys

import numpy as np

sys.dont_write_bytecode = True
import rules
import usage

UPDATES = 50
SIZES = [(1, 1), (1, 2), (1, 7), (2, 4), (3, 5), (4, 4), (1, 17), (1, 31), (3, 11), (7, 9), (8, 8), (5, 13),
         (25, 40), (1, 65537)]
SMALL = SIZES[:-1]
FEW = [(1, 7), (3, 11), (8, 8), (25, 40)]
ROLES = ["matrix", "embedding", "bias", "gain"]
MARGIN = 2e-6
CHUNK = 1024


def mix(seed, index):
    x = (np.asarray(index, np.uint32) * np.uint32(0x9E3779B1) + np.uint32(seed * 0x85EBCA77 & 0xFFFFFFFF)).astype(np.uint32)
    for shift, factor in ((15, 0x2C1B3C6D), (12, 0x297A2D39)):
        x = (x ^ (x >> np.uint32(shift))) * np.uint32(factor)
    return x ^ (x >> np.uint32(15))


def unit(seed, n):
    return ((mix(seed, np.arange(n)) >> np.uint32(8)).astype(np.int64) - 2**23).astype(np.float32) * np.float32(2.0**-23)


def weights(seed, shape, role):
    """Half-size values; those of a gain lie around 1."""
    x = unit(seed, shape[0] * shape[1]) * np.float32(0.5)
    return (x + np.float32(1.0 if role == "gain" else 0.0)).astype(np.float64).reshape(shape)


def gradient(seed, step, shape):
    """The gradient of micro-step `step` (from 0); every 13th element, from the 6th on, has none at any time."""
    n = shape[0] * shape[1]
    g = unit(seed + 7919 * (step + 1), n) * np.float32([2.385, 0.711, 1.93, 0.107][step % 4])
    g[5::13] = 0
    return g.astype(np.float64).reshape(shape)


def layer_moments(seed, step, shape):
    """Second moments of both sides of a layer at micro-step `step`, the rows' first. Odd seeds are (in, out)."""
    def rows_of(n, which, size):
        x = unit(seed + which * (step + 1), count * n) * np.float32(size)
        return x.astype(np.float64).reshape(count, n)

    count = 7 + step % 3
    ins, outs = shape if seed % 2 else shape[::-1]
    a, g = rows_of(ins, 15485863, 1.37), rows_of(outs, 32452843, 0.59)
    moments = [a.T @ a / count, 11.5 * g.T @ g]
    return moments if seed % 2 else moments[::-1]


def touched(seed, step, rows):
    """The rows of an embedding that micro-step `step` touches: two of three at random, and one more at least."""
    at = np.arange(rows)
    return (mix(seed + 104729 * (step + 1), at) % np.uint32(3) != 0) | (at == step % rows)


def is_bad(case, index, update, micro):
    """Case `bad`: every third tensor meets NaN or Inf at fixed places, among them whole windows and first micro-steps."""
    if not case.get("bad") or index % 3 != 1:
        return False
    return (update % 11 == 4 and micro == 0) or (update % 13 == 6 and micro == case.get("micro", 1) - 1) or update % 17 == 9


def run_tensor(rule, case, index, shape, role, seed):
    o, k = case["options"], case.get("micro", 1)
    w = rules.Tensor(weights(seed, shape, role), role, rules.slots(rule, o))
    for u in range(UPDATES):
        if case.get("gaps") and (u + index) % 5 == 3:
            continue
        lr = o["lr"] * (1 / (1 + u / 16) if case.get("anneal") else 1.0)
        micro = []
        for j in range(k):
            step = u * k + j
            rows = touched(seed, step, shape[0]) if role == "embedding" else np.ones(shape[0], bool)
            g = np.where(rows[:, None], gradient(seed, step, shape), 0.0)
            if o.get("clip_value"):
                g = np.clip(g, -o["clip_value"], o["clip_value"])
            micro.append(None if is_bad(case, index, u, j) else (g, rows))
        w.t += 1
        w.rows = [layer_moments(seed, u * k + j, shape) for j in range(k)] if rule == "kfac" else []
        if rule in ("tiger", "tigermuon"):
            rules.tiger(w, micro, lr, {"period": 2, **o} if rule == "tigermuon" else o)
        else:
            rules.RULES[rule](w, sum(m[0] for m in micro) / k, lr, o)
        if w.nearest <= MARGIN:
            break  # of no use
    return w


def tensor_of(rule, case, index, shape, role):
    for attempt in range(2000):
        seed = 1000 * (index + 1) + attempt
        w = run_tensor(rule, case, index, shape, role, seed)
        if w.nearest > MARGIN:
            return seed, w
    raise SystemExit(f"{rule} {case['name']}: no seed keeps signs away from zero")


def case(name, options, sizes=SMALL, **more):
    return {"name": name, "options": options, "sizes": sizes, **more}


def element_wise(lr, extra=()):
    """The cases every rule gets; `extra` are (name, options) of its own."""
    yield case("plain", {"lr": lr, "weight_decay": 0.0}, SIZES)
    yield case("decay_coupled", {"lr": lr, "weight_decay": 0.37, "decay": "coupled"})
    yield case("decay_decoupled", {"lr": lr, "weight_decay": 0.37, "decay": "decoupled"}, SIZES)
    yield case("decay_own", {"lr": lr, "weight_decay": 0.21})
    yield case("maximize", {"lr": lr, "weight_decay": 0.21, "maximize": 1}, FEW)
    yield case("gaps", {"lr": lr, "weight_decay": 0.11}, FEW, gaps=1)
    yield case("anneal", {"lr": lr, "weight_decay": 0.11}, FEW, anneal=1)
    yield case("micro_steps", {"lr": lr, "weight_decay": 0.11}, FEW, micro=3)
    yield case("clip_value", {"lr": lr, "weight_decay": 0.11, "clip_value": 0.6}, FEW)
    yield case("defaults", {"lr": lr}, FEW)
    for name, options in extra:
        yield case(name, {"lr": lr, "weight_decay": 0.11, **options})


def sgd_cases():
    yield from element_wise(0.013, [
        ("momentum", {"momentum": 0.9}),
        ("momentum_decoupled", {"momentum": 0.9, "decay": "decoupled"}),
        ("dampening", {"momentum": 0.83, "dampening": 0.37}),
        ("nesterov", {"momentum": 0.9, "nesterov": 1}),
        ("ema", {"momentum": 0.9, "ema": 1}),
        ("ema_nesterov", {"momentum": 0.9, "ema": 1, "nesterov": 1}),
        ("nesterov_maximize", {"momentum": 0.9, "nesterov": 1, "maximize": 1})])
    yield case("momentum_big", {"lr": 0.013, "momentum": 0.9, "weight_decay": 0.2}, [(1, 65537)])
    yield case("momentum_micro_steps", {"lr": 0.013, "momentum": 0.9, "dampening": 0.25, "weight_decay": 0.0}, FEW, micro=4)
    yield case("momentum_gaps", {"lr": 0.013, "momentum": 0.9, "dampening": 0.25, "weight_decay": 0.1}, FEW, gaps=1)


def adam_cases():
    yield from element_wise(0.0117, [
        ("betas", {"beta1": 0.7, "beta2": 0.95, "eps": 1e-3}),
        ("beta1_zero", {"beta1": 0.0}),
        ("amsgrad", {"amsgrad": 1, "beta2": 0.9}),
        ("amsgrad_maximize", {"amsgrad": 1, "maximize": 1, "beta2": 0.9})])
    yield case("amsgrad_big", {"lr": 0.0117, "amsgrad": 1, "beta2": 0.9, "weight_decay": 0.2}, [(1, 65537)])


def adagrad_cases():
    yield from element_wise(0.0531, [
        ("lr_decay", {"lr_decay": 0.13}),
        ("initial", {"initial_accumulator_value": 0.73}),
        ("eps", {"eps": 0.031})])
    base = {"lr": 0.0531, "weight_decay": 0.23}
    yield case("embedding", base, roles=["embedding"])
    yield case("embedding_initial", {**base, "initial_accumulator_value": 0.73, "lr_decay": 0.13}, roles=["embedding"])
    yield case("embedding_dense", {**base, "embedding_update": "dense"}, FEW, roles=["embedding"])


def rmsprop_cases():
    yield from element_wise(0.0031, [
        ("alpha", {"alpha": 0.83, "eps": 0.013}),
        ("momentum", {"momentum": 0.9}),
        ("centered", {"centered": 1}),
        ("centered_momentum", {"centered": 1, "momentum": 0.83}),
        ("centered_momentum_maximize", {"centered": 1, "momentum": 0.83, "maximize": 1})])
    yield case("centered_momentum_big", {"lr": 0.0031, "momentum": 0.83, "centered": 1, "weight_decay": 0.0}, [(1, 65537)])


def adadelta_cases():
    return element_wise(1.37, [("rho", {"rho": 0.73}), ("eps", {"eps": 0.0031})])


def adamax_cases():
    return element_wise(0.0117, [("betas", {"beta1": 0.7, "beta2": 0.83}), ("beta1_zero", {"beta1": 0.0}),
                                 ("eps", {"eps": 0.031})])


def nadam_cases():
    for c in element_wise(0.0117, [("betas", {"beta1": 0.7, "beta2": 0.95}), ("momentum_decay", {"momentum_decay": 0.37})]):
        # With decay alone for a gradient a weight nears 0, its v falls, and then its steps swing up from rounding errors.
        if c["options"].get("weight_decay"):
            c["options"].setdefault("eps", 0.013)
        yield c


def asgd_cases():
    yield from element_wise(0.0131, [
        ("average", {"t0": 7}),
        ("average_fraction", {"t0": 11.5, "lambd": 0.37, "alpha": 0.61}),
        ("lambd", {"lambd": 0.83})])
    yield case("average_anneal", {"lr": 0.0131, "t0": 3, "lambd": 0.37, "weight_decay": 0.11}, FEW, anneal=1)


def radam_cases():
    yield from element_wise(0.0117, [
        ("betas", {"beta1": 0.7, "beta2": 0.95, "eps": 1e-3}),
        ("never_rectified", {"beta2": 0.6}),
        ("slow", {"beta2": 0.9999})])


def rprop_cases():
    for c in element_wise(0.0117, [("etas", {"etaminus": 0.37, "etaplus": 1.71}),
                                   ("steps", {"step_size_min": 0.0071, "step_size_max": 0.0153})]):
        # With decay alone for a gradient a weight halves its way to 0, where no sign is safe: the least step stops it.
        if c["options"].get("weight_decay"):
            c["options"].setdefault("step_size_min", 0.0013)
        yield c


def lars_cases():
    yield from element_wise(0.37, [
        ("momentum", {"momentum": 0.7}),
        ("trust", {"trust_coefficient": 0.0131, "eps": 0.37})])
    yield case("roles", {"lr": 0.0137, "weight_decay": 0.21, "trust_coefficient": 0.031}, FEW, roles=ROLES)


def lamb_cases():
    yield from element_wise(0.0117, [("betas", {"beta1": 0.7, "beta2": 0.95, "eps": 1e-3})])
    yield case("roles", {"lr": 0.0117, "weight_decay": 0.21}, FEW, roles=ROLES)


def adafactor_cases():
    yield from element_wise(0.0231, [
        ("beta2_decay", {"beta2_decay": -0.55}),
        ("clip", {"d": 0.37}),
        ("fast", {"lr": 0.29, "weight_decay": 0.0}),
        ("floor", {"eps2": 0.91})])
    yield case("roles", {"lr": 0.0231, "weight_decay": 0.21}, FEW, roles=ROLES)
    yield case("big", {"lr": 0.0231, "weight_decay": 0.0}, [(65, 1031)])


def amos_cases():
    yield from element_wise(0.0531, [
        ("beta", {"beta": 0.93, "zeta": 1.7}),
        ("momentum", {"momentum": 0.83}),
        ("eta", {"eta": 0.37})])
    yield case("roles", {"lr": 0.0531, "weight_decay": 0.0}, FEW, roles=ROLES)


def sophia_cases():
    return element_wise(0.0091, [("beta", {"beta1": 0.7, "rho": 0.31})])


def muon_cases():
    for c in element_wise(0.0031, [
            ("momentum", {"momentum": 0.83, "nesterov": 0}),
            ("match_rms_adamw", {"adjust_lr_fn": "match_rms_adamw"}),
            ("newton_schulz", {"ns_a": 2.0, "ns_b": -1.5, "ns_c": 0.5, "ns_steps": 4, "eps": 0.37}),
            ("adamw", {"adamw_lr": 0.37, "adamw_beta1": 0.7, "adamw_beta2": 0.95, "adamw_eps": 1e-3,
                       "adamw_weight_decay": 0.37}),
            ("max_dim", {"max_dim": 11})]):
        c["options"]["ns_format"] = "fp32"  # bf16 follows no float64: optim_muon_test and torch_optimizers.py hold it
        yield c
    yield case("roles", {"lr": 0.0031, "weight_decay": 0.21, "ns_format": "fp32"}, roles=ROLES)
    yield case("folded", {"lr": 0.0031, "nesterov": 0, "ns_format": "fp32"}, FEW, micro=3, roles=ROLES)
    yield case("big", {"lr": 0.0031, "ns_format": "fp32"}, [(65, 1031), (291, 37)])
    yield case("big_even", {"lr": 0.0031, "ns_format": "fp32", "ns_steps": 4}, [(65, 1031), (291, 37), (131, 150)])


def tiger_cases():
    base = {"lr": 0.0231, "weight_decay": 0.37}
    yield case("matrix", base, SIZES)
    yield case("no_decay", {"lr": 0.0231, "weight_decay": 0.0})
    yield case("defaults", {"lr": 0.001})
    yield case("roles", base, roles=ROLES)
    yield case("dense", {**base, "embedding_update": "dense"}, roles=["embedding"])
    yield case("row_rms", {**base, "embedding_rms": "row"}, roles=["embedding"])
    yield case("row_rms_dense", {**base, "embedding_rms": "row", "embedding_update": "dense"}, FEW, roles=["embedding"])
    yield case("coupled", {**base, "decay": "coupled"}, roles=ROLES)
    yield case("coupled_row_rms", {**base, "decay": "coupled", "embedding_rms": "row"}, FEW, roles=["embedding"])
    yield case("dim", {**base, "scale": "dim"}, FEW, roles=ROLES)
    yield case("none", {**base, "scale": "none"}, FEW, roles=["matrix", "embedding"])
    yield case("floor", {**base, "rms_floor": 0.9}, FEW)
    yield case("beta", {**base, "beta": 0.7, "bias_lr": 0.13}, FEW, roles=ROLES)
    yield case("gamma_half", {**base, "gamma": 0.5}, roles=ROLES)
    yield case("gamma_zero", {**base, "gamma": 0.0}, FEW, roles=ROLES)
    yield case("maximize", {**base, "maximize": 1}, FEW, roles=ROLES)
    yield case("anneal", base, FEW, anneal=1, roles=ROLES)
    yield case("clip_value", {**base, "clip_value": 0.6}, FEW, roles=ROLES)
    yield case("micro_steps", base, roles=ROLES, micro=3)
    yield case("guard", base, roles=["matrix", "gain", "bias", "embedding"], micro=3, bad=1)
    yield case("guard_single", {**base, "shrink": 0.93}, FEW, roles=["matrix", "gain", "bias", "embedding"], bad=1)
    yield case("guard_skip", {**base, "nan_guard": "skip"}, FEW, roles=["matrix", "gain"], micro=2, bad=1)


def shampoo_cases():
    for c in element_wise(0.0031, [
            ("none", {"grafting": "none"}),
            ("sgd", {"grafting": "sgd"}),
            ("adagrad", {"grafting": "adagrad"}),
            ("rmsprop", {"grafting": "rmsprop", "adamw_beta2": 0.95}),
            ("betas", {"adamw_beta1": 0.7, "adamw_beta2": 0.95, "adamw_eps": 1e-3, "adamw_lr": 0.37}),
            ("beta", {"beta": 0.83, "interval": 1}),
            ("root", {"root": 2, "interval": 3}),
            ("diagonal", {"max_dim": 10, "interval": 7, "beta": 0.83})]):
        # The smallest eigenvalues are nothing but fp32's rounding: a ridge above it is what float64 can be compared with.
        c["options"].setdefault("ridge", 0.043)
        c["options"].setdefault("interval", 5)
        c["sizes"] = [size for size in c["sizes"] if size[1] < 1000]
        yield c
    more = {"lr": 0.0031, "ridge": 0.043, "interval": 9}
    yield case("roles", {**more, "weight_decay": 0.21}, FEW, roles=ROLES)
    yield case("big", {**more, "max_dim": 300}, [(65, 1031), (271, 37)])


def soap_cases():
    """A single gradient has as many eigenvectors as the shorter side is long; the others of the longer side's factor are any
    that LAPACK finds. So only one side of oblong matrices is turned here; optim_soap_test.c looks at both."""
    square = [(1, 1), (1, 7), (1, 31), (2, 2), (3, 3), (7, 7), (8, 8), (9, 9), (12, 12), (1, 65537)]
    oblong = [(2, 4), (3, 11), (11, 3), (7, 9), (8, 8), (5, 13), (13, 5), (15, 40)]
    more = {"lr": 0.0031, "interval": 7, "eps": 1e-3}
    yield case("square", {**more, "weight_decay": 0.21}, square)
    yield case("no_decay", {**more, "weight_decay": 0.0}, square[:-1])
    yield case("betas", {**more, "beta1": 0.8, "beta2": 0.99, "adamw_beta1": 0.7, "adamw_beta2": 0.95, "adamw_eps": 1e-3,
                         "adamw_lr": 0.37}, square[:-1])
    yield case("shampoo_beta", {**more, "shampoo_beta": 0.83, "eps": 1e-2}, square[:-1])
    yield case("often", {**more, "interval": 1, "eps": 1e-2}, square[:-1])
    yield case("one_sided", {**more, "one_sided": 1}, oblong)
    yield case("left", {**more, "max_dim": 10}, [(2, 13), (7, 33), (8, 40)])
    yield case("right", {**more, "max_dim": 10}, [(13, 2), (33, 7), (40, 8)])
    yield case("neither", {**more, "max_dim": 2}, [(3, 5), (33, 7), (40, 8)])
    yield case("coupled", {**more, "decay": "coupled", "weight_decay": 0.13}, square[:-1])
    yield case("maximize", {**more, "maximize": 1}, square[:-1])
    yield case("anneal", more, square[:-1], anneal=1)
    yield case("gaps", more, square[:-1], gaps=1)
    yield case("micro_steps", more, [(1, 7), (3, 3), (8, 8)], micro=3)
    yield case("roles", {**more, "one_sided": 1}, FEW, roles=ROLES)


def kfac_cases():
    for c in element_wise(0.0031, [
            ("momentum", {"momentum": 0.37}),
            ("no_momentum", {"momentum": 0.0}),
            ("beta", {"beta": 0.83, "interval": 1}),
            ("damping", {"damping": 2.385, "interval": 3}),
            ("adamw", {"adamw_lr": 0.37, "adamw_beta1": 0.7, "adamw_beta2": 0.95, "adamw_eps": 1e-3,
                       "adamw_weight_decay": 0.37}),
            ("max_dim", {"max_dim": 11})]):
        # Steps that a norm constraint leaves alone, and no longer than float32 can follow.
        c["options"].update({"kl_clip": 0.0, "damping": c["options"].get("damping", 1.71),
                             "interval": c["options"].get("interval", 5)})
        c["sizes"] = [size for size in c["sizes"] if size[1] < 1000]
        yield c
    more = {"lr": 0.0031, "kl_clip": 0.0, "damping": 1.71, "interval": 9}
    yield case("roles", {**more, "weight_decay": 0.21, "adamw_weight_decay": 0.0}, FEW, roles=ROLES)
    yield case("big", more, [(65, 283), (271, 37)])


def tigermuon_cases():
    base = {"lr": 0.0091, "weight_decay": 0.37, "ns_format": "fp32"}
    yield case("matrix", base)
    yield case("no_decay", {**base, "weight_decay": 0.0})
    yield case("roles", base, roles=ROLES)
    yield case("every", {**base, "period": 1}, FEW)
    yield case("third", {**base, "period": 3, "beta": 0.7, "ns_steps": 3}, FEW)
    yield case("max_dim", {**base, "max_dim": 11}, FEW)
    yield case("dense", {**base, "embedding_update": "dense", "bias_lr": 0.13}, FEW, roles=ROLES)
    yield case("row_rms", {**base, "embedding_rms": "row"}, FEW, roles=["embedding", "matrix"])
    yield case("coupled", {**base, "decay": "coupled"}, FEW, roles=ROLES)
    yield case("floor", {**base, "rms_floor": 0.9}, FEW)
    yield case("maximize", {**base, "maximize": 1}, FEW, roles=ROLES)
    yield case("anneal", base, FEW, anneal=1, roles=ROLES)
    yield case("gaps", base, FEW, gaps=1)
    yield case("micro_steps", base, FEW, roles=ROLES, micro=3)
    yield case("guard", base, FEW, roles=["matrix", "gain", "matrix", "embedding"], micro=3, bad=1)
    yield case("big", base, [(65, 1031), (291, 37)])


CASES = {
    "sgd": sgd_cases,
    "adagrad": adagrad_cases,
    "rmsprop": rmsprop_cases,
    "adadelta": adadelta_cases,
    "adam": adam_cases,
    "adamw": adam_cases,
    "amsgrad": lambda: element_wise(0.0117, [("betas", {"beta1": 0.7, "beta2": 0.9}), ("off", {"amsgrad": 0})]),
    "adamax": adamax_cases,
    "nadam": nadam_cases,
    "radam": radam_cases,
    "asgd": asgd_cases,
    "rprop": rprop_cases,
    "signsgd": lambda: element_wise(0.0091),
    "lion": lambda: element_wise(0.0091, [("betas", {"beta1": 0.95, "beta2": 0.8}), ("equal_betas", {"beta2": 0.9})]),
    "signum": lambda: element_wise(0.0091, [("beta", {"beta": 0.965}), ("beta_zero", {"beta": 0.0})]),
    "tiger": tiger_cases,
    "lars": lars_cases,
    "lamb": lamb_cases,
    "adafactor": adafactor_cases,
    "amos": amos_cases,
    "sophia": sophia_cases,
    "muon": muon_cases,
    "tigermuon": tigermuon_cases,
    "shampoo": shampoo_cases,
    "soap": soap_cases,
    "kfac": kfac_cases,
}


def checkpoint(a):
    a = a.reshape(-1)
    n = a.size
    at = range(n) if n <= 8 else sorted({i * n // 6 for i in range(6)} | {n - 1})
    weighted = a * (1 + np.arange(n) % 7)
    sums = [weighted[i:i + CHUNK].sum() for i in range(0, n, CHUNK)]
    return [(i, a[i]) for i in at], sums


def text_of(rule):
    lines = ["# Made by tests/oracle/optimizers.py; see there for what it holds."]
    for c in CASES[rule]():
        lines.append(f"case {c['name']} micro {c.get('micro', 1)} gaps {c.get('gaps', 0)} anneal {c.get('anneal', 0)} "
                     f"bad {c.get('bad', 0)}")
        lines += [f"option {name} {value}" for name, value in c["options"].items()]
        roles = c.get("roles", ["matrix"])
        for index, shape in enumerate(c["sizes"]):
            role = roles[index % len(roles)]
            seed, w = tensor_of(rule, c, index, shape, role)
            lines.append(f"tensor {shape[0]} {shape[1]} {role} seed {seed} states {len(w.s)}")
            for a in [w.x] + w.s:
                at, sums = checkpoint(a)
                lines.append(f"values {len(at)} " + " ".join(f"{i}:{v:.9g}" for i, v in at))
                lines.append(f"sums {len(sums)} " + " ".join(f"{v:.10g}" for v in sums))
    return "\n".join(lines) + "\nend\n"


def same(a, b):
    """Equal texts, but for the last digits of numbers."""
    x, y = a.replace(":", " ").split(), b.replace(":", " ").split()
    if len(x) != len(y):
        return False
    for p, q in zip(x, y):
        if p != q:
            try:
                if abs(float(p) - float(q)) > 1e-7 * (abs(float(p)) + 1e-3):
                    return False
            except ValueError:
                return False
    return True


def main(args):
    if args[1:2] == ["peers"] and len(args) == 2:
        import peers
        return peers.main()
    wanted = args[3:] or list(CASES)
    usage.check_words(__doc__, "word", args[1:2], ("write", "verify", "peers"))
    usage.check_count(__doc__, 2, 2 + len(CASES))
    usage.check_words(__doc__, "rule", wanted, CASES)
    wrong = 0
    for rule in wanted:
        path = os.path.join(args[2], rule + ".txt")
        text = text_of(rule)
        if args[1] == "write":
            with open(path, "w", encoding="ascii") as f:
                f.write(text)
        else:
            with open(path, encoding="ascii") as f:
                good = same(text, f.read())
            print(f"{path}: {'same' if good else 'DIFFERS'}")
            wrong += not good
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
