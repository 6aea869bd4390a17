"""A C optimizer and its parameters, in its order, with what every step must look up."""

from __future__ import annotations

from array import array

import torch

from .. import _native
from ._tensors import FORMATS, Place


class Run:
    """A C optimizer and its parameters, in its order, with what a step must look up."""

    def __init__(self, engine: _native.Optimizer, shared: tuple[float, ...]):
        self.engine = engine
        self.shared = shared  # its groups' values of SHARED
        self.groups: list[int] = []  # of param_groups, in the C optimizer's order
        self.sent: list[tuple] = []  # their values as the C optimizer has them
        self.places: list[Place] = []
        self.params: list[torch.Tensor] = []
        self.names: list[str] = []
        self.strides: list[tuple[int, ...] | None] = []
        self.dtypes: list[torch.dtype] = []
        self.addresses: list[int] = []
        self.formats = array("i")
        self.staged: list[Place] = []
        self.frozen: list[Place] = []

    def append(self, place: Place, name: str) -> None:
        self.places.append(place)
        self.names.append(name)
        self.params.append(place.param)
        # No gradient has the stride None: a staged or frozen parameter's takes the long way.
        self.strides.append(None if place.master is not None or place.frozen else place.param.stride())
        self.dtypes.append(place.param.dtype)
        self.addresses.append(place.param.data_ptr())
        self.formats.append(FORMATS[place.memory.dtype])
        if place.master is not None:
            self.staged.append(place)
        if place.frozen:
            self.frozen.append(place)

    def moved(self) -> bool:
        return [p.data_ptr() for p in self.params] != self.addresses
