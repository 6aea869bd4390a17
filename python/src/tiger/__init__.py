"""libtiger's optimizers for Python: `tiger.torch` under PyTorch, `tiger.numpy` without it.

Neither is imported from here: whoever has no PyTorch is not asked for it.
"""

from ._native import Diverged, Option, Rule, Slot, version as __version__
from ._native import COMMON as _COMMON, RULES as _RULES

__all__ = ["__version__", "Diverged", "Option", "Rule", "Slot", "common_options", "rules"]


def rules() -> dict[str, Rule]:
    """Every optimizer of the library, by name: title, source, equations, options, states."""
    return dict(_RULES)


def common_options() -> dict[str, Option]:
    """The options every optimizer has: rounding, formats, where gradients go, guard, clipping, seed, threads."""
    return dict(_COMMON)
