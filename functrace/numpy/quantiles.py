"""Order statistics: median, quantile, percentile, and the same of what isn't NaN."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from functrace.core.trace import Tracer
from functrace.errors import DTypeError, MissingRuleError, compose
from functrace.numpy.dispatching import (
    cast,
    choose,
    normalize_axes,
    numpy_function,
    operand,
    refuse_out,
)
from functrace.numpy.nanfunctions import is_nan
from functrace.numpy.reductions import Axis, fold
from functrace.ops import creation, joining, rounding, sorting, structural
from functrace.ops.broadcasting import broadcast_to, reduce_sum_p
from functrace.ops.creation import convert_element_type

__all__ = ["median", "nanmedian", "nanpercentile", "nanquantile", "percentile", "quantile"]

_INT64, _FLOAT64 = np.dtype(np.int64), np.dtype(np.float64)

# --- sorted rows -------------------------------------------------------------------------------


class Rows(NamedTuple):
    """An array sorted along what were the reduced axes, now one and the last."""

    values: Any
    kept: tuple[int, ...]
    kept_with_ones: tuple[int, ...]

    @property
    def length(self) -> int:
        """The number of elements in a row."""
        return int(self.values.shape[-1])


def _sorted_rows(a: Any, axis: Axis) -> Rows:
    x = operand(a)
    if x.dtype.kind == "c":
        raise DTypeError("a must be an array of real numbers")
    axes = normalize_axes(axis, len(x.shape))
    others = tuple(i for i in range(len(x.shape)) if i not in axes)
    kept = tuple(x.shape[i] for i in others)
    with_ones = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    n = math.prod(x.shape[i] for i in axes)
    rows = structural.reshape(structural.transpose(x, (*others, *axes)), (*kept, n))
    return Rows(sorting.sort(rows, len(kept)), kept, with_ones)


def _at(rows: Rows, rank: int) -> Any:
    """Return the element of this rank of each row."""
    place = len(rows.kept)
    element = joining.slice_in_dim(rows.values, rank, rank + 1, 1, place)
    return structural.squeeze(element, (place,))


def _at_each(rows: Rows, ranks: Any) -> Any:
    """Return the element of each row whose rank is in ``ranks``, one a row."""
    place = len(rows.kept)
    shape = rows.values.shape
    ranks = structural.expand_dims(broadcast_to(ranks, rows.kept), (place,))
    chosen = creation.iota(_INT64, shape, place) == ranks
    zero = cast(0, rows.values.dtype)
    return fold(reduce_sum_p, choose(chosen, rows.values, zero), (place,))


def _poison(rows: Rows, result: Any) -> Any:
    """Put NaN where a row holds one: sorted, it is the last."""
    if rows.values.dtype.kind != "f" or not rows.length:
        return result
    return choose(is_nan(_at(rows, rows.length - 1)), cast(np.nan, result.dtype), result)


# --- ranks -------------------------------------------------------------------------------------

# The parameters (alpha, beta) of Hyndman and Fan's continuous definitions of a sample quantile.
_CONTINUOUS = {
    "linear": (1.0, 1.0),
    "interpolated_inverted_cdf": (0.0, 1.0),
    "hazen": (0.5, 0.5),
    "weibull": (0.0, 0.0),
    "median_unbiased": (1 / 3, 1 / 3),
    "normal_unbiased": (3 / 8, 3 / 8),
    "lower": (1.0, 1.0),
    "higher": (1.0, 1.0),
    "midpoint": (1.0, 1.0),
    "nearest": (1.0, 1.0),
}


def _rank(q: Any, n: Any, method: str) -> Any:
    """Return the fractional rank of a quantile among ``n`` sorted elements."""
    if method not in _CONTINUOUS:
        raise MissingRuleError(
            compose(
                f"a quantile with method={method!r} whose rank depends on traced values.",
                "it jumps between ranks in a way that is only known for concrete q.",
                f"one of {', '.join(_CONTINUOUS)}.",
            )
        )
    alpha, beta = _CONTINUOUS[method]
    h = q * (n - 1) if (alpha, beta) == (1.0, 1.0) else n * q + alpha + q * (1 - alpha - beta) - 1
    if method == "lower":
        return rounding.floor(h)
    if method == "higher":
        return rounding.ceil(h)
    if method == "nearest":
        return rounding.round(h, rounding.RoundingMethod.TO_NEAREST_EVEN)
    if method == "midpoint":
        return (rounding.floor(h) + rounding.ceil(h)) * 0.5
    return h


def _lerp(a: Any, b: Any, weight: float) -> Any:
    """Interpolate from the nearer end, as NumPy does."""
    if weight < 0.5:
        return a + (b - a) * weight
    return b - (b - a) * (1 - weight)


def _between(rows: Rows, rank: Any, last: Any) -> Any:
    """Interpolate each row at a rank that is traced."""
    rank = convert_element_type(rank, _FLOAT64)
    rank = choose(rank < 0, 0.0, choose(rank > last, convert_element_type(last, _FLOAT64), rank))
    below = rounding.floor(rank)
    first = convert_element_type(below, _INT64)
    after = first + (rank > below)
    a, b = _at_each(rows, first), _at_each(rows, after)
    weight = convert_element_type(rank - below, a.dtype if a.dtype.kind == "f" else _FLOAT64)
    return a + (b - a) * weight


def _concrete_quantile(rows: Rows, q: Any, plain: Callable[..., Any], method: str) -> list[Any]:
    """Return one result for each element of a concrete ``q``.

    NumPy tells the ranks: the quantiles of 0, 1, 2, ... are the ranks themselves.
    """
    n = rows.length
    ranks = plain(np.arange(n, dtype=np.float64), np.asarray(q), method=method)
    weak = type(q) in (int, float)
    results = []
    for rank in np.asarray(ranks).ravel():
        below = math.floor(rank)
        weight = rank - below
        if weight == 0:
            results.append(_at(rows, below))
        else:
            a, b = _at(rows, below), _at(rows, below + 1)
            results.append(_lerp(a, b, float(weight) if weak else np.float64(weight)))
    return results


def _each(q: Any) -> tuple[list[Any], tuple[int, ...]]:
    """Return the elements of a traced ``q``, and its shape."""
    shape = q.shape
    flat = structural.reshape(q, (math.prod(shape),))
    return [flat[i] for i in range(flat.shape[0])], shape


def _assemble(
    results: list[Any], shape: tuple[int, ...], rows: Rows, dtype: Any, keepdims: Any
) -> Any:
    """Stack the results of each ``q``, in front."""
    kept = rows.kept_with_ones if keepdims else rows.kept
    results = [convert_element_type(r, dtype) for r in results]
    if shape == ():
        return structural.reshape(results[0], kept)
    if not results:
        return np.empty((*shape, *kept), dtype)
    stacked = joining.concatenate([structural.reshape(r, (1, *kept)) for r in results], 0)
    return structural.reshape(stacked, (*shape, *kept))


def _result_dtype(plain: Callable[..., Any], dtype: np.dtype[Any], q: Any, method: str) -> Any:
    if isinstance(q, Tracer):
        exact = dtype.kind in "biu"
        q = 0.5 if q.weak_type or exact else q.dtype.type(0.5)
    return plain(np.zeros(2, dtype), q, method=method).dtype


def _scaled(q: Any, plain: Callable[..., Any]) -> Any:
    return q / 100 if plain in (np.percentile, np.nanpercentile) else q


def _check_options(name: str, out: None, weights: Any) -> None:
    refuse_out(out, name)
    if weights is not None:
        raise MissingRuleError(
            compose(
                f"numpy.{name}(..., weights=...) of a traced array.",
                "weighted quantiles have no traced version.",
                "leave weights out, or compute it outside of the transformation.",
            )
        )


def _quantile(
    plain: Callable[..., Any], a: Any, q: Any, axis: Axis, method: str, keepdims: bool
) -> Any:
    rows = _sorted_rows(a, axis)
    dtype = _result_dtype(plain, rows.values.dtype, q, method)
    if isinstance(q, Tracer):
        qs, shape = _each(_scaled(q, plain))
        n = rows.length
        results = [_between(rows, _rank(p, n, method), n - 1) for p in qs]
    else:
        shape = np.shape(q)
        results = _concrete_quantile(rows, q, plain, method)
    results = [_poison(rows, r) for r in results]
    return _assemble(results, shape, rows, dtype, keepdims)


def _nan_quantile(
    plain: Callable[..., Any], a: Any, q: Any, axis: Axis, method: str, keepdims: bool
) -> Any:
    rows = _sorted_rows(a, axis)
    dtype = _result_dtype(plain, rows.values.dtype, q, method)
    if isinstance(q, Tracer):
        qs, shape = _each(_scaled(q, plain))
    else:
        plain(np.zeros(1), q)  # NumPy's check of its range
        scaled = np.asarray(_scaled(np.asarray(q), plain), np.float64)
        qs, shape = list(scaled.ravel()), scaled.shape
    n = _count(rows)
    last = choose(n > 0, n - 1, 0)
    results = []
    for p in qs:
        result = _between(rows, _rank(p, convert_element_type(n, _FLOAT64), method), last)
        results.append(choose(n > 0, result, cast(np.nan, result.dtype)))
    return _assemble(results, shape, rows, dtype, keepdims)


def _count(rows: Rows) -> Any:
    """Return how many elements of each row aren't NaN."""
    there = convert_element_type(~is_nan(rows.values), _INT64)
    return fold(reduce_sum_p, there, (len(rows.kept),))


