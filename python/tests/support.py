"""What the tests share."""

from __future__ import annotations

import torch

# Sizes around every vector width, and shapes of more dimensions; 0-dimensional and empty too.
SHAPES = [
    (),
    (1,),
    (2,),
    (7,),
    (8,),
    (15,),
    (16,),
    (17,),
    (31,),
    (33,),
    (63,),
    (65,),
    (1000,),
    (0,),
    (3, 0),
    (13, 11),
    (5, 3, 2, 2),
    (1, 37),
    (29, 1),
    (70, 33),
]
RELATIVE = 2e-6  # of the tensor's largest value: two orders of the same fp32 operations


def tensors(shapes=SHAPES, seed=7, dtype=torch.float32):
    """Parameters with irregular values."""
    random = torch.Generator().manual_seed(seed)
    return [torch.nn.Parameter((0.3 * torch.randn(shape, generator=random) + 0.0123).to(dtype)) for shape in shapes]


def gradients(shapes=SHAPES, seed=11, dtype=torch.float32):
    random = torch.Generator().manual_seed(seed)
    while True:
        yield [torch.randn(shape, generator=random).to(dtype) * (1 + 0.7 * i) for i, shape in enumerate(shapes)]


def give(params, grads):
    for p, g in zip(params, grads):
        p.grad = None if g is None else g.clone()


def run(optimizer, params, updates, seed=11, dtype=torch.float32):
    source = gradients([p.shape for p in params], seed, dtype)
    for _ in range(updates):
        give(params, next(source))
        optimizer.step()


def distance(ours, theirs):
    """Largest difference, relative to the largest value."""
    if ours.numel() == 0:
        return 0.0
    most = theirs.double().abs().max().item()
    return (ours.double() - theirs.double()).abs().max().item() / max(most, 1e-30)


def assert_close(ours, theirs, bound=RELATIVE):
    assert ours.shape == theirs.shape
    assert distance(ours, theirs) <= bound


def same_bits(a, b):
    return a.shape == b.shape and a.dtype == b.dtype and torch.equal(a.detach().cpu(), b.detach().cpu())
