#!/usr/bin/env python3
"""libtiger's optimizers against torch.optim's, both in fp32: weights and states after 50 updates of the same gradients.

    python3 torch_optimizers.py OPTIMIZER_RUN [RULE]...

OPTIMIZER_RUN is the program built from optimizer_run.c. A rule that PyTorch ships is a line of RULES: its cases, each run
with and without decay, with maximize, and with a falling learning rate. What PyTorch offers must be ours under the same
name, with the same default, and be turned away from its default in some case. Needs torch and safetensors.
"""
import inspect
import os
import subprocess
import sys
import tempfile

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

import usage

UPDATES, SHAPE = 50, (33, 65)  # more than one block of the driver
TOLERANCE = 2e-6  # of a whole array relative to its RMS; and of each value, relative to it or to the RMS if that is larger
# Muon's products are in bf16, whose roundings are not in the same order: its tolerances are of the way that the weights have
# gone, for each value and for the whole.
WAY_TOLERANCE = {"muon": (0.05, 0.01)}
SHAPES = {"muon": [SHAPE, (65, 33)]}

# Our rule, PyTorch's class, what makes it this rule, and the cases, in PyTorch's names.
RULES = [
    ("sgd", "SGD", {}, [{}, {"momentum": 0.9}, {"momentum": 0.9, "dampening": 0.25}, {"momentum": 0.83, "nesterov": True}]),
    ("adagrad", "Adagrad", {}, [{}, {"lr_decay": 0.13, "eps": 0.031}, {"initial_accumulator_value": 0.73}]),
    ("rmsprop", "RMSprop", {}, [{}, {"alpha": 0.83, "eps": 0.013}, {"momentum": 0.9}, {"centered": True},
                                {"centered": True, "momentum": 0.83}]),
    ("adadelta", "Adadelta", {}, [{"lr": 1.37}, {"rho": 0.73, "eps": 0.0031}]),
    ("adam", "Adam", {}, [{}, {"betas": (0.7, 0.95), "eps": 1e-3}, {"amsgrad": True, "betas": (0.9, 0.9)}]),
    ("adamw", "AdamW", {}, [{}, {"betas": (0.7, 0.95), "eps": 1e-3}, {"amsgrad": True, "betas": (0.9, 0.9)}]),
    ("amsgrad", "Adam", {"amsgrad": True}, [{}, {"betas": (0.7, 0.9), "eps": 1e-3}]),
    ("adamax", "Adamax", {}, [{}, {"betas": (0.7, 0.83), "eps": 0.031}]),
    ("nadam", "NAdam", {}, [{}, {"betas": (0.7, 0.95), "eps": 1e-3}, {"momentum_decay": 0.37}]),
    ("radam", "RAdam", {}, [{}, {"betas": (0.7, 0.95), "eps": 1e-3}, {"betas": (0.9, 0.6)}]),
    ("asgd", "ASGD", {}, [{}, {"t0": 7, "lambd": 0.37, "alpha": 0.61}, {"t0": 11.5}]),
    ("adafactor", "Adafactor", {}, [{}, {"beta2_decay": -0.55, "d": 1.37}, {"lr": 0.5, "eps": (None, 0.9)}]),
    ("muon", "Muon", {}, [{}, {"momentum": 0.83, "nesterov": False, "lr": 0.02}, {"adjust_lr_fn": "match_rms_adamw"},
                          {"ns_coefficients": (2.0, -1.5, 0.5), "ns_steps": 7, "eps": 0.37}]),
    ("rprop", "Rprop", {}, [{}, {"etas": (0.37, 1.71)}, {"step_sizes": (0.0071, 0.0153)}]),
]
# Gradients that PyTorch gets as sparse tensors, and we as rows of an embedding.
SPARSE = [
    ("adagrad", "Adagrad", {}, [{}, {"lr_decay": 0.13, "initial_accumulator_value": 0.73}]),
]
# Classes that are no line above: another page holds them, or we have no such rule.
ELSEWHERE = {"LBFGS", "SparseAdam"}

PARTS = {"betas": ("beta1", "beta2"), "etas": ("etaminus", "etaplus"), "step_sizes": ("step_size_min", "step_size_max"),
         "ns_coefficients": ("ns_a", "ns_b", "ns_c")}
