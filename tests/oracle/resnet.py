#!/usr/bin/env python3
"""The model resnet against the same network of PyTorch: files, logits, gradients, running statistics.

    python3 resnet.py LOGITS TIGER

The network is a torch.nn.Module with the names of torchvision, which loads the engine's files as they are and whose files
the engine loads. Both must give the same logits; and with all samples in one batch both must go the same way over some
updates of SGD, which is what gradients and running statistics are seen by. Needs torch, numpy and safetensors.
"""
import json
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import usage

usage.check_count(__doc__, 2, 2)
LOGITS, TIGER = (str(Path(program).resolve()) for program in sys.argv[1:3])
SAMPLES, CLASSES, UPDATES = 24, 5, 4
LOGITS_TOLERANCE = 1e-4  # of the largest logit
LOSS_TOLERANCE = 2e-5
WAY_TOLERANCE = 2e-3     # of the way that a weight has gone since the first checkpoint, in norm
LEAST_WAY = 1e-5         # what a norm follows has no use for a bias
wrong = []


class PerPlace(nn.Module):
    """A norm over the channels of each place."""

    def __init__(self, channels, eps, centred):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(channels)), eps
        self.bias = nn.Parameter(torch.zeros(channels)) if centred else None

    def forward(self, x):
        x = x.permute(0, 2, 3, 1)
        if self.bias is not None:
            x = nn.functional.layer_norm(x, x.shape[-1:], self.weight, self.bias, self.eps)
        else:
            x = x / (x.square().mean(-1, keepdim=True) + self.eps).sqrt() * self.weight
        return x.permute(0, 3, 1, 2)


def norm_of(config, channels):
    eps = config["norm_eps"]
    return {"none": lambda: nn.Identity(), "layer": lambda: PerPlace(channels, eps, True),
            "rms": lambda: PerPlace(channels, eps, False), "batch": lambda: nn.BatchNorm2d(channels, eps),
            "group": lambda: nn.GroupNorm(config["groups"], channels, eps),
            "instance": lambda: nn.GroupNorm(channels, channels, eps)}[config["norm"]]()


def conv(config, fan_in, out, kernel, stride):
    return nn.Conv2d(fan_in, out, kernel, stride, kernel // 2, bias=config["norm"] == "none")


class Zeros(nn.Module):
    """The shortcut of option A: every second place, and zeros behind its channels."""

    def __init__(self, channels):
        super().__init__()
        self.channels = channels

    def forward(self, x):
        return nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, self.channels))


class Block(nn.Module):
    def __init__(self, config, fan_in, out):
        super().__init__()
        stride = 1 if fan_in == out else 2
        self.act = getattr(nn.functional, config["activation"])
        self.conv1, self.bn1 = conv(config, fan_in, out, 3, stride), norm_of(config, out)
        self.conv2, self.bn2 = conv(config, out, out, 3, 1), norm_of(config, out)
        self.downsample = nn.Sequential()
        if stride == 2 and config["shortcut"] == "zeros":
            self.downsample = Zeros(out - fan_in)
        elif stride == 2:
            self.downsample = nn.Sequential(conv(config, fan_in, out, 1, stride), norm_of(config, out))

    def forward(self, x):
        y = self.act(self.bn1(self.conv1(x)))
        return self.act(self.downsample(x) + self.bn2(self.conv2(y)))


class Network(nn.Module):
    def __init__(self, config):
        super().__init__()
        width, blocks = config["width"], (config["depth"] - 2) // 6
        self.act = getattr(nn.functional, config["activation"])
        self.conv1, self.bn1 = conv(config, config["channels"], width, 3, 1), norm_of(config, width)
        for stage, out in enumerate((width, 2 * width, 4 * width), 1):
            fan_in = width if stage == 1 else out // 2
            setattr(self, f"layer{stage}", nn.Sequential(*(Block(config, fan_in if i == 0 else out, out)
                                                           for i in range(blocks))))
        self.fc = nn.Linear(4 * width, config["outputs"])

    def forward(self, x):
        x = self.act(self.bn1(self.conv1(x)))
        return self.fc(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))


def read(folder):
    """The network of a directory; every name and shape must fit, but for what counts batches."""
    network = Network(json.loads((folder / "config.json").read_text()))
    missing, unexpected = network.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    if unexpected or any(not name.endswith("num_batches_tracked") for name in missing):
        wrong.append(f"{folder}: missing {missing}, unexpected {unexpected}")
    return network.double()


# ---- logits, and files both ways ----

def same_logits(name, folder, model, network, shape, chance):
    x = chance.normal(0.2, 1.3, (SAMPLES, *shape)).astype(np.float32)
    (folder / "x").write_bytes(x.tobytes())
    out = subprocess.run([LOGITS, "samples", model, folder / "x"], capture_output=True, text=True, check=True).stdout
    got = np.array([[float(v) for v in line.split()] for line in out.splitlines()])
    wanted = network.eval()(torch.tensor(x).double()).detach().numpy()
    gap = np.abs(got - wanted).max() / np.abs(wanted).max()
    if not (got.shape == wanted.shape and gap <= LOGITS_TOLERANCE):
        wrong.append(f"{name}: logits are {gap:.1e} off")


