#!/usr/bin/env python3
"""The models gau and gau_encoder against the same networks of PyTorch: files, logits, gradients.

    python3 gau.py LOGITS TIGER

The network is a torch.nn.Module written from the paper's equations (arXiv:2202.10447) with the names of the engine's files,
which it loads as they are and whose files the engine loads. Both must give the same logits, computed from the whole past and
with the cache of keys and values; and updates of SGD on a text that is one window long must go the same way, which is what
every gradient is seen by. Needs torch, numpy and safetensors.
"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

LOGITS, TIGER = (str(Path(program).resolve()) for program in sys.argv[1:3])
TOKENS = [5, 17, 0, 31, 2, 2, 58, 44, 9, 23, 60]
TOLERANCE = 1e-4      # of the largest logit
LOSS_TOLERANCE = 2e-5
WAY_TOLERANCE = 1e-3  # of the way that a weight has gone, in norm
UPDATES = 3
wrong = []


class Norm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, x):
        return x / (x.square().mean(-1, keepdim=True) + self.eps).sqrt() * self.weight


class ScaleOffset(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x):
        return x * self.weight + self.bias


def rotated(x, theta):
    """Pairs (i, i + D/2) of row t turned by t theta^(-2i/D), as complex numbers."""
    half = x.shape[-1] // 2
    angle = torch.arange(x.shape[-2], dtype=x.dtype)[:, None] * theta ** (-torch.arange(half, dtype=x.dtype) / half)
    turned = torch.complex(x[..., :half], x[..., half:]) * torch.polar(torch.ones_like(angle), angle)
    return torch.cat([turned.real, turned.imag], -1)


class Unit(nn.Module):
    def __init__(self, config):
        super().__init__()
        width, hidden, key = config["hidden_size"], config["intermediate_size"], config["attention_key_size"]
        self.config = config
        self.norm = Norm(width, config["rms_norm_eps"])
        self.u_proj, self.v_proj = nn.Linear(width, hidden, bias=False), nn.Linear(width, hidden, bias=False)
        self.z_proj, self.o_proj = nn.Linear(width, key, bias=False), nn.Linear(hidden, width, bias=False)
        self.q_scale, self.k_scale = ScaleOffset(key), ScaleOffset(key)

    def weights(self, scores):
        """Of the keys, for every query: causal, unless it is the encoder's."""
        seen = torch.ones(scores.shape[-2:], dtype=torch.bool)
        if self.config["model_type"] == "gau":
            seen = seen.tril()
        if self.config["attention"] == "softmax":
            return scores.masked_fill(~seen, -torch.inf).softmax(-1)
        return scores.relu().square() * seen / seen.sum(-1, keepdim=True)

    def forward(self, x):
        silu, n, theta = nn.functional.silu, self.norm(x), self.config["rope_theta"]
        u, v, z = silu(self.u_proj(n)), silu(self.v_proj(n)), silu(self.z_proj(n))
        q, k = rotated(self.q_scale(z), theta), rotated(self.k_scale(z), theta)
        scores = torch.einsum("bns,bms->bnm", q, k) / q.shape[-1] ** 0.5
        return x + self.o_proj(u * torch.einsum("bnm,bme->bne", self.weights(scores), v))


