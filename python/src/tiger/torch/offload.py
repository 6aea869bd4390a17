"""Parameters on an accelerator, states and update in CPU memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from ._optimizer import Optimizer
from ._rules import class_of


def offload(
    optimizer: str | type[Optimizer], params: Iterable[Any], *, weights: torch.dtype | None = None, **options: Any
) -> Optimizer:
    """An optimizer of that class or name, for parameters on any device, each with a copy in CPU memory.

    step() brings the gradients over, updates the copies beside their states, and brings the new weights back.
    `weights` is the copies' dtype: with torch.float32 for parameters in 16 bits no small step is lost to rounding; by
    default the parameters' own. Such copies are state[p]["master"] and are saved with the other states. Weights that
    others change (through PyTorch, in place) are read again before the next update.
    """
    cls = class_of(optimizer) if isinstance(optimizer, str) else optimizer
    return cls(params, _offload=True, _weights=weights, **options)  # type: ignore[call-arg]
