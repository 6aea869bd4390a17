#!/usr/bin/env python3
"""Event files of `tiger train --tensorboard`, opened by TensorBoard's own reader.

    tensorboard_events.py TIGER

A run is trained, ended in the middle of a record as a kill would, and resumed twice: what TensorBoard shows must be
metrics.jsonl, nothing of a dropped update among it, and statistics of every weight that agree with the checkpoints.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import usage

TINY = ["--layers", "2", "--heads", "2", "--width", "24", "--context", "20", "--batch", "3", "--threads", "2"]
SHARE_ERROR = 0.04  # of a statistic of 4096 values: five standard errors of a share of one half


def run(tiger, folder, *arguments):
    done = subprocess.run([tiger, "train", *map(str, arguments)], cwd=folder, capture_output=True, text=True,
                          env={**os.environ, "OMP_WAIT_POLICY": "passive"}, check=False)
    if done.returncode != 0:
        raise SystemExit(f"tiger train {arguments}\n{done.stdout}{done.stderr}")


def read(folder):
    seen = EventAccumulator(str(folder), size_guidance={"scalars": 0, "histograms": 0})
    seen.Reload()
    return seen


def check(good, what):
    if not good:
        raise SystemExit(f"{what}: wrong")


def check_numbers(seen, rows):
    """Every number of metrics.jsonl, and no other step."""
    for name in ("loss", "lr", "validation_loss", "tokens_per_second", "bits_per_byte", "mfu"):
        wanted = [(row["update"], np.float32(row[name])) for row in rows if name in row]
        got = [(e.step, np.float32(e.value)) for e in seen.Scalars(name)]
        check(wanted and got == wanted, f"scalars of {name}")
    wanted = [(row["update"], np.float32(row["value"])) for row in rows if row.get("event") == "loss_spike"]
    got = [(e.step, np.float32(e.value)) for e in seen.Scalars("event/loss_spike")]
    check(wanted and got == wanted, "events of the guard")


def check_weights(seen, before, after, update):
    """The statistics of one update beside two checkpoints that are one update apart; all values where there are few."""
    for name in before:
        tag, whole = f"transformer.{name}" if not name.startswith(("transformer.", "lm_head")) else name, before[name].size <= 4096
        x, y = before[name].astype(np.float64), after[name].astype(np.float64)
        value = {what: [e.value for e in seen.Scalars(f"{what}/{tag}") if e.step == update][0]
                 for what in ("weight_rms", "update_rms", "unmoved_share", "sign_flips", "momentum_rms")}
        slack = 1e-5 if whole else SHARE_ERROR
        check(abs(value["weight_rms"] / np.sqrt(np.mean(y * y)) - 1) < slack, f"weight_rms of {tag}")
        check(abs(value["unmoved_share"] - np.mean(x == y)) < slack, f"unmoved_share of {tag}")
        moved = np.sqrt(np.mean((y - x) ** 2))
        check(abs(value["update_rms"] - moved) <= slack * moved + 1e-12, f"update_rms of {tag}")
        check(0 <= value["sign_flips"] <= 1 and value["momentum_rms"] > 0, f"momentum of {tag}")
        h = [e.histogram_value for e in seen.Histograms(f"weights/{tag}") if e.step == update][0]
        check(h.num == min(y.size, 4096) and sum(h.bucket) == h.num and list(h.bucket_limit) == sorted(h.bucket_limit),
              f"histogram of {tag}")
        check(h.min >= y.min() and h.max <= y.max() and (not whole or (h.min == y.min() and h.max == y.max())),
              f"ends of the histogram of {tag}")


def main():
    usage.check_count(__doc__, 1, 1)
    tiger = str(Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        chance = np.random.default_rng(2385)
        words = "the lion and tiger lay down with a lamb in green pastures beside still waters".split()
        (folder / "text.txt").write_text("".join(" ".join(chance.choice(words, 9)) + ".\n" for _ in range(600)))
        # a wide vocabulary makes one tensor larger than the sample
        flags = ["--out", "run", *TINY, "--data", "text.txt", "--tokenizer", "byte", "--vocab", 400, "--precision", "bf16",
                 "--lr", "3e-2", "--bias-lr", "0.1", "--loss-guard", "0.3", "--log-every", 5, "--eval-every", 30, "--tensorboard",
                 "--tensorboard-every", 10, "--save-every", 1, "--keep", 1000, "--schedule", "constant"]
        run(tiger, folder, *flags, "--updates", 160)
        first = next((folder / "run").glob("events.out.tfevents.*"))
        with open(first, "r+b") as file:
            file.truncate(first.stat().st_size - 5)
        for update in range(141, 161):  # killed long after its last checkpoint
            shutil.rmtree(folder / f"run/checkpoint-{update:08d}")
        run(tiger, folder, "--out", "run", "--resume", "--updates", 170)
        shutil.rmtree(folder / "run/checkpoint-00000170")
        run(tiger, folder, "--out", "run", "--resume", "--updates", 190)
        check(len(list((folder / "run").glob("events.out.tfevents.*"))) == 3, "a file for every process")
        seen = read(folder / "run")
        rows = [json.loads(line) for line in (folder / "run/metrics.jsonl").read_text().splitlines()]
        check_numbers(seen, rows)
        steps = [e.step for e in seen.Scalars("weight_rms/transformer.wte.weight")]
        check(steps == list(range(10, 191, 10)), "steps of the statistics")
        for update in (10, 150, 190):
            check_weights(seen, *(load_file_bf16(folder / f"run/checkpoint-{u:08d}/model.safetensors")
                                  for u in (update - 1, update)), update)
        tags = seen.Tags()["scalars"]
        layers = [t.split("/", 1)[1] for t in tags if t.startswith("activation_std/")]
        check(len(layers) > 10 and all(f"activation_{what}/{l}" in tags for l in layers for what in ("mean", "dead")),
              "activations")
        norm = [e.value for e in seen.Scalars("activation_std/h.0.ln_1")]
        check(all(0.8 < v < 1.3 for v in norm), "a normalized activation's deviation")
    print(f"TensorBoard read {len(tags)} scalars, and what they say is true")


def load_file_bf16(path):
    """bf16 as fp32: NumPy has no such format."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    out = {}
    for name, about in json.loads(data[8:8 + size]).items():
        if name == "__metadata__":
            continue
        begin, end = (8 + size + at for at in about["data_offsets"])
        out[name] = (np.frombuffer(data[begin:end], np.uint16).astype(np.uint32) << 16).view(np.float32)
    return out


if __name__ == "__main__":
    main()
