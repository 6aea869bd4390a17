"""Tensors as the C library sees them: memory in row-major order, a format, rows and columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from .. import _native

# torch's name of a format -> tg_format
FORMATS: dict[torch.dtype, int] = {
    torch.float32: _native.format_number("F32"),
    torch.bfloat16: _native.format_number("BF16"),
    torch.float16: _native.format_number("F16"),
}
STATE_DTYPES: dict[str, torch.dtype] = {
    "F32": torch.float32,
    "BF16": torch.bfloat16,
    "F16": torch.float16,
    "F64": torch.float64,
    "U8": torch.uint8,
    "I8": torch.int8,
    "I16": torch.int16,
    "I32": torch.int32,
    "I64": torch.int64,
    # PyTorch can do little with its unsigned formats: counts are far below the sign bit.
    "U16": torch.int16,
    "U32": torch.int32,
    "U64": torch.int64,
}


class Place:
    """Where a parameter's values are. `memory` is a contiguous view of them, the parameter's dimensions in `order`; it
    holds the storage alive. `master` is the copy on the CPU that is stepped in the parameter's stead, or None."""

    __slots__ = ("param", "memory", "order", "master", "frozen", "version")

    def __init__(
        self,
        param: torch.Tensor,
        memory: torch.Tensor,
        order: tuple[int, ...],
        master: torch.Tensor | None,
        frozen: bool,
    ):
        self.param, self.memory, self.order, self.master, self.frozen = param, memory, order, master, frozen
        self.version = param._version

    def read(self) -> None:
        """The copy <- the parameter. Where that is what the copy rounds to, nobody has changed it, and the copy keeps the
        digits that the parameter has no room for."""
        if self.master is None:
            return
        p = self.param.detach()
        if self.master.dtype == p.dtype:
            self.master.copy_(p)
        else:
            p = p.to("cpu")
            torch.where(self.master.to(p.dtype) == p, self.master, p.to(self.master.dtype), out=self.master)

    def write(self) -> None:
        """The parameter <- the copy."""
        if self.master is not None:
            self.param.detach().copy_(self.master)


def check(p: torch.Tensor, name: str, offload: bool) -> None:
    """Refuses what cannot be stepped, saying what can be done."""
    if p.layout is not torch.strided:
        raise TypeError(f"{name}: parameters must be dense (layout is {p.layout})")
    if p.device.type == "meta":
        raise ValueError(f"{name} is on the meta device and has no values: give it memory first (model.to_empty)")
    if p.device.type != "cpu" and not offload:
        raise ValueError(
            f"{name} is on {p.device}: this optimizer steps tensors in CPU memory; tiger.torch.offload keeps "
            "states and update on the CPU for parameters elsewhere"
        )
    if p.dtype not in FORMATS:
        raise TypeError(f"{name} is {p.dtype}: weights must be float32, bfloat16 or float16")
    if any(stride == 0 and size > 1 for stride, size in zip(p.stride(), p.shape)):
        raise ValueError(f"{name} is an expanded tensor: several of its values share memory")


def dense_order(p: torch.Tensor) -> tuple[int, ...] | None:
    """The order of dimensions in which `p` is contiguous (channels_last weights, transposes), or None. Views whose memory
    holds the values negated have none."""
    if p.is_neg():
        return None
    if p.is_contiguous():
        return tuple(range(p.dim()))
    order = tuple(sorted(range(p.dim()), key=lambda d: (-p.stride()[d], d)))
    return order if p.permute(order).is_contiguous() else None


def shape_for_c(memory: torch.Tensor) -> tuple[int, int]:
    """(rows, cols): a vector is one row, a kernel of more dimensions has its first as rows."""
    if memory.dim() < 2:
        return 1, memory.numel()
    cols = 1
    for size in memory.shape[1:]:
        cols *= size
    return memory.shape[0], cols


def copy_of_gradient(g: torch.Tensor, place: Place) -> torch.Tensor:
    """The gradient contiguous, in the order of the parameter's memory, on the CPU, in a format the library knows; no
    copy where it already is."""
    if g.dtype not in FORMATS:
        g = g.to(torch.float32)
    return g.detach().to("cpu").resolve_neg().permute(place.order).contiguous()


def true_states(state: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter's states with their fp16 ones as they are meant, in fp32: the library stores these times a power of
    two, which it keeps beside them, so that small values survive."""
    meant = dict(state)
    for key, value in state.items():
        range_ = state.get(f"{key}_range")
        if range_ is not None and value.dtype == torch.float16:
            meant[key] = torch.ldexp(value.float(), torch.tensor(-int(range_[0])))
    return meant


def write_state(views: Mapping[str, torch.Tensor], key: str, value: torch.Tensor, range_: torch.Tensor | None) -> None:
    """views[key] <- value. An fp16 state takes its power of two from `range_`, where there is one."""
    view = views[key]
    mine = views.get(f"{key}_range")
    if mine is None:
        view.copy_(value)
        return
    if range_ is not None:
        mine.copy_(range_)
    else:  # the largest magnitude is brought to 2^10, as the library does
        most = value.abs().max().float() if value.numel() else torch.zeros(())
        exponent = 0 if most == 0 else min(120, max(-120, 11 - int(torch.frexp(most).exponent)))
        mine.copy_(
            torch.stack([torch.tensor(exponent, dtype=torch.int32), most.view(torch.int32), *torch.zeros(2).int()])
        )
    view.copy_(torch.ldexp(value.float(), mine[0]))


def state_view(raw: _native.State, shape: str, place: Place) -> torch.Tensor:
    """A tensor over the C library's own memory. A state with a value for every weight has the parameter's shape, one
    with one value none."""
    dtype = STATE_DTYPES[raw.format]
    if raw.memory is None:
        flat = torch.empty(0, dtype=dtype)
    else:
        flat = torch.frombuffer(raw.memory, dtype=dtype)
    if shape != "full":
        return flat.reshape(() if shape == "scalar" else raw.shape)
    return in_place_order(flat, place)


def in_place_order(flat: torch.Tensor, place: Place) -> torch.Tensor:
    """Values in the order of the parameter's memory, shaped as the parameter."""
    inverse = [place.order.index(d) for d in range(len(place.order))]
    return flat.reshape(place.memory.shape).permute(inverse)
