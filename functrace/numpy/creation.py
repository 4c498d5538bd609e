"""Arrays from nothing, from numbers, and from lists that hold traced values."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np

from functrace.core.aval import dtype_of, shape_of
from functrace.core.trace import EVAL, Tracer, current_trace
from functrace.errors import ShapeError, compose
from functrace.interpreters.staging import nearest_stager
from functrace.numpy.dispatching import as_shape, has_tracer, numpy_function, operand
from functrace.numpy.elementwise_arithmetic import power, sign, subtract, true_divide
from functrace.numpy.elementwise_transcendental import log10
from functrace.ops import arithmetic, creation, joining, rounding, structural
from functrace.ops.broadcasting import broadcast_to
from functrace.ops.creation import convert_element_type
from functrace.ops.promotion import as_array, result_dtype

__all__ = [
    "arange",
    "array",
    "asanyarray",
    "asarray",
    "ascontiguousarray",
    "asfortranarray",
    "copy",
    "empty",
    "empty_like",
    "eye",
    "from_dlpack",
    "frombuffer",
    "fromfunction",
    "fromiter",
    "fromstring",
    "full",
    "full_like",
    "geomspace",
    "identity",
    "linspace",
    "logspace",
    "ones",
    "ones_like",
    "tri",
    "zeros",
    "zeros_like",
]

F = TypeVar("F", bound=Callable[..., Any])

# --- whose a new array is -----------------------------------------------------------------------


def stages() -> bool:
    """Tell whether a trace that records a program is active, so that new arrays belong to it."""
    return nearest_stager(current_trace()) is not None


def owned(value: Any) -> Any:
    """Return a new array as one of the active transformation, so that it has ``.at``."""
    if isinstance(value, Tracer) or value.ndim == 0 or value.dtype.kind not in "biufc":
        return value
    return current_trace().adopt(value)


def belonging(make: F) -> F:
    """Let the new array belong to the active transformation.

    NumPy's own function (``np.zeros_like(x)``) reaches ``__wrapped__``, whose result is plain
    where the shape and the dtype are all it needs.
    """

    @functools.wraps(make)
    def function(*args: Any, **kwargs: Any) -> Any:
        return owned(make(*args, **kwargs))

    return cast(F, function)


def _filled(shape: Any, value: Any, dtype: Any) -> Any:
    return creation.full(as_shape(shape), value, dtype)


# --- filled arrays -----------------------------------------------------------------------------


@belonging
def zeros(
    shape: Any, dtype: Any = float, order: str = "C", *, device: Any = None, like: Any = None
) -> Any:
    """A new array of zeros.

    Example:
        >>> zeros(3)
        array([0., 0., 0.])
    """
    if current_trace() is not EVAL:
        return _filled(shape, 0, dtype)
    return np.zeros(shape, dtype, order)  # type: ignore[call-overload]


@belonging
def ones(
    shape: Any, dtype: Any = None, order: str = "C", *, device: Any = None, like: Any = None
) -> Any:
    """A new array of ones."""
    if current_trace() is not EVAL:
        return _filled(shape, 1, float if dtype is None else dtype)
    return np.ones(shape, dtype, order)  # type: ignore[call-overload]


@belonging
def empty(
    shape: Any, dtype: Any = float, order: str = "C", *, device: Any = None, like: Any = None
) -> Any:
    """A new array whose elements are not set; in a traced program they are zeros."""
    if current_trace() is not EVAL:
        return _filled(shape, 0, dtype)
    return np.empty(shape, dtype, order)  # type: ignore[call-overload]


@belonging
def full(
    shape: Any,
    fill_value: Any,
    dtype: Any = None,
    order: str = "C",
    *,
    device: Any = None,
    like: Any = None,
) -> Any:
    """A new array of one value repeated; a traced value, or one that broadcasts, too."""
    if current_trace() is EVAL and not has_tracer(fill_value):
        return np.full(shape, fill_value, dtype, order)  # type: ignore[call-overload]
    value = operand(fill_value)
    target = value.dtype if dtype is None else np.dtype(dtype)
    if isinstance(value, Tracer) or value.ndim:
        return broadcast_to(convert_element_type(value, target), as_shape(shape))
    return _filled(shape, value, target)


def _fill_like(a: Any, value: Any, dtype: Any, shape: Any) -> Any:
    a = operand(a)
    return _filled(a.shape if shape is None else shape, value, dtype or a.dtype)


@belonging
def zeros_like(
    a: Any,
    dtype: Any = None,
    order: str = "K",
    subok: bool = True,
    shape: Any = None,
    *,
    device: Any = None,
) -> Any:
    """Zeros of the shape and the dtype of another array."""
    if current_trace() is not EVAL or isinstance(a, Tracer):
        return _fill_like(a, 0, dtype, shape)
    return np.zeros_like(a, dtype, order, subok, shape)  # type: ignore[call-overload]


@belonging
def ones_like(
    a: Any,
    dtype: Any = None,
    order: str = "K",
    subok: bool = True,
    shape: Any = None,
    *,
    device: Any = None,
) -> Any:
    """Ones of the shape and the dtype of another array."""
    if current_trace() is not EVAL or isinstance(a, Tracer):
        return _fill_like(a, 1, dtype, shape)
    return np.ones_like(a, dtype, order, subok, shape)  # type: ignore[call-overload]


@belonging
def empty_like(
    prototype: Any,
    dtype: Any = None,
    order: str = "K",
    subok: bool = True,
    shape: Any = None,
    *,
    device: Any = None,
) -> Any:
    """An array of the shape and the dtype of another; its elements are zeros when traced."""
    if current_trace() is not EVAL or isinstance(prototype, Tracer):
        return _fill_like(prototype, 0, dtype, shape)
    return np.empty_like(prototype, dtype, order, subok, shape)  # type: ignore[call-overload]


@belonging
def full_like(
    a: Any,
    fill_value: Any,
    dtype: Any = None,
    order: str = "K",
    subok: bool = True,
    shape: Any = None,
    *,
    device: Any = None,
) -> Any:
    """One value repeated, of the shape and the dtype of another array."""
    if current_trace() is not EVAL or isinstance(a, Tracer):
        a = operand(a)
        return full(a.shape if shape is None else shape, fill_value, dtype or a.dtype)
    return np.full_like(a, fill_value, dtype, order, subok, shape)  # type: ignore[call-overload]


# --- array and asarray -------------------------------------------------------------------------


def array(
    object: Any,
    dtype: Any = None,
    *,
    copy: bool | None = True,
    order: str = "K",
    subok: bool = False,
    ndmin: int = 0,
    like: Any = None,
) -> Any:
    """A new array of numbers, arrays and traced values, in nested lists or alone.

    Lists that hold traced values are joined by one ``concatenate``, however long they are.

    Example:
        >>> array([1, 2.5])
        array([1. , 2.5])
    """
    if has_tracer(object):
        return _with_ndmin(_traced_array(object, dtype), ndmin)
    value = np.array(object, dtype, copy=copy, order=order, subok=subok, ndmin=ndmin)  # type: ignore[call-overload]
    return _copied(value)


def _copied(value: Any) -> Any:
    """Let a new array belong to the active trace; integers, which index, only to a program."""
    if value.dtype.kind not in "biufc":
        return value
    if stages():
        return arithmetic.copy(value)
    return owned(value) if value.dtype.kind in "fc" else value


def _with_ndmin(x: Any, ndmin: int) -> Any:
    missing = ndmin - x.ndim
    return structural.reshape(x, (1,) * missing + x.shape) if missing > 0 else x


@numpy_function(np.asarray)
def asarray(
    a: Any,
    dtype: Any = None,
    order: str | None = None,
    *,
    device: Any = None,
    copy: bool | None = None,
    like: Any = None,
) -> Any:
    """The argument as an array; lists that hold traced values are joined."""
    return _traced_array(a, dtype)


@numpy_function(np.asanyarray)
def asanyarray(a: Any, dtype: Any = None, order: Any = None, **kwargs: Any) -> Any:
    """As ``asarray``."""
    return _traced_array(a, dtype)


def _at_least_1d(x: Any) -> Any:
    return x if x.ndim else structural.reshape(x, (1,))


@numpy_function(np.ascontiguousarray)
def ascontiguousarray(a: Any, dtype: Any = None, *, like: Any = None) -> Any:
    """As ``asarray``, with one axis at least; traced arrays have no memory layout."""
    return _at_least_1d(_traced_array(a, dtype))


@numpy_function(np.asfortranarray)
def asfortranarray(a: Any, dtype: Any = None, *, like: Any = None) -> Any:
    """As ``asarray``, with one axis at least; traced arrays have no memory layout."""
    return _at_least_1d(_traced_array(a, dtype))


def copy(a: Any, order: str = "K", subok: bool = False) -> Any:
    """A new array with the same elements."""
    if has_tracer(a):
        return arithmetic.copy(_traced_array(a, None))
    value = np.array(a, order=order, subok=subok, copy=True)  # type: ignore[call-overload]
    return _copied(value)


def _traced_array(value: Any, dtype: Any) -> Any:
    out = value if isinstance(value, Tracer) else _join(value)
    return out if dtype is None else convert_element_type(out, np.dtype(dtype))


def _join(value: Any) -> Any:
    """Return nested sequences with traced leaves as one array: one concatenate for all leaves."""
    leaves: list[Any] = []
    outer = _collect(value, leaves)
    shape = shape_of(leaves[0])
    for leaf in leaves:
        if shape_of(leaf) != shape:
            raise ShapeError(
                compose(
                    "array was given a sequence of arrays of different shapes: "
                    f"{shape} and {shape_of(leaf)}.",
                    "the elements of an array have one shape.",
                    "functrace.numpy.concatenate, or pad the shorter ones.",
                )
            )
    dtype = np.result_type(*{dtype_of(leaf) for leaf in leaves})
    pieces = [_lifted(piece, dtype, count, shape) for piece, count in _runs(leaves)]
    return structural.reshape(joining.concatenate(pieces, 0), (*outer, *shape))


def _lifted(piece: Any, dtype: np.dtype[Any], count: int, shape: tuple[int, ...]) -> Any:
    if not isinstance(piece, Tracer):
        return np.asarray(piece).astype(dtype)
    return structural.reshape(convert_element_type(piece, dtype), (count, *shape))


def _runs(leaves: list[Any]) -> list[tuple[Any, int]]:
    """Return the traced leaves, and the runs of plain ones between them stacked."""
    pieces: list[tuple[Any, int]] = []
    plain: list[Any] = []
    for leaf in leaves:
        if not isinstance(leaf, Tracer):
            plain.append(leaf)
            continue
        if plain:
            pieces.append((np.stack(plain), len(plain)))
            plain = []
        pieces.append((leaf, 1))
    if plain:
        pieces.append((np.stack(plain), len(plain)))
    return pieces


def _collect(value: Any, leaves: list[Any]) -> tuple[int, ...]:
    """Append the leaves of nested sequences, which must be regular; return the outer shape."""
    if not isinstance(value, (list, tuple)):
        leaves.append(as_array(value))
        return ()
    if not value:
        return (0,)
    shapes = {_collect(v, leaves) for v in value}
    if len(shapes) > 1:
        raise ValueError(
            "setting an array element with a sequence. The requested array has an inhomogeneous "
            "shape."
        )
    return (len(value), *shapes.pop())


# --- ranges ------------------------------------------------------------------------------------


def arange(*args: Any, dtype: Any = None, device: Any = None, like: Any = None, **kw: Any) -> Any:
    """Evenly spaced values of a half-open interval; the bounds must be known.

    Example:
        >>> arange(3)
        array([0, 1, 2])
    """
    for bound in (*args, *kw.values()):
        if isinstance(bound, Tracer):
            bound._trace.refuse(bound, "index")
    return np.arange(*args, dtype=dtype, **kw)


def _ramp(num: int, axis_count: int, dtype: Any) -> Any:
    return np.arange(num, dtype=dtype).reshape((-1,) + (1,) * axis_count)


@numpy_function(np.linspace)
def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    *,
    device: Any = None,
) -> Any:
    """``num`` evenly spaced numbers from ``start`` to ``stop``, which may be traced.

    Example:
        >>> linspace(0.0, 1.0, 3)
        array([0. , 0.5, 1. ])
    """
    num = operator.index(num)
    if num < 0:
        raise ValueError(f"Number of samples, {num}, must be non-negative.")
    start, stop = as_array(start), as_array(stop)
    kind = result_dtype(start, stop, 1.0)
    first, last = (convert_element_type(v, kind) for v in (start, stop))
    delta = subtract(last, first)
    div = num - 1 if endpoint else num
    step = delta / kind.type(div) if div > 0 else np.float64("nan")
    ramp = _ramp(num, delta.ndim, np.empty(0, kind).real.dtype)
    out = first + (ramp * step if div > 0 else ramp * delta)
    if endpoint and num > 1:  # the last one is exact, whatever the rounding of the steps
        end = broadcast_to(last, shape_of(delta))
        out = joining.concatenate([out[:-1], structural.reshape(end, (1, *shape_of(delta)))], 0)
    out = structural.move_axis(out, 0, axis % out.ndim)
    target = kind if dtype is None else np.dtype(dtype)
    if target.kind in "iu":
        out = rounding.floor(out)
    out = convert_element_type(out, target)
    return (out, step) if retstep else out


@numpy_function(np.logspace)
def logspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    base: Any = 10.0,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """``base`` to the power of ``linspace(start, stop, num)``."""
    exponents = linspace(start, stop, num, endpoint, axis=axis)
    out = power(base, exponents)
    return out if dtype is None else convert_element_type(out, dtype)


@numpy_function(np.geomspace)
def geomspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """``num`` numbers from ``start`` to ``stop`` of constant ratio."""
    start, stop = operand(start), operand(stop)
    kind = np.result_type(start.dtype, stop.dtype, float(num))
    first, last = (convert_element_type(v, kind) for v in (start, stop))
    direction = sign(first)
    ends = log10(true_divide(first, direction)), log10(true_divide(last, direction))
    out = direction * logspace(*ends, num, endpoint, 10.0, None, 0)
    shape = shape_of(out)[1:]
    parts = [out]
    if num > 0:
        parts = [structural.reshape(broadcast_to(first, shape), (1, *shape)), out[1:]]
    if num > 1 and endpoint:
        parts = [parts[0], out[1:-1], structural.reshape(broadcast_to(last, shape), (1, *shape))]
    out = structural.move_axis(joining.concatenate(parts, 0), 0, axis % len(shape_of(out)))
    return out if dtype is None else convert_element_type(out, dtype)


# --- arrays of known shape and contents --------------------------------------------------------


def eye(
    N: int,  # noqa: N803
    M: int | None = None,  # noqa: N803
    k: int = 0,
    dtype: Any = float,
    order: str = "C",
    **kw: Any,
) -> Any:
    """Ones on a diagonal, zeros elsewhere."""
    return np.eye(N, M, k, dtype, order)  # type: ignore[call-overload]


def identity(n: int, dtype: Any = None, *, like: Any = None) -> Any:
    """The identity matrix."""
    return np.identity(n, dtype)


def tri(
    N: int,  # noqa: N803
    M: int | None = None,  # noqa: N803
    k: int = 0,
    dtype: Any = float,
    *,
    like: Any = None,
) -> Any:
    """Ones at and below a diagonal, zeros above."""
    return np.tri(N, M, k, dtype)


def fromfunction(
    function: Callable[..., Any], shape: Any, *, dtype: Any = float, **kwargs: Any
) -> Any:
    """The function of the coordinates, at every place of ``shape``."""
    return function(*np.indices(shape, dtype=dtype), **kwargs)


frombuffer = np.frombuffer
fromiter = np.fromiter
fromstring = np.fromstring
from_dlpack = np.from_dlpack
