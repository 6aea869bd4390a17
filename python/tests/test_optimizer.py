"""What a user of torch.optim expects of an optimizer."""

import copy
import pickle

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

import tiger
import tiger.torch as tt
from support import assert_close, give, gradients, run, same_bits, tensors

SHAPES = [(19, 7), (33,), ()]


def pair(name, options=None, shapes=SHAPES, **more):
    ours, theirs = tensors(shapes), tensors(shapes)
    options = {"lr": 2.3e-3, **(options or {}), **more}
    return ours, theirs, getattr(tt, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)


def test_options_changed_from_outside():
    ours, theirs, a, b = pair("AdamW")
    for update, change in enumerate(
        [
            {"lr": 7.7e-3},
            {"betas": (0.71, 0.93)},
            {"eps": 1.3e-4},
            {"weight_decay": 0.29},
            {"maximize": True},
            {"lr": torch.tensor(1.9e-3)},
        ]
    ):
        for optimizer, params in ((a, ours), (b, theirs)):
            optimizer.param_groups[0].update(change)
            run(optimizer, params, 3, seed=update)
    for p, q in zip(ours, theirs):
        assert_close(p.detach(), q.detach())
        assert_close(a.state[p]["exp_avg_sq"], b.state[q]["exp_avg_sq"])


def test_a_tensor_learning_rate_changed_in_place():
    ours, theirs, a, b = pair("AdamW")
    for optimizer, params in ((a, ours), (b, theirs)):
        lr = torch.tensor(1.9e-3)
        optimizer.param_groups[0]["lr"] = lr
        run(optimizer, params, 2)
        lr.fill_(8.3e-3)
        run(optimizer, params, 2)
    assert_close(ours[0].detach(), theirs[0].detach())


def test_an_illegal_change_is_refused_and_changes_nothing():
    ours, _, a, _ = pair("AdamW")
    run(a, ours, 2)
    before = [p.detach().clone() for p in ours]
    a.param_groups[0]["lr"] = float("nan")
    with pytest.raises(ValueError, match="lr"):
        run(a, ours, 1)
    assert all(same_bits(p, q) for p, q in zip(ours, before))
    a.param_groups[0]["lr"] = 1e-3
    run(a, ours, 1)
    assert not same_bits(ours[0], before[0])


def test_a_switch_flipped_while_running_keeps_the_states():
    ours, _, a, _ = pair("AdamW")
    run(a, ours, 3)
    before = a.state[ours[0]]["exp_avg"].clone()
    a.param_groups[0]["amsgrad"] = True
    give(ours, [torch.zeros(p.shape) for p in ours])
    a.step()
    assert_close(a.state[ours[0]]["exp_avg"], 0.9 * before)
    assert a.state[ours[0]]["max_exp_avg_sq"].abs().max() > 0
    assert int(a.state[ours[0]]["step"]) == 4


def test_groups_of_their_own_options():
    ours, theirs = tensors(SHAPES), tensors(SHAPES)

    def groups(p):
        return [
            {"params": p[:1], "lr": 5.3e-3, "maximize": True},
            {"params": p[1:], "weight_decay": 0.31, "betas": (0.7, 0.9)},
        ]

    a, b = tt.AdamW(groups(ours), lr=1.1e-3), torch.optim.AdamW(groups(theirs), lr=1.1e-3)
    run(a, ours, 9)
    run(b, theirs, 9)
    for p, q in zip(ours, theirs):
        assert_close(p.detach(), q.detach())


def test_groups_added_at_any_time():
    ours, theirs = tensors(SHAPES), tensors(SHAPES)
    a, b = tt.AdamW(ours[:1], lr=2.1e-3), torch.optim.AdamW(theirs[:1], lr=2.1e-3)
    for count in (1, 2, 3):
        run(a, ours[:count], 4, seed=count)
        run(b, theirs[:count], 4, seed=count)
        if count < 3:
            a.add_param_group({"params": [ours[count]], "lr": 3.7e-3})
            b.add_param_group({"params": [theirs[count]], "lr": 3.7e-3})
    for p, q in zip(ours, theirs):
        assert_close(p.detach(), q.detach())
        assert int(a.state[p]["step"]) == int(b.state[q]["step"])