class Body(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.embed_tokens = nn.Embedding(config["vocab_size"], config["hidden_size"])
        self.layers = nn.ModuleList(Unit(config) for _ in range(config["num_hidden_layers"]))
        self.norm = Norm(config["hidden_size"], config["rms_norm_eps"])


class Network(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.model = Body(config)
        self.lm_head = None
        if not config["tie_word_embeddings"]:
            self.lm_head = nn.Linear(config["hidden_size"], config["vocab_size"], bias=False)

    def forward(self, tokens):
        x = self.model.embed_tokens(tokens)
        for unit in self.model.layers:
            x = unit(x)
        x = self.model.norm(x)
        return x @ self.model.embed_tokens.weight.T if self.lm_head is None else self.lm_head(x)


def read(folder):
    """The network of a directory in double; every name and shape must fit."""
    network = Network(json.loads((folder / "config.json").read_text()))
    network.load_state_dict(load_file(folder / "model.safetensors"))
    return network.double()


# ---- logits, and files both ways ----

def logits(name, folder, flags):
    model, theirs, back = folder / "model", folder / "theirs", folder / "back"
    model.mkdir()
    subprocess.run([LOGITS, "create", model, *flags.split()], check=True)
    network = read(model)
    wanted = network(torch.tensor([TOKENS]))[0].detach()
    for mode in ("full", "cached"):
        out = subprocess.run([LOGITS, mode, model, *map(str, TOKENS)], capture_output=True, text=True, check=True).stdout
        got = torch.tensor([[float(v) for v in line.split()] for line in out.splitlines()]).double()
        gap = float("inf") if got.shape != wanted.shape else ((got - wanted).abs().max() / wanted.abs().max()).item()
        if not gap <= TOLERANCE:
            wrong.append(f"{name}: {mode} logits are {gap:.1e} off")
    theirs.mkdir()
    (theirs / "config.json").write_text((model / "config.json").read_text())
    save_file(network.float().state_dict(), theirs / "model.safetensors")
    subprocess.run([LOGITS, "copy", theirs, back], check=True)
    if (back / "model.safetensors").read_bytes() != (model / "model.safetensors").read_bytes():
        wrong.append(f"{name}: what PyTorch wrote comes back as another file")


# ---- gradients ----

def training(name, folder, time, flags):
    """A text of one window: every sequence of every batch is the same."""
    chance = torch.Generator().manual_seed(2385)
    text = bytes(torch.randint(97, 123, (time + 1,), generator=chance).tolist())
    (folder / "text").write_bytes(text)
    command = [TIGER, "train", "--data", "text", "--out", "run", "--tokenizer", "byte", "--context", str(time), "--batch", "3",
               "--validation", "0", "--updates", str(UPDATES), "--save-every", "1", "--keep", "100", "--log-every", "1",
               "--schedule", "constant", "--threads", "2", "--peak", "off", "--optimizer", "sgd", "--lr", "0.3",
               "--init-std", "0.2", *flags.split()]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    if done.returncode != 0:
        wrong.append(f"{name}: {done.stderr.strip()}")
        return
    seen = {row["update"]: row["loss"] for row in map(json.loads, (folder / "run/metrics.jsonl").read_text().splitlines())
            if "loss" in row}
    tokens = torch.tensor([list(text)])
    for update in range(2, UPDATES + 1):
        network, end = (read(folder / "run" / f"checkpoint-{u:08}") for u in (update - 1, update))
        loss = nn.functional.cross_entropy(network(tokens[:, :-1])[0], tokens[0, 1:])
        loss.backward()
        if not abs(seen[update] - loss.item()) <= LOSS_TOLERANCE * loss.item():
            wrong.append(f"{name}: loss of update {update} is {seen[update]} instead of {loss.item()}")
        for (key, value), other in zip(network.named_parameters(), end.parameters()):
            way, gap = 0.3 * value.grad.norm(), (value - 0.3 * value.grad - other).norm()
            rounding = 1e-7 * value.norm()
            if not gap <= WAY_TOLERANCE * way + rounding or way < 10 * rounding:
                wrong.append(f"{name}: update {update}: {key} is {gap / way:.1e} of its way off")


def main():
    torch.set_num_threads(2)
    made = ["gau F32 11 vocab 61 layers 2 width 32 head_dim 16 context 16",
            "gau F32 12 vocab 66 layers 3 width 28 head_dim 10 hidden 40 context 12 tied 0 attention softmax eps 2e-4",
            "gau F32 13 vocab 61 layers 2 width 24 context 64 rope_theta 500 dropout 0.3",
            "gau_encoder F32 14 vocab 61 layers 2 width 32 head_dim 12 context 16",
            "gau_encoder F32 15 vocab 63 layers 3 width 20 head_dim 22 context 13 tied 0 attention softmax"]
    trained = [(11, "--model gau --layers 2 --width 24 --head-dim 16"),
               (11, "--model gau --layers 2 --width 24 --head-dim 16 --attention softmax --tied off"),
               (150, "--model gau --layers 2 --width 36 --hidden 50 --rope-theta 731.5"),
               (150, "--model gau --layers 3 --width 20 --head-dim 34 --attention softmax")]
    for flags in made:
        with tempfile.TemporaryDirectory() as folder:
            logits(flags, Path(folder), flags)
    for time, flags in trained:
        with tempfile.TemporaryDirectory() as folder:
            training(f"{time} tokens, {flags}", Path(folder), time, flags)
    for line in wrong:
        print(line)
    print(f"{len(made) + len(trained)} cases, {len(wrong)} differences")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
