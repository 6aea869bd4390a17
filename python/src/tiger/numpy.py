"""libtiger's optimizers over NumPy arrays, updated in place; PyTorch is not needed.

    optimizer = tiger.numpy.optimizer("adamw", {"w": w, "b": b}, lr=1e-3)
    optimizer.step({"w": dw, "b": db})

Arrays are C-contiguous float32 or float16, or uint16 holding bfloat16 (as the package ml_dtypes' bfloat16 is, too).
"""

from __future__ import annotations

import difflib
import os
from array import array
from collections.abc import Iterable, Mapping
from typing import Any

import numpy

from . import _native
from ._native import COMMON, RULES

__all__ = ["Optimizer", "optimizer"]

# bfloat16 is 2 bytes that NumPy itself cannot add up: it comes as uint16, or as another package's dtype of that name.
_TAGS = {"float32": "F32", "float16": "F16", "bfloat16": "BF16", "uint16": "BF16"}
_DTYPES = {
    "F32": "float32",
    "F16": "float16",
    "BF16": "uint16",
    "F64": "float64",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
}


def _format(name: str, values: numpy.ndarray) -> int:
    tag = _TAGS.get(values.dtype.name)
    if tag is None or not values.dtype.isnative:
        raise TypeError(f"{name} is {values.dtype}: arrays must be float32, float16 or (as uint16) bfloat16")
    return _native.format_number(tag)


class Optimizer:
    """An optimizer of `rule` over named arrays (or a sequence of arrays, named by their numbers).

    roles: name -> "matrix", "embedding", "bias" or "gain"; without one an array of two dimensions or more is a matrix,
    any other a bias. state_file: states lie in a mapped file of that name, not in memory. options: those of the rule
    and of `tiger.common_options()`; they win over those of a preset (see `tiger.rules()`).
    """

    def __init__(
        self,
        rule: str,
        params: Mapping[str, numpy.ndarray] | Iterable[numpy.ndarray],
        *,
        roles: Mapping[str, str] | None = None,
        state_file: str | os.PathLike[str] | None = None,
        preset: str | None = None,
        **options: Any,
    ):
        self._engine = _native.Optimizer(rule, None if state_file is None else os.fspath(state_file))
        self.rule = RULES[rule]
        self.params = dict(params) if isinstance(params, Mapping) else {str(i): p for i, p in enumerate(params)}
        self.options: dict[str, Any] = {name: option.value for name, option in {**COMMON, **self.rule.options}.items()}
        for name, value in {**(self.rule.preset(preset) if preset else {}), **options}.items():
            self._set(name, value)
        unknown = set(roles or {}) - set(self.params)
        if unknown:
            raise ValueError(f"roles for arrays that are not there: {', '.join(sorted(unknown))}")
        self._formats = array("i")
        for name, values in self.params.items():
            self._add(name, values, (roles or {}).get(name))
        self._engine.start()
        self.state = self._views()

    def _set(self, name: str, value: Any) -> None:
        option = self.rule.options.get(name) or COMMON.get(name)
        if option is None:
            near = difflib.get_close_matches(name, [*self.rule.options, *COMMON], 1)
            raise TypeError(
                f"{self.rule.name} has no option '{name}'" + (f" (did you mean {near[0]}?)" if near else "")
            )
        self._engine.set(-1, name, option.number(value))
        self.options[name] = value

    def _add(self, name: str, values: numpy.ndarray, role: str | None) -> None:
        if not isinstance(values, numpy.ndarray) or not values.flags.c_contiguous or not values.flags.writeable:
            raise TypeError(f"{name} must be a C-contiguous array that may be written, to be updated in place")
        role = role or ("matrix" if values.ndim >= 2 else "bias")
        if role not in _native.ROLES:
            raise ValueError(f"{name}: a role is one of {', '.join(_native.ROLES)}, not {role!r}")
        rows = 1 if values.ndim < 2 else values.shape[0]
        cols = values.size if values.ndim < 2 else int(numpy.prod(values.shape[1:], dtype=numpy.int64))
        format = _format(name, values)
        self._formats.append(format)
        self._engine.add(name, values.ctypes.data, format, rows, cols, _native.ROLES.index(role), 0)

    def _views(self) -> dict[str, dict[str, numpy.ndarray]]:
        state: dict[str, dict[str, numpy.ndarray]] = {name: {} for name in self.params}
        full = {slot.name for slot in self.rule.slots if slot.shape == "full"} | {"compensation"}
        for raw in self._engine.states():
            dtype = numpy.dtype(_DTYPES[raw.format])
            flat = numpy.empty(0, dtype) if raw.memory is None else numpy.frombuffer(memoryview(raw.memory), dtype)
            if raw.param:
                state[raw.param][raw.slot] = flat.reshape(
                    self.params[raw.param].shape if raw.slot in full else raw.shape
                )
            elif raw.slot == "tensor_updates":
                for at, name in enumerate(self.params):
                    state[name]["step"] = flat[at : at + 1].reshape(())
        return state

    def set(self, **options: Any) -> None:
        """Changes numbers of the rule between updates: optimizer.set(lr=1e-4)."""
        for name, value in options.items():
            self._set(name, value)

    def step(
        self, grads: Mapping[str, numpy.ndarray | None] | Iterable[numpy.ndarray | None], *, scale: float = 1.0
    ) -> None:
        """One update from the gradients of the mean loss, shaped as their arrays; None or a missing name: none this
        time. `scale` divides the gradients first (loss scaling)."""
        by_name = dict(grads) if isinstance(grads, Mapping) else dict(zip(self.params, grads, strict=True))
        unknown = set(by_name) - set(self.params)
        if unknown:
            raise ValueError(f"gradients of arrays that are not there: {', '.join(sorted(unknown))}")
        held: list[numpy.ndarray | None] = []
        formats = self._formats[:]
        for at, (name, values) in enumerate(self.params.items()):
            g = by_name.get(name)
            if g is None:
                held.append(None)
                continue
            if g.shape != values.shape:
                raise ValueError(f"the gradient of {name} has shape {g.shape}, not {values.shape}")
            formats[at] = _format(f"the gradient of {name}", g)
            held.append(numpy.ascontiguousarray(g))
        self._engine.step(array("Q", [0 if g is None else g.ctypes.data for g in held]), formats, scale)

    def refresh(self) -> None:
        """For after the arrays or states were written by others."""
        self._engine.refresh()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the states as a safetensors file, crash-safely; the weights are the caller's to save."""
        self._engine.save(os.fspath(path))

    def load(self, path: str | os.PathLike[str]) -> None:
        """Reads what save wrote, for the same rule, names, shapes and formats: the run then goes on to the same
        bits."""
        self._engine.load(os.fspath(path))

    @property
    def updates(self) -> int:
        """Updates made so far."""
        return self._engine.updates


def optimizer(rule: str, params: Mapping[str, numpy.ndarray] | Iterable[numpy.ndarray], **options: Any) -> Optimizer:
    """An optimizer by the name it has in `tiger.rules()`; see Optimizer."""
    return Optimizer(rule, params, **options)
