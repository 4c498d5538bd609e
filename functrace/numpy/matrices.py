"""Matrices and grids: diag, tril, vander, meshgrid, indices, ix_."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from functrace.core.aval import shape_of
from functrace.core.trace import Tracer
from functrace.numpy.dispatching import has_tracer, numpy_function, operand
from functrace.numpy.elementwise_arithmetic import power
from functrace.numpy.taking import diagonal
from functrace.ops import joining, logical, structural
from functrace.ops.broadcasting import broadcast_in_dim
from functrace.ops.creation import convert_element_type

__all__ = ["diag", "diagflat", "indices", "ix_", "meshgrid", "tril", "triu", "vander"]


@numpy_function(np.diag)
def diag(v: Any, k: int = 0) -> Any:
    """The matrix with a vector on a diagonal, or the diagonal of a matrix.

    Example:
        >>> diag([1, 2])
        array([[1, 0],
               [0, 2]])
    """
    x = operand(v)
    if x.ndim == 2:
        return diagonal(x, k)
    if x.ndim != 1:
        raise ValueError("Input must be 1- or 2-d.")
    # In the flat matrix of N columns the diagonal is every (N + 1)-th element.
    count = x.shape[0]
    size = count + abs(k)
    if not count:
        return np.zeros((size, size), x.dtype)
    low = k if k >= 0 else -k * size
    used = (count - 1) * (size + 1) + 1
    flat = joining.pad(x, x.dtype.type(0), [(low, size * size - low - used, size)])
    return structural.reshape(flat, (size, size))


@numpy_function(np.diagflat)
def diagflat(v: Any, k: int = 0) -> Any:
    """The matrix with the flattened array on a diagonal."""
    x = operand(v)
    return diag(structural.reshape(x, (math.prod(x.shape),)), k)


def _triangle(m: Any, k: int, lower: bool) -> Any:
    x = operand(m)
    if x.ndim == 1:  # as NumPy: every row is the vector
        x = broadcast_in_dim(x, (x.shape[0], x.shape[0]), (1,))
    n, m = x.shape[-2:]
    mask = np.tri(n, m, k if lower else k - 1, bool)
    wide = np.broadcast_to(mask, x.shape)
    zero = x.dtype.type(0)
    return logical.select(wide, x, zero) if lower else logical.select(wide, zero, x)


@numpy_function(np.tril)
def tril(m: Any, k: int = 0) -> Any:
    """The matrices with zeros above a diagonal."""
    return _triangle(m, k, True)


@numpy_function(np.triu)
def triu(m: Any, k: int = 0) -> Any:
    """The matrices with zeros below a diagonal."""
    return _triangle(m, k, False)


@numpy_function(np.vander)
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:  # noqa: N803
    """The matrix whose columns are the powers of a vector, the highest first."""
    v = operand(x)
    if v.ndim != 1:
        raise ValueError("x must be a one-dimensional array or sequence.")
    count = v.shape[0] if N is None else N
    v = convert_element_type(v, np.promote_types(v.dtype, int))
    if not count:
        return np.zeros((v.shape[0], 0), v.dtype)
    exponents = range(count) if increasing else range(count)[::-1]
    columns = [structural.reshape(power(v, n), (v.shape[0], 1)) for n in exponents]
    return joining.concatenate(columns, 1)


def meshgrid(
    *xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy"
) -> tuple[Any, ...]:
    """Coordinate arrays of the grid that vectors span.

    Example:
        >>> meshgrid([1, 2], [3, 4])[0]
        array([[1, 2],
               [1, 2]])
    """
    if not has_tracer(xi):
        return tuple(np.meshgrid(*xi, copy=copy, sparse=sparse, indexing=indexing))  # type: ignore[call-overload]
    if indexing not in ("xy", "ij"):
        raise ValueError("Valid values for `indexing` are 'xy' and 'ij'.")
    vectors = [operand(x) for x in xi]
    order = list(range(len(vectors)))
    if indexing == "xy" and len(vectors) > 1:
        order[0], order[1] = 1, 0
    sizes = [1] * len(vectors)
    for axis, v in zip(order, vectors):
        sizes[axis] = math.prod(shape_of(v))
    return tuple(_along(v, axis, tuple(sizes), sparse) for axis, v in zip(order, vectors))


def _along(v: Any, axis: int, sizes: tuple[int, ...], sparse: bool) -> Any:
    flat = structural.reshape(v, (sizes[axis],))
    shape = tuple(n if i == axis else 1 for i, n in enumerate(sizes)) if sparse else sizes
    return broadcast_in_dim(flat, shape, (axis,))


def indices(dimensions: Any, dtype: Any = int, sparse: bool = False) -> Any:
    """The coordinates of every place of a grid, one array per axis."""
    return np.indices(dimensions, dtype, sparse)  # type: ignore[call-overload]


def ix_(*args: Any) -> tuple[Any, ...]:
    """An open mesh of index vectors: ``x[ix_([0, 2], [1, 3])]`` is a rectangle of ``x``."""
    if not has_tracer(args):
        return np.ix_(*args)
    out = []
    for axis, item in enumerate(args):
        v = operand(item)
        if v.ndim != 1:
            raise ValueError("Cross index must be 1 dimensional")
        if v.dtype.kind == "b":
            if isinstance(v, Tracer):
                v._trace.refuse(v, "mask")
            v = v.nonzero()[0]
        shape = tuple(v.shape[0] if i == axis else 1 for i in range(len(args)))
        out.append(structural.reshape(v, shape))
    return tuple(out)
