"""Dtypes: which are supported, how NumPy 2 promotes them, and what their tangents are."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from functrace.errors import DTypeError, compose

__all__ = [
    "PYTHON_SCALARS",
    "canonical_dtype",
    "check_supported",
    "float0",
    "is_inexact",
    "promote",
    "python_scalar_dtype",
    "real_dtype",
    "short_name",
    "tangent_dtype",
]

DType = np.dtype[Any]

float0: DType = np.dtype([("float0", np.void, 0)])
"""The dtype of the tangents of integers and booleans: it holds nothing."""

PYTHON_SCALARS = (bool, int, float, complex)

_SUPPORTED = frozenset(
    np.dtype(c)
    for c in "?bhilqBHILQefdgFDG"  # "g", "G": long double, eager only
)

_WEAK = {
    bool: np.dtype(np.bool_),
    int: np.dtype(np.int64),
    float: np.dtype(np.float64),
    complex: np.dtype(np.complex128),
}
_WEAK_EXAMPLE: dict[str, Any] = {"b": False, "i": 0, "u": 0, "f": 0.0, "c": 0j}


def canonical_dtype(dtype: Any) -> DType:
    """Return the ``np.dtype`` that ``dtype`` names (a string, a NumPy or a Python type)."""
    found: DType = np.dtype(dtype)
    return found


def check_supported(dtype: DType, where: str) -> DType:
    """Return ``dtype``, or raise when traced arrays can't have it (object, string, datetime...)."""
    if dtype in _SUPPORTED:
        return dtype
    if dtype.newbyteorder("=") in _SUPPORTED:
        return dtype.newbyteorder("=")
    raise DTypeError(
        compose(
            f"{where} has dtype {dtype}, which functrace can't trace.",
            "traced arrays hold booleans, integers, floats or complex numbers.",
            "convert it with .astype(...), or mark the argument static.",
        )
    )


def python_scalar_dtype(kind: type) -> DType:
    """Return the dtype of a Python number: int64, float64, complex128 or bool."""
    return _WEAK[kind]


def is_inexact(dtype: DType) -> bool:
    """Tell whether values of ``dtype`` have derivatives: floats and complex numbers."""
    return dtype.kind in "fc"


def tangent_dtype(dtype: DType) -> DType:
    """Return the dtype of tangents and cotangents of values of ``dtype``."""
    return dtype if dtype.kind in "fc" else float0


@functools.cache
def real_dtype(dtype: DType) -> DType:
    """Return the dtype of the real part of values of ``dtype``."""
    return np.empty(0, dtype).real.dtype


@functools.cache
def promote(*operands: tuple[DType, bool]) -> tuple[DType, bool]:
    """Return NumPy 2's result dtype of ``(dtype, weak)`` operands, and whether it is weak.

    A weak operand is a Python number, or an operation of Python numbers only (NEP 50).
    """
    if all(weak for _, weak in operands):
        return np.result_type(*(dtype for dtype, _ in operands)), True
    arguments = [_WEAK_EXAMPLE[d.kind] if weak and d.kind != "b" else d for d, weak in operands]
    return np.result_type(*arguments), False


_SHORT_KINDS = {"f": "f", "i": "i", "u": "u", "c": "c", "b": "bool"}


@functools.cache
def short_name(dtype: DType) -> str:
    """Return the name jaxprs print: ``f64``, ``i32``, ``c128``, ``bool``."""
    if dtype == float0:
        return "float0"
    if dtype.kind == "b":
        return "bool"
    return f"{_SHORT_KINDS[dtype.kind]}{dtype.itemsize * 8}"
