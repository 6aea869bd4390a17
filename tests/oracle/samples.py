#!/usr/bin/env python3
"""Models that learn from samples, against PyTorch: statistics, losses, trajectories of the weights, scores; and the
losses of torch.optim.LBFGS on a fixed batch; and the first step of natgrad, by its equations in float64.

    python3 samples.py TIGER

TIGER is the command. With all samples in one batch their order does not matter: from the first checkpoint on, PyTorch in
float64 must go the same way over the next updates of SGD, and come to the same losses on the way and to
the same accuracy, RMSE and R2 at the end. Needs torch, numpy and safetensors.
"""
import csv
import functools
import itertools
import json
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

import usage

usage.check_count(__doc__, 1, 1)
TIGER = str(Path(sys.argv[1]).resolve())
SAMPLES, UPDATES = 90, 12
LOSS_TOLERANCE = 2e-5   # relative: fp32 sums of a batch
WAY_TOLERANCE = 2e-3    # of the way that a weight has gone since the first checkpoint, in norm
ITERATIONS = 20
LBFGS_TOLERANCE = 5e-4  # of the loss: rounding in fp32 grows along the path, to 1.1e-4 where this was written;
LBFGS_LEAST = 1e-3      # or of this, below it
FISHER, DAMPING = 5, 0.3   # samples of natgrad's matrix; all their labels are tried
SEEDS = range(1, 13)
NATGRAD_TOLERANCE = 1e-4   # of the step
DRAW_TOLERANCE = 1e-2      # of squares that are solved for
DEVIATIONS = 3.5
LEAST_WAY = 1e-2        # a bias of standardised numbers goes nowhere
ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh, "silu": torch.nn.functional.silu,
               "gelu": torch.nn.functional.gelu, "gelu_tanh": lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
               "relu2": lambda x: torch.relu(x) ** 2}
wrong = []


def expect(what, got, wanted, tolerance):
    if not abs(got - wanted) <= tolerance * max(abs(wanted), 1e-6):
        wrong.append(f"{what}: {got!r} instead of {wanted!r}")


def expect_small(what, got, most):
    if not abs(got) <= most:
        wrong.append(f"{what}: {got!r}, {most} at most")


# ---- data ----

def write_table(path, chance, words):
    """A table of three columns and a target, and what is in it."""
    x = np.stack([chance.normal(3.7, 2.3, SAMPLES), chance.normal(-250, 40, SAMPLES), chance.random(SAMPLES) * 1e4], 1)
    y = 5 + 2 * x[:, 0] - 0.3 * x[:, 1] + 1e-3 * x[:, 2] + chance.normal(0, 3, SAMPLES)
    x, y = np.round(x, 3), np.round(y, 3)
    kinds = np.array(["ant", "bee", "cat"])[np.digitize(y, np.quantile(y, [0.3, 0.7]))]
    with open(path, "w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["a", "b, or c", "y", "d"])
        out.writerows([[*map(repr, map(float, row[:2])), kind if words else repr(float(value)), repr(float(row[2]))]
                       for row, value, kind in zip(x, y, kinds)])
    return x, np.searchsorted(np.unique(kinds), kinds) if words else y


def write_images(folder, chance):
    labels = chance.integers(0, 5, SAMPLES)
    pixels = chance.integers(0, 200, (SAMPLES, 4, 7))
    pixels[np.arange(SAMPLES), labels % 4, labels] += 50
    for name, array in (("images", pixels), ("labels", labels)):
        head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
        (folder / name).write_bytes(head + array.astype(np.uint8).tobytes())
    return pixels.reshape(SAMPLES, -1).astype(float), labels


# ---- the model in PyTorch ----

def forward(config, w, x):
    if config["model_type"] != "mlp":
        return x @ w["linear.weight"].T + w["linear.bias"]
    for i in range(config["layers"]):
        x = x @ w[f"layers.{i}.weight"].T + w[f"layers.{i}.bias"]
        if config["norm"] == "layer":
            x = torch.nn.functional.layer_norm(x, x.shape[-1:], w[f"norms.{i}.weight"], w[f"norms.{i}.bias"],
                                               config["norm_eps"])
        elif config["norm"] == "rms":
            x = x / (x.square().mean(-1, keepdim=True) + config["norm_eps"]).sqrt() * w[f"norms.{i}.weight"]
        elif config["norm"] == "group":
            x = torch.nn.functional.group_norm(x, config["groups"], w[f"norms.{i}.weight"], w[f"norms.{i}.bias"],
                                               config["norm_eps"])
        x = ACTIVATIONS[config["activation"]](x)
    return x @ w["output.weight"].T + w["output.bias"]


def loss_of(config, w, x, y):
    out = forward(config, w, x)
    if y.dtype == torch.long:
        return torch.nn.functional.cross_entropy(out, y), out
    return torch.nn.functional.mse_loss(out[:, 0], y), out


# ---- one case ----

def train(folder, data, out, *flags):
    command = [TIGER, "train", *data, "--out", out, *flags, "--batch", SAMPLES, "--validation", "0", "--save-every", "1",
               "--keep", "100", "--log-every", "1", "--threads", "2", "--peak", "off"]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, cwd=folder)
    if done.returncode != 0:
        wrong.append(f"{out.name}: {done.stderr.strip()}")
    return done.returncode == 0