def test_a_group_that_is_refused_leaves_the_optimizer_as_it_was():
    ours, _, a, _ = pair("AdamW")
    with pytest.raises(ValueError, match="lr"):
        a.add_param_group({"params": tensors([(3,)]), "lr": -1.0})
    with pytest.raises(TypeError, match="float64"):
        a.add_param_group({"params": [torch.nn.Parameter(torch.ones(3, dtype=torch.float64))]})
    assert len(a.param_groups) == 1
    run(a, ours, 1)


def test_closure():
    p = torch.nn.Parameter(torch.tensor([0.37, -1.21]))
    optimizer = tt.SGD([p], lr=0.11)

    def closure():
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with torch.no_grad():
        loss = optimizer.step(closure)
    assert loss.item() == pytest.approx(0.37**2 + 1.21**2)
    assert_close(p.detach(), torch.tensor([0.37, -1.21]) * (1 - 0.22))


def test_hooks():
    ours, _, a, _ = pair("AdamW")
    seen = []
    a.register_step_pre_hook(lambda *_: seen.append("before"))
    a.register_step_post_hook(lambda *_: seen.append("after"))
    a.register_state_dict_post_hook(lambda _, d: seen.append(sorted(d)))
    a.register_load_state_dict_pre_hook(lambda _, d: seen.append(type(d["state"][0]["exp_avg"]).__name__))
    a.register_load_state_dict_post_hook(lambda o: seen.append("loaded"))
    run(a, ours, 1)
    a.load_state_dict(a.state_dict())
    assert seen == ["before", "after", ["param_groups", "state", "tiger"], "Tensor", "loaded"]


def test_hooks_of_all_optimizers():
    ours = tensors([(7,)])
    optimizer, order = tt.AdamW(ours), []
    before = register_optimizer_step_pre_hook(lambda *_: order.append("before"))
    after = register_optimizer_step_post_hook(lambda *_: order.append("after"))
    run(optimizer, ours, 1)
    before.remove()
    after.remove()
    run(optimizer, ours, 1)
    assert order == ["before", "after"]


def test_profilers_see_the_step():
    ours = tensors([(7,)])
    optimizer = tt.AdamW(ours)
    with torch.autograd.profiler.profile() as profile:
        run(optimizer, ours, 1)
    assert any(event.name == "Optimizer.step#AdamW.step" for event in profile.function_events)


@pytest.mark.parametrize("name", ["SGD", "AdamW", "Adafactor"])
def test_a_schedule_moves_no_states(name, monkeypatch):
    """A change of numbers goes to the C optimizer as it is: no second one is made, with copies of all states."""
    ours = tensors([(7, 3)])
    a = getattr(tt, name)(ours, lr=0.1)
    run(a, ours, 1)
    monkeypatch.setattr(a, "_build", lambda: pytest.fail("made anew"))
    for update in range(3):
        a.param_groups[0]["lr"] = 0.1 / (update + 2)
        run(a, ours, 1)
    a.param_groups[0]["weight_decay"] = 0.037
    run(a, ours, 1)


def test_an_illegal_change_among_legal_ones_leaves_no_trace():
    ours, theirs = tensors([(7,)]), tensors([(7,)])
    a, b = tt.AdamW(ours, lr=0.01, eps=1e-3), tt.AdamW(theirs, lr=0.01, eps=1e-3)
    for optimizer, params in ((a, ours), (b, theirs)):
        run(optimizer, params, 1)
    a.param_groups[0].update(lr=0.5, eps=-1.0)
    with pytest.raises(ValueError, match="eps"):
        run(a, ours, 1)
    a.param_groups[0].update(lr=0.01, eps=1e-3)
    for optimizer, params in ((a, ours), (b, theirs)):
        run(optimizer, params, 1)
    assert same_bits(ours[0], theirs[0])


