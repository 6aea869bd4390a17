"""Gradients taken out of .grad in backward: folded, buffered, released."""

import pytest
import torch

import tiger.torch as tt
from support import assert_close, same_bits

RULES = {"Tiger": {"lr": 0.011}, "Signum": {"lr": 0.0031}, "SGD": {"lr": 0.021, "momentum": 0.87}}


def model(dtype=torch.float32):
    torch.manual_seed(5)
    return torch.nn.Sequential(
        torch.nn.Linear(9, 17), torch.nn.LayerNorm(17), torch.nn.Tanh(), torch.nn.Linear(17, 3)
    ).to(dtype)


def batch(number):
    return torch.randn(6, 9, generator=torch.Generator().manual_seed(number))


def loss_of(net, number):
    x = batch(number).to(next(net.parameters()).dtype)
    return (net(x).float() - 0.31).square().mean()


def plain(net, optimizer, updates, k=1):
    """As usual: gradients in .grad, of the mean of k batches."""
    for update in range(updates):
        optimizer.zero_grad()
        for micro in range(k):
            (loss_of(net, update * k + micro) / k).backward()
        optimizer.step()


def in_backward(net, optimizer, updates, k=1):
    for step in range(updates * k):
        loss_of(net, step).backward()
        assert all(p.grad is None for p in net.parameters())
        optimizer.step()


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("rule", RULES)
def test_folded(rule, k):
    a, b = model(), model()
    options = RULES[rule]
    ours = getattr(tt, rule)(a.parameters(), gradients="folded", accumulate=k, **options)
    theirs = getattr(tt, rule)(b.parameters(), **options)
    in_backward(a, ours, 6, k)
    plain(b, theirs, 6, k)
    for p, q in zip(a.parameters(), b.parameters()):
        assert_close(p.detach(), q.detach(), 2e-5)  # sums of k gradients in another order; signs do the rest
        assert int(ours.state[p]["step"]) == 6


@pytest.mark.parametrize("name", ["AdamW", "SGD", "Lion", "Tiger"])
def test_released(name):
    a, b = model(), model()
    cls = getattr(tt, name)
    ours, theirs = cls(a.parameters(), gradients="released"), cls(b.parameters())
    before = [p.detach().clone() for p in a.parameters()]
    loss_of(a, 0).backward()
    assert not any(same_bits(p, q) for p, q in zip(a.parameters(), before))  # before step()
    ours.step()
    loss_of(b, 0).backward()
    theirs.step()
    theirs.zero_grad()
    for number in (1, 2, 3):
        loss_of(a, number).backward()
        ours.step()
        loss_of(b, number).backward()
        theirs.step()
        theirs.zero_grad()
    for p, q in zip(a.parameters(), b.parameters()):
        assert_close(p.detach(), q.detach())


@pytest.mark.parametrize("k", [1, 3])
def test_buffered_with_clipping(k):
    a, b = model(), model()
    ours = tt.AdamW(a.parameters(), lr=0.013, gradients="buffered", accumulate=k, clip_norm=0.21)
    theirs = torch.optim.AdamW(b.parameters(), lr=0.013)
    theirs.register_step_pre_hook(lambda *_: torch.nn.utils.clip_grad_norm_(b.parameters(), 0.21) and None)
    in_backward(a, ours, 5, k)
    plain(b, theirs, 5, k)
    for p, q in zip(a.parameters(), b.parameters()):
        assert_close(p.detach(), q.detach(), 2e-5)


def test_folded_in_bf16_needs_no_gradients():
    net = model(torch.bfloat16)
    optimizer = tt.Tiger(net.parameters(), lr=0.02, gradients="folded", roles=tt.roles(net))
    first = loss_of(net, 0).item()
    for step in range(150):
        loss_of(net, step).backward()
        optimizer.step()
    assert loss_of(net, 0).item() < 0.5 * first


def test_several_backward_passes_before_a_step_are_summed():
    a, b = model(), model()
    ours = tt.SGD(a.parameters(), lr=0.02, momentum=0.9, gradients="folded")
    theirs = tt.SGD(b.parameters(), lr=0.02, momentum=0.9)
    for optimizer, net in ((ours, a), (theirs, b)):
        for number in (0, 1, 2):
            loss_of(net, number).backward()
        optimizer.step()
    for p, q in zip(a.parameters(), b.parameters()):
        assert_close(p.detach(), q.detach(), 2e-5)


def test_tied_weights_are_released_once_whole():
    def tied():
        torch.manual_seed(2)
        table = torch.nn.Embedding(13, 8)
        return table, lambda ids: table(ids) @ table.weight.t()

    results = []
    for gradients in ("released", "auto"):
        table, net = tied()
        optimizer = tt.AdamW([table.weight], lr=0.02, gradients=gradients)
        for _ in range(3):
            optimizer.zero_grad()
            net(torch.tensor([1, 5, 12])).square().mean().backward()
            optimizer.step()
        results.append(table.weight.detach().clone())
    assert_close(*results)


def test_sparse_gradients_are_folded_by_rows():
    results = []
    for gradients in ("folded", "auto"):
        torch.manual_seed(2)
        table = torch.nn.Embedding(13, 8, sparse=True)
        optimizer = tt.Tiger([{"params": [table.weight], "role": "embedding"}], lr=0.02, gradients=gradients)
        for ids in ([1, 5, 5], [5, 7, 1], [0, 1, 2]):
            optimizer.zero_grad()
            table(torch.tensor(ids)).square().sum().backward()
            optimizer.step()
        results.append(table.weight.detach().clone())
    assert_close(*results)


