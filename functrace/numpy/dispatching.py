"""What every function of functrace.numpy shares: when it is NumPy's own, and its arguments.

The helpers of this folder: ``numpy_function`` is the decorator to use for each public function;
``__wrapped__`` of its result is the traced version alone, which dispatch tables can hold to skip
the search for tracers.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from functrace.core.trace import Tracer
from functrace.errors import InPlaceUpdateError, compose
from functrace.ops import arithmetic, logical
from functrace.ops.broadcasting import broadcast_in_dim
from functrace.ops.creation import convert_element_type
from functrace.ops.families import kept_axes
from functrace.ops.promotion import as_array, broadcast_arrays, promote_dtypes

__all__ = [
    "as_shape",
    "cast",
    "choose",
    "constant",
    "has_tracer",
    "normalize_axes",
    "normalize_axis",
    "numpy_function",
    "operand",
    "refuse_out",
    "spread",
    "strong",
]

F = TypeVar("F", bound=Callable[..., Any])


def has_tracer(value: Any) -> bool:
    """Tell whether a value is a tracer, or a list or tuple with one inside."""
    if isinstance(value, Tracer):
        return True
    return isinstance(value, (list, tuple)) and any(has_tracer(v) for v in value)


def numpy_function(plain: Callable[..., Any] | None) -> Callable[[F], F]:
    """Return a decorator: the function is ``plain``, NumPy's own, unless an argument is traced.

    ``None`` stands for a function that this NumPy doesn't have yet.
    """

    def decorate(traced: F) -> F:
        untraced = plain or traced

        @functools.wraps(traced)
        def function(*args: Any, **kwargs: Any) -> Any:
            for a in args:
                if isinstance(a, Tracer) or (isinstance(a, (list, tuple)) and has_tracer(a)):
                    return traced(*args, **kwargs)
            for a in kwargs.values():
                if has_tracer(a):
                    return traced(*args, **kwargs)
            return untraced(*args, **kwargs)

        return function  # type: ignore[return-value]

    return decorate


def operand(x: Any, where: str = "an operand") -> Any:
    """Return ``x`` with a shape and a dtype: a tracer, an array or a NumPy scalar."""
    if isinstance(x, Tracer):
        return x
    x = as_array(x, where)
    return x if isinstance(x, (Tracer, np.ndarray, np.generic)) else np.asarray(x)[()]


def strong(x: Any) -> Any:
    """Return ``x`` not weak: what a NumPy function of a Python number gives is an array's."""
    return arithmetic.copy(x) if isinstance(x, Tracer) and x.weak_type else x


def refuse_out(out: Any, name: str) -> None:
    """Raise when ``out=`` was given to a traced call: a traced value can't be written there."""
    if out is not None:
        raise InPlaceUpdateError(
            compose(
                f"numpy.{name}(..., out=...) of a traced array.",
                "a traced value can't be written into an array.",
                f"y = numpy.{name}(...), without out.",
            )
        )


def normalize_axis(axis: Any, ndim: int) -> int:
    """Return the axis counted from 0.

    Raises:
        numpy.exceptions.AxisError: there is no such axis.
    """
    if type(axis) is int and 0 <= axis < ndim:
        return axis
    return int(normalize_axis_index(axis, ndim))


def normalize_axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """Return the axes counted from 0; all of them for None.

    Raises:
        numpy.exceptions.AxisError: there is no such axis.
    """
    if axis is None:
        return tuple(range(ndim))
    if type(axis) is int and 0 <= axis < ndim:
        return (axis,)
    return tuple(int(a) for a in normalize_axis_tuple(axis, ndim))


def as_shape(shape: Any) -> tuple[int, ...]:
    """Return a shape, given as a tuple or as one integer; a traced size is refused."""
    if isinstance(shape, (tuple, list)) or (isinstance(shape, np.ndarray) and shape.ndim):
        return tuple(operator.index(n) for n in shape)
    return (operator.index(shape),)


def choose(mask: Any, x: Any, y: Any) -> Any:
    """Return ``x`` where ``mask`` and ``y`` elsewhere: promoted, and broadcast to one shape."""
    mask = operand(mask)
    if mask.dtype.kind != "b":
        mask = mask != 0
    x, y = promote_dtypes(as_array(x), as_array(y))
    mask, x, y = broadcast_arrays(mask, x, y)
    return logical.select(mask, x, y)


def spread(value: Any, shape: tuple[int, ...], axes: tuple[int, ...]) -> Any:
    """Repeat what a reduction over ``axes`` gave along them again.

    A 0-d value stays as it is: element-wise primitives take it.
    """
    if not axes or not value.shape:
        return value
    return broadcast_in_dim(value, shape, kept_axes(len(shape), axes))


def constant(x: Any) -> Any:
    """Return ``x`` without its derivative; plain values as they are, so they stay known."""
    return arithmetic.stop_gradient(x) if isinstance(x, Tracer) else x


def cast(x: Any, dtype: Any) -> Any:
    """Convert an array, a tracer or a number to ``dtype``."""
    return convert_element_type(x, dtype)
