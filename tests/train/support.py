"""Shared by the tests of whole trainings: a text made by a fixed recurrence, and ways to run the command."""
import hashlib
import json
import os
import subprocess

WORDS = ("the of and a to in he have it that for they with as not on she at by this we you do but from or which one "
         "would all will there say who make when can more if no man out other so what time up go about than into could "
         "state only new year some take come these know see use get like then first any work now may such give over").split()


def write_text(path, count=20000, state=2385):
    """`count` words, each from a linear congruential generator: enough structure to learn, no file to ship."""
    out = []
    for i in range(count):
        state = (state * 1103515245 + 12345) % 2**31
        out.append(WORDS[(state >> 16) % len(WORDS)])
        if i % 11 == 10:
            out.append(".\n")
    with open(path, "w", encoding="ascii") as file:
        file.write(" ".join(out))


def flags(data, out, **options):
    words = ["train", "--data", data, "--out", out]
    for name, value in options.items():
        words += ["--" + name.replace("_", "-")] + ([] if value is True else [str(value)])
    return words


def run(tiger, words, **keywords):
    """The finished process; its output is captured as text."""
    return subprocess.run([tiger] + words, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False, **keywords)


def must(tiger, words):
    done = run(tiger, words)
    if done.returncode != 0:
        raise SystemExit(f"tiger {' '.join(words)}\nexit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def newest_checkpoint(out):
    names = sorted(n for n in os.listdir(out) if n.startswith("checkpoint-"))
    return os.path.join(out, names[-1])


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def final_bits(out):
    """Digests of weights, states, the best model, and the losses, samples and events of metrics.jsonl: what must not depend
    on how the run went."""
    checkpoint = newest_checkpoint(out)
    with open(os.path.join(out, "metrics.jsonl"), encoding="ascii") as file:
        lines = [json.loads(line) for line in file]
    losses = [(l["update"], l.get("loss"), l.get("validation_loss"), l.get("event"), l.get("sample")) for l in lines]
    best = os.path.join(out, "best", "model.safetensors")
    return (digest(best) if os.path.exists(best) else None,
            digest(os.path.join(checkpoint, "model.safetensors")), digest(os.path.join(checkpoint, "optimizer.safetensors")),
            losses)


def peak_bytes(tiger, words):
    """Resident memory of one run at its highest, from the kernel's own account of the finished child."""
    pid = os.fork()
    if pid == 0:
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        os.execv(tiger, [tiger] + words)
    _, status, usage = os.wait4(pid, 0)
    if status != 0:
        raise SystemExit(f"tiger {' '.join(words)} failed")
    return usage.ru_maxrss * 1024
