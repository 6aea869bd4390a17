"""Every rule that PyTorch has, against torch.optim: 50 updates, weights and states, every boolean option."""
import pytest
import torch

import tiger.torch as tt
from support import RELATIVE, SHAPES, assert_close, give, gradients, tensors

UPDATES = 50

# class -> options that differ from case to case; weight_decay comes besides
CASES = {
    "SGD": [{}, {"momentum": 0.87}, {"momentum": 0.87, "dampening": 0.13}, {"momentum": 0.87, "nesterov": True}],
    "Adam": [{}, {"amsgrad": True}, {"decoupled_weight_decay": True}, {"betas": (0.83, 0.97), "eps": 1.7e-5}],
    "AdamW": [{}, {"amsgrad": True}, {"betas": (0.83, 0.97), "eps": 1.7e-5}],
}
LR = {"SGD": 3.1e-3, "Adam": 2.3e-3, "AdamW": 2.3e-3}


def cases():
    for name, variants in CASES.items():
        for options in variants:
            for decay in (0, 0.0371):
                for maximize in (False, True):
                    yield pytest.param(name, {**options, "weight_decay": decay, "maximize": maximize},
                                       id=f"{name}-{options}-{decay}-{maximize}")


def schedule(optimizer):
    warm = torch.optim.lr_scheduler.LinearLR(optimizer, 0.21, total_iters=7)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, UPDATES)
    return torch.optim.lr_scheduler.SequentialLR(optimizer, [warm, cosine], [7])


@pytest.mark.parametrize("name, options", list(cases()))
def test_follows_torch(name, options):
    ours, theirs = tensors(), tensors()
    a = getattr(tt, name)(ours, lr=LR[name], **options)
    b = getattr(torch.optim, name)(theirs, lr=LR[name], **options)
    schedules = schedule(a), schedule(b)
    grads = gradients()
    for _ in range(UPDATES):
        g = next(grads)
        give(ours, g)
        give(theirs, g)
        for optimizer, scheduler in zip((a, b), schedules):
            optimizer.step()
            scheduler.step()
    for p, q in zip(ours, theirs):
        assert_close(p.detach(), q.detach(), RELATIVE)
        if p.numel() > 0:
            for key, value in b.state[q].items():
                if value is not None:
                    assert_close(a.state[p][key], torch.as_tensor(value), RELATIVE)
    assert len(SHAPES) == len(ours)


@pytest.mark.parametrize("name", CASES)
def test_gradients_that_come_and_go(name):
    """A tensor without a gradient stays as it is, and its count of updates too."""
    ours, theirs = tensors(), tensors()
    a, b = getattr(tt, name)(ours, lr=LR[name]), getattr(torch.optim, name)(theirs, lr=LR[name])
    grads = gradients()
    for update in range(12):
        g = [None if (i + update) % 3 == 0 else g for i, g in enumerate(next(grads))]
        give(ours, g)
        give(theirs, g)
        a.step()
        b.step()
    for p, q in zip(ours, theirs):
        assert_close(p.detach(), q.detach())
