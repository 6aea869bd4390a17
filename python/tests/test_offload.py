"""Parameters elsewhere, states and update in CPU memory; CPU tensors stand in for those of an accelerator."""

import copy
import io
import pickle

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


def small_steps(optimizer, params, updates):
    """Of less than the parameters' last place."""
    for _ in range(updates):
        for p in params:
            p.grad = torch.full_like(p, 0.31)
        optimizer.step()


@pytest.mark.parametrize("how", ["checkpoint", "deepcopy", "pickle", "group", "weights that come back"])
def test_copies_in_fp32_keep_their_digits(how):
    """The parameters are ones of bf16 that no step of these reaches by itself."""
    def start():
        ours = [torch.nn.Parameter(torch.full((7, 3), 1.0, dtype=torch.bfloat16)) for _ in range(2)]
        return ours, tt.offload("sgd", ours, lr=1e-3, weights=torch.float32)

    ours, a = start()
    theirs, b = start()
    small_steps(a, ours, 3)
    small_steps(b, theirs, 3)
    if how == "checkpoint":
        file = io.BytesIO()
        torch.save(b.state_dict(), file)
        file.seek(0)
        theirs, b = start()
        b.load_state_dict(torch.load(file, weights_only=True))
    elif how == "deepcopy":
        theirs, b = copy.deepcopy((theirs, b))
    elif how == "pickle":
        theirs, b = pickle.loads(pickle.dumps((theirs, b)))
    elif how == "group":
        b.add_param_group({"params": [torch.nn.Parameter(torch.ones(2))]})
    else:
        with torch.no_grad():
            for p in theirs:
                kept = p.clone()
                p.mul_(0.5)
                p.copy_(kept)
    small_steps(a, ours, 3)
    small_steps(b, theirs, 3)
    for p, q in zip(ours, theirs):
        assert p.max() == 1
        assert_close(a.state[p]["master"], torch.full((7, 3), 1 - 6 * 0.31e-3), 1e-3)
        assert same_bits(a.state[p]["master"], b.state[q]["master"])


def test_weights_win_over_saved_copies_that_are_not_theirs():
    p = torch.nn.Parameter(torch.ones(5, dtype=torch.bfloat16))
    a = tt.offload("sgd", [p], lr=1e-3, weights=torch.float32)
    small_steps(a, [p], 3)
    q = torch.nn.Parameter(torch.tensor([1, 1, 2, 1, 1], dtype=torch.bfloat16))
    b = tt.offload("sgd", [q], weights=torch.float32)
    b.load_state_dict(a.state_dict())
    small_steps(b, [q], 1)
    one, two = 1 - 4 * 0.31e-3, 2 - 0.31e-3
    assert_close(b.state[q]["master"], torch.tensor([one, one, two, one, one]), 1e-5)


def test_tensors_elsewhere_need_it():
    with pytest.raises(ValueError, match="meta device"):
        tt.offload("adamw", [torch.nn.Parameter(torch.ones(3, device="meta"))])
