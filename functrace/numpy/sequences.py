"""Functions of sampled curves: differences, integrals, convolution, polynomials."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from functrace.errors import ShapeError, compose
from functrace.numpy.dispatching import (
    cast,
    normalize_axes,
    normalize_axis,
    numpy_function,
    operand,
)
from functrace.numpy.products import conjugate
from functrace.numpy.reductions import sum
from functrace.ops import convolution, joining, structural
from functrace.ops.broadcasting import broadcast_to
from functrace.ops.creation import convert_element_type
from functrace.ops.promotion import promote_dtypes

__all__ = [
    "convolve",
    "correlate",
    "diff",
    "ediff1d",
    "gradient",
    "poly",
    "polyadd",
    "polyder",
    "polyint",
    "polymul",
    "polysub",
    "polyval",
    "trapezoid",
]

_FLOAT64 = np.dtype(np.float64)

# --- differences -------------------------------------------------------------------------------


def _part(x: Any, start: int, stop: int, axis: int, step: int = 1) -> Any:
    """Return ``x[..., start:stop:step, ...]``; negative bounds count from the end."""
    n = x.shape[axis]
    start, stop = (b + n if b < 0 else b for b in (start, stop))
    start = min(start, n)
    return joining.slice_in_dim(x, start, max(start, min(stop, n)), step, axis)


def _step(x: Any, axis: int) -> Any:
    n = x.shape[axis]
    after, before = _part(x, min(1, n), n, axis), _part(x, 0, max(n - 1, 0), axis)
    return after != before if x.dtype.kind == "b" else after - before


@numpy_function(np.diff)
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """Differences of neighbours along ``axis``, ``n`` times; as ``numpy.diff``.

    Args:
        a: the array.
        n: how often.
        axis: the axis.
        prepend: values to put in front of ``a``, or one number.
        append: values to put behind ``a``, or one number.

    Example:
        >>> import numpy as np
        >>> diff(np.array([1, 4, 9]))
        array([3, 5])
    """
    if n == 0:
        return a
    if n < 0:
        raise ValueError("order must be non-negative but got " + repr(n))
    x = operand(a)
    if not x.shape:
        raise ValueError("diff requires input that is at least one dimensional")
    axis = normalize_axis(axis, len(x.shape))
    parts = [x]
    if prepend is not None:
        parts.insert(0, _edge(prepend, x, axis))
    if append is not None:
        parts.append(_edge(append, x, axis))
    if len(parts) > 1:
        x = joining.concatenate(promote_dtypes(*parts), axis)
    for _ in range(n):
        x = _step(x, axis)
    return x


def _edge(value: Any, x: Any, axis: int) -> Any:
    value = operand(value)
    if value.shape:
        return value
    return broadcast_to(value, (*x.shape[:axis], 1, *x.shape[axis + 1 :]))


@numpy_function(np.ediff1d)
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    """Differences of neighbours in C order; as ``numpy.ediff1d``.

    Example:
        >>> import numpy as np
        >>> ediff1d(np.array([1, 4, 9]))
        array([3, 5])
    """
    x = operand(ary)
    x = structural.reshape(x, (math.prod(x.shape),))
    parts = [_step(x, 0)]
    for value, place in ((to_begin, 0), (to_end, 2)):
        if value is not None:
            value = operand(value)
            value = structural.reshape(value, (math.prod(value.shape),))
            parts.insert(place, cast(value, x.dtype))
    return parts[0] if len(parts) == 1 else joining.concatenate(parts, 0)


def _spacings(varargs: tuple[Any, ...], shape: tuple[int, ...], axes: tuple[int, ...]) -> Any:
    if not varargs:
        return [1.0] * len(axes)
    if len(varargs) == 1 and not operand(varargs[0]).shape:
        return list(varargs) * len(axes)
    if len(varargs) != len(axes):
        raise TypeError("invalid number of arguments")
    spacings: list[Any] = []
    for given, axis in zip(varargs, axes):
        points = operand(given)
        if not points.shape:
            spacings.append(given)
        elif points.shape != (shape[axis],):
            raise ValueError(
                "when 1d, distances must match the length of the corresponding dimension"
            )
        else:
            spacings.append(_step(points, 0))
    return spacings


def _along(h: Any, ndim: int, axis: int) -> Any:
    """Put a vector of spacings along one axis."""
    return structural.reshape(h, tuple(h.shape[0] if i == axis else 1 for i in range(ndim)))


def _slope(f: Any, h: Any, axis: int, edge_order: int) -> Any:
    """Return the derivative of samples: central inside, one-sided at the two ends."""
    n = f.shape[axis]
    rises = _step(f, axis)
    if np.ndim(h) == 0:
        slopes = rises / h
        before = after = 0.5
        ratio_first = ratio_last = 0.5
    else:
        h = _along(convert_element_type(h, f.dtype), len(f.shape), axis)
        slopes = rises / h
        left, right = _part(h, 0, n - 2, axis), _part(h, 1, n - 1, axis)
        before, after = right / (left + right), left / (left + right)
        ratio_first = _part(h, 0, 1, axis) / (_part(h, 0, 1, axis) + _part(h, 1, 2, axis))
        ratio_last = _part(h, n - 2, n - 1, axis) / (
            _part(h, n - 2, n - 1, axis) + _part(h, n - 3, n - 2, axis)
        )
    inside = _part(slopes, 0, n - 2, axis) * before + _part(slopes, 1, n - 1, axis) * after
    first, last = _part(slopes, 0, 1, axis), _part(slopes, n - 2, n - 1, axis)
    if edge_order == 2:
        # The slope at the edge of the parabola through the last three points.
        first = first - (_part(slopes, 1, 2, axis) - first) * ratio_first
        last = last + (last - _part(slopes, n - 3, n - 2, axis)) * ratio_last
    return joining.concatenate([first, inside, last], axis)


@numpy_function(np.gradient)
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """Slopes of sampled values, by central differences; as ``numpy.gradient``.

    Args:
        f: the samples.
        *varargs: one spacing for all axes, or one spacing or the points for each.
        axis: an axis, several, or None for all: a tuple of results when there are several.
        edge_order: 1 or 2, the order of the differences at the ends.

    Example:
        >>> import numpy as np
        >>> gradient(np.array([1.0, 4.0, 9.0]))
        array([3., 4., 5.])
    """
    x = operand(f)
    if x.dtype.kind not in "fc":
        x = convert_element_type(x, _FLOAT64)
    axes = normalize_axes(axis, len(x.shape))
    if edge_order not in (1, 2):
        raise ValueError("'edge_order' greater than 2 not supported")
    for a in axes:
        if x.shape[a] < edge_order + 1:
            raise ValueError(
                "Shape of array too small to calculate a numerical gradient, "
                "at least (edge_order + 1) elements are required."
            )
    spacings = _spacings(varargs, x.shape, axes)
    results = tuple(_slope(x, h, a, edge_order) for h, a in zip(spacings, axes))
    return results[0] if len(results) == 1 else results


@numpy_function(np.trapezoid)
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """Integral of samples along ``axis`` by the trapezoidal rule; as ``numpy.trapezoid``.

    Example:
        >>> import numpy as np
        >>> trapezoid(np.array([1.0, 2.0, 3.0]))
        np.float64(4.0)
    """
    y = operand(y)
    axis = normalize_axis(axis, len(y.shape))
    if x is None:
        d = dx
    else:
        d = operand(x)
        d = _along(_step(d, 0), len(y.shape), axis) if len(d.shape) == 1 else diff(d, axis=axis)
    n = y.shape[axis]
    return sum(d * (_part(y, 1, n, axis) + _part(y, 0, n - 1, axis)) / 2.0, axis)


# --- convolution -------------------------------------------------------------------------------


def _slide(a: Any, v: Any, left: int, right: int) -> Any:
    """Return the products of ``v`` with each window of ``a``, zeros around it."""
    lhs = structural.reshape(a, (1, 1, a.shape[0]))
    rhs = structural.reshape(v, (1, 1, v.shape[0]))
    out = convolution.conv_general_dilated(lhs, rhs, (1,), ((left, right),))
    return structural.reshape(out, (out.shape[2],))


def _correlate(a: Any, v: Any, mode: str) -> Any:
    """Correlate without conjugation, ``a`` not the shorter one."""
    m = v.shape[0]
    if mode in ("full", "f", 2):
        return _slide(a, v, m - 1, m - 1)
    if mode in ("same", "s", 1):
        return _slide(a, v, m // 2, m - m // 2 - 1)
    if mode in ("valid", "v", 0):
        return _slide(a, v, 0, 0)
    raise ValueError(f"mode must be one of 'valid', 'same', or 'full' (got {mode!r})")


def _vectors(name: str, a: Any, v: Any) -> list[Any]:
    vectors = promote_dtypes(operand(a), operand(v))
    for x in vectors:
        if len(x.shape) > 1:
            raise ShapeError(
                compose(f"numpy.{name} of an array of shape {x.shape}.", "it takes vectors.")
            )
        if x.shape == (0,):
            raise ValueError(f"an argument of {name} cannot be empty")
    return [x if x.shape else structural.reshape(x, (1,)) for x in vectors]


@numpy_function(np.convolve)
def convolve(a: Any, v: Any, mode: str = "full") -> Any:
    """Convolution of two vectors; as ``numpy.convolve``.

    Example:
        >>> import numpy as np
        >>> convolve(np.array([1, 2]), np.array([1, 1]))
        array([1, 3, 2])
    """
    a, v = _vectors("convolve", a, v)
    if a.shape[0] < v.shape[0]:
        a, v = v, a
    return _correlate(a, structural.rev(v, (0,)), mode)


@numpy_function(np.correlate)
def correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    """Correlation of two vectors, the second conjugated; as ``numpy.correlate``.

    Example:
        >>> import numpy as np
        >>> correlate(np.array([1, 2, 3]), np.array([1, 1]))
        array([3, 5])
    """
    a, v = _vectors("correlate", a, v)
    v = conjugate(v)
    if a.shape[0] < v.shape[0]:
        return structural.rev(_correlate(v, a, mode), (0,))
    return _correlate(a, v, mode)


# --- polynomials, the highest power first ------------------------------------------------------


@numpy_function(np.polyval)
def polyval(p: Any, x: Any) -> Any:
    """Value of a polynomial at ``x``, its highest power first; as ``numpy.polyval``.

    Example:
        >>> import numpy as np
        >>> polyval(np.array([1.0, 2.0]), 3.0)
        np.float64(5.0)
    """
    p, x = operand(p), operand(x)
    y = x * cast(0, x.dtype)
    for i in range(p.shape[0]):
        y = y * x + p[i]
    return y


def _same_length(a1: Any, a2: Any) -> list[Any]:
    xs = promote_dtypes(*(operand(a) for a in (a1, a2)))
    xs = [x if x.shape else structural.reshape(x, (1,)) for x in xs]
    n = max(x.shape[0] for x in xs)
    return [
        x if x.shape[0] == n else joining.pad(x, x.dtype.type(0), ((n - x.shape[0], 0, 0),))
        for x in xs
    ]


@numpy_function(np.poly)
def poly(seq_of_zeros: Any) -> Any:
    """Coefficients of the polynomial with these zeros; as ``numpy.poly``, of a vector.

    Example:
        >>> import numpy as np
        >>> poly(np.array([1.0, 2.0]))
        array([ 1., -3.,  2.])
    """
    zeros = operand(seq_of_zeros)
    if len(zeros.shape) != 1:
        raise ShapeError(
            compose(
                f"numpy.poly of a traced array of shape {zeros.shape}.",
                "the polynomial of a matrix needs its eigenvalues.",
                "give it a vector of zeros.",
            )
        )
    if zeros.dtype.kind not in "fc":
        zeros = convert_element_type(zeros, _FLOAT64)
    out = np.ones(1, zeros.dtype)
    for i in range(zeros.shape[0]):
        factor = joining.concatenate([np.ones(1, zeros.dtype), -_part(zeros, i, i + 1, 0)], 0)
        out = convolve(out, factor)
    return out


@numpy_function(np.polyadd)
def polyadd(a1: Any, a2: Any) -> Any:
    """Coefficients of the sum of two polynomials; as ``numpy.polyadd``.

    Example:
        >>> import numpy as np
        >>> polyadd(np.array([1, 2]), np.array([1]))
        array([1, 3])
    """
    a1, a2 = _same_length(a1, a2)
    return a1 + a2


@numpy_function(np.polysub)
def polysub(a1: Any, a2: Any) -> Any:
    """Coefficients of the difference of two polynomials; as ``numpy.polysub``.

    Example:
        >>> import numpy as np
        >>> polysub(np.array([1, 2]), np.array([1]))
        array([1, 1])
    """
    a1, a2 = _same_length(a1, a2)
    return a1 - a2


@numpy_function(np.polymul)
def polymul(a1: Any, a2: Any) -> Any:
    """Coefficients of the product of two polynomials; as ``numpy.polymul``, zeros kept.

    Example:
        >>> import numpy as np
        >>> polymul(np.array([1, 2]), np.array([1, 1]))
        array([1, 3, 2])
    """
    return convolve(a1, a2)


@numpy_function(np.polyder)
def polyder(p: Any, m: int = 1) -> Any:
    """Coefficients of the ``m``-th derivative of a polynomial; as ``numpy.polyder``.

    Example:
        >>> import numpy as np
        >>> polyder(np.array([1, 2, 3]))
        array([2, 2])
    """
    if m < 0:
        raise ValueError("Order of derivative must be positive (see polyint)")
    x = operand(p)
    for _ in range(m):
        n = x.shape[0]
        x = _part(x, 0, n - 1, 0) * np.arange(n - 1, 0, -1)
    return x


@numpy_function(np.polyint)
def polyint(p: Any, m: int = 1, k: Any = None) -> Any:
    """Coefficients of the ``m``-th antiderivative of a polynomial; as ``numpy.polyint``.

    Args:
        p: the coefficients, the highest power first.
        m: how often to integrate.
        k: the constants of integration; 0 without it.

    Example:
        >>> import numpy as np
        >>> polyint(np.array([2.0, 2.0]))
        array([1., 2., 0.])
    """
    if m < 0:
        raise ValueError("Order of integral must be positive (see polyder)")
    x = operand(p)
    constants = np.zeros(m) if k is None else operand(k)
    if len(constants.shape) == 0:
        constants = structural.reshape(constants, (1,))
    for i in range(m):
        y = x / np.arange(x.shape[0], 0, -1)
        x = joining.concatenate(promote_dtypes(y, _part(constants, i, i + 1, 0)), 0)
    return x