# --- the functions -----------------------------------------------------------------------------


@numpy_function(np.quantile)
def quantile(
    a: Any,
    q: Any,
    axis: Axis = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: None = None,
) -> Any:
    """Values below which a fraction ``q`` of the elements lies; as ``numpy.quantile``.

    Args:
        a: the array.
        q: fractions from 0 to 1; traced ones take the continuous methods only.
        axis: an axis, several, or None for all.
        out: refused for traced arrays.
        overwrite_input: accepted.
        method: NumPy's thirteen definitions of a sample quantile.
        keepdims: keep the reduced axes, of size 1.
        weights: refused for traced arrays.

    Example:
        >>> import numpy as np
        >>> quantile(np.array([1.0, 2.0, 4.0]), 0.25)
        np.float64(1.5)
    """
    _check_options("quantile", out, weights)
    return _quantile(np.quantile, a, q, axis, method, keepdims)


@numpy_function(np.percentile)
def percentile(
    a: Any,
    q: Any,
    axis: Axis = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: None = None,
) -> Any:
    """Values below which ``q`` percent of the elements lie; as ``numpy.percentile``.

    The arguments are those of ``quantile``, with ``q`` from 0 to 100.

    Example:
        >>> import numpy as np
        >>> percentile(np.array([1.0, 2.0, 4.0]), 75)
        np.float64(3.0)
    """
    _check_options("percentile", out, weights)
    return _quantile(np.percentile, a, q, axis, method, keepdims)


