#!/usr/bin/env python3
"""What 16 bits cost: the small recipe (see small_recipe.sh) under Tiger, in fp32 and in bf16 with each rounding.

    rounding.py FILE [--tiger COMMAND] [--jobs N] [--results FILE] [--updates N]
                [--seeds N] [--other-seeds N] [--lr X ...] [--ways NAME ...]

Every learning rate of --lr (the first is the main one) is run in every way of --ways, from seeds 1 to --seeds at the
main one and 1 to --other-seeds at the others; bias_lr is 5e-4 / lr, so that biases and norm gains move alike in all. A
run takes one thread and is the same bits whenever it is made, so the results are kept, a line each, in --results: what
stands there already is not run again, and a run that was stopped leaves nothing. Prints the table: means, and the means
and standard errors of the differences to fp32 from the same seed. --jobs 0 runs nothing and prints what there is.
"""
import argparse
import concurrent.futures
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading

WAYS = {  # name: flags, what it is
    "fp32": ("--precision fp32", "fp32 (8 bytes a parameter)"),
    "stochastic": ("--precision bf16", "bf16, stochastic (4 bytes)"),
    "weyl": ("--precision bf16 --rounding weyl", "bf16, weyl (4 bytes)"),
    "kahan": ("--precision bf16 --rounding kahan", "bf16, kahan (6 bytes)"),
    "nearest": ("--precision bf16 --rounding nearest", "bf16, nearest (4 bytes)"),
    # One cause at a time.
    "nudged": ("--precision fp32 --weight-decay 0.0100001", "fp32, weight decay 0.0100001"),
    "activations": ("--precision mixed", "bf16 activations"),
    "momentum": ("--precision mixed --state-format bf16", "bf16 activations and momentum"),
    "weights": ("--precision bf16 --state-format fp32", "bf16 activations and weights"),
}
TABLE = ["fp32", "stochastic", "weyl", "kahan", "nearest"]
RECIPE = ("--layers 4 --heads 4 --width 128 --context 64 --batch 12 --tokenizer char --dropout 0 --eval-batches 0 "
          "--threads 1 --optimizer tiger --beta 0.965 --weight-decay 0.01").split()
BIAS_STEP = 5e-4  # lr * bias_lr


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="the text")
    parser.add_argument("--tiger", default="build/tiger", help="the command (default %(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time; 0: only print (default %(default)s)")
    parser.add_argument("--results", default="rounding.jsonl", help="where results are kept (default %(default)s)")
    parser.add_argument("--updates", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--other-seeds", type=int, default=2)
    parser.add_argument("--lr", type=float, nargs="+", default=[1e-2, 3e-3, 1e-3, 3e-4, 1e-4])
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=TABLE, metavar="NAME",
                        help="of " + ", ".join(WAYS) + "; fp32 is always run (default " + " ".join(TABLE) + ")")
    args = parser.parse_args()
    if not os.access(args.tiger, os.X_OK):
        sys.exit(f"rounding.py: no command {args.tiger}: build it with ./run build, or name it with --tiger")
    if not os.access(args.file, os.R_OK):
        sys.exit(f"rounding.py: cannot read {args.file}")
    return args


def read_results(path):
    """Losses by (way, lr, seed, updates)."""
    results = {}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                r = json.loads(line)
                results[r["way"], r["lr"], r["seed"], r["updates"]] = r["loss"]
    return results


def train(args, way, lr, seed):
    """The validation loss after the last update."""
    out = tempfile.mkdtemp(prefix="rounding-")
    try:
        often = str(args.updates)
        flags = dict(zip(RECIPE[::2], RECIPE[1::2]))
        own = WAYS[way][0].split()
        flags.update(zip(own[::2], own[1::2]))
        flags.update({"--data": args.file, "--out": os.path.join(out, "run"), "--seed": str(seed),
                      "--lr": f"{lr:g}", "--bias-lr": f"{BIAS_STEP / lr:g}",
                      "--updates": often, "--eval-every": often, "--save-every": often})
        command = [args.tiger, "train"] + [word for pair in flags.items() for word in pair]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}:\n{done.stderr}")
        with open(os.path.join(out, "run", "metrics.jsonl"), encoding="utf-8") as lines:
            return [r["validation_loss"] for r in map(json.loads, lines) if "validation_loss" in r][-1]
    finally:
        shutil.rmtree(out, ignore_errors=True)


def seeds_at(args, lr):
    return range(1, 1 + (args.seeds if lr == args.lr[0] else args.other_seeds))


def run_missing(args, ways, results):
    lock = threading.Lock()

    def run(key):
        loss = train(args, *key)
        with lock, open(args.results, "a", encoding="utf-8") as lines:
            lines.write(json.dumps(dict(zip(("way", "lr", "seed"), key), updates=args.updates, loss=loss)) + "\n")
        results[(*key, args.updates)] = loss

    wanted = [(way, lr, seed) for lr in args.lr for seed in seeds_at(args, lr) for way in ways]
    missing = [key for key in wanted if (*key, args.updates) not in results]
    print(f"{len(wanted)} runs, {len(missing)} of them to make", file=sys.stderr)
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for run_ in [pool.submit(run, key) for key in missing]:
            run_.result()


def error_of(values):
    return f" ± {statistics.stdev(values) / len(values) ** 0.5:.4f}" if len(values) > 1 else ""


def print_table(args, ways, results):
    print("| lr | weights and states | seeds | mean loss | minus fp32 |\n| --- | --- | --- | --- | --- |")
    for lr in args.lr:
        for way in ways:
            pairs = [(results.get((way, lr, s, args.updates)), results.get(("fp32", lr, s, args.updates)))
                     for s in seeds_at(args, lr)]
            pairs = [(loss, whole) for loss, whole in pairs if loss is not None and whole is not None]
            if not pairs:
                continue
            losses, apart = [loss for loss, _ in pairs], [loss - whole for loss, whole in pairs]
            difference = "" if way == "fp32" else f"{statistics.mean(apart):+.4f}{error_of(apart)}"
            mean = f"{statistics.mean(losses):.4f}{error_of(losses)}"
            print(f"| {lr:g} | {WAYS[way][1]} | {len(pairs)} | {mean} | {difference} |")


def main():
    args = arguments()
    ways = ["fp32"] + [way for way in args.ways if way != "fp32"]
    results = read_results(args.results)
    try:
        if args.jobs > 0:
            run_missing(args, ways, results)
    except RuntimeError as error:
        sys.exit(f"rounding.py: {error}")
    print_table(args, ways, results)


if __name__ == "__main__":
    main()
