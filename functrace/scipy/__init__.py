"""The parts of SciPy that can be traced; each is loaded when somebody first names it."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from functrace.scipy import linalg, sparse, special

__all__ = ["linalg", "sparse", "special"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{name}")
