"""state_dict: saved, loaded, exchanged with torch.optim."""

import io

import pytest
import torch

import tiger.torch as tt
from support import assert_close, run, same_bits, tensors
from test_agreement import CASES, LR, NO_DECAY

SHAPES = [(19, 7), (33,), (), (5, 3, 2, 2)]


def through_a_file(state_dict):
    file = io.BytesIO()
    torch.save(state_dict, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def exchange(name, options):
    for options in options:
        yield pytest.param(
            name, options if name in NO_DECAY else {**options, "weight_decay": 0.0371}, id=f"{name}-{options}"
        )


ALL = [case for name, options in CASES.items() for case in exchange(name, options)]


@pytest.mark.parametrize("name, options", ALL)
def test_from_torch(name, options):
    ours, theirs = tensors(SHAPES), tensors(SHAPES)
    b = getattr(torch.optim, name)(theirs, lr=LR[name], **options)
    run(b, theirs, 10)
    with torch.no_grad():
        for p, q in zip(ours, theirs):
            p.copy_(q)
    a = getattr(tt, name)(ours, lr=1.0)
    a.load_state_dict(through_a_file(b.state_dict()))
    assert a.param_groups[0]["lr"] == LR[name]
    run(a, ours, 10, seed=5)
    run(b, theirs, 10, seed=5)
    for p, q in zip(ours, theirs):
        assert_close(p.detach(), q.detach())


@pytest.mark.parametrize("foreach", [True, False])
@pytest.mark.parametrize("name, options", ALL)
def test_to_torch(name, options, foreach):
    ours, theirs = tensors(SHAPES), tensors(SHAPES)
    a = getattr(tt, name)(ours, lr=LR[name], foreach=foreach, **options)
    run(a, ours, 10)
    with torch.no_grad():
        for p, q in zip(ours, theirs):
            q.copy_(p)
    b = getattr(torch.optim, name)(theirs, lr=1.0)
    b.load_state_dict(through_a_file(a.state_dict()))
    run(a, ours, 10, seed=5)
    run(b, theirs, 10, seed=5)
    for p, q in zip(ours, theirs):
        assert_close(p.detach(), q.detach())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("rule", tt.CLASSES)
def test_goes_on_to_the_same_bits(rule, dtype):
    """Stochastic rounding included: its random bits are keyed by the update's number."""
    ours = tensors(SHAPES, dtype=dtype)
    a = tt.optimizer(rule, ours, lr=0.0127)
    run(a, ours, 5, dtype=dtype)
    saved = through_a_file(a.state_dict())
    copies = [torch.nn.Parameter(p.detach().clone()) for p in ours]
    run(a, ours, 5, seed=5, dtype=dtype)
    b = tt.optimizer(rule, copies)
    b.load_state_dict(saved)
    assert b.state_dict()["tiger"]["updates"] == 5
    run(b, copies, 5, seed=5, dtype=dtype)
    for p, q in zip(ours, copies):
        assert same_bits(p, q)
        for key, value in a.state[p].items():
            assert same_bits(value, b.state[q][key])


def test_a_lazy_embedding_goes_on_to_the_same_bits():
    def touch(p, optimizer, rows):
        for row in rows:
            p.grad = torch.zeros_like(p)
            p.grad[row] = 0.37 * (row + 1)
            optimizer.step()

    p = tensors([(9, 5)])[0]
    a = tt.Tiger([{"params": [p], "role": "embedding"}], lr=0.03)
    touch(p, a, [1, 4, 4, 7])
    q = torch.nn.Parameter(p.detach().clone())
    b = tt.Tiger([{"params": [q], "role": "embedding"}], lr=0.03)
    b.load_state_dict(through_a_file(a.state_dict()))
    touch(p, a, [1, 2, 7])
    touch(q, b, [1, 2, 7])
    assert same_bits(p, q)
    assert a.state[p]["row_updates"].tolist() == b.state[q]["row_updates"].tolist() == [0, 5, 6, 0, 3, 0, 0, 7, 0]


def test_a_checkpoint_changes_nothing_and_is_not_changed():
    ours, theirs = tensors(SHAPES), tensors(SHAPES)
    a, b = tt.AdamW(ours), tt.AdamW(theirs)
    run(a, ours, 3)
    run(b, theirs, 3)
    saved = a.state_dict()
    a.load_state_dict(saved)
    kept = saved["state"][0]["exp_avg"].clone()
    run(a, ours, 3)
    run(b, theirs, 3)
    assert all(same_bits(p, q) for p, q in zip(ours, theirs))
    assert same_bits(saved["state"][0]["exp_avg"], kept)


def test_tensors_without_an_update_have_no_state_in_it():
    ours = tensors(SHAPES)
    a = tt.AdamW(ours)
    run(a, ours[:2], 2)
    assert sorted(a.state_dict()["state"]) == [0, 1]
    b = torch.optim.AdamW(tensors(SHAPES))
    b.load_state_dict(a.state_dict())


def test_what_does_not_fit_is_refused():
    ours = tensors(SHAPES)
    a = tt.AdamW(ours)
    run(a, ours, 1)
    with pytest.raises(ValueError, match="states of adamw, not of lion"):
        tt.Lion(tensors(SHAPES)).load_state_dict(a.state_dict())
    with pytest.raises(ValueError, match="group"):
        tt.AdamW(tensors(SHAPES[:2])).load_state_dict(a.state_dict())
    other = tensors([(3, 7), (33,), (), (5, 3, 2, 2)])
    b = tt.AdamW(other, lr=0.0137)
    with pytest.raises(ValueError, match=r"params\[0\]: state exp_avg has shape \(19, 7\), not \(3, 7\)"):
        b.load_state_dict(a.state_dict())
    assert b.param_groups[0]["lr"] == 0.0137 and not b.state


def test_roles_survive_a_checkpoint_without_them():
    p = tensors([(9, 5)])[0]
    a = tt.Tiger([{"params": [p], "role": "embedding"}])
    run(a, [p], 1)
    saved = a.state_dict()
    del saved["param_groups"][0]["role"]
    a.load_state_dict(saved)
    assert a.role_of(p) == "embedding"


def test_states_in_a_mapped_file(tmp_path):
    """The file has no name once it is open: it can be made anew when a group joins, and nothing is left."""
    results = []
    for options in ({}, {"state_file": tmp_path / "states"}):
        ours = tensors(SHAPES)
        a = tt.AdamW(ours[:2], **options)
        run(a, ours[:2], 2)
        a.add_param_group({"params": ours[2:]})
        run(a, ours, 2)
        results.append([p.detach() for p in ours] + [a.state[p]["exp_avg_sq"].clone() for p in ours])
    assert all(same_bits(p, q) for p, q in zip(*results))
    assert not list(tmp_path.iterdir())
    (tmp_path / "taken").write_text("something")
    a = tt.AdamW(ours, state_file=tmp_path / "taken")
    with pytest.raises(OSError, match="already"):
        run(a, ours, 1)