def test_options_and_groups_change_between_updates():
    net = model()
    params = list(net.parameters())
    optimizer = tt.Signum(params[:2], lr=0.01, gradients="folded")
    loss_of(net, 0).backward()
    with pytest.raises(RuntimeError, match="add parameters after step"):
        optimizer.add_param_group({"params": params[2:]})
    with pytest.raises(RuntimeError, match="save after the step"):
        optimizer.state_dict()
    optimizer.step()
    optimizer.add_param_group({"params": params[2:], "lr": 0.5})
    optimizer.param_groups[0]["lr"] = 0.25
    optimizer.zero_grad()
    before = [p.detach().clone() for p in params]
    loss_of(net, 1).backward()
    optimizer.step()
    moves = [(p.detach() - q).abs().max().item() for p, q in zip(params, before)]
    assert moves == pytest.approx([0.25, 0.25, 0.5, 0.5, 0.5, 0.5], rel=1e-3)


def test_what_cannot_be_folded_is_refused():
    params = list(model().parameters())
    with pytest.raises(ValueError, match="cannot fold"):
        tt.AdamW(params, gradients="folded")
    with pytest.raises(ValueError, match="clipping needs the whole gradient"):
        tt.Tiger(params, gradients="folded", clip_norm=1.0)
    with pytest.raises(ValueError, match="accumulate needs"):
        tt.Tiger(params, accumulate=4)
    with pytest.raises(ValueError, match="accumulate needs"):
        tt.AdamW(params, gradients="released", accumulate=2)


def test_a_second_backward_pass_after_release_is_refused():
    net = model()
    optimizer = tt.AdamW(net.parameters(), gradients="released")
    loss_of(net, 0).backward()
    with pytest.raises(RuntimeError, match="has been updated already"):
        loss_of(net, 1).backward()
    del optimizer


class Broken(torch.autograd.Function):
    """Passes on what it gets, and fails on the way back."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        raise ArithmeticError("half way")


def fail_half_way(net):
    with pytest.raises(ArithmeticError, match="half way"):
        net[3](Broken.apply(net[2](net[1](net[0](batch(99)))))).square().mean().backward()


def test_a_backward_pass_that_failed_leaves_no_buffered_gradient():
    a, b = model(), model()
    ours, theirs = (tt.AdamW(net.parameters(), lr=0.013, gradients="buffered") for net in (a, b))
    in_backward(a, ours, 2)
    fail_half_way(a)
    with pytest.raises(RuntimeError, match="zero_grad"):
        ours.state_dict()
    ours.zero_grad()
    ours.state_dict()
    in_backward(b, theirs, 2)
    for net, optimizer in ((a, ours), (b, theirs)):
        for number in (5, 6):
            loss_of(net, number).backward()
            optimizer.step()
    assert all(same_bits(p, q) for p, q in zip(a.parameters(), b.parameters()))


@pytest.mark.parametrize("gradients, where", [("folded", "the momentum"), ("released", "the weights")])
def test_a_backward_pass_that_failed_can_be_given_up(gradients, where):
    net = model()
    optimizer = tt.Signum(net.parameters(), lr=0.01, weight_decay=0, gradients=gradients)
    in_backward(net, optimizer, 2)
    fail_half_way(net)
    with pytest.warns(RuntimeWarning, match=f"in {where} and stay"):
        optimizer.zero_grad()
    optimizer.load_state_dict(optimizer.state_dict())
    before = [p.detach().clone() for p in net.parameters()]
    in_backward(net, optimizer, 1)
    for p, q in zip(net.parameters(), before):
        assert (p.detach() - q).abs().max().item() == pytest.approx(0.01, rel=1e-4)


def test_in_the_midst_of_an_accumulation_nothing_can_be_given_up():
    net = model()
    optimizer = tt.Signum(net.parameters(), gradients="buffered", accumulate=3)
    in_backward(net, optimizer, 1)
    optimizer.zero_grad()  # as usual before a pass: no warning
    loss_of(net, 1).backward()
    with pytest.warns(RuntimeWarning, match="this update's sum"):
        optimizer.zero_grad()
    for number in (2, 3):
        loss_of(net, number).backward()
        optimizer.step()
    assert int(optimizer.state[net[0].weight]["step"]) == 1


def test_tensors_thaw():
    net = model()
    first = net[0].weight.requires_grad_(False)
    optimizer = tt.Signum(net.parameters(), lr=0.01, weight_decay=0, gradients="folded")
    before = first.detach().clone()
    for number, thawed in enumerate((False, True, True)):
        first.requires_grad_(thawed)
        loss_of(net, number).backward()
        assert first.grad is None
        optimizer.step()
        assert same_bits(first, before) != thawed
    assert int(optimizer.state[first]["step"]) == 2 and int(optimizer.state[net[0].bias]["step"]) == 3


def test_hooks_end_with_the_optimizer():
    net = model()
    optimizer = tt.Tiger(net.parameters(), gradients="folded")
    del optimizer
    loss_of(net, 0).backward()
    assert all(p.grad is not None for p in net.parameters())
    optimizer = tt.Tiger(net.parameters(), gradients="folded")
    optimizer.remove_hooks()
    net.zero_grad()
    loss_of(net, 0).backward()
    assert all(p.grad is not None for p in net.parameters())