@numpy_function(np.nanquantile)
def nanquantile(
    a: Any,
    q: Any,
    axis: Axis = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: None = None,
) -> Any:
    """Quantiles of the elements that aren't NaN; as ``numpy.nanquantile``.

    Example:
        >>> import numpy as np
        >>> nanquantile(np.array([1.0, np.nan, 4.0]), 0.5)
        np.float64(2.5)
    """
    _check_options("nanquantile", out, weights)
    plain = _quantile if operand(a).dtype.kind in "biu" else _nan_quantile
    return plain(np.nanquantile, a, q, axis, method, keepdims)


@numpy_function(np.nanpercentile)
def nanpercentile(
    a: Any,
    q: Any,
    axis: Axis = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: None = None,
) -> Any:
    """Percentiles of the elements that aren't NaN; as ``numpy.nanpercentile``.

    Example:
        >>> import numpy as np
        >>> nanpercentile(np.array([1.0, np.nan, 4.0]), 50)
        np.float64(2.5)
    """
    _check_options("nanpercentile", out, weights)
    plain = _quantile if operand(a).dtype.kind in "biu" else _nan_quantile
    return plain(np.nanpercentile, a, q, axis, method, keepdims)


def _middle(a: Any, b: Any) -> Any:
    if a.dtype.kind in "biu":
        a, b = convert_element_type(a, _FLOAT64), convert_element_type(b, _FLOAT64)
    return (a + b) / a.dtype.type(2)


@numpy_function(np.median)
def median(
    a: Any,
    axis: Axis = None,
    out: None = None,
    overwrite_input: bool = False,
    keepdims: bool = False,
) -> Any:
    """Middle of the sorted elements, or the mean of the two in the middle; as ``numpy.median``.

    Example:
        >>> import numpy as np
        >>> median(np.array([1.0, 7.0, 3.0]))
        np.float64(3.0)
    """
    refuse_out(out, "median")
    rows = _sorted_rows(a, axis)
    n = rows.length
    if not n:
        x = rows.values
        nothing = creation.full(rows.kept, np.nan, x.dtype if x.dtype.kind == "f" else _FLOAT64)
        return _assemble([nothing], (), rows, nothing.dtype, keepdims)
    result = _poison(rows, _middle(_at(rows, (n - 1) // 2), _at(rows, n // 2)))
    return _assemble([result], (), rows, result.dtype, keepdims)


@numpy_function(np.nanmedian)
def nanmedian(
    a: Any,
    axis: Axis = None,
    out: None = None,
    overwrite_input: bool = False,
    keepdims: bool = False,
) -> Any:
    """Median of the elements that aren't NaN; as ``numpy.nanmedian``.

    Example:
        >>> import numpy as np
        >>> nanmedian(np.array([1.0, np.nan, 3.0]))
        np.float64(2.0)
    """
    refuse_out(out, "nanmedian")
    if operand(a).dtype.kind in "biu":
        return median(a, axis, keepdims=keepdims)
    rows = _sorted_rows(a, axis)
    n = _count(rows)
    above = choose(n > 0, n - 1, 0)
    result = _middle(_at_each(rows, above // 2), _at_each(rows, n // 2))
    result = choose(n > 0, result, cast(np.nan, result.dtype))
    return _assemble([result], (), rows, result.dtype, keepdims)
