"""Tensors of any format, order and place."""

import pytest
import torch

import tiger.torch as tt
from support import assert_close, give, gradients, run, same_bits, tensors

# Of the largest value, after 20 updates that round to nearest: half a unit in the last place each time.
BOUNDS = {torch.bfloat16: 20 * 2**-9, torch.float16: 20 * 2**-12}


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("rounding", ["stochastic", "nearest", "kahan", "weyl"])
def test_sixteen_bits(dtype, rounding):
    shapes = [(31, 33), (65,), (1000,)]
    half, whole = tensors(shapes, dtype=dtype), tensors(shapes)
    with torch.no_grad():
        for p, q in zip(half, whole):
            q.copy_(p)
    a, b = tt.AdamW(half, lr=1.3e-2, rounding=rounding), torch.optim.AdamW(whole, lr=1.3e-2)
    grads = gradients(shapes, dtype=dtype)
    for _ in range(20):
        g = next(grads)
        give(half, g)
        give(whole, [v.float() for v in g])
        a.step()
        b.step()
    for p, q in zip(half, whole):
        assert p.dtype == dtype
        assert_close(p.detach().float(), q.detach(), BOUNDS[dtype])
        assert a.state[p]["exp_avg_sq"].dtype == torch.float32
        assert a.state[p]["exp_avg"].dtype == dtype
        assert ("compensation" in a.state[p]) == (rounding == "kahan")


