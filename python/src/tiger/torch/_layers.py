"""Linear layers of a model whose inputs and output gradients an optimizer takes while they exist."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import nn

OUT_BY_IN, IN_BY_OUT = 1, 2  # tg_layer_form


class Layer(NamedTuple):
    """A module that multiplies by a matrix of its own."""

    module: nn.Module
    weight: torch.Tensor
    bias: torch.Tensor | None
    form: int


def _form_of(module: nn.Module) -> int:
    """How a module holds its matrix; 0 when it is no linear layer. Conv1D: transformers' GPT-2 has them."""
    if type(module) is nn.Linear:
        return OUT_BY_IN
    if type(module).__name__ == "Conv1D" and hasattr(module, "nf"):
        return IN_BY_OUT
    return 0


def find(model: nn.Module) -> Iterator[Layer]:
    """The linear layers whose matrix and bias no other module uses."""
    uses: dict[int, int] = {}
    for module in model.modules():
        for p in module._parameters.values():
            uses[id(p)] = uses.get(id(p), 0) + 1
    for module in model.modules():
        form, weight = _form_of(module), getattr(module, "weight", None)
        if form and isinstance(weight, torch.Tensor) and uses[id(weight)] == 1:
            bias = module.bias
            yield Layer(module, weight, bias if bias is not None and uses[id(bias)] == 1 else None, form)


Take = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], None]  # matrix, inputs, gradients


def hook(layer: Layer, taker: Callable[[], Take | None]) -> Any:
    """Has `taker()`, if anything, take the layer's rows in every backward pass. Returns a handle to remove it by."""

    def forward(_: nn.Module, args: tuple[Any, ...], output: torch.Tensor) -> None:
        take = taker()
        if take is None or not isinstance(output, torch.Tensor) or not output.requires_grad:
            return
        inputs, weight = args[0].detach(), layer.weight
        output.register_hook(lambda gradient: take(weight, inputs, gradient))

    return layer.module.register_forward_hook(forward)


def rows_of(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """(rows, features) in one piece of CPU memory; every place but the last dimension is a row."""
    return x.detach().reshape(-1, x.shape[-1]).to("cpu", dtype).contiguous()