def standardised(directory, x, y):
    """As the schema of the run has it, in float64."""
    schema = json.loads((directory / "samples.json").read_text())
    mean, std = ([x.mean()], [x.std()]) if schema["kind"] == "images" else (x.mean(0), x.std(0))
    numbers = "classes" not in schema["target"]
    return torch.tensor((x - mean) / std), torch.tensor((y - y.mean()) / y.std()) if numbers else torch.tensor(y)


def losses(folder):
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {row["update"]: row["loss"] for row in rows if "loss" in row}, rows


def check(name, folder, data, x, y, flags, lr):
    out = folder / "run"
    if not train(folder, data, out, *flags, "--lr", lr, "--updates", UPDATES, "--schedule", "constant", "--optimizer", "sgd"):
        return
    first, last = out / f"checkpoint-{1:08}", out / f"checkpoint-{UPDATES:08}"
    config = json.loads((first / "config.json").read_text())
    schema = json.loads((first / "samples.json").read_text())
    mean, std = ([x.mean()], [x.std()]) if schema["kind"] == "images" else (x.mean(0), x.std(0))
    for i, channel in enumerate(schema["channels"]):
        expect(f"{name}: mean", channel["mean"], mean[i], 1e-12)
        expect(f"{name}: std", channel["std"], std[i], 1e-12)
    x, target = standardised(first, x, y)
    numbers = target.dtype != torch.long
    begin = {k: v.double() for k, v in load_file(first / "model.safetensors").items()}
    w = {k: v.clone().requires_grad_() for k, v in begin.items()}
    optimizer = torch.optim.SGD(list(w.values()), lr=lr)
    seen, _ = losses(out)
    for update in range(2, UPDATES + 1):
        loss, _ = loss_of(config, w, x, target)
        expect(f"{name}: loss of update {update}", seen[update], loss.item(), LOSS_TOLERANCE)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for key, end in load_file(last / "model.safetensors").items():
        way = (w[key].detach() - begin[key]).norm()
        gap = (w[key].detach() - end.double()).norm()
        if not gap <= WAY_TOLERANCE * max(way, LEAST_WAY):
            wrong.append(f"{name}: {key} is {gap / way:.1e} of its way off")
    evaluated = subprocess.run([TIGER, "eval", str(last), *map(str, data[:4] if "--labels" in data else data[:2]), "--batch",
                                "37"], capture_output=True, text=True, cwd=folder, check=True).stdout
    scores = {line[:14].strip(): float(line[14:].split()[0]) for line in evaluated.splitlines()}
    loss, result = loss_of(config, {k: v.double() for k, v in load_file(last / "model.safetensors").items()}, x, target)
    expect(f"{name}: evaluated loss", scores["loss"], loss.item(), 1e-3)
    if numbers:
        expect(f"{name}: RMSE", scores["RMSE"], loss.item() ** 0.5 * y.std(), 1e-4)
        expect(f"{name}: R2", scores["R2"], 1 - loss.item(), 1e-4)
    else:
        expect(f"{name}: accuracy", scores["accuracy"], 100 * (result.argmax(1) == target).double().mean().item(), 1e-3)


