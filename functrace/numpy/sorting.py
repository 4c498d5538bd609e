"""Sorting: sort, argsort, lexsort, partition, argpartition, unique."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from functrace.core.trace import Tracer
from functrace.errors import ConcretizationError, compose
from functrace.numpy.dispatching import constant, normalize_axis, numpy_function, operand
from functrace.ops import creation, sorting, structural

__all__ = [
    "argpartition",
    "argsort",
    "lexsort",
    "partition",
    "sort",
    "sort_complex",
    "unique",
    "unique_values",
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
    """Indices that sort along ``axis``; as ``numpy.argsort``. Always stable."""
    _refuse_order(order)
    x, axis = _along(a, axis)
    if not x.shape:
        return np.int64(0)
    places = creation.iota(_INT64, x.shape, axis)
    return sorting.sort((constant(x), places), axis, num_keys=1)[1]


@numpy_function(np.lexsort)
def lexsort(keys: Any, axis: int = -1) -> Any:
    """Indices that sort by several keys, the last the most important; as ``numpy.lexsort``."""
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
    """
    _refuse_order(order)
    x, axis = _along(a, axis)
    _check_kth(kth, x.shape[axis])
    return sorting.sort(x, axis)


@numpy_function(np.argpartition)
def argpartition(
    a: Any, kth: Any, axis: int | None = -1, kind: str = "introselect", order: None = None
) -> Any:
    """Indices that partition along ``axis``; as ``numpy.argpartition``."""
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
    """Sort by the real part, then the imaginary one, as complex; as ``numpy.sort_complex``."""
    x = operand(a)
    if x.dtype.kind == "c":
        return sort(x)
    narrow = x.dtype.char in "bhBH"
    return creation.convert_element_type(sort(x), np.complex64 if narrow else np.complex128)


# --- unique ------------------------------------------------------------------------------------


@numpy_function(np.unique)
def unique(
    ar: Any,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    *,
    equal_nan: bool = True,
    sorted: bool = True,
) -> Any:
    """Sorted different elements; as ``numpy.unique``.

    How many there are depends on the values, so they must be known: it works under ``grad``,
    ``jvp`` and ``vjp``, not under ``jit`` and ``vmap``.

    Raises:
        ConcretizationError: the values aren't known.
    """
    x = operand(ar)
    values = constant(x)
    if isinstance(values, Tracer):
        raise ConcretizationError(
            compose(
                f"unique of {x!r}.",
                "the size of its result depends on values that aren't known here.",
                "call it outside of jit and vmap, or sort and compare neighbours.",
            )
        )
    find: Any = np.unique
    found = find(values, True, return_inverse, return_counts, axis, equal_nan=equal_nan)
    index = found[1]
    elements = structural.reshape(x, (values.size,)) if axis is None else x
    place = 0 if axis is None else normalize_axis(axis, len(x.shape))
    first = elements[(*(slice(None),) * place, index)]
    rest = found[1:] if return_index else found[2:]
    return (first, *rest) if rest else first


@numpy_function(getattr(np, "unique_values", None))
def unique_values(x: Any) -> Any:
    """Different elements, sorted; as ``numpy.unique_values``, where ``unique`` works."""
    return unique(x, equal_nan=False)
