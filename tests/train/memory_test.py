"""Peak memory of trainings: it does not grow with the number of micro-batches, holds no gradient array, no second copy of a
model that is loaded and never all logits, and is what the plan said. Usage: memory_test.py TIGER"""
import os
import re
import sys
import tempfile

import support

# Large enough that weights and states outweigh the process itself: 43 M parameters.
OPTIONS = dict(tokenizer="byte", layers=6, heads=8, width=768, context=64, batch=1, updates=2, eval_every=0, eval_batches=1,
               save_every=0, precision="bf16")
PARAMETERS = 42.8e6
SLACK = 6 * 2**20  # of a plan: stacks and buffers, which count where little else does
SMALL = dict(layers=2, heads=3, width=192, batch=8, updates=12, precision="fp32")
SMALL_SHARE = 0.06  # of small models' plans, where libraries' buffers are a good part
UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def measure(tiger, folder, name, **options):
    words = support.flags(os.path.join(folder, "text"), os.path.join(folder, name), **{**OPTIONS, **options})
    return support.peak_bytes(tiger, words)


def planned_and_peak(tiger, folder, name, **options):
    words = support.flags(os.path.join(folder, "text"), os.path.join(folder, name), **{**OPTIONS, **options})
    text = support.must(tiger, words).stdout
    found = re.search(r"peak memory\s+([\d.]+) (\w+) \(planned ([\d.]+) (\w+)", text)
    if not found:
        raise SystemExit("no line 'peak memory ... (planned ...)' in:\n" + text)
    peak, planned = (float(found[i]) * UNITS[found[i + 1]] for i in (1, 3))
    return planned, peak


def check_plans(tiger, folder):
    files = dict(state_file=os.path.join(folder, "states"), weight_file=os.path.join(folder, "weights"))
    for name, options in (("tiger", dict()), ("adamw", dict(optimizer="adamw", precision="fp32")),
                          ("block", dict(recompute="block", batch=16)), ("sqrt", dict(recompute="sqrt", batch=16)),
                          ("mixed", dict(precision="mixed", batch=4)),
                          ("lbfgs", dict(optimizer="lbfgs", precision="fp32", history_size=2, width=384, updates=4,
                                         closure="fixed")),
                          ("released", dict(optimizer="adamw", gradients="released")),
                          ("state-file", dict(state_file=files["state_file"])), ("both-files", files)):
        planned, peak = planned_and_peak(tiger, folder, "plan-" + name, **options)
        print(f"{name}: planned {planned / 2**20:.1f} MiB, measured {peak / 2**20:.1f} MiB, "
              f"{100 * (planned / peak - 1):+.1f} %")
        if abs(planned - peak) > max(0.05 * peak, SLACK):
            raise SystemExit("the plan is more than 5 % off")
        if name == "both-files" and peak > 2 * PARAMETERS:
            raise SystemExit("weights and momentum in files are held in memory all the same")


def check_small_plans(tiger, folder):
    """What libraries take beside the work on matrices is in the plan."""
    known = support.must(tiger, ["list", "optimizers"]).stdout.split()
    for name in ("adamw", "natgrad", "lbfgs", "muon", "kfac", "soap", "shampoo"):
        if name not in known:  # a build without LAPACK
            continue
        planned, peak = planned_and_peak(tiger, folder, "small-" + name, **SMALL, optimizer=name)
        print(f"small {name}: planned {planned / 2**20:.1f} MiB, measured {peak / 2**20:.1f} MiB, "
              f"{100 * (planned / peak - 1):+.1f} %")
        if abs(planned - peak) > SMALL_SHARE * peak:
            raise SystemExit("the plan of a small model is off")


def check_loading(tiger, folder, fresh):
    """`fresh`: peak of a training in bf16 with fresh weights. From a file in fp32 it is no higher."""
    options = {k: v for k, v in OPTIONS.items() if k not in ("tokenizer", "layers", "heads", "width")}
    words = support.flags(os.path.join(folder, "text"), os.path.join(folder, "loaded"), init=os.path.join(folder, "plan-adamw"),
                          **options)
    peak = support.peak_bytes(tiger, words)
    print(f"loaded from fp32: {peak / 2**20:.1f} MiB, fresh {fresh / 2**20:.1f} MiB")
    if peak > 1.05 * fresh:
        raise SystemExit("loading a model takes more memory than training it")


def check_vocabulary(tiger, folder):
    """Logits of 1024 tokens over 100,000 are 391 MiB in fp32; weights and momentum are 98 MiB."""
    planned, peak = planned_and_peak(tiger, folder, "vocabulary", vocab=100000, width=128, heads=2, layers=1, tied="off",
                                     batch=16)
    print(f"vocabulary of 100000: {peak / 2**20:.1f} MiB, planned {planned / 2**20:.1f} MiB")
    if peak > 330 * 2**20:
        raise SystemExit("a large vocabulary takes more than its weights, its momentum and a chunk of logits")


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    tiger = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        support.write_text(os.path.join(folder, "text"))
        # 32 micro-batches each: what the C library's heap grows by in the first of them is in both.
        one = measure(tiger, folder, "k1", accumulate=1, updates=32)
        many = measure(tiger, folder, "k32", accumulate=32, updates=1)
        print(f"tiger bf16: {one / 2**20:.1f} MiB with accumulate=1, {many / 2**20:.1f} MiB with 32")
        if many > 1.01 * one:
            raise SystemExit("peak memory grew by more than 1 % with the number of micro-batches")
        buffered = measure(tiger, folder, "buffered", gradients="buffered")
        print(f"buffered gradients: {buffered / 2**20:.1f} MiB")
        if buffered - one < 3.5 * PARAMETERS:
            raise SystemExit("folding the gradients saves less than their array's size: is there one all the same?")
        check_plans(tiger, folder)
        check_small_plans(tiger, folder)
        check_loading(tiger, folder, one)
        check_vocabulary(tiger, folder)


main()
