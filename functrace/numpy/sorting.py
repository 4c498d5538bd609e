"""Sorting: sort, argsort, lexsort, partition, argpartition."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from functrace.numpy.dispatching import constant, normalize_axis, numpy_function, operand
from functrace.ops import argsorting, creation, sorting, structural

__all__ = [
    "argpartition",
    "argsort",
    "lexsort",
    "partition",
    "sort",
    "sort_complex",
]

_INT64 = np.dtype(np.int64)


def _along(a: Any, axis: int | None) -> tuple[Any, int]:
    """Return the array to sort, and the axis; None sorts the elements in C order."""
    x = operand(a)
    if axis is None:
        return structural.reshape(x, (math.prod(x.shape),)), 0
    return x, normalize_axis(axis, len(x.shape))


def _refuse_order(order: Any) -> None:
    if order is not None:
        raise ValueError("Cannot specify order when the array has no fields.")


@numpy_function(np.sort)
def sort(
    a: Any,
    axis: int | None = -1,
    kind: str | None = None,
    order: None = None,
    *,
    stable: bool | None = None,
) -> Any:
    """Sorted copy along ``axis``, NaN last; as ``numpy.sort``. Always stable.

    Args:
        a: the array.
        axis: the axis, or None for all elements in C order.
        kind: accepted; sorts of traced arrays are stable.
        order: for structured arrays, which can't be traced.
        stable: accepted.

    Example:
        >>> import numpy as np
        >>> sort(np.array([3, 1, 2]))
        array([1, 2, 3])
    """
    _refuse_order(order)
    x, axis = _along(a, axis)
    return sorting.sort(x, axis)


@numpy_function(np.argsort)
def argsort(
    a: Any,
    axis: int | None = -1,
    kind: str | None = None,
    order: None = None,
    *,
    stable: bool | None = None,
) -> Any:
    """Indices that sort along ``axis``; as ``numpy.argsort``. Always stable.

    Example:
        >>> import numpy as np
        >>> argsort(np.array([3, 1, 2]))
        array([1, 2, 0])
    """
    _refuse_order(order)
    # NumPy takes a scalar for a vector here, though not in sort.
    x, axis = _along(a, None if axis in (0, -1) and not np.ndim(a) else axis)
    return argsorting.argsort(constant(x), axis)


@numpy_function(np.lexsort)
def lexsort(keys: Any, axis: int = -1) -> Any:
    """Indices that sort by several keys, the last the most important; as ``numpy.lexsort``.

    Example:
        >>> import numpy as np
        >>> lexsort((np.array([2, 1, 3]), np.array([0, 0, 0])))
        array([1, 0, 2])
    """
    parts: Sequence[Any] = list(keys)
    xs = [constant(operand(k)) for k in reversed(parts)]
    if not xs:
        raise TypeError("need sequence of keys with len > 0 in lexsort")
    axis = normalize_axis(axis, len(xs[0].shape))
    places = creation.iota(_INT64, xs[0].shape, axis)
    return sorting.sort((*xs, places), axis, num_keys=len(xs))[-1]


@numpy_function(np.partition)
def partition(
    a: Any, kth: Any, axis: int | None = -1, kind: str = "introselect", order: None = None
) -> Any:
    """Copy in which element ``kth`` is where sorting puts it; as ``numpy.partition``.

    What is before and after it is sorted too, which NumPy leaves open.

    Example:
        >>> import numpy as np
        >>> partition(np.array([3, 1, 2]), 0)[0]
        np.int64(1)
    """
    _refuse_order(order)
    x, axis = _along(a, axis)
    _check_kth(kth, x.shape[axis])
    return sorting.sort(x, axis)


@numpy_function(np.argpartition)
def argpartition(
    a: Any, kth: Any, axis: int | None = -1, kind: str = "introselect", order: None = None
) -> Any:
    """Indices that partition along ``axis``; as ``numpy.argpartition``.

    Example:
        >>> import numpy as np
        >>> argpartition(np.array([3, 1, 2]), 0)[0]
        np.int64(1)
    """
    _refuse_order(order)
    x, axis = _along(a, axis)
    _check_kth(kth, x.shape[axis])
    return argsort(x, axis)


def _check_kth(kth: Any, n: int) -> None:
    for k in np.atleast_1d(kth):
        if not -n <= k < n:
            raise ValueError(f"kth(={k}) out of bounds ({n})")


@numpy_function(np.sort_complex)
def sort_complex(a: Any) -> Any:
    """Sort by the real part, then the imaginary one, as complex; as ``numpy.sort_complex``.

    Example:
        >>> import numpy as np
        >>> sort_complex(np.array([2 + 1j, 1 - 1j]))
        array([1.-1.j, 2.+1.j])
    """
    x = operand(a)
    if x.dtype.kind == "c":
        return sort(x)
    narrow = x.dtype.char in "bhBH"
    return creation.convert_element_type(sort(x), np.complex64 if narrow else np.complex128)
