"""Promotion and broadcasting to what strict primitives want: one dtype, one shape."""

from __future__ import annotations

from typing import Any

import numpy as np

from functrace.core.aval import shape_of
from functrace.core.trace import Tracer
from functrace.dtypes import check_supported, promote, python_scalar_dtype
from functrace.errors import DTypeError, ShapeError, compose
from functrace.ops.broadcasting import broadcast_to
from functrace.ops.creation import convert_element_type
from functrace.ops.dispatch import NAMESPACE

__all__ = [
    "as_array",
    "as_arrays",
    "broadcast_arrays",
    "broadcast_shapes",
    "is_weak",
    "promote_dtypes",
    "promote_operands",
    "result_dtype",
]

_PYTHON = (bool, int, float, complex)


def as_array(x: Any, where: str = "an operand") -> Any:
    """Return tracers, ndarrays and numbers as they are; anything else as ``np.asarray`` does.

    Lists that hold tracers are stacked by ``functrace.numpy.asarray``.
    """
    if isinstance(x, (Tracer, np.ndarray, np.generic)):
        if not isinstance(x, Tracer):
            check_supported(x.dtype, where)
        return x
    if type(x) in _PYTHON:
        return x
    if isinstance(x, (list, tuple)):
        return NAMESPACE.asarray(x)
    array = np.asarray(x)
    if array.dtype == object:
        raise DTypeError(
            compose(
                f"{where} is {x!r} of type {type(x).__name__}, not an array.",
                "functrace functions take arrays, numbers and sequences of them.",
                "convert it with np.asarray(..., dtype=float).",
            )
        )
    return array


def as_arrays(*xs: Any) -> list[Any]:
    """Apply ``as_array`` to each."""
    return [as_array(x) for x in xs]


def is_weak(x: Any) -> bool:
    """Tell whether a value is a Python number or came from Python numbers only."""
    return type(x) in _PYTHON or (isinstance(x, Tracer) and x.weak_type)


def _entry(x: Any) -> tuple[np.dtype[Any], bool]:
    kind = type(x)
    if kind in _PYTHON:
        return python_scalar_dtype(kind), True
    return x.dtype, isinstance(x, Tracer) and x.weak_type


def result_dtype(*xs: Any) -> np.dtype[Any]:
    """Return NumPy 2's result dtype of arrays, tracers and Python numbers."""
    return promote(*(_entry(x) for x in xs))[0]


def promote_dtypes(*xs: Any) -> list[Any]:
    """Convert arrays to their common dtype; Python numbers become scalars of it.

    Raises:
        OverflowError: a Python integer doesn't fit the dtype of the arrays, as in NumPy.
    """
    dtype = result_dtype(*xs)
    return [_to_dtype(x, dtype) for x in xs]


def _to_dtype(x: Any, dtype: np.dtype[Any]) -> Any:
    if type(x) in _PYTHON:
        if type(x) is int and dtype.kind in "iu":
            return dtype.type(x)  # raises OverflowError when out of bounds
        return np.asarray(x).astype(dtype)[()]
    return convert_element_type(x, dtype)


def broadcast_shapes(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that NumPy's broadcasting gives.

    Raises:
        ShapeError: the shapes don't broadcast, in NumPy's words.
    """
    first = shapes[0]
    for shape in shapes:
        if shape != first:
            break
    else:
        return first
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        text = " ".join(str(s).replace(" ", "") for s in shapes)
        raise ShapeError(f"operands could not be broadcast together with shapes {text}") from None


def broadcast_arrays(*xs: Any, keep_scalars: bool = True) -> list[Any]:
    """Broadcast to one shape; 0-d operands may stay, which element-wise primitives take."""
    shapes = [shape_of(x) for x in xs]
    shape = broadcast_shapes(*shapes)
    return [
        x if s == shape or (keep_scalars and s == ()) else broadcast_to(x, shape)
        for x, s in zip(xs, shapes)
    ]


def promote_operands(*xs: Any) -> list[Any]:
    """Return operands of an element-wise primitive: one dtype, and one shape or 0-d."""
    return broadcast_arrays(*promote_dtypes(*as_arrays(*xs)))


def is_array(x: Any) -> bool:
    """Tell whether an operator may take ``x`` as its other operand."""
    return isinstance(x, (Tracer, np.ndarray, np.generic, *_PYTHON, list, tuple))