def test_a_list_of_options_changed_in_place():
    ours, theirs = tensors([(7,)]), tensors([(7,)])
    a, b = tt.AdamW(ours), torch.optim.AdamW(theirs)
    for optimizer, params in ((a, ours), (b, theirs)):
        optimizer.param_groups[0]["betas"] = [0.7, 0.9]
        run(optimizer, params, 2)
        optimizer.param_groups[0]["betas"][0] = 0.3
        run(optimizer, params, 2)
    assert_close(ours[0].detach(), theirs[0].detach())


def test_text_is_no_number():
    with pytest.raises(TypeError, match="lr must be a number, not '1e-3'"):
        tt.AdamW(tensors([(7,)]), lr="1e-3")


def test_the_gradient_scaler():
    def train(cls, scaled):
        model = torch.nn.Linear(7, 5)
        with torch.no_grad():
            model.weight.copy_(tensors([(5, 7)])[0])
            model.bias.fill_(0.17)
        optimizer = cls(model.parameters(), lr=3.1e-3)
        scaler = torch.amp.GradScaler("cpu", init_scale=512.0, growth_interval=3, enabled=scaled)
        for update in range(9):
            x = next(gradients([(4, 7)], seed=update))[0]
            if update == 4 and scaled:
                x[1, 2] = float("inf")
            elif update == 4:
                continue
            optimizer.zero_grad()
            scaler.scale(model(x).square().mean()).backward()
            if update == 6:
                scaler.unscale_(optimizer)
            scaler.step(optimizer)
            scaler.update()
        return model, scaler

    ours, scaler = train(tt.AdamW, True)
    theirs, _ = train(torch.optim.AdamW, True)
    plain, _ = train(tt.AdamW, False)
    assert scaler.get_scale() == 1024.0  # 512, doubled, halved at the bad update, doubled
    assert_close(ours.weight.detach(), theirs.weight.detach())
    assert_close(ours.weight.detach(), plain.weight.detach())


def test_bad_gradients_are_guarded_and_reported():
    ours, _, a, _ = pair("AdamW")
    run(a, ours, 1)
    before = [p.detach().clone() for p in ours]
    grads = next(gradients(SHAPES, seed=3))
    grads[1][5] = float("nan")
    give(ours, grads)
    with pytest.warns(RuntimeWarning, match=r"param_groups\[0\].params\[1\] holds NaN or Inf"):
        a.step()
    assert same_bits(ours[1], before[1]) and not same_bits(ours[0], before[0])


def test_too_many_bad_gradients_end_the_training():
    p = torch.nn.Parameter(torch.ones(4))
    optimizer = tt.AdamW([("neck.weight", p)], nan_guard="error")
    p.grad = torch.full((4,), float("inf"))
    with pytest.warns(RuntimeWarning), pytest.raises(tiger.Diverged, match="neck.weight"):
        optimizer.step()


def test_memory_that_moved():
    """`p.data = ...` gives a parameter other memory: the old is not written any more."""
    ours, theirs, a, b = pair("AdamW")
    run(a, ours, 3)
    run(b, theirs, 3)
    old = ours[0].data
    kept = old.clone()
    ours[0].data = old.clone()
    run(a, ours, 3, seed=5)
    run(b, theirs, 3, seed=5)
    assert same_bits(old, kept)
    assert_close(ours[0].detach(), theirs[0].detach())


