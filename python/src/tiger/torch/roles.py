"""What a model's tensors are to it: matrix, embedding, bias or gain. Rules may treat roles differently (Tiger does).

r = tiger.torch.roles(model)
print(r)                                # name, role, shape, and the module it was told from
r["transformer.wpe.weight"] = "matrix"  # override
Tiger(model.parameters(), roles=r)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import nn

from .._native import ROLES

EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)


class _Use(NamedTuple):
    name: str
    attribute: str  # what the module calls it: "weight"
    module: nn.Module


class _Row(NamedTuple):
    name: str
    role: str
    param: torch.Tensor
    module: str


def propose(p: torch.Tensor) -> str:
    """A role from the shape alone: matrix from two dimensions up, else bias."""
    return "matrix" if p.dim() >= 2 else "bias"


def _role_in(use: _Use, p: torch.Tensor) -> str:
    kind = type(use.module).__name__.lower()
    if isinstance(use.module, EMBEDDINGS):
        return "embedding"
    if "bias" in use.attribute:
        return "bias" if p.dim() < 2 else "matrix"
    if p.dim() < 2:
        return "gain" if "norm" in kind else "bias"
    # A parameter that no layer has as its kernel: a class token (1, 1, C) is one vector.
    kernel = use.attribute.endswith("weight") or sum(size > 1 for size in p.shape) > 1
    return "matrix" if kernel else "bias"


class Roles(Mapping[str, str]):
    """Role by parameter name; printable. Assign to override. Tied parameters have one role under any of their names."""

    def __init__(self, model: nn.Module):
        uses: dict[int, list[_Use]] = {}
        params: dict[int, torch.Tensor] = {}
        for prefix, module in model.named_modules(remove_duplicate=False):
            for attribute, p in module.named_parameters(recurse=False, remove_duplicate=False):
                params[id(p)] = p
                uses.setdefault(id(p), []).append(
                    _Use(f"{prefix}.{attribute}" if prefix else attribute, attribute, module)
                )
        self._rows: dict[int, _Row] = {}
        self._ids: dict[str, int] = {}
        for key, where in uses.items():
            p = params[key]
            roles = {_role_in(use, p) for use in where}
            # Used as a kernel too, an embedding gets a gradient on every row.
            role = roles.pop() if len(roles) == 1 else "matrix" if p.dim() >= 2 else "bias"
            self._rows[key] = _Row(
                where[0].name, role, p, " + ".join(dict.fromkeys(type(u.module).__name__ for u in where))
            )
            for use in where:
                self._ids[use.name] = key

    def __getitem__(self, name: str) -> str:
        return self._rows[self._ids[name]].role

    def __setitem__(self, name: str, role: str) -> None:
        if role not in ROLES:
            raise ValueError(f"{name}: a role is one of {', '.join(ROLES)}, not {role!r}")
        key = self._ids[name]
        self._rows[key] = self._rows[key]._replace(role=role)

    def __iter__(self) -> Iterator[str]:
        return iter(row.name for row in self._rows.values())

    def __len__(self) -> int:
        return len(self._rows)

    def role_of(self, p: torch.Tensor) -> str | None:
        row = self._rows.get(id(p))
        return row.role if row is not None and row.param is p else None

    def name_of(self, p: torch.Tensor) -> str | None:
        row = self._rows.get(id(p))
        return row.name if row is not None and row.param is p else None

    def __str__(self) -> str:
        rows = [
            (row.name, row.role, "x".join(map(str, row.param.shape)) or "scalar", row.module)
            for row in self._rows.values()
        ]
        widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
        return "\n".join("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths)), row[3]]) for row in rows)

    __repr__ = __str__


def roles(model: nn.Module) -> Roles:
    """Proposes a role for every parameter of `model`, from module types and shapes: weights of Embedding and
    EmbeddingBag are embedding unless another kind of layer shares them (then matrix), one-dimensional weights of norm
    layers are gain, vectors otherwise bias, and everything from two dimensions up matrix."""
    return Roles(model)