EPS = (None, "eps2")  # Adafactor's pair; the first is fp32's own, fixed with us
HOW = {"params", "foreach", "capturable", "differentiable", "fused"}  # how PyTorch computes, not what
OURS_ALONE = {"embedding_update", "ema", "ns_format", "max_dim", "adamw_lr", "adamw_beta1", "adamw_beta2", "adamw_eps",
              "adamw_weight_decay"}


def parameters(kind):
    found = dict(inspect.signature(getattr(torch.optim, kind).__init__).parameters)
    return {name: p.default for name, p in found.items() if name not in HOW | {"self"}}


def variants(kind, case):
    """(options, whether the learning rate falls)"""
    offered = parameters(kind)
    yield case, False
    if "maximize" in offered:
        yield {**case, "maximize": True}, True
    if "weight_decay" in offered:
        yield {**case, "weight_decay": 0.13}, True
        yield {**case, "weight_decay": 0.37, **({"maximize": True} if "maximize" in offered else {})}, False
        yield {**case, "weight_decay": 0.0}, False
    if "decoupled_weight_decay" in offered:
        yield {**case, "weight_decay": 0.37, "decoupled_weight_decay": True}, True


def ours_of(name, value):
    """Our names and values of one of PyTorch's options."""
    if not isinstance(value, tuple):
        return [(name, value)]
    return [(part, v) for part, v in zip(PARTS.get(name, EPS), value) if part is not None]


def our_options(options):
    """The same as words of our command line."""
    words = []
    for name, value in options.items():
        if name == "decoupled_weight_decay":
            words += ["decay", "decoupled" if value else "coupled"]
        elif isinstance(value, tuple):
            words += [w for part, v in ours_of(name, value) for w in (part, repr(v))]
        else:
            words += [name, ("on" if value else "off") if isinstance(value, bool) else str(value)]
    return words


def inputs(sparse, shape):
    rng = np.random.default_rng(2385)
    x = (rng.standard_normal(shape) * 0.5).astype(np.float32)
    g = (rng.standard_normal((UPDATES, *shape)) * rng.choice([2.385, 0.711, 0.107], (UPDATES, 1, 1))).astype(np.float32)
    g[:, :, 5::13] = 0
    if sparse:  # which rows have a gradient; each has one at some update
        g *= (rng.random((UPDATES, shape[0], 1)) < 0.3) | (np.arange(shape[0])[:, None] == np.arange(UPDATES)[:, None, None])
    return x, g


def falling(falls):
    return 1 / (1 + np.arange(UPDATES) / 16) if falls else np.ones(UPDATES)


def ours(program, directory, rule, options, x, g, factor, sparse):
    source, result = os.path.join(directory, "in"), os.path.join(directory, "out")
    save_file({"x": x, "g": g, "factor": factor}, source)
    role = "embedding" if sparse else "matrix"
    subprocess.run([program, rule, role, source, result, *our_options(options)], check=True)
    arrays = load_file(result)
    return {name.split("/")[-1]: a for name, a in arrays.items() if name == "x" or name.startswith("x/")}


def theirs(kind, options, x, g, factor, sparse):
    p = torch.nn.Parameter(torch.tensor(x))
    optimizer = getattr(torch.optim, kind)([p], **options)
    lr = optimizer.param_groups[0]["lr"]
    for u in range(UPDATES):
        p.grad = torch.tensor(g[u])
        if sparse:
            rows = torch.tensor(np.flatnonzero(g[u].any(axis=1)))[None]
            p.grad = torch.sparse_coo_tensor(rows, p.grad[rows[0]], p.shape)
        optimizer.param_groups[0]["lr"] = lr * factor[u]
        optimizer.step()
    states = {name: s.detach().numpy() for name, s in optimizer.state[p].items() if torch.is_tensor(s) and name != "step"}
    return {"x": p.detach().numpy(), **states}


def distances(a, b):
    """Of the value that is farthest off, and of the whole array."""
    a, b = np.asarray(a, np.float64).reshape(-1), np.asarray(b, np.float64).reshape(-1)
    if a.shape != b.shape or not np.isfinite(a).all():
        return np.inf, np.inf
    rms = np.sqrt(np.mean(b * b))
    size = np.maximum(np.abs(b), rms if rms > 0 else 1)
    return np.max(np.abs(a - b) / size), np.sqrt(np.mean((a - b) ** 2)) / (rms if rms > 0 else 1)


