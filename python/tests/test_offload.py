"""Parameters elsewhere, states and update in CPU memory; CPU tensors stand in for those of an accelerator."""

import copy

import pytest
import torch

import tiger.torch as tt
from support import assert_close, run, same_bits, tensors

SHAPES = [(19, 7), (33,), ()]


@pytest.mark.parametrize("how", ["adamw", tt.AdamW])
def test_the_same_update(how):
    ours, theirs = tensors(SHAPES), tensors(SHAPES)
    a, b = tt.offload(how, ours, lr=0.013), tt.AdamW(theirs, lr=0.013)
    addresses = [p.data_ptr() for p in ours]
    run(a, ours, 5)
    run(b, theirs, 5)
    for p, q in zip(ours, theirs):
        assert same_bits(p, q)
        assert same_bits(a.state[p]["exp_avg"], b.state[q]["exp_avg"])
    assert [p.data_ptr() for p in ours] == addresses


def test_copies_in_fp32_lose_no_small_steps():
    def train(**options):
        p = torch.nn.Parameter(torch.full((50,), 1.0, dtype=torch.bfloat16))
        optimizer = tt.offload("sgd", [p], lr=1e-4, rounding="nearest", **options)
        for _ in range(100):
            p.grad = torch.full((50,), 0.5, dtype=torch.bfloat16)
            optimizer.step()
        return p

    assert_close(train(weights=torch.float32).float(), torch.full((50,), 1 - 100 * 0.5e-4), 2**-8)
    with pytest.warns(RuntimeWarning, match="lost 100 %"):
        assert (train() == 1).all()


def test_weights_changed_by_others_are_read_again():
    p = torch.nn.Parameter(torch.zeros(5))
    optimizer = tt.offload(tt.SGD, [p], lr=0.5)
    p.grad = torch.ones(5)
    optimizer.step()
    with torch.no_grad():
        p.fill_(3.25)
    optimizer.step()
    assert (p == 2.75).all()


def test_in_backward():
    results = []
    for make in (lambda p: tt.offload("adamw", p, gradients="released", lr=0.02), lambda p: tt.AdamW(p, lr=0.02)):
        torch.manual_seed(4)
        net = torch.nn.Sequential(torch.nn.Linear(5, 9), torch.nn.Tanh(), torch.nn.Linear(9, 2))
        optimizer = make(net.parameters())
        for number in range(4):
            optimizer.zero_grad()
            net(torch.full((3, 5), 0.1 * number + 0.07)).square().mean().backward()
            optimizer.step()
        results.append([p.detach().clone() for p in net.parameters()])
    for p, q in zip(*results):
        assert_close(p, q)


def test_checkpoints():
    ours = tensors(SHAPES)
    a = tt.offload("adamw", ours, lr=0.01)
    run(a, ours, 3)
    copies = [torch.nn.Parameter(p.detach().clone()) for p in ours]
    b = torch.optim.AdamW(copies)
    b.load_state_dict(copy.deepcopy(a.state_dict()))  # PyTorch keeps the tensors it is given
    run(a, ours, 3, seed=2)
    run(b, copies, 3, seed=2)
    for p, q in zip(ours, copies):
        assert_close(p.detach(), q.detach())


def test_tensors_elsewhere_need_it():
    with pytest.raises(ValueError, match="meta device"):
        tt.offload("adamw", [torch.nn.Parameter(torch.ones(3, device="meta"))])
