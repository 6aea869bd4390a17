"""Optimizers with a closure, against torch.optim.LBFGS."""

import copy

import pytest
import torch

import tiger.torch as tt

CLASSES = [tt.LBFGS, tt.CG, tt.NewtonCG]
PATH = 1e-9  # of PyTorch's weights in float64, relative


def model(dtype=torch.float64):
    torch.manual_seed(3)
    return torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 2)).to(dtype)


def closure_of(net, optimizer):
    random = torch.Generator().manual_seed(4)
    dtype = next(net.parameters()).dtype
    x = torch.randn(41, 5, generator=random).to(dtype)
    y = torch.sin(2 * x[:, :2]) + 0.1 * torch.randn(41, 2, generator=random).to(dtype)

    def closure():
        optimizer.zero_grad()
        loss = ((net(x) - y) ** 2).mean() + 1e-3 * sum((p**2).sum() for p in net.parameters())
        loss.backward()
        return loss

    return closure


def flat(net):
    return torch.cat([p.detach().reshape(-1) for p in net.parameters()])


@pytest.mark.parametrize("search", ["strong_wolfe", None])
def test_path_of_torch(search):
    ours, theirs = model(), model()
    settings = dict(lr=0.5 if search is None else 1, max_iter=6, max_eval=1000, tolerance_grad=0, tolerance_change=0,
                    line_search_fn=search)
    a, b = tt.LBFGS(ours.parameters(), **settings), torch.optim.LBFGS(theirs.parameters(), **settings)
    closures = closure_of(ours, a), closure_of(theirs, b)
    for _ in range(3):
        losses = a.step(closures[0]), b.step(closures[1])
        assert abs(losses[0] - losses[1]) <= PATH * abs(losses[1])
        assert (flat(ours) - flat(theirs)).abs().max() <= PATH * flat(theirs).abs().max()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("cls", CLASSES)
def test_reaches_a_minimum(cls, dtype):
    net = model(dtype)
    optimizer = cls(net.parameters(), max_iter=3000, max_eval=100000, tolerance_grad=1e-6, tolerance_change=0)
    closure = closure_of(net, optimizer)
    first = optimizer.step(closure)
    assert optimizer.result["stop"] in ("gradient", "precision"), optimizer.result
    assert optimizer.result["gradient_norm"] < (1e-6 if dtype == torch.float64 else 1e-3)
    last = closure()
    assert last.item() == pytest.approx(optimizer.result["loss"], rel=1e-12) and last < 0.5 * first


@pytest.mark.parametrize("cls", CLASSES)
def test_saved_and_loaded(cls):
    one, two = model(), model()
    a = cls(one.parameters(), max_iter=3)
    closure = closure_of(one, a)
    for _ in range(3):
        a.step(closure)
    saved = copy.deepcopy(a.state_dict())
    two.load_state_dict(one.state_dict())
    b = cls(two.parameters(), max_iter=3)
    b.load_state_dict(saved)
    other = closure_of(two, b)
    for _ in range(3):
        a.step(closure)
        b.step(other)
    assert torch.equal(flat(one), flat(two))
    assert a.result == b.result


def test_what_is_refused():
    p = torch.nn.Parameter(torch.ones(3))
    with pytest.raises(ValueError, match="one parameter group"):
        tt.LBFGS([{"params": [p]}, {"params": [torch.nn.Parameter(torch.ones(2))]}])
    with pytest.raises(TypeError, match="float32 or all float64"):
        tt.CG([torch.nn.Parameter(torch.ones(3, dtype=torch.bfloat16))])
    with pytest.raises(ValueError, match="line_search_fn"):
        tt.LBFGS([p], line_search_fn="armijo")
    with pytest.raises(ValueError, match="history_size"):
        tt.LBFGS([p], history_size=0)
    with pytest.raises(ZeroDivisionError):
        tt.LBFGS([p]).step(lambda: 1 / 0)
    assert (p == 1).all()