def check_lbfgs(name, folder, data, x, y, flags):
    """From the weights of a run's only update: the same batch, the same losses after each iteration."""
    begin, out = folder / "begin", folder / "lbfgs"
    if not train(folder, data, begin, *flags, "--lr", 0.01, "--updates", 1, "--schedule", "constant", "--optimizer", "sgd"):
        return
    begin /= f"checkpoint-{1:08}"
    if not train(folder, data, out, "--init", begin, "--updates", ITERATIONS, "--optimizer", "lbfgs", "--line-search", "torch",
                 "--history-size", 100, "--closure", "fixed", "--tolerance-grad", 0, "--tolerance-change", 0):
        return
    config = json.loads((begin / "config.json").read_text())
    x, target = standardised(begin, x, y)
    w = {k: v.double().requires_grad_() for k, v in load_file(begin / "model.safetensors").items()}
    optimizer = torch.optim.LBFGS(list(w.values()), lr=1, max_iter=1, max_eval=100, tolerance_grad=0, tolerance_change=0,
                                  history_size=100, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss, _ = loss_of(config, w, x, target)
        loss.backward()
        return loss

    seen, _ = losses(out)
    for update in range(1, ITERATIONS + 1):
        optimizer.step(closure)
        loss = loss_of(config, w, x, target)[0].item()
        expect(f"{name}: loss after iteration {update}", seen.get(update, float("nan")), loss,
               LBFGS_TOLERANCE * max(1, LBFGS_LEAST / loss))


# ---- natural gradient ----

def flat(gradients):
    return torch.cat([g.reshape(-1) for g in gradients]).numpy()


def rows_of(config, w, x, kinds):
    """Of each of the first FISHER samples: the gradient for each label there may be; of a number (kinds None) that of
    what the model says."""
    for sample in range(FISHER):
        out = forward(config, w, x[sample:sample + 1])
        values = [out[0, 0]] if kinds is None else [torch.nn.functional.cross_entropy(out, torch.tensor([k]))
                                                    for k in range(kinds)]
        yield [flat(torch.autograd.grad(v, list(w.values()), retain_graph=True)) for v in values]


def off(step, d):
    """How far a step is from d, whatever length a line search has found."""
    along = d * (step @ d) / (d @ d)
    return np.linalg.norm(step - along) / np.linalg.norm(along) if step @ d > 0 else np.inf


def label_steps(g, rows):
    """-(R^T R + damping)^-1 g for every way in which labels may have been drawn."""
    for labels in itertools.product(range(len(rows[0])), repeat=FISHER):
        r = np.stack([rows[j][k] for j, k in enumerate(labels)]) / FISHER ** 0.5
        yield labels, np.linalg.solve(r.T @ r + DAMPING * np.eye(g.size), -g)


def number_step(name, step, g, rows):
    """The squares of what was drawn. A row is 2 e times the gradient v of the model's number, e drawn, so that a step of
    length t has (damping step + sum 4 e^2 / m v (v step)) / t = -g: linear in 1 / t and in e^2 / t."""
    columns = np.stack([DAMPING * step, *(4 / FISHER * v[0] * (v[0] @ step) for v in rows)], 1)
    found = np.linalg.lstsq(columns, -g, rcond=None)[0]
    squares = found[1:] / found[0]
    expect_small(f"{name}: what no draw explains", np.linalg.norm(columns @ found + g) / np.linalg.norm(g), NATGRAD_TOLERANCE)
    expect_small(f"{name}: squares of draws below 0", min(squares.min(), 0), DRAW_TOLERANCE)
    return squares


def check_natgrad(name, folder, data, x, y, flags):
    """Rows are the gradients of the first samples, by labels that are drawn: some way to draw them must give the step,
    and over many seeds they must come as often as the model says."""
    begin = folder / "begin"
    if not train(folder, data, begin, *flags, "--lr", 0.3, "--updates", 3, "--schedule", "constant", "--optimizer", "sgd"):
        return
    begin /= f"checkpoint-{3:08}"
    config = json.loads((begin / "config.json").read_text())
    x, target = standardised(begin, x, y)
    w = {k: v.double().requires_grad_() for k, v in load_file(begin / "model.safetensors").items()}
    loss, outputs = loss_of(config, w, x, target)
    g = flat(torch.autograd.grad(loss, list(w.values()), retain_graph=True))
    numbers = target.dtype != torch.long
    rows = list(rows_of(config, w, x, None if numbers else outputs.shape[1]))
    p = None if numbers else outputs.softmax(1).detach().numpy()[:FISHER]
    surprise, variance, squares = 0, 0, []
    for seed in SEEDS:
        out = folder / f"natgrad{seed}"
        if not train(folder, data, out, "--init", begin, "--updates", 1, "--optimizer", "natgrad", "--samples", FISHER,
                     "--damping", DAMPING, "--closure", "all", "--seed", seed):
            return
        after = load_file(out / f"checkpoint-{1:08}" / "model.safetensors")
        step = flat([after[k].double() - w[k].detach() for k in w])
        if numbers:
            squares.append(number_step(f"{name} {seed}", step, g, rows))
            continue
        gap, labels = min((off(step, d), labels) for labels, d in label_steps(g, rows))
        expect_small(f"{name} {seed}: the step's distance", gap, NATGRAD_TOLERANCE)
        drawn = np.array(labels) == 0
        surprise += (drawn - p[:, 0]).sum()
        variance += (p[:, 0] * (1 - p[:, 0])).sum()
    if numbers:  # a variance of 1/2 goes with the square as the loss
        expect_small(f"{name}: draws' mean square in standard deviations",
                     (np.mean(squares) - 0.5) * (np.size(squares) / 0.5) ** 0.5, DEVIATIONS)
    else:
        expect_small(f"{name}: the first label's count in standard deviations", surprise / variance ** 0.5, DEVIATIONS)


def main():
    torch.set_num_threads(2)
    mlp = ["--model", "mlp", "--width", "20", "--groups", "4"]
    cases = 0
    for activation in ACTIVATIONS:
        for norm in ("none", "layer", "rms", "group"):
            for kind in ("numbers", "words", "images"):
                if (activation, norm) not in (("relu", "none"), ("gelu", "layer"), ("tanh", "rms")) and kind != "words":
                    continue
                flags = [*mlp, "--activation", activation, "--norm", norm, "--layers", "1" if norm == "none" else "2"]
                cases += run(f"mlp {activation} {norm} {kind}", kind, flags, sgd(0.05))
    cases += run("linear", "numbers", ["--model", "linear"], sgd(0.1))
    cases += run("logistic words", "words", ["--model", "logistic"], sgd(0.3))
    cases += run("logistic images", "images", ["--model", "logistic"], sgd(0.1))
    for activation, norm, kind in (("tanh", "none", "words"), ("gelu", "layer", "images"), ("silu", "rms", "numbers")):
        cases += run(f"lbfgs mlp {activation} {norm} {kind}", kind, [*mlp, "--activation", activation, "--norm", norm], check_lbfgs)
    small = ["--model", "mlp", "--width", "5", "--activation", "tanh"]
    for kind in ("words", "numbers"):
        cases += run(f"natgrad mlp {kind}", kind, small, check_natgrad)
    for line in wrong:
        print(line)
    print(f"{cases} cases, {len(wrong)} differences")
    return 1 if wrong else 0


def sgd(lr):
    return functools.partial(check, lr=lr)


def run(name, kind, flags, judge):
    chance = np.random.default_rng(2385)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        if kind == "images":
            x, y = write_images(folder, chance)
            data = ["--data", "images", "--labels", "labels"]
        else:
            x, y = write_table(folder / "t.csv", chance, kind == "words")
            data = ["--data", "t.csv", "--target", "y"]
        judge(name, folder, data, x, y, flags)
    return 1


if __name__ == "__main__":
    sys.exit(main())
