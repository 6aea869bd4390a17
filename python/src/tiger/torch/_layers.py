"""Linear layers and convolutions of a model, whose inputs and output gradients an optimizer takes while they exist."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import nn

OUT_BY_IN, IN_BY_OUT = 1, 2  # tg_layer_form
WINDOWS = 4096  # rows of a convolution that are unfolded at a time, or one sample's


class Layer(NamedTuple):
    """A module that multiplies by a matrix of its own: what it is given, or the windows of it."""

    module: nn.Module
    weight: torch.Tensor
    bias: torch.Tensor | None
    form: int


def _form_of(module: nn.Module) -> int:
    """How a module holds its matrix; 0 when it has none. Conv1D: transformers' GPT-2 has them. Of a convolution in
    groups every group is a layer: none."""
    if type(module) is nn.Linear or (type(module) is nn.Conv2d and module.groups == 1):
        return OUT_BY_IN
    if type(module).__name__ == "Conv1D" and hasattr(module, "nf"):
        return IN_BY_OUT
    return 0


def find(model: nn.Module) -> Iterator[Layer]:
    """The layers whose matrix and bias no other module uses."""
    uses: dict[int, int] = {}
    for module in model.modules():
        for p in module._parameters.values():
            uses[id(p)] = uses.get(id(p), 0) + 1
    for module in model.modules():
        form, weight = _form_of(module), getattr(module, "weight", None)
        if form and isinstance(weight, torch.Tensor) and uses[id(weight)] == 1:
            bias = module.bias
            yield Layer(module, weight, bias if bias is not None and uses[id(bias)] == 1 else None, form)


Take = Callable[[Layer, torch.Tensor, torch.Tensor], None]  # inputs, gradients


def hook(layer: Layer, taker: Callable[[], Take | None]) -> Any:
    """Has `taker()`, if anything, take the layer's rows in every backward pass. Returns a handle to remove it by."""

    def forward(_: nn.Module, args: tuple[Any, ...], output: torch.Tensor) -> None:
        take = taker()
        if take is None or not isinstance(output, torch.Tensor) or not output.requires_grad:
            return
        inputs = args[0].detach()
        output.register_hook(lambda gradient: take(layer, inputs, gradient))

    return layer.module.register_forward_hook(forward)


def _rows(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """(rows, features) in one piece of CPU memory; every place but the last dimension is a row."""
    return x.detach().reshape(-1, x.shape[-1]).to("cpu", dtype).contiguous()


class Part(NamedTuple):
    """Rows from `first` on of a layer's `all`, each in one piece of CPU memory."""

    inputs: torch.Tensor
    gradients: torch.Tensor
    first: int
    all: int


def parts_of(layer: Layer, inputs: torch.Tensor, gradients: torch.Tensor, dtype: torch.dtype) -> Iterator[Part]:
    """The rows of a batch: at once, or, of a convolution, a few samples' windows at a time. None of a convolution's where
    something is not finite."""
    if not isinstance(layer.module, nn.Conv2d):
        a = _rows(inputs, dtype)
        yield Part(a, _rows(gradients, dtype), 0, len(a))
        return
    conv = layer.module
    x, g = (t.detach() if t.dim() == 4 else t.detach()[None] for t in (inputs, gradients))
    places = g.shape[2] * g.shape[3]
    if x.numel() == 0 or not bool(x.isfinite().all()) or not bool(g.isfinite().all()):
        return
    mode = "constant" if conv.padding_mode == "zeros" else conv.padding_mode
    step = max(1, WINDOWS // places)
    for first in range(0, len(x), step):
        padded = nn.functional.pad(x[first : first + step], conv._reversed_padding_repeated_twice, mode)
        windows = nn.functional.unfold(padded, conv.kernel_size, conv.dilation, 0, conv.stride)
        yield Part(
            _rows(windows.transpose(1, 2), dtype),
            _rows(g[first : first + step].flatten(2).transpose(1, 2), dtype),
            first * places,
            len(x) * places,
        )
