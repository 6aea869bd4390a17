"""A training that is killed (SIGKILL) at random moments, 50 times and more, and resumed each time, ends in the same bits as
one that was left alone. Usage: kill_test.py TIGER [KILLS]"""
import os
import random
import signal
import subprocess
import sys
import tempfile
import time

import support

OPTIONS = dict(layers=2, heads=2, width=32, context=16, batch=4, updates=600, eval_every=50, save_every=10, keep=2,
               log_every=5, threads=2, lr="5e-3", schedule="warmup:20 > cosine:min=0.1", dropout=0.1)
VARIANTS = [dict(optimizer="tiger", precision="bf16", accumulate=2), dict(optimizer="adamw", precision="fp32"),
            dict(optimizer="tiger", precision="bf16", rounding="kahan", recompute="block", model="llama", dropout=0),
            dict(optimizer="adamw", precision="fp16", accumulate=2),
            dict(optimizer="tiger", precision="bf16", accumulate=2, loss_guard=1, sample_every=30, sample_tokens=5,
                 tensorboard=True, tensorboard_every=25)]


def killed_run(tiger, words, kills, seconds, rng):
    """Starts, kills, resumes; after `kills` kills lets it end. A run that ends before its kill is begun anew by the
    caller's loop with a shorter fuse: the number of kills counted is of runs that were really cut short."""
    done = 0
    while True:
        process = subprocess.Popen([tiger] + words + ["--resume"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                   stdin=subprocess.DEVNULL)
        if done < kills:
            time.sleep(rng.uniform(0.0, seconds))
            process.send_signal(signal.SIGKILL)
        error = process.communicate()[1].decode()
        if process.returncode == 0:
            return done
        if process.returncode != -signal.SIGKILL:
            raise SystemExit(f"exit {process.returncode} on resuming: {error}")
        done += 1


def check(tiger, folder, variant, kills, rng):
    data = os.path.join(folder, "text")
    options = {**OPTIONS, **variant}
    alone, cut = os.path.join(folder, "alone"), os.path.join(folder, "cut")
    started = time.monotonic()
    support.must(tiger, support.flags(data, alone, **options))
    seconds = time.monotonic() - started
    done = killed_run(tiger, support.flags(data, cut, **options), kills, max(0.05, 2.5 * seconds / kills), rng)
    if support.final_bits(alone) != support.final_bits(cut):
        raise SystemExit(f"{variant}: after {done} kills the run ended in other bits")
    left = [name for name in os.listdir(cut) if name.startswith(".")]
    if left:
        raise SystemExit(f"{variant}: temporary files are left: {left}")
    print(f"{variant}: {done} kills, same weights, states and losses")
    return done


def main():
    if len(sys.argv) not in (2, 3) or not sys.argv[-1].isdecimal() and len(sys.argv) == 3:
        raise SystemExit(__doc__)
    tiger, kills = os.path.abspath(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 50
    rng = random.Random(2385)
    with tempfile.TemporaryDirectory() as folder:
        support.write_text(os.path.join(folder, "text"))
        total, turn = 0, 0
        while total < kills:
            share = max(1, min(kills - total, (kills + len(VARIANTS) - 1) // len(VARIANTS)))
            sub = os.path.join(folder, str(turn))
            os.mkdir(sub)
            os.link(os.path.join(folder, "text"), os.path.join(sub, "text"))
            total += check(tiger, sub, VARIANTS[turn % len(VARIANTS)], share, rng)
            turn += 1
            if turn > 20:
                raise SystemExit(f"only {total} of {kills} kills hit a running training")
    print(f"{total} kills in all")


main()
