#!/usr/bin/env python3
"""step() of tiger.torch's AdamW, AdamW8bit and folded Tiger beside torch.optim.AdamW's three ways, in turn in one process, medians.

    pip install ./python torch==2.13.0 && python bench/torch_optimizers.py [--threads N] [--repeats N] [--ways W,W]

Two cases: one tensor list of 124M parameters in GPT-2's shapes, and 2,000 tensors of 1,000 values. fp32, gradients in
.grad. `tiger unguarded` is without the look for NaN and Inf, which PyTorch does not do either. `Tiger folded` is the
optimizer Tiger on bf16 copies of the weights, whose gradients backward has put into the momentum before step() is timed.
`tiger 8bit` keeps AdamW's states in 8 bits; `torchao 8bit` does so with torchao.optim.AdamW8bit, which must be installed and
compiles itself for a minute: it is not among the ways unless --ways names it.
The table gives milliseconds, and for the large case GB/s of what an update must move per parameter: 28 bytes (weights and
two states read and written, the gradient read), 16 with states of 8 bits, 6 of Tiger folded (weights read and written, the
momentum read).
"""

import argparse
import statistics
import time

import torch

import tiger.torch

WIDTH, VOCABULARY, CONTEXT, LAYERS = 768, 50257, 1024, 12


def gpt2_shapes():
    block = [
        (WIDTH,),
        (WIDTH,),
        (3 * WIDTH, WIDTH),
        (3 * WIDTH,),
        (WIDTH, WIDTH),
        (WIDTH,),
        (WIDTH,),
        (WIDTH,),
        (4 * WIDTH, WIDTH),
        (4 * WIDTH,),
        (WIDTH, 4 * WIDTH),
        (WIDTH,),
    ]
    return [(VOCABULARY, WIDTH), (CONTEXT, WIDTH), *(LAYERS * block), (WIDTH,), (WIDTH,)]


def torchao_8bit(params):
    from torchao.optim import AdamW8bit

    return AdamW8bit(params)


FOLDED = "Tiger folded"
WAYS = {
    "tiger": tiger.torch.AdamW,
    "tiger unguarded": lambda p: tiger.torch.AdamW(p, nan_guard="off"),
    "tiger 8bit": lambda p: tiger.torch.AdamW8bit(p, nan_guard="off"),
    FOLDED: lambda p: tiger.torch.Tiger(p, gradients="folded"),
    "torch fused": lambda p: torch.optim.AdamW(p, fused=True),
    "torch foreach": lambda p: torch.optim.AdamW(p, foreach=True),
    "torch for-loop": lambda p: torch.optim.AdamW(p, foreach=False, fused=False),
    "torchao 8bit": torchao_8bit,
}
BYTES = {FOLDED: 6, "tiger 8bit": 16, "torchao 8bit": 16}  # a parameter; the others: 28
USUAL = [name for name in WAYS if name != "torchao 8bit"]


def measure(shapes, repeats, ways):
    """Medians of step() in seconds. All share weights and gradients, but FOLDED; each has states of its own."""
    params = [torch.nn.Parameter(0.02 * torch.randn(shape)) for shape in shapes]
    for p in params:
        p.grad = 1e-3 * torch.randn_like(p)
    halves, gradients = [], []
    if FOLDED in ways:
        halves = [torch.nn.Parameter(p.detach().bfloat16()) for p in params]
        gradients = [p.grad.bfloat16() for p in params]
    optimizers = {name: make(halves if name == FOLDED else params) for name, make in ways.items()}
    times = {name: [] for name in ways}
    for repeat in range(1 + repeats):  # the first makes the states
        for name, optimizer in optimizers.items():
            if name == FOLDED:
                torch.autograd.backward(halves, gradients)
            begin = time.perf_counter()
            optimizer.step()
            if repeat > 0:
                times[name].append(time.perf_counter() - begin)
    return {name: statistics.median(seconds) for name, seconds in times.items()}, sum(p.numel() for p in params)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--ways", default=",".join(USUAL), help="which of them, by commas; the default: all but torchao 8bit")
    args = parser.parse_args()
    ways = {name: WAYS[name] for name in args.ways.split(",")}
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    large, count = measure(gpt2_shapes(), args.repeats, ways)
    small, _ = measure([(1000,)] * 2000, 5 * args.repeats, ways)
    print(
        f"torch {torch.__version__}, tiger {tiger.__version__}, {args.threads} threads, medians of {args.repeats} and "
        f"{5 * args.repeats}"
    )
    print(f"{'step()':<18}{f'{count / 1e6:.0f}M ms':>12}{'GB/s':>8}{'2000 x 1000 ms':>16}")
    for name in ways:
        print(f"{name:<18}{1e3 * large[name]:>12.1f}{BYTES.get(name, 28) * count / large[name] / 1e9:>8.1f}{1e3 * small[name]:>16.2f}")


if __name__ == "__main__":
    main()
