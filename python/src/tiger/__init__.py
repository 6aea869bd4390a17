"""libtiger's optimizers for Python: `tiger.torch` under PyTorch, `tiger.numpy` without it, `tiger.minimize` for any function.

None is imported from here: whoever has no PyTorch, or no NumPy, is not asked for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._native import Diverged, Method, Option, Preset, Rule, Slot, version as __version__
from ._native import COMMON as _COMMON, METHOD_COMMON as _METHOD_COMMON, METHODS as _METHODS, RULES as _RULES

if TYPE_CHECKING:
    from ._minimize import Minimizer, OptimizeResult, minimize

__all__ = [
    "__version__",
    "Diverged",
    "Method",
    "Minimizer",
    "OptimizeResult",
    "Option",
    "Preset",
    "Rule",
    "Slot",
    "common_options",
    "minimize",
    "minimizer_options",
    "minimizers",
    "rules",
]


def rules() -> dict[str, Rule]:
    """Every optimizer of the library, by name: title, source, equations, options, states, presets."""
    return dict(_RULES)


def common_options() -> dict[str, Option]:
    """The options every optimizer has: rounding, formats, where gradients go, guard, clipping, seed, threads."""
    return dict(_COMMON)


def minimizers() -> dict[str, Method]:
    """Every minimizer of the library, by name: title, source, equations, options, what it needs of the function."""
    return dict(_METHODS)


def minimizer_options() -> dict[str, Option]:
    """The options every minimizer has: tolerances, budget, seed, threads."""
    return dict(_METHOD_COMMON)


def __getattr__(name: str) -> Any:
    if name in ("Minimizer", "OptimizeResult", "minimize"):
        from . import _minimize  # needs NumPy

        return getattr(_minimize, name)
    raise AttributeError(f"module 'tiger' has no attribute '{name}'")
