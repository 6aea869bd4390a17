"""Roles proposed from module types and shapes."""

import pytest
import torch
from torch import nn

import tiger.torch as tt


class Net(nn.Module):
    def __init__(self, tied):
        super().__init__()
        self.table = nn.Embedding(19, 8)
        self.place = nn.Parameter(torch.zeros(1, 5, 8))
        self.token = nn.Parameter(torch.zeros(1, 1, 8))
        self.attend = nn.MultiheadAttention(8, 2)
        self.norm = nn.LayerNorm(8)
        self.rms = nn.RMSNorm(8)
        self.kernel = nn.Conv2d(3, 4, 3)
        self.batch = nn.BatchNorm2d(4)
        self.one = nn.Linear(8, 1)
        self.head = nn.Linear(8, 19, bias=False)
        self.scale = nn.Parameter(torch.tensor(1.7))
        if tied:
            self.head.weight = self.table.weight


EXPECTED = {
    "table.weight": "embedding",
    "place": "matrix",
    "token": "bias",
    "attend.in_proj_weight": "matrix",
    "attend.in_proj_bias": "bias",
    "attend.out_proj.weight": "matrix",
    "attend.out_proj.bias": "bias",
    "norm.weight": "gain",
    "norm.bias": "bias",
    "rms.weight": "gain",
    "kernel.weight": "matrix",
    "kernel.bias": "bias",
    "batch.weight": "gain",
    "batch.bias": "bias",
    "one.weight": "matrix",
    "one.bias": "bias",
    "head.weight": "matrix",
    "scale": "bias",
}


def test_proposals():
    assert dict(tt.roles(Net(False))) == EXPECTED


def test_tied_embeddings_are_matrices():
    found = tt.roles(Net(True))
    assert found["table.weight"] == found["head.weight"] == "matrix"
    assert len(found) == len(EXPECTED) - 1


def test_printed_and_overridden():
    net = Net(True)
    found = tt.roles(net)
    line = next(line for line in str(found).splitlines() if line.startswith("table.weight"))
    assert line.split() == ["table.weight", "matrix", "19x8", "Embedding", "+", "Linear"]
    found["head.weight"] = "embedding"
    found["scale"] = "gain"
    optimizer = tt.Tiger(net.parameters(), roles=found)
    assert optimizer.role_of(net.table.weight) == "embedding" and optimizer.role_of(net.scale) == "gain"
    with pytest.raises(ValueError, match="matrix, embedding, bias, gain"):
        found["scale"] = "kernel"
    with pytest.raises(KeyError):
        found["scales"] = "gain"


def test_other_ways_to_say_them():
    net = nn.Sequential(nn.Embedding(5, 4), nn.LayerNorm(4))
    by_name = tt.Tiger(net.named_parameters(), roles={"1.weight": "gain"})
    assert [by_name.role_of(p) for p in net.parameters()] == ["matrix", "gain", "bias"]
    by_group = tt.Tiger([{"params": [net[0].weight], "role": "embedding"}, {"params": list(net[1].parameters())}])
    assert [by_group.role_of(p) for p in net.parameters()] == ["embedding", "bias", "bias"]
    with pytest.raises(ValueError, match="a role is one of"):
        tt.Tiger([{"params": [net[0].weight], "role": "table"}])
    with pytest.raises(ValueError, match="1.wait"):
        tt.Tiger(net.named_parameters(), roles={"1.wait": "gain"})


def test_roles_matter():
    """A bias moves by lr bias_lr, a matrix relative to its RMS."""
    moves = {}
    for role in ("matrix", "bias"):
        p = nn.Parameter(torch.full((4, 4), 0.2))
        optimizer = tt.Tiger([{"params": [p], "role": role}], lr=0.1, weight_decay=0)
        p.grad = torch.ones(4, 4)
        optimizer.step()
        moves[role] = 0.2 - p[0, 0].item()
    assert moves == pytest.approx({"matrix": 0.1 * 0.2, "bias": 0.1 * 0.05}, rel=1e-5)
