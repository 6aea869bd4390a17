#!/usr/bin/env python3
"""tiger attack and adversarial training against PyTorch.

    python3 attack.py TIGER

Models of every kind are trained for a few updates and attacked without random starts: by FGSM and PGD, in both norms, with
and without a target class. The same steps in float64 must come to the same images and the same accuracy; a sign of a
gradient that is all but 0 may differ. With random starts what must hold of every attack is looked at: sizes, pixels that
exist, the same bits again and on other numbers of threads, eps 0. Of two classes told by linear scores the gradient's signs
do not depend on the image, so a step as long as the ball is wide comes to the same from any start: such a training is
followed update by update. Needs torch, numpy and safetensors.
"""
import json
import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

TIGER = str(Path(sys.argv[1]).resolve())
SAMPLES, CLASSES, UPDATES = 60, 4, 30
SIGNS = 2e-2         # share of the pixels that may differ: where relu bends, an image may go another way
NEAR = 2e-4          # of a pixel otherwise, in fp32 after some steps
WAY = 2e-3           # of the change of an image, in norm
LOSS_TOLERANCE = 2e-4
wrong = []


def expect(what, right, said):
    if not right:
        wrong.append(f"{what}: {said}")


def tiger(folder, *words, threads=2):
    done = subprocess.run([TIGER, *map(str, words)], capture_output=True, text=True, cwd=folder,
                          env={**os.environ, "OMP_NUM_THREADS": str(threads)})
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, words))}: {done.stderr.strip()}")
    return done.stdout


def write_images(folder, shape, classes, chance):
    labels = chance.integers(0, classes, SAMPLES)
    pixels = chance.integers(0, 256, (SAMPLES, *shape)) * chance.integers(0, 2, (SAMPLES, *shape))
    pixels[:, 0] = pixels[:, 0] // 3  # channels that differ in deviation
    pixels[np.arange(SAMPLES), 0, labels % shape[1], labels] = 200
    for name, array in (("images", pixels), ("labels", labels)):
        head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
        (folder / name).write_bytes(head + array.astype(np.uint8).tobytes())
    return torch.tensor(pixels, dtype=torch.float64) / 255, torch.tensor(labels)


# ---- the models in PyTorch ----

def normalise(config, w, name, x):
    eps = config.get("norm_eps", 1e-5)
    if config["norm"] == "batch":
        return nn.functional.batch_norm(x, w[f"{name}.running_mean"], w[f"{name}.running_var"], w[f"{name}.weight"],
                                        w[f"{name}.bias"], False, 0.1, eps)
    if config["norm"] == "group":
        return nn.functional.group_norm(x, config["groups"], w[f"{name}.weight"], w[f"{name}.bias"], eps)
    if config["norm"] == "layer":
        return nn.functional.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], eps)
    return x


