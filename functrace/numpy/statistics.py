"""Statistics: covariance, correlation, histograms, counts."""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np

from functrace.core.trace import Tracer
from functrace.errors import ConcretizationError, ShapeError, compose
from functrace.numpy.dispatching import (
    cast,
    choose,
    constant,
    has_tracer,
    numpy_function,
    operand,
)
from functrace.numpy.products import conjugate, matmul
from functrace.numpy.reductions import average, max, min, sum
from functrace.numpy.searching import searchsorted
from functrace.ops import arithmetic, complexes, joining, powers, structural
from functrace.ops.broadcasting import reduce_sum
from functrace.ops.creation import convert_element_type
from functrace.ops.dimension_numbers import ScatterDimensionNumbers
from functrace.ops.indexing import scatter_add

__all__ = [
    "bincount",
    "corrcoef",
    "cov",
    "histogram",
    "histogram2d",
    "histogram_bin_edges",
    "histogramdd",
]

_INT64, _FLOAT64 = np.dtype(np.int64), np.dtype(np.float64)

# --- covariance --------------------------------------------------------------------------------


def _variables(m: Any, rowvar: bool, dtype: Any) -> Any:
    """Return the observations with one variable a row."""
    x = operand(m)
    if len(x.shape) > 2:
        raise ValueError("m has more than 2 dimensions")
    x = convert_element_type(x, dtype)
    if len(x.shape) < 2:
        return structural.reshape(x, (1, math.prod(x.shape)))
    return x if rowvar or x.shape[0] == 1 else structural.transpose(x, (1, 0))


def _cov_weights(n: int, fweights: Any, aweights: Any) -> Any:
    weights = None
    for name, given in (("fweights", fweights), ("aweights", aweights)):
        if given is None:
            continue
        w = operand(given)
        if w.shape != (n,):
            raise ShapeError(f"cov: {name} of shape {w.shape} for {n} observations")
        w = convert_element_type(w, _FLOAT64)
        weights = w if weights is None else weights * w
    return weights


@numpy_function(np.cov)
def cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: Any = None,
    aweights: Any = None,
    *,
    dtype: Any = None,
) -> Any:
    """Covariance matrix of variables, one a row; as ``numpy.cov``.

    Args:
        m: the observations, of one or two axes.
        y: more variables of the same form.
        rowvar: one variable a row; else one a column.
        bias: divide by N instead of N - 1.
        ddof: divide by N - ddof.
        fweights: how often each observation counts.
        aweights: how much each observation counts.
        dtype: the dtype to compute in, at least float64 without it.

    Example:
        >>> import numpy as np
        >>> cov(np.array([1.0, 2.0, 3.0]), np.array([3.0, 2.0, 1.0]))
        array([[ 1., -1.],
               [-1.,  1.]])
    """
    if ddof is not None and ddof != int(ddof):
        raise ValueError("ddof must be integer")
    parts = [operand(p) for p in (m, y) if p is not None]
    if dtype is None:
        dtype = np.result_type(*(p.dtype for p in parts), np.float64)
    rows = [_variables(p, rowvar, dtype) for p in parts]
    x = rows[0] if len(rows) == 1 else joining.concatenate(rows, 0)
    weights = _cov_weights(x.shape[1], fweights, aweights)
    if ddof is None:
        ddof = 0 if bias else 1
    factor = _cov_factor(x.shape[1], weights, aweights, ddof)
    x = x - average(x, 1, weights, keepdims=True)
    weighted = x if weights is None else x * weights
    out = matmul(x, conjugate(structural.transpose(weighted, (1, 0)))) / factor
    return structural.squeeze(out, tuple(i for i, n in enumerate(out.shape) if n == 1))


def _cov_factor(n: int, weights: Any, aweights: Any, ddof: int) -> Any:
    """Return what the sum of products is divided by."""
    if weights is None:
        return n - ddof
    total = sum(weights)
    return total - _freedom_lost(ddof, weights, aweights, total)


def _freedom_lost(ddof: int, weights: Any, aweights: Any, total: Any) -> Any:
    if ddof == 0:
        return 0
    if aweights is None:
        return ddof
    w = convert_element_type(operand(aweights), _FLOAT64)
    return ddof * sum(weights * w) / total


@numpy_function(np.corrcoef)
def corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Any:
    """Correlation coefficients of variables, one a row; as ``numpy.corrcoef``.

    Example:
        >>> import numpy as np
        >>> corrcoef(np.array([1.0, 2.0, 3.0]), np.array([3.0, 2.0, 1.0]))
        array([[ 1., -1.],
               [-1.,  1.]])
    """
    c = cov(x, y, rowvar, dtype=dtype)
    if not c.shape:
        return c / c
    n = c.shape[0]
    variances = reduce_sum(choose(np.eye(n, dtype=bool), c, cast(0, c.dtype)), (1,))
    if variances.dtype.kind == "c":
        variances = complexes.real(variances)
    deviation = powers.sqrt(variances)
    c = c / structural.expand_dims(deviation, (1,)) / structural.expand_dims(deviation, (0,))
    if c.dtype.kind == "c":
        return complexes.complex(_clip(complexes.real(c)), _clip(complexes.imag(c)))
    return _clip(c)


