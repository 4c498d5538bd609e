"""Where NumPy's own functions, called on tracers, find functrace's versions of them.

``functrace.numpy`` fills these tables when it is imported; they live here so that tracers need
not know the layer above them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from functrace.errors import TracerArrayConversionError, compose

__all__ = ["ARRAY_FUNCTIONS", "NAMESPACE", "UFUNCS", "UFUNC_METHODS", "Namespace"]


class Namespace:
    """The functions operators and methods fall back to; attributes are set by functrace.numpy."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"functrace.numpy.{name} is not available")


NAMESPACE: Any = Namespace()

UFUNCS: dict[np.ufunc, Callable[..., Any]] = {}
"""``np.sin -> functrace.numpy.sin``."""

UFUNC_METHODS: dict[tuple[np.ufunc, str], Callable[..., Any]] = {}
"""``(np.add, "reduce") -> functrace.numpy.sum``."""

ARRAY_FUNCTIONS: dict[Callable[..., Any], Callable[..., Any]] = {}
"""``np.concatenate -> functrace.numpy.concatenate``."""


def no_version_error(name: str) -> TracerArrayConversionError:
    """Return the error for a NumPy function that has no traced version."""
    return TracerArrayConversionError(
        compose(
            f"numpy.{name} was called on a traced array.",
            "functrace has no traced version of it.",
            "build it from functrace.numpy's functions, or apply it outside of the transformation.",
        )
    )
