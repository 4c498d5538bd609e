"""Sets of the elements of arrays: unique, union1d, intersect1d, setdiff1d, setxor1d.

How many elements their results have depends on values, so these must be known: they work under
``grad``, ``jvp`` and ``vjp``. Under ``jit`` and ``vmap`` only ``unique`` does, with ``size=``.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from functrace.core.trace import Tracer
from functrace.errors import ConcretizationError, MissingRuleError, compose
from functrace.numpy.dispatching import (
    cast,
    choose,
    constant,
    normalize_axis,
    numpy_function,
    operand,
)
from functrace.numpy.searching import searchsorted
from functrace.numpy.statistics import count_into
from functrace.numpy.ufuncs import numpy_function_with
from functrace.ops import argsorting, cumulative, joining, sorting, structural
from functrace.ops.creation import convert_element_type
from functrace.ops.promotion import promote_dtypes

__all__ = [
    "intersect1d",
    "setdiff1d",
    "setxor1d",
    "union1d",
    "unique",
    "unique_all",
    "unique_counts",
    "unique_inverse",
    "unique_values",
]

_INT64 = np.dtype(np.int64)


def _known(x: Any, name: str) -> Any:
    """Return the values of a traced array as a plain one.

    Raises:
        ConcretizationError: they aren't known.
    """
    values = constant(x)
    if isinstance(values, Tracer):
        raise ConcretizationError(
            compose(
                f"numpy.{name} of {x!r}.",
                "the size of its result depends on values that aren't known here.",
                "functrace.numpy.unique(x, size=n); or call it outside of jit and vmap.",
            )
        )
    return values


def _flat(a: Any) -> Any:
    x = operand(a)
    return structural.reshape(x, (math.prod(x.shape),))


# --- unique ------------------------------------------------------------------------------------


@numpy_function_with(np.unique, "size", "fill_value")
def unique(
    ar: Any,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    *,
    equal_nan: bool = True,
    sorted: bool = True,
    size: int | None = None,
    fill_value: Any = None,
) -> Any:
    """Sorted different elements; as ``numpy.unique``.

    Args:
        ar: the array.
        return_index: return where each is first, too.
        return_inverse: return which of them each element is, too.
        return_counts: return how often each occurs, too.
        axis: compare the slices along an axis, instead of elements.
        equal_nan: count all NaN as one.
        sorted: accepted; they are always sorted.
        size: the length of the result, for ``jit`` and ``vmap``; more elements are left out.
        fill_value: what is put where there are fewer than ``size``; the least without it.

    Raises:
        ConcretizationError: the values aren't known, and there is no ``size``.

    Example:
        >>> import numpy as np
        >>> unique(np.array([3, 1, 3]))
        array([1, 3])
    """
    x = operand(ar)
    wanted = (return_index, return_inverse, return_counts)
    if size is not None:
        return _unique_of_size(x, wanted, axis, int(size), fill_value)
    find: Any = np.unique
    values = _known(x, "unique")
    found = find(values, True, return_inverse, return_counts, axis, equal_nan=equal_nan)
    first = _slices_at(x, found[1], axis)
    rest = found[1:] if return_index else found[2:]
    return (first, *rest) if rest else first


def _slices_at(x: Any, index: Any, axis: int | None) -> Any:
    """Return the elements at places in C order, or the slices along an axis."""
    if axis is None:
        return _flat(x)[index]
    place = normalize_axis(axis, len(x.shape))
    return x[(*(slice(None),) * place, index)]


def _unique_of_size(
    x: Any, wanted: tuple[bool, bool, bool], axis: int | None, size: int, fill_value: Any
) -> Any:
    """Find different elements into a result of known length: sort, and number the steps."""
    if axis is not None and len(x.shape) > 1:
        raise MissingRuleError(
            compose(
                "unique(..., axis=..., size=...).",
                "slices are compared for known values only.",
                "flatten the array, or leave size out.",
            )
        )
    flat = _flat(x)
    n = flat.shape[0]
    if not n:
        raise ValueError("unique(..., size=...) of an array without elements")
    order = argsorting.argsort(constant(flat), 0)
    line = sorting.sort(flat, 0)
    steps = joining.slice_in_dim(line, 1, n) != joining.slice_in_dim(line, 0, n - 1)
    number = joining.concatenate([np.zeros(1, _INT64), convert_element_type(steps, _INT64)], 0)
    number = cumulative.cumsum(number, 0)
    places = np.arange(size)
    index = searchsorted(number, places)
    there = places <= number[n - 1]
    index = choose(there, index, 0)
    elements = line[index]
    if fill_value is not None:
        elements = choose(there, elements, cast(fill_value, x.dtype))
    found: list[Any] = [order[index]]
    back = argsorting.argsort(order, 0)
    found.append(structural.reshape(number[back], x.shape))
    found.append(count_into(size, number, np.ones(n, _INT64)))
    rest = [part for part, want in zip(found, wanted) if want]
    return (elements, *rest) if rest else elements


class UniqueAll(NamedTuple):
    """What ``unique_all`` returns."""

    values: Any
    indices: Any
    inverse_indices: Any
    counts: Any


class UniqueCounts(NamedTuple):
    """What ``unique_counts`` returns."""

    values: Any
    counts: Any


class UniqueInverse(NamedTuple):
    """What ``unique_inverse`` returns."""

    values: Any
    inverse_indices: Any


@numpy_function(np.unique_all)
def unique_all(x: Any, /) -> Any:
    """Different elements, where they are first, which each one is, how often they occur.

    Example:
        >>> import numpy as np
        >>> unique_all(np.array([3, 1, 3])).counts
        array([1, 2])
    """
    return UniqueAll(*unique(x, True, True, True, equal_nan=False))


@numpy_function(np.unique_counts)
def unique_counts(x: Any, /) -> Any:
    """Different elements, and how often they occur; as ``numpy.unique_counts``.

    Example:
        >>> import numpy as np
        >>> unique_counts(np.array([3, 1, 3])).counts
        array([1, 2])
    """
    return UniqueCounts(*unique(x, return_counts=True, equal_nan=False))


@numpy_function(np.unique_inverse)
def unique_inverse(x: Any, /) -> Any:
    """Different elements, and which of them each one is; as ``numpy.unique_inverse``.

    Example:
        >>> import numpy as np
        >>> unique_inverse(np.array([3, 1, 3])).inverse_indices
        array([1, 0, 1])
    """
    return UniqueInverse(*unique(x, return_inverse=True, equal_nan=False))


@numpy_function(np.unique_values)
def unique_values(x: Any, /) -> Any:
    """Different elements, sorted; as ``numpy.unique_values``.

    Example:
        >>> import numpy as np
        >>> unique_values(np.array([3, 3]))
        array([3])
    """
    return unique(x, equal_nan=False)


# --- two sets ----------------------------------------------------------------------------------


def _both(ar1: Any, ar2: Any, name: str) -> tuple[Any, Any, Any, Any]:
    """Return both arrays flat and of one dtype, and their known values."""
    a, b = promote_dtypes(_flat(ar1), _flat(ar2))
    return a, b, _known(a, name), _known(b, name)


@numpy_function(np.union1d)
def union1d(ar1: Any, ar2: Any) -> Any:
    """Sorted different elements of both arrays; as ``numpy.union1d``.

    Example:
        >>> import numpy as np
        >>> union1d(np.array([1, 3]), np.array([2, 3]))
        array([1, 2, 3])
    """
    a, b, _, _ = _both(ar1, ar2, "union1d")
    return unique(joining.concatenate([a, b], 0))


@numpy_function(np.intersect1d)
def intersect1d(
    ar1: Any, ar2: Any, assume_unique: bool = False, return_indices: bool = False
) -> Any:
    """Sorted elements that are in both arrays; as ``numpy.intersect1d``.

    Example:
        >>> import numpy as np
        >>> intersect1d(np.array([1, 3]), np.array([2, 3]))
        array([3])
    """
    a, _, x, y = _both(ar1, ar2, "intersect1d")
    _, first, second = np.intersect1d(x, y, assume_unique, return_indices=True)
    elements = a[first]
    return (elements, first, second) if return_indices else elements


@numpy_function(np.setdiff1d)
def setdiff1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    """Elements of the first array that aren't in the second; as ``numpy.setdiff1d``.

    Example:
        >>> import numpy as np
        >>> setdiff1d(np.array([1, 3]), np.array([2, 3]))
        array([1])
    """
    a, _, x, y = _both(ar1, ar2, "setdiff1d")
    index = np.arange(x.size) if assume_unique else np.unique(x, return_index=True)[1]
    return a[index[~np.isin(x[index], y)]]


@numpy_function(np.setxor1d)
def setxor1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    """Sorted elements that are in one of the arrays only; as ``numpy.setxor1d``.

    Example:
        >>> import numpy as np
        >>> setxor1d(np.array([1, 3]), np.array([2, 3]))
        array([1, 2])
    """
    a, b, x, y = _both(ar1, ar2, "setxor1d")
    if not assume_unique:
        first, second = (np.unique(v, return_index=True)[1] for v in (x, y))
        a, b, x, y = a[first], b[second], x[first], y[second]
    both, values = joining.concatenate([a, b], 0), np.concatenate([x, y])
    _, index, counts = np.unique(values, return_index=True, return_counts=True)
    return both[index[counts == 1]]