def _clip(x: Any) -> Any:
    """Keep correlations that rounding put beyond 1 within it."""
    return arithmetic.clamp(x.dtype.type(-1), x, x.dtype.type(1))


# --- bincount ----------------------------------------------------------------------------------


def bincount(x: Any, weights: Any = None, minlength: int = 0, *, length: int | None = None) -> Any:
    """How often each integer 0, 1, 2, ... occurs; as ``numpy.bincount``.

    Args:
        x: integers, not negative, of one axis.
        weights: what each occurrence adds, instead of 1.
        minlength: the least length of the result.
        length: the length of the result; needed when the values of ``x`` aren't known. Larger
            integers are dropped.

    Raises:
        ConcretizationError: ``x`` has no known values and there is no ``length``.

    Example:
        >>> import numpy as np
        >>> bincount(np.array([0, 2, 2]), length=4)
        array([1, 0, 2, 0])
    """
    if length is None and not has_tracer((x, weights)):
        return np.bincount(x, weights, minlength)
    x = constant(operand(x))
    if len(x.shape) != 1:
        depth = "too deep" if x.shape else "of too small depth"
        raise ValueError(f"object {depth} for desired array")
    if x.dtype.kind not in "biu":
        raise TypeError(
            f"Cannot cast array data from dtype('{x.dtype}') to dtype('int64') "
            "according to the rule 'safe'"
        )
    size = _bincount_length(x, minlength, length)
    if weights is None:
        w: Any = np.ones(x.shape, _INT64)
    else:
        w = convert_element_type(operand(weights), _FLOAT64)
        if w.shape != x.shape:
            raise ValueError("The weights and list don't have the same length.")
    return count_into(size, convert_element_type(x, _INT64), w)


def _bincount_length(x: Any, minlength: int, length: int | None) -> int:
    if length is not None:
        return int(length)
    if isinstance(x, Tracer):
        raise ConcretizationError(
            compose(
                f"bincount of {x!r}.",
                "the size of its result depends on values that aren't known here.",
                "functrace.numpy.bincount(x, length=n).",
            )
        )
    if x.size and x.min() < 0:
        raise ValueError("'list' argument must have no negative elements")
    return builtins.max(int(minlength), int(x.max()) + 1 if x.size else 0)


def count_into(size: int, places: Any, amounts: Any) -> Any:
    """Add up amounts by their place; those out of range are dropped."""
    dims = ScatterDimensionNumbers(
        update_window_dims=(), inserted_window_dims=(0,), scatter_dims_to_operand_dims=(0,)
    )
    # A negative place is out of range too, not counted from the end.
    return scatter_add(
        np.zeros(size, amounts.dtype),
        structural.expand_dims(places, (1,)),
        amounts,
        dims,
        mode="drop",
    )


# --- histogram ---------------------------------------------------------------------------------


def _edges(x: Any, bins: Any, span: Any) -> Any:
    """Return the edges of the bins."""
    if isinstance(bins, str):
        raise ConcretizationError(
            compose(
                f"histogram of a traced array with bins={bins!r}.",
                "how many bins there are would depend on its values.",
                "bins=10, or an array of edges.",
            )
        )
    if isinstance(bins, Tracer) or np.ndim(bins) == 1:
        return operand(bins)
    if span is not None:
        low, high = (operand(s) for s in span)
    elif math.prod(x.shape) == 0:
        low, high = operand(0.0), operand(1.0)
    else:
        low, high = min(x), max(x)
    dtype = np.result_type(low.dtype, high.dtype, x.dtype)
    if dtype.kind in "iub":
        dtype = _FLOAT64
    if span is not None and x.dtype.kind == "f":
        dtype = x.dtype
    low, high = convert_element_type(low, dtype), convert_element_type(high, dtype)
    flat = low == high
    half = dtype.type(0.5)
    low, high = choose(flat, low - half, low), choose(flat, high + half, high)
    n = int(bins)
    if n < 1:
        raise ValueError("`bins` must be positive, when an integer")
    steps = low + np.arange(n, dtype=dtype) * ((high - low) / dtype.type(n))
    return joining.concatenate([steps, structural.reshape(high, (1,))], 0)


@numpy_function(np.histogram_bin_edges)
def histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, weights: Any = None) -> Any:
    """Edges of the bins of a histogram; as ``numpy.histogram_bin_edges``.

    Example:
        >>> import numpy as np
        >>> histogram_bin_edges(np.array([1.0, 4.0]), 3)
        array([1., 2., 3., 4.])
    """
    return _edges(operand(a), bins, range)


