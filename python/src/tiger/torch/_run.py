"""A C optimizer and its parameters, in its order, with what every step must look up."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

import torch

from .. import _native
from ._tensors import FORMATS, Place

# What a step asks of every tensor, without a look-up by name each time.
GRAD, DTYPE, VERSION = attrgetter("grad"), attrgetter("dtype"), attrgetter("_version")
ADDRESS, STRIDE, NUMEL, NEGATED = torch.Tensor.data_ptr, torch.Tensor.stride, torch.Tensor.numel, torch.Tensor.is_neg


class Grads(NamedTuple):
    """The gradients of one update: by address and format for the C optimizer, 0 where there is none."""

    addresses: array
    formats: array
    params: list[torch.Tensor]  # that have one
    held: list[torch.Tensor]  # what lies at these addresses
    sparse: bool  # some have to go in as rows


class Run:
    """A C optimizer and its parameters, in its order, with what a step must look up."""

    def __init__(self, engine: _native.Optimizer, shared: tuple[float, ...]):
        self.engine = engine
        self.shared = shared  # its groups' values of SHARED
        self.groups: list[int] = []  # of param_groups, in the C optimizer's order
        self.sent: list[Sent] = []  # their values as the C optimizer has them
        self.places: list[Place] = []
        self.params: list[torch.Tensor] = []
        self.names: list[str] = []
        self.shapes: list[torch.Size] = []
        self.orders: list[tuple[int, ...]] = []  # their strides
        self.strides: list[tuple[int, ...] | None] = []
        self.numels: list[int] = []
        self.dtypes: list[torch.dtype] = []
        self.addresses: list[int] = []
        self.versions: list[int] = []
        self.formats = array("i")
        self.staged: list[Place] = []
        self.frozen: list[Place] = []

    def append(self, place: Place, name: str) -> None:
        p = place.param
        self.places.append(place)
        self.names.append(name)
        self.params.append(p)
        self.shapes.append(p.shape)
        self.orders.append(p.stride())
        # A gradient's, to be read where it is. None has the stride None: a staged or frozen parameter's takes the long way.
        self.strides.append(None if place.master is not None or place.frozen else p.stride())
        self.numels.append(p.numel())
        self.dtypes.append(p.dtype)
        self.addresses.append(p.data_ptr())
        self.formats.append(FORMATS[place.memory.dtype])
        if place.master is not None:
            self.staged.append(place)
        if place.frozen:
            self.frozen.append(place)

    def moved(self) -> bool:
        """Whether a parameter's memory is elsewhere than when the C optimizer was made, or in another order."""
        return (
            list(map(ADDRESS, self.params)) != self.addresses
            or list(map(STRIDE, self.params)) != self.orders
            or (bool(self.staged) and self.reshaped())
        )

    def reshaped(self) -> bool:
        """Whether a parameter has another shape than then: `p.data = p.data[:10]`."""
        return [p.shape for p in self.params] != self.shapes

    def gradients(self) -> Grads | None:
        """The gradients, where every parameter has one that lies as the parameter does; else None. No parameter can then
        have another shape than it had, or its gradient would."""
        grads = list(map(GRAD, self.params))
        try:
            if (
                list(map(STRIDE, grads)) != self.strides
                or list(map(NUMEL, grads)) != self.numels
                or list(map(DTYPE, grads)) != self.dtypes
                or any(map(NEGATED, grads))
            ):
                return None
        except (TypeError, RuntimeError):  # None and sparse gradients have no strides
            return None
        return Grads(array("Q", map(ADDRESS, grads)), self.formats, self.params, grads, False)


class Sent:
    """A group's options as the C optimizer has them: `values` by keyword, as _snapshot gives them, and `numbers`."""

    __slots__ = ("values", "numbers", "_objects", "_of", "_length")

    def __init__(self, group: Mapping[str, Any], keywords: Iterable[str], values: tuple, numbers: Mapping[str, float]):
        self.values, self.numbers = values, dict(numbers)
        self._of = itemgetter(*[keyword for keyword in keywords if keyword in group])
        self.note(group, values)

    def note(self, group: Mapping[str, Any], values: tuple) -> None:
        self.values, self._objects, self._length = values, self._of(group), len(group)
        if not all(map(_is_plain, self._objects)):
            self._length = -1  # a tensor or a list may change in place: the long way each time

    def unchanged(self, group: Mapping[str, Any]) -> bool:
        """Whether nothing can have changed; a comparison of a few objects."""
        try:
            return len(group) == self._length and bool(self._of(group) == self._objects)
        except (KeyError, RuntimeError):  # gone; or a tensor of several values
            return False


def _is_plain(value: object) -> bool:
    return isinstance(value, (float, int, str, type(None))) or (
        isinstance(value, tuple) and all(map(_is_plain, value))
    )
