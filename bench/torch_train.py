#!/usr/bin/env python3
"""The PyTorch peer: trains a GPT-2 shape on random tokens at PyTorch's best settings, and prints tokens/s and peak memory.

    torch_train.py [--shape gpt2|small] [--precision fp32|bf16] [--compile] [--updates N] [--threads N] [--malloc PATH|no]

gpt2: 12 layers, 12 heads, width 768, vocabulary 50304, batch 4, context 256. small: 4 layers, 4 heads, width 128,
vocabulary 65, batch 12, context 64. Fused AdamW, scaled_dot_product_attention, tied output. The script starts itself
again with OPENBLAS_* unset and with jemalloc or tcmalloc preloaded where one is installed. Needs torch.
"""
import argparse
import glob
import os
import resource
import statistics
import sys
import time

SHAPES = {  # layers, heads, width, vocabulary, batch, context
    "gpt2": (12, 12, 768, 50304, 4, 256),
    "small": (4, 4, 128, 65, 12, 64),
}


def find_malloc():
    for name in ("libjemalloc.so.2", "libtcmalloc_minimal.so.4", "libtcmalloc.so.4"):
        for path in glob.glob("/usr/lib/*/" + name) + glob.glob("/usr/lib/" + name) + glob.glob("/usr/lib64/" + name):
            return path
    return None


def start_again(malloc):
    """The environment a process must be born with."""
    if os.environ.get("TORCH_TRAIN_CLEAN") == "1":
        return
    env = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}
    env["TORCH_TRAIN_CLEAN"] = "1"
    path = find_malloc() if malloc is None else malloc
    if path not in (None, "no"):
        env["LD_PRELOAD"] = path
        env.setdefault("MALLOC_CONF", "oversize_threshold:1,background_thread:true,metadata_thp:auto,"
                                      "dirty_decay_ms:9000000000,muzzy_decay_ms:9000000000")
    os.execve(sys.executable, [sys.executable] + sys.argv, env)


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--shape", choices=SHAPES, default="gpt2")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="bf16")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--updates", type=int, default=12)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--malloc")
    return parser.parse_args()


def build(shape):
    import torch
    from torch import nn
    from torch.nn import functional

    layers, heads, width, vocabulary, _, context = SHAPES[shape]

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x):
            b, t, c = x.shape
            q, k, v = (p.view(b, t, heads, c // heads).transpose(1, 2) for p in self.qkv(self.norm1(x)).split(c, dim=2))
            a = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(a.transpose(1, 2).reshape(b, t, c))
            return x + self.down(functional.gelu(self.up(self.norm2(x)), approximate="tanh"))

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.token, self.position = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
            self.blocks = nn.ModuleList(Block() for _ in range(layers))
            self.norm = nn.LayerNorm(width)
            nn.init.normal_(self.token.weight, std=0.02)

        def forward(self, tokens, targets):
            x = self.token(tokens) + self.position.weight[: tokens.shape[1]]
            for block in self.blocks:
                x = block(x)
            logits = functional.linear(self.norm(x), self.token.weight)
            return functional.cross_entropy(logits.view(-1, vocabulary), targets.reshape(-1))

    torch.manual_seed(1)
    return Model()


def main():
    args = arguments()
    start_again(args.malloc)
    import torch

    torch.set_num_threads(args.threads)
    _, _, _, vocabulary, batch, context = SHAPES[args.shape]
    model = build(args.shape)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, fused=True)
    step = torch.compile(model) if args.compile else model
    times = {"forward": [], "backward": [], "optimizer": [], "all": []}
    losses = []
    for _ in range(args.updates):
        tokens = torch.randint(vocabulary, (batch, context + 1))
        t0 = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.precision == "bf16"):
            loss = step(tokens[:, :-1], tokens[:, 1:])
        t1 = time.perf_counter()
        loss.backward()
        t2 = time.perf_counter()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        t3 = time.perf_counter()
        losses.append(loss.item())
        for name, seconds in zip(times, (t1 - t0, t2 - t1, t3 - t2, t3 - t0)):
            times[name].append(seconds)
    median = {name: statistics.median(v[len(v) // 4:]) for name, v in times.items()}  # the first ones warm up
    parameters = sum(p.numel() for p in model.parameters())
    print(f"torch {torch.__version__} {args.shape} {args.precision} {'compiled' if args.compile else 'eager'}, "
          f"{args.threads} threads, {os.path.basename(os.environ.get('LD_PRELOAD', 'system malloc'))}: "
          f"{parameters / 1e6:.1f} M parameters, loss {losses[-1]:.3f}")
    print(f"  {batch * context / median['all']:.0f} tokens/s, {1 / median['all']:.2f} updates/s "
          f"(best {batch * context / min(times['all']):.0f} tokens/s); ms an update: "
          + ", ".join(f"{name} {1e3 * s:.1f}" for name, s in median.items()))
    print(f"  peak resident memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    main()