@numpy_function(np.histogram)
def histogram(
    a: Any,
    bins: Any = 10,
    range: tuple[float, float] | None = None,
    density: bool | None = None,
    weights: Any = None,
) -> tuple[Any, Any]:
    """How many elements lie in each bin, and the edges of the bins; as ``numpy.histogram``.

    Args:
        a: the array.
        bins: how many bins of equal width, or their edges.
        range: the outer edges; the least and the largest element without it.
        density: return a density that integrates to 1 instead of counts.
        weights: what each element adds, instead of 1.

    Example:
        >>> import numpy as np
        >>> histogram(np.array([1.0, 2.0, 2.5, 4.0]), 3)[0]
        array([1, 2, 1])
    """
    x = operand(a)
    edges = _edges(x, bins, range)
    flat = _flat(x)
    n = edges.shape[0] - 1
    counts = count_into(n, _bin_of(flat, edges), _amounts(x, weights, _INT64))
    if density:
        return counts / _widths(edges) / sum(counts), edges
    return counts, edges


def _flat(x: Any) -> Any:
    return structural.reshape(x, (math.prod(x.shape),))


def _widths(edges: Any) -> Any:
    n = edges.shape[0] - 1
    return joining.slice_in_dim(edges, 1, n + 1) - joining.slice_in_dim(edges, 0, n)


def _amounts(x: Any, weights: Any, dtype: Any) -> Any:
    """Return what each element adds to its bin."""
    if weights is None:
        return np.ones(math.prod(x.shape), dtype)
    w = operand(weights)
    if w.shape != x.shape:
        raise ValueError("weights should have the same shape as a.")
    return _flat(w)


def _bin_of(flat: Any, edges: Any) -> Any:
    """Return the bin of each element, the last one closed; the number of bins when outside."""
    n = edges.shape[0] - 1
    place = searchsorted(edges, constant(flat), "right") - 1
    last = constant(joining.slice_in_dim(edges, n, n + 1))
    place = choose(constant(flat) == last, n - 1, place)
    return choose(place < 0, n, place)


@numpy_function(np.histogramdd)
def histogramdd(
    sample: Any, bins: Any = 10, range: Any = None, density: bool | None = None, weights: Any = None
) -> tuple[Any, Any]:
    """How many points lie in each cell of a grid, and its edges; as ``numpy.histogramdd``.

    Args:
        sample: points, one a row; or a sequence of their coordinates.
        bins: how many bins along each axis, or for each axis how many or their edges.
        range: the outer edges for each axis; the least and the largest without it.
        density: return a density that integrates to 1 instead of counts.
        weights: what each point adds, instead of 1.

    Example:
        >>> import numpy as np
        >>> histogramdd(np.array([[0.0, 0.0], [1.0, 1.0], [1.0, 1.0]]), 2)[0]
        array([[1., 0.],
               [0., 2.]])
    """
    if isinstance(sample, (list, tuple)):
        columns = [operand(c) for c in sample]
    else:
        points = operand(sample)
        columns = [points[:, d] for d in builtins.range(points.shape[1])]
    many = not isinstance(bins, (int, np.integer))
    spans = [None] * len(columns) if range is None else range
    edges = [_edges(c, bins[d] if many else bins, spans[d]) for d, c in enumerate(columns)]
    shape = tuple(e.shape[0] - 1 for e in edges)
    place: Any = 0
    outside: Any = False
    for column, edge, n in zip(columns, edges, shape):
        own = _bin_of(column, edge)
        outside = outside | (own >= n)
        place = place * n + own
    size = math.prod(shape)
    amounts = convert_element_type(_amounts(columns[0], weights, _FLOAT64), _FLOAT64)
    counts = structural.reshape(count_into(size, choose(outside, size, place), amounts), shape)
    return (_density(counts, edges) if density else counts), edges


def _density(counts: Any, edges: list[Any]) -> Any:
    """Divide counts by the volume of their cell and their sum."""
    total = sum(counts)
    for d, edge in enumerate(edges):
        shape = tuple(-1 if i == d else 1 for i in builtins.range(len(edges)))
        counts = counts / _widths(edge).reshape(shape)
    return counts / total


@numpy_function(np.histogram2d)
def histogram2d(
    x: Any,
    y: Any,
    bins: Any = 10,
    range: Any = None,
    density: bool | None = None,
    weights: Any = None,
) -> tuple[Any, Any, Any]:
    """How many points lie in each cell of a grid, and its edges; as ``numpy.histogram2d``.

    The arguments are those of ``histogramdd``; one array of edges serves both axes.

    Example:
        >>> import numpy as np
        >>> histogram2d(np.array([0.0, 1.0, 1.0]), np.array([0.0, 1.0, 1.0]), 2)[0]
        array([[1., 0.],
               [0., 2.]])
    """
    if not isinstance(bins, (int, np.integer)) and len(bins) not in (1, 2):
        bins = [bins, bins]
    counts, edges = histogramdd([x, y], bins, range, density, weights)
    return counts, edges[0], edges[1]
