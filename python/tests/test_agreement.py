"""Every rule that PyTorch has, against torch.optim: 50 updates, weights and states, every boolean option.

A value may differ from torch.optim's by 2e-6 of the tensor's largest. Where it differs by more, because differences of
nearly equal numbers are formed, torch.optim in float64 is the judge: ours must be as near to it as torch.optim in fp32.
"""

import copy

import pytest
import torch

import tiger.torch as tt
from support import RELATIVE, assert_close, distance, give, gradients, tensors

UPDATES = 50

# class -> options that differ from case to case; weight_decay comes besides
CASES = {
    "Adagrad": [{}, {"lr_decay": 0.013, "initial_accumulator_value": 0.37, "eps": 1.3e-5}],
    "RMSprop": [
        {},
        {"momentum": 0.83},
        {"centered": True, "alpha": 0.93},
        {"momentum": 0.83, "centered": True, "eps": 1.7e-5},
    ],
    "Adadelta": [{}, {"rho": 0.83, "eps": 1.7e-5}],
    "Adamax": [{}, {"betas": (0.83, 0.97), "eps": 1.7e-5}],
    "NAdam": [{}, {"decoupled_weight_decay": True, "momentum_decay": 0.023}, {"betas": (0.83, 0.97), "eps": 1.7e-5}],
    "RAdam": [{}, {"decoupled_weight_decay": True}, {"betas": (0.83, 0.97), "eps": 1.7e-5}],
    "ASGD": [{}, {"t0": 11.0, "lambd": 0.0023, "alpha": 0.67}],
    "Rprop": [{}, {"etas": (0.43, 1.37), "step_sizes": (1.3e-5, 0.71)}],
    "SGD": [{}, {"momentum": 0.87}, {"momentum": 0.87, "dampening": 0.13}, {"momentum": 0.87, "nesterov": True}],
    "Adam": [{}, {"amsgrad": True}, {"decoupled_weight_decay": True}, {"betas": (0.83, 0.97), "eps": 1.7e-5}],
    "AdamW": [{}, {"amsgrad": True}, {"betas": (0.83, 0.97), "eps": 1.7e-5}],
}
LR = {
    "SGD": 3.1e-3,
    "Adagrad": 1.3e-2,
    "RMSprop": 2.3e-3,
    "Adadelta": 0.83,
    "Adam": 2.3e-3,
    "AdamW": 2.3e-3,
    "Adamax": 2.3e-3,
    "NAdam": 2.3e-3,
    "RAdam": 2.3e-3,
    "ASGD": 3.1e-3,
    "Rprop": 2.3e-3,
}
NO_DECAY = {"Rprop"}  # torch.optim's has none


def cases():
    for name, variants in CASES.items():
        for options in variants:
            for decay in (0,) if name in NO_DECAY else (0, 0.0371):
                for maximize in (False, True):
                    yield pytest.param(
                        name,
                        {**options, **({"weight_decay": decay} if decay else {}), "maximize": maximize},
                        id=f"{name}-{options}-{decay}-{maximize}",
                    )


def schedule(optimizer):
    warm = torch.optim.lr_scheduler.LinearLR(optimizer, 0.21, total_iters=7)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, UPDATES)
    return torch.optim.lr_scheduler.SequentialLR(optimizer, [warm, cosine], [7])


@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize(
    "options", [{}, {"weight_decay": 0.0371, "d": 1.37, "eps": (None, 0.013), "beta2_decay": -0.71}], ids=str
)
def test_adafactor_follows_torch(options, maximize):
    """Up to two dimensions, where PyTorch's rows and columns are ours; and through checkpoints both ways."""
    shapes = [(), (1,), (7,), (65,), (1000,), (13, 11), (1, 37), (29, 1), (70, 33)]
    ours, theirs = tensors(shapes), tensors(shapes)
    options = {"lr": 0.023, "maximize": maximize, **options}
    a, b = tt.Adafactor(ours, **options), torch.optim.Adafactor(theirs, **options)
    schedules = schedule(a), schedule(b)
    grads = gradients(shapes)
    for update in range(UPDATES):
        g = next(grads)
        give(ours, g)
        give(theirs, g)
        for optimizer, scheduler in zip((a, b), schedules):
            optimizer.step()
            scheduler.step()
        if update == 20:  # they change places
            states = copy.deepcopy(a.state_dict()), copy.deepcopy(b.state_dict())
            b.load_state_dict(states[0])
            a.load_state_dict(states[1])
    exported = a.state_dict()["state"]
    for i, (p, q) in enumerate(zip(ours, theirs)):
        assert_close(p.detach(), q.detach(), RELATIVE)
        for key, value in b.state[q].items():
            assert_close(exported[i][key], torch.as_tensor(value), RELATIVE)


def assert_as_near(ours, theirs, exact):
    assert ours.shape == theirs.shape
    assert distance(ours, theirs) <= RELATIVE or distance(ours, exact) <= distance(theirs, exact)


@pytest.mark.parametrize("name, options", list(cases()))
def test_follows_torch(name, options):
    ours, theirs, exact = tensors(), tensors(), [torch.nn.Parameter(p.detach().double()) for p in tensors()]
    a = getattr(tt, name)(ours, lr=LR[name], **options)
    b = getattr(torch.optim, name)(theirs, lr=LR[name], **options)
    c = getattr(torch.optim, name)(exact, lr=LR[name], **options)
    schedules = [schedule(optimizer) for optimizer in (a, b, c)]
    grads = gradients()
    for _ in range(UPDATES):
        g = next(grads)
        give(ours, g)
        give(theirs, g)
        give(exact, [v.double() for v in g])
        for optimizer, scheduler in zip((a, b, c), schedules):
            optimizer.step()
            scheduler.step()
    assert a.param_groups[0]["lr"] == b.param_groups[0]["lr"] < LR[name]
    for p, q, r in zip(ours, theirs, exact):
        assert_as_near(p.detach(), q.detach(), r.detach())
        for key, value in b.state[q].items() if p.numel() > 0 else ():
            if value is not None:
                assert_as_near(a.state[p][key], torch.as_tensor(value), torch.as_tensor(c.state[r][key]))


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
