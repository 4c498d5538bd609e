"""``functrace.Array``: what a function may be given, for annotations and ``isinstance``."""

from __future__ import annotations

from typing import Any

import numpy as np

from functrace.core.trace import Tracer

__all__ = ["Array"]


class _ArrayMeta(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, (np.ndarray, np.generic, Tracer))


class Array(metaclass=_ArrayMeta):
    """Matches ndarrays, NumPy scalars and tracers; it can't be instantiated.

    Example:
        >>> import numpy as np
        >>> isinstance(np.ones(2), Array), isinstance([1.0], Array)
        (True, False)
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Array:
        """Refuse: arrays are made by NumPy."""
        raise TypeError("functrace.Array is for annotations; make arrays with numpy.")