def test_memory_in_place_of_another_shape():
    """Other rows, or another order, at the same address: what lies beyond is not touched."""
    whole = torch.full((9, 4), 0.25)
    p = torch.nn.Parameter(whole)
    optimizer = tt.SGD([p], lr=0.5)
    for rows in (9, 5):
        p.grad = None
        p.data = whole[:rows]
        p.grad = torch.ones_like(p)
        optimizer.step()
    assert torch.equal(whole[:5], torch.full((5, 4), -0.75)) and torch.equal(whole[5:], torch.full((4, 4), -0.25))

    whole = torch.zeros(4, 4)
    p = torch.nn.Parameter(whole)
    optimizer = tt.SGD([p], lr=1.0)
    g = torch.arange(16.0).reshape(4, 4)
    for view in (whole, whole.t()):
        p.data = view
        p.grad = g.clone()
        optimizer.step()
    assert torch.equal(whole, -g - g.t())

    p = torch.nn.Parameter(torch.zeros(9, 4))
    optimizer = tt.AdamW([p])
    run(optimizer, [p], 1)
    p.data = p.data[:5]
    with pytest.raises(ValueError, match="has shape"):
        run(optimizer, [p], 1)


def test_a_gradient_of_another_shape_is_refused():
    p = torch.nn.Parameter(torch.zeros(5, 4))
    p.grad = torch.ones_like(p)
    p.data = torch.zeros(9, 4)  # .grad stays as it was
    with pytest.raises(ValueError, match=r"gradient's shape is \(5, 4\), the parameter's \(9, 4\)"):
        tt.SGD([p]).step()


def test_a_model_that_changed_its_dtype():
    p = tensors([(9, 5)])[0]
    optimizer = tt.AdamW([p], lr=1e-2, rounding="nearest")
    run(optimizer, [p], 3)
    average = optimizer.state[p]["exp_avg"].clone()
    p.data = p.data.to(torch.bfloat16)
    p.grad = None
    p.grad = torch.zeros(9, 5, dtype=torch.bfloat16)
    optimizer.step()
    assert optimizer.state[p]["exp_avg"].dtype == torch.bfloat16
    assert optimizer.state[p]["exp_avg_sq"].dtype == torch.float32
    assert_close(optimizer.state[p]["exp_avg"].float(), 0.9 * average, 2**-7)


def test_weights_changed_by_others_are_seen():
    """Tiger remembers the RMS of the weights: what others write counts at the next update."""

    def train(change):
        p = tensors([(21, 13)])[0]
        optimizer = tt.Tiger([p], lr=0.031, weight_decay=0)
        run(optimizer, [p], 2)
        before = p.detach().clone()
        change(p, optimizer)
        changed = p.detach().clone()
        run(optimizer, [p], 1)
        return before, (p.detach() - changed).abs().max().item()

    def outside(p, _):
        with torch.no_grad():
            p.mul_(10.0)

    def through_data(p, optimizer):
        p.data.mul_(10.0)
        optimizer.refresh()

    before, plain = train(lambda *_: None)
    for change in (outside, through_data):
        _, moved = train(change)
        assert moved == pytest.approx(10 * plain, rel=1e-2)


def test_autograd_sees_that_weights_changed():
    p = torch.nn.Parameter(torch.tensor([1.7, -0.3]))
    optimizer = tt.SGD([p], lr=0.1)
    loss = (p * p).sum()
    p.grad = torch.ones(2)
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_frozen_and_thawed():
    ours, theirs, a, b = pair("AdamW")
    for params, optimizer in ((ours, a), (theirs, b)):
        params[0].requires_grad_(False)
        run(optimizer, params[1:], 3)
        params[0].grad = None
    before = ours[0].detach().clone()
    assert ours[0] not in a.state
    assert same_bits(ours[0], before)
    for params, optimizer in ((ours, a), (theirs, b)):
        params[0].requires_grad_(True)
        run(optimizer, params, 3, seed=4)
    for p, q in zip(ours, theirs):
        assert_close(p.detach(), q.detach())
        assert int(a.state[p]["step"]) == int(b.state[q]["step"])