def convolve(config, w, conv, norm, x, stride):
    kernel = w[f"{conv}.weight"]
    y = nn.functional.conv2d(x, kernel, w.get(f"{conv}.bias"), stride, kernel.shape[2] // 2)
    return normalise(config, w, norm, y)


def resnet(config, w, x):
    act = getattr(nn.functional, config["activation"])
    x = act(convolve(config, w, "conv1", "bn1", x, 1))
    for stage in range(1, 4):
        for i in range((config["depth"] - 2) // 6):
            name, stride = f"layer{stage}.{i}", 2 if stage > 1 and i == 0 else 1
            y = act(convolve(config, w, f"{name}.conv1", f"{name}.bn1", x, stride))
            y = convolve(config, w, f"{name}.conv2", f"{name}.bn2", y, 1)
            if stride == 2:
                x = convolve(config, w, f"{name}.downsample.0", f"{name}.downsample.1", x, 2)
            x = act(x + y)
    return x.mean((2, 3)) @ w["fc.weight"].T + w["fc.bias"]


def mlp(config, w, x):
    act = getattr(nn.functional, config["activation"])
    x = x.flatten(1)
    for i in range(config["layers"]):
        x = act(normalise(config, w, f"norms.{i}", x @ w[f"layers.{i}.weight"].T + w[f"layers.{i}.bias"]))
    return x @ w["output.weight"].T + w["output.bias"]


def logistic(config, w, x):
    return x.flatten(1) @ w["linear.weight"].T + w["linear.bias"]


class Model:
    def __init__(self, folder):
        self.config = json.loads((folder / "config.json").read_text())
        self.w = {k: v.double() for k, v in load_file(folder / "model.safetensors").items()}
        channels = json.loads((folder / "samples.json").read_text())["channels"]
        self.mean, self.std = (torch.tensor([c[key] for c in channels], dtype=torch.float64)[:, None, None] / 255
                               for key in ("mean", "std"))

    def __call__(self, pixels):
        kind = self.config["model_type"]
        return {"mlp": mlp, "logistic": logistic}.get(kind, resnet)(self.config, self.w, (pixels - self.mean) / self.std)


# ---- the attacks in PyTorch ----

def attack(model, clean, y, norm, eps, steps, step, target):
    x, target = clean.clone(), y if target is None else torch.full_like(y, target)
    ascend = 1 if target is y else -1
    for _ in range(steps):
        x.requires_grad_()
        g, = torch.autograd.grad(nn.functional.cross_entropy(model(x), target, reduction="sum"), x)
        x = x.detach()
        if norm == "linf":
            x = x + ascend * step * g.sign()
            x = torch.minimum(torch.maximum(x, clean - eps), clean + eps)
        else:
            x = x + ascend * step * g / g.flatten(1).norm(dim=1).clamp_min(1e-300)[:, None, None, None]
            away = (x - clean).flatten(1).norm(dim=1)[:, None, None, None]
            x = clean + (x - clean) * (eps / away.clamp_min(1e-300)).clamp_max(1)
        x = x.clamp(0, 1)
    return x


def compare(name, folder, model, clean, y, norm, eps, flags, steps, step, target):
    kept = torch.ones_like(y, dtype=torch.bool) if target is None else y != target
    clean, y = clean[kept], y[kept]
    named = [] if target is None else ["--target-class", target]
    tiger(folder, "attack", "model", "--data", "images", "--labels", "labels", "--norm", norm, "--eps", eps, "--batch", 17,
          "--save", "out.safetensors", "--json", "out.json", *flags, *named)
    got = load_file(folder / "out.safetensors")
    expect(name, torch.equal(got["clean"].double().mul(255).round(), clean.mul(255).round()), "clean images differ")
    wanted = attack(model, clean, y, norm, eps, steps, step, target)
    gap = (got["adversarial"].double() - wanted).abs()
    if norm == "linf":
        share = (gap > NEAR).double().mean().item()
        expect(name, share <= SIGNS, f"{share:.1e} of the pixels differ")
    else:
        share = (gap.flatten(1).norm(dim=1) / eps).max().item()
        expect(name, share <= WAY, f"an image differs by {share:.1e} of eps")
    before, after = model(clean).argmax(1), model(wanted).argmax(1)
    row = json.loads((folder / "out.json").read_text())["models"][0]
    right = ((before == y) & (after == y)).double().mean().item()
    expect(name, abs(row["rows"][0]["accuracy"] - right) < 1.5 / len(y), f"accuracy {row['rows'][0]['accuracy']}, {right}")
    expect(name, abs(row["clean_accuracy"] - (before == y).double().mean().item()) < 1.5 / len(y), "clean accuracy")
    loss = nn.functional.cross_entropy(model(wanted), y).item()
    expect(name, abs(row["rows"][0]["loss"] / loss - 1) < 5e-3, f"loss {row['rows'][0]['loss']} instead of {loss}")
    if target is not None:
        reached = (after == target).double().mean().item()
        expect(name, abs(row["rows"][0]["reached"] - reached) < 1.5 / len(y), "share that reached the target")


def attacks(name, folder, clean, y):
    model = Model(folder / "model")
    for norm, eps in (("linf", 0.07), ("l2", 0.9)):
        pgd = ["--method", "pgd", "--no-random-start", "--steps", 6, "--step", eps / 4]
        compare(f"{name} {norm} fgsm", folder, model, clean, y, norm, eps, ["--method", "fgsm"], 1, eps, None)
        compare(f"{name} {norm} pgd", folder, model, clean, y, norm, eps, pgd, 6, eps / 4, None)
        compare(f"{name} {norm} targeted", folder, model, clean, y, norm, eps, pgd, 6, eps / 4, 2)
        compare(f"{name} {norm} rule", folder, model, clean, y, norm, eps, pgd[:-2], 6, 2.5 * eps / 6, None)


# ---- what holds of every attack ----

def properties(name, folder, clean, threads):
    for norm, eps in (("linf", 0.061), ("l2", 0.83)):
        flags = ["attack", "model", "--data", "images", "--labels", "labels", "--norm", norm, "--steps", 3, "--restarts", 2,
                 "--batch", 23, "--save", "out.safetensors", "--json", "out.json"]
        tiger(folder, *flags, "--eps", f"0,{eps / 4},{eps}")
        table = (folder / "out.json").read_text()
        got, model = load_file(folder / "out.safetensors"), json.loads(table)["models"][0]
        change = (got["adversarial"].double() - got["clean"].double()).flatten(1)
        size = (change.abs().amax(1) if norm == "linf" else change.norm(dim=1)).max().item()
        rows = model["rows"]
        expect(f"{name} {norm}", 0.5 * eps < size <= eps * (1 + 1e-5), f"a change of {size}, within {eps}")
        expect(f"{name} {norm}", 0 <= got["adversarial"].min() and got["adversarial"].max() <= 1, "no pixels")
        expect(f"{name} {norm}", rows[0]["accuracy"] == model["clean_accuracy"], "eps 0 is not clean")
        expect(f"{name} {norm}", rows[0]["accuracy"] >= rows[1]["accuracy"] > rows[2]["accuracy"], f"rising: {rows}")
        first = (folder / "out.safetensors").read_bytes()
        for count in threads:
            tiger(folder, *flags, "--eps", f"0,{eps / 4},{eps}", threads=count)
            expect(f"{name} {norm}", (folder / "out.safetensors").read_bytes() == first and
                   (folder / "out.json").read_text() == table, f"other bits on {count} threads")
        tiger(folder, *flags, "--eps", eps, "--seed", 2)
        expect(f"{name} {norm}", (folder / "out.safetensors").read_bytes() != first, "the seed changes nothing")


# ---- adversarial training ----

def training(folder, chance):
    eps, lr, updates = 0.07, 0.05, 8
    clean, y = write_images(folder, (3, 5, 6), 2, chance)
    tiger(folder, "train", "--model", "logistic", "--data", "images", "--labels", "labels", "--out", "run", "--optimizer", "sgd",
          "--lr", lr, "--batch", SAMPLES, "--validation", 0, "--updates", updates, "--save-every", 1, "--keep", 100,
          "--log-every", 1, "--schedule", "constant", "--peak", "off", "--adversarial", eps, "--adversarial-steps", 1,
          "--adversarial-step", 1)
    model = Model(folder / "run" / "checkpoint-00000001")
    seen = {row["update"]: row["loss"] for row in map(json.loads, (folder / "run/metrics.jsonl").read_text().splitlines())
            if "loss" in row}
    for update in range(2, updates + 1):
        x = attack(model, clean, y, "linf", eps, 1, 1, None)
        for v in model.w.values():
            v.requires_grad_()
        loss = nn.functional.cross_entropy(model(x), y)
        gradient = torch.autograd.grad(loss, list(model.w.values()))
        model.w = {k: v.detach() - lr * g for (k, v), g in zip(model.w.items(), gradient)}
        expect("training", abs(seen[update] / loss.item() - 1) < LOSS_TOLERANCE,
               f"loss of update {update} is {seen[update]} instead of {loss.item()}")


def main():
    torch.set_num_threads(2)
    chance = np.random.default_rng(2385)
    cases = [("mlp", ["--activation", "gelu", "--norm", "layer", "--width", 24], (3, 6, 5)),
             ("mlp", ["--activation", "relu", "--norm", "batch", "--width", 32, "--dropout", 0.2], (1, 7, 8)),
             ("logistic", [], (3, 5, 6)),
             ("resnet", ["--depth", 8, "--width", 8], (3, 9, 8)),
             ("resnet", ["--depth", 8, "--width", 8, "--norm", "group", "--groups", 4, "--activation", "silu"], (1, 10, 9))]
    for kind, flags, shape in cases:
        name = " ".join(map(str, [kind, *flags, shape]))
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            clean, y = write_images(folder, shape, CLASSES, chance)
            tiger(folder, "train", "--model", kind, *flags, "--data", "images", "--labels", "labels", "--out", "run",
                  "--optimizer", "adamw", "--lr", 0.01, "--batch", 20, "--validation", 0, "--updates", UPDATES, "--peak", "off")
            (folder / "run" / f"checkpoint-{UPDATES:08}").rename(folder / "model")
            attacks(name, folder, clean, y)
            properties(name, folder, clean, [1, 2, 3])
    with tempfile.TemporaryDirectory() as folder:
        training(Path(folder), chance)
    for line in wrong:
        print(line)
    print(f"{len(cases)} models, {len(wrong)} differences")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