def files(name, flags, shape, chance):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        sizes = ["channels", shape[0], "rows", shape[1], "cols", shape[2], "outputs", CLASSES]
        model, theirs, back = folder / "model", folder / "theirs", folder / "back"
        model.mkdir()
        subprocess.run([LOGITS, "create", model, "resnet", "F32", "7", *flags, *map(str, sizes)], check=True)
        network = read(model)
        same_logits(name, folder, model, network, shape, chance)
        theirs.mkdir()
        (theirs / "config.json").write_text((model / "config.json").read_text())
        save_file(network.float().state_dict(), theirs / "model.safetensors")
        subprocess.run([LOGITS, "copy", theirs, back], check=True)
        if (back / "model.safetensors").read_bytes() != (model / "model.safetensors").read_bytes():
            wrong.append(f"{name}: what PyTorch wrote comes back as another file")


# ---- training ----

def write_images(folder, shape, chance):
    labels = chance.integers(0, CLASSES, SAMPLES)
    pixels = chance.integers(0, 200, (SAMPLES, *shape))
    pixels[np.arange(SAMPLES), 0, labels % shape[1], labels] += 50
    for name, array in (("images", pixels), ("labels", labels)):
        head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
        (folder / name).write_bytes(head + array.astype(np.uint8).tobytes())
    return pixels.astype(float), labels


def training(name, flags, shape, chance):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        x, y = write_images(folder, shape, chance)
        command = [TIGER, "train", "--model", "resnet", *(f"--{f}" if i % 2 == 0 else f for i, f in enumerate(flags)),
                   "--data", "images", "--labels", "labels", "--out", "run", "--lr", "0.05", "--batch", str(SAMPLES),
                   "--validation", "0", "--updates", str(UPDATES), "--save-every", "1", "--keep", "100", "--log-every",
                   "1", "--schedule", "constant", "--threads", "2", "--peak", "off", "--optimizer", "sgd"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
        if done.returncode != 0:
            wrong.append(f"{name}: {done.stderr.strip()}")
            return
        x = torch.tensor((x - x.mean((0, 2, 3), keepdims=True)) / x.std((0, 2, 3), keepdims=True))
        seen = {row["update"]: row["loss"] for row in map(json.loads, (folder / "run/metrics.jsonl").read_text().splitlines())
                if "loss" in row}
        network = read(folder / "run" / f"checkpoint-{1:08}").train()
        begin = {k: v.clone() for k, v in network.state_dict().items()}
        optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
        for update in range(2, UPDATES + 1):
            loss = nn.functional.cross_entropy(network(x), torch.tensor(y))
            if not abs(seen[update] - loss.item()) <= LOSS_TOLERANCE * loss.item():
                wrong.append(f"{name}: loss of update {update} is {seen[update]} instead of {loss.item()}")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        end = read(folder / "run" / f"checkpoint-{UPDATES:08}").state_dict()
        for key, value in network.state_dict().items():
            if not value.is_floating_point():
                continue
            way, gap = (value - begin[key]).norm(), (value - end[key]).norm()
            if not gap <= WAY_TOLERANCE * max(way, LEAST_WAY * value.numel() ** 0.5):
                wrong.append(f"{name}: {key} is {gap / way:.1e} of its way off")


def main():
    torch.set_num_threads(2)
    chance = np.random.default_rng(2385)
    # Deep networks are smooth: of one with relu, some activation lies so near 0 that rounding decides where it goes.
    cases = [("batch", "20", "silu", (1, 11, 9), "projection"), ("group", "8", "silu", (3, 8, 7), "projection"),
             ("layer", "14", "gelu", (2, 7, 12), "projection"), ("instance", "8", "relu", (1, 20, 17), "projection"),
             ("rms", "8", "gelu", (3, 9, 9), "projection"), ("none", "8", "relu", (1, 7, 7), "projection"),
             ("batch", "8", "tanh", (3, 13, 6), "projection"), ("batch", "20", "silu", (3, 11, 9), "zeros"),
             ("none", "8", "tanh", (1, 8, 13), "zeros"), ("group", "14", "silu", (2, 7, 6), "zeros"),
             ("batch", "8", "relu", (2, 9, 8), "zeros")]
    for norm, depth, activation, shape, shortcut in cases:
        name = f"resnet-{depth} {norm} {activation} {shape} {shortcut}"
        flags = ["norm", norm, "depth", depth, "activation", activation, "width", "8", "groups", "4", "shortcut", shortcut]
        files(name, flags, shape, chance)
        training(name, flags, shape, chance)
    for line in wrong:
        print(line)
    print(f"{len(cases)} cases, {len(wrong)} differences")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