def test_params_exchanged_by_hand():
    ours, _, a, _ = pair("AdamW")
    run(a, ours, 2)
    old, new = ours[1], tensors([(33,)], seed=4)[0]
    a.param_groups[0]["params"][1] = new
    kept, fresh = old.detach().clone(), new.detach().clone()
    old.grad = torch.ones_like(old)
    run(a, [ours[0], new, ours[2]], 1)
    assert same_bits(old, kept) and not same_bits(new, fresh)
    assert int(a.state[new]["step"]) == 1 and int(a.state[ours[0]]["step"]) == 3


def test_no_gradient_is_no_update():
    ours, _, a, _ = pair("AdamW")
    a.step()
    assert len(a.state) == 0
    run(a, ours, 1)
    assert int(a.state[ours[0]]["step"]) == 1


@pytest.mark.parametrize("copier", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_copies_of_an_optimizer_go_on_alike(copier):
    ours = tensors(SHAPES, dtype=torch.bfloat16)
    a = tt.Tiger([("table", ours[0]), ("gain", ours[1]), ("temperature", ours[2])], lr=0.017, roles={"gain": "gain"})
    run(a, ours, 3, dtype=torch.bfloat16)
    b = copier(a)
    theirs = b.param_groups[0]["params"]
    assert theirs[0] is not ours[0] and b.role_of(theirs[1]) == "gain"
    run(a, ours, 3, seed=2, dtype=torch.bfloat16)
    run(b, theirs, 3, seed=2, dtype=torch.bfloat16)
    for p, q in zip(ours, theirs):
        assert same_bits(p, q)
        assert same_bits(a.state[p]["exp_avg"], b.state[q]["exp_avg"])


def test_sophia_observes():
    shapes = [(4, 3), (5,)]
    params, expected = tensors(shapes), tensors(shapes)
    optimizer = tt.Sophia(
        [{"params": params[:1]}, {"params": params[1:], "maximize": True}], lr=0.013, weight_decay=0, interval=2
    )
    seen, (drawn, grads) = [], (next(gradients(shapes, seed=s)) for s in (1, 2))
    for _ in range(3):
        seen.append(optimizer.due)
        if optimizer.due:
            give(params, drawn)
            optimizer.observe(23)
        give(params, grads)
        optimizer.step()
    assert seen == [True, False, True]
    for i, sign in ((0, 1), (1, -1)):
        m, h, x = 0, 0, expected[i].detach()
        for update in range(3):
            h = 0.99 * h + 0.01 * 23 * drawn[i] ** 2 if update % 2 == 0 else h
            m = 0.965 * m + 0.035 * sign * grads[i]
            x = x - 0.013 * (m / (0.04 * h).clamp_min(1e-12)).clamp(-1, 1)
        assert_close(params[i].detach(), x)
        assert_close(optimizer.state[params[i]]["hessian"], h)


def test_states_can_be_reset():
    ours, _, a, _ = pair("AdamW")
    fresh, _, b, _ = pair("AdamW")
    run(a, ours, 3)
    with torch.no_grad():
        for p, q in zip(ours, fresh):
            p.copy_(q)
    a.state.clear()
    run(a, ours, 2, seed=8)
    run(b, fresh, 2, seed=8)
    assert all(same_bits(p, q) for p, q in zip(ours, fresh))


def test_states_outlive_the_optimizer():
    ours, _, a, _ = pair("AdamW")
    run(a, ours, 2)
    average = a.state[ours[0]]["exp_avg"]
    kept = average.clone()
    del a
    run(tt.AdamW(ours), ours, 2)
    assert same_bits(average, kept)


def test_states_written_in_place_count():
    ours, theirs, a, b = pair("AdamW")
    for params, optimizer in ((ours, a), (theirs, b)):
        run(optimizer, params, 2)
        optimizer.state[params[0]]["exp_avg"].mul_(3.1)
        run(optimizer, params, 2, seed=1)
    assert_close(ours[0].detach(), theirs[0].detach())