@pytest.mark.parametrize("rule", ["AdamW8bit", "Lion8bit"])
def test_states_of_eight_bits(rule):
    shapes = [(31, 33), (700,)]
    ours, whole = tensors(shapes), tensors(shapes)
    a, b = getattr(tt, rule)(ours, lr=1.3e-2), getattr(tt, rule[:-4])(whole, lr=1.3e-2)
    run(a, ours, 5)
    run(b, whole, 5)
    for p, q in zip(ours, whole):
        state = a.state[p]
        assert state["exp_avg"].dtype == torch.uint8 and state["exp_avg"].shape == p.shape
        assert state["exp_avg_scale"].shape == ((p.numel() + 255) // 256,)
        assert_close(a.values(p, "exp_avg"), b.values(q, "exp_avg"), 2**-5)  # codes are 1/64 of an octal range apart


def test_true_values_of_states():
    """fp16 states are stored times a power of two, in memory of any order."""
    p = torch.nn.Parameter(tensors([(12, 10)])[0].detach().half().t())
    q = torch.nn.Parameter(p.detach().float())
    for x in (p, q):
        optimizer = tt.Signum([x], lr=1e-4)
        run(optimizer, [x], 3, dtype=x.dtype)
        values = optimizer.values(x, "momentum_buffer")
        if x is p:
            assert x.shape == values.shape and not x.is_contiguous()
            half, exported = values, optimizer.state_dict()["state"][0]["momentum_buffer"]
    assert_close(half, values, 4 * 2**-11)
    assert_close(exported, half, 0)


def test_steps_lost_to_rounding_are_reported():
    p = torch.nn.Parameter(torch.full((100,), 1.0, dtype=torch.bfloat16))
    optimizer = tt.AdamW([p], lr=1e-4, rounding="nearest")
    p.grad = torch.full((100,), 0.37, dtype=torch.bfloat16)
    with pytest.warns(RuntimeWarning, match="lost 100 % of the first update"):
        optimizer.step()


def views():
    yield "transposed", lambda t: t.t()
    yield "channels_last", lambda t: t.reshape(3, 5, 2, 4).to(memory_format=torch.channels_last)
    yield "column slice", lambda t: torch.cat([t, t], 1)[:, 3:11]
    yield "every other", lambda t: torch.stack([t, t], -1).flatten()[::2]
    yield "last of a stack", lambda t: torch.stack([t, t, t])[2]


@pytest.mark.parametrize("name, view", list(views()))
@pytest.mark.parametrize("rule", ["AdamW", "Tiger"])
def test_memory_in_any_order(name, view, rule):
    source = tensors([(12, 10)])[0].detach()
    p = torch.nn.Parameter(view(source).detach())
    q = torch.nn.Parameter(view(source).detach().contiguous().clone())
    base, address = p._base, p.data_ptr()
    options = {"lr": 0.013}
    a, b = getattr(tt, rule)([p], **options), getattr(tt, rule)([q], **options)
    grads = gradients([p.shape])
    for update in range(6):
        g = next(grads)[0]
        q.grad = g.clone()
        p.grad = torch.empty_like(p).copy_(g) if update % 2 else g.clone()  # in either's order
        a.step()
        b.step()
    assert p.data_ptr() == address and p._base is base
    assert p.is_contiguous() == (name == "last of a stack")
    assert_close(p.detach(), q.detach())
    assert_close(a.state[p]["exp_avg"], b.state[q]["exp_avg"])
    assert a.state[p]["exp_avg"].shape == p.shape


def test_only_the_view_is_written():
    whole = tensors([(9, 8)])[0].detach()
    kept = whole.clone()
    p = torch.nn.Parameter(whole[:, 2:5])
    run(tt.AdamW([p], lr=0.1), [p], 3)
    assert same_bits(whole[:, :2], kept[:, :2]) and same_bits(whole[:, 5:], kept[:, 5:])
    assert not same_bits(whole[:, 2:5], kept[:, 2:5])


def test_a_view_with_gaps_sees_others_writes_through_data():
    p = torch.nn.Parameter(torch.zeros(6, 8)[:, ::2])
    optimizer = tt.SGD([p], lr=0.5)
    p.grad = torch.ones(6, 4)
    optimizer.step()
    p.data.fill_(3.25)
    optimizer.step()
    assert (p == 2.75).all()


def test_rows_of_a_transposed_embedding_are_its_rows():
    table = tensors([(7, 9)])[0].detach()
    p = torch.nn.Parameter(table.t().contiguous().t())
    assert not p.is_contiguous()
    optimizer = tt.Tiger([{"params": [p], "role": "embedding"}], lr=0.1, weight_decay=0)
    p.grad = torch.zeros(7, 9)
    p.grad[2] = 1.7
    optimizer.step()
    moved = (p.detach() != table).any(1)
    assert moved.tolist() == [row == 2 for row in range(7)]


def test_gradients_of_another_format():
    p, q = tensors([(11, 3)])[0], tensors([(11, 3)])[0]
    g = next(gradients([(11, 3)], dtype=torch.bfloat16))[0]
    a, b = tt.AdamW([p], lr=0.01), tt.AdamW([q], lr=0.01)
    p.grad_dtype = torch.bfloat16
    p.grad = g
    q.grad = g.float()
    a.step()
    b.step()
    assert same_bits(p, q)


@pytest.mark.parametrize("shape", [(), (5,), (4, 3)])
@pytest.mark.parametrize("gradients", ["auto", "buffered"])
def test_gradients_whose_memory_is_negated(shape, gradients):
    """PyTorch's imaginary part of a conjugate is such a view."""
    p, q = tensors([shape])[0], tensors([shape])[0]
    a, b = tt.SGD([p], lr=0.37, gradients=gradients), torch.optim.SGD([q], lr=0.37)
    values = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    if gradients == "auto":
        p.grad = torch._neg_view(-values)
        assert p.grad.is_neg()
    else:
        (p * values).sum().backward()
    q.grad = values
    a.step()
    b.step()
    assert_close(p.detach(), q.detach())


def test_a_parameter_whose_memory_is_negated():
    p, q = torch.nn.Parameter(torch._neg_view(torch.full((3,), -0.7))), torch.nn.Parameter(torch.full((3,), 0.7))
    for x, optimizer in ((p, tt.SGD([p], lr=0.37)), (q, torch.optim.SGD([q], lr=0.37))):
        x.grad = torch.full((3,), 0.3)
        optimizer.step()
    assert_close(p.detach().clone(), q.detach())


@pytest.mark.parametrize("shape", [(), (0,), (4, 0), (0, 4)])
def test_scalars_and_empty_tensors(shape):
    p = tensors([shape])[0]
    optimizer = tt.AdamW([p])
    run(optimizer, [p], 2)
    assert optimizer.state[p]["exp_avg"].shape == shape
    assert int(optimizer.state[p]["step"]) == (2 if p.numel() else 0)


def test_what_is_refused():
    for p, error, why in [
        (torch.nn.Parameter(torch.ones(3, dtype=torch.float64)), TypeError, "float32, bfloat16 or float16"),
        (torch.nn.Parameter(torch.ones(3, dtype=torch.complex64)), TypeError, "float32, bfloat16 or float16"),
        (torch.nn.Parameter(torch.ones(3, device="meta")), ValueError, "meta device"),
        (torch.nn.Parameter(torch.ones(1).expand(3)), ValueError, "expanded"),
    ]:
        with pytest.raises(error, match=why):
            tt.AdamW([p])


def embed(optimizer_of, sparse, updates=5):
    torch.manual_seed(3)
    table = torch.nn.Embedding(23, 6, sparse=sparse)
    head = torch.nn.Linear(6, 4)
    optimizer = optimizer_of(table, head)
    for update in range(updates):
        ids = torch.randint(0, 23, (2, 5), generator=torch.Generator().manual_seed(update))
        optimizer.zero_grad()
        head(table(ids)).square().sum().backward()
        optimizer.step()
    return table, head, optimizer


@pytest.mark.parametrize("options", [{}, {"clip_value": 0.9}, {"embedding_rms": "row"}])
def test_sparse_gradients_are_rows(options):
    def tiger_of(table, head):
        return tt.Tiger(
            [{"params": [table.weight], "role": "embedding"}, {"params": list(head.parameters())}], lr=0.02, **options
        )

    (a, b, _), (c, d, _) = embed(tiger_of, True), embed(tiger_of, False)
    assert a.weight.grad.layout == torch.sparse_coo
    assert_close(a.weight.detach(), c.weight.detach())
    assert_close(b.weight.detach(), d.weight.detach())


def test_sparse_gradients_of_plain_sgd():
    a, _, _ = embed(lambda table, head: tt.SGD([table.weight, *head.parameters()], lr=0.03), True)
    b, _, _ = embed(lambda table, head: torch.optim.SGD([table.weight, *head.parameters()], lr=0.03), True)
    assert_close(a.weight.detach(), b.weight.detach())


def test_sparse_gradients_of_other_rules_are_refused():
    with pytest.raises(RuntimeError, match="needs the gradient dense"):
        embed(lambda table, head: tt.AdamW([table.weight, *head.parameters()]), True)