def check_names(program, rule, kind, fixed, cases):
    """Every parameter is ours under its name with its default, and some case moves it."""
    lines = subprocess.run([program, "describe", rule], check=True, capture_output=True, text=True).stdout.split("\n")
    have = {line.split()[1]: float(line.split()[2]) for line in lines if line}
    wrong, known = [], OURS_ALONE | {"weight_decay"}
    used = [options for case in cases for options, _ in variants(kind, {**fixed, **case})]
    for name, default in parameters(kind).items():
        default = fixed.get(name, default)
        if name not in fixed and name != "lr" and all(options.get(name, default) == default for options in used):
            wrong.append(f"no case moves {name}")
        if name in ("maximize", "decoupled_weight_decay"):
            continue  # common options of ours
        for part, value in ours_of(name, default):
            known.add(part)
            if part not in have or have[part] != float(value or 0):  # None: the first choice
                wrong.append(f"{part}: default {have.get(part)}, PyTorch's is {value}")
    wrong += [f"PyTorch has no {name}" for name in have if name not in known]
    for text in wrong:
        print(f"{rule} {kind}: {text}  WRONG")
    return len(wrong)


def check_rule(program, directory, rule, kind, fixed, cases, sparse):
    wrong = 0 if sparse else check_names(program, rule, kind, fixed, cases)
    for shape in SHAPES.get(rule, [SHAPE]):
        wrong += check_cases(program, directory, rule, kind, fixed, cases, sparse, shape)
    return wrong


def check_cases(program, directory, rule, kind, fixed, cases, sparse, shape):
    x, g = inputs(sparse, shape)
    wrong, worst, count = 0, {}, 0
    for case in cases:
        for options, falls in variants(kind, {**fixed, **case}):
            if sparse and options.get("weight_decay"):
                continue  # PyTorch has no decay with sparse gradients
            a = ours(program, directory, rule, options, x, g, falling(falls), sparse)
            b = theirs(kind, options, x, g, falling(falls), sparse)
            a.pop("row_updates", None)
            count += 1
            if set(a) != set(b):
                print(f"{rule} {options}: states {sorted(a)}, PyTorch's {sorted(b)}  WRONG")
                wrong += 1
            for name in set(a) & set(b):
                by_way = name == "x" and rule in WAY_TOLERANCE
                start, (of_each, of_all) = (x, WAY_TOLERANCE[rule]) if by_way else (0, (TOLERANCE, TOLERANCE))
                far, whole = distances(a[name] - start, b[name] - start)
                worst[name] = max(worst.get(name, 0), far)
                if not (far <= of_each and whole <= of_all):
                    print(f"{rule} {options}, lr {'falls' if falls else 'constant'}: {name} differs by {far:.1e}, in the mean "
                          f"by {whole:.1e}  WRONG")
                    wrong += 1
    print(f"{rule}{' sparse' if sparse else ''} {shape}: {count} cases, largest differences "
          + ", ".join(f"{name} {far:.1e}" for name, far in worst.items()))
    return wrong


def check_family():
    kinds = {name for name, kind in vars(torch.optim).items()
             if inspect.isclass(kind) and issubclass(kind, torch.optim.Optimizer) and kind is not torch.optim.Optimizer}
    missing = kinds - ELSEWHERE - {row[1] for row in RULES}
    if missing:
        print(f"no line for {sorted(missing)}  WRONG")
    return len(missing)


def main(arguments):
    usage.check_count(__doc__, 1, 1 + len(RULES))
    usage.check_words(__doc__, "rule", arguments[2:], [row[0] for row in RULES])
    torch.set_num_threads(1)
    torch.sparse.check_sparse_tensor_invariants.enable()
    wanted = set(arguments[2:])
    wrong = check_family()
    with tempfile.TemporaryDirectory() as directory:
        for sparse, table in ((False, RULES), (True, SPARSE)):
            for rule, kind, fixed, cases in table:
                if not wanted or rule in wanted:
                    wrong += check_rule(arguments[1], directory, rule, kind, fixed, cases, sparse)
    print(f"{wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
