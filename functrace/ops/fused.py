"""fma: a product and a sum, rounded once."""

from __future__ import annotations

from typing import Any

import numpy as np

from functrace.core.aval import dtype_of, is_python_number
from functrace.core.lowering import Elementwise
from functrace.errors import DTypeError
from functrace.ops.arithmetic import NOT_LINEAR, mul
from functrace.ops.families import nary

__all__ = ["fma"]


def _fma_impl(x: Any, y: Any, z: Any) -> Any:
    """Compute without the instruction, which NumPy doesn't have."""
    dtype = next(dtype_of(a) for a in (x, y, z) if not is_python_number(a))
    x, y, z = (np.asarray(a, dtype) for a in (x, y, z))
    with np.errstate(all="ignore"):
        out = _wide(x, y, z) if dtype == np.float32 else _double(x, y, z)
        plain = x * y + z
    return np.where(np.isfinite(out), out, plain).astype(dtype)[()]


def _wide(x: Any, y: Any, z: Any) -> Any:
    """In float64 the product is exact, and a sum rounded to odd can be rounded again."""
    return _odd_sum(x.astype(np.float64) * y, z.astype(np.float64)).astype(np.float32)


def _double(x: Any, y: Any, z: Any) -> Any:
    """Boldo and Melquiond, "Emulation of FMA and correctly rounded sums" (2008)."""
    product, low = _two_product(x, y)
    first, rest = _two_sum(z, low)
    total, error = _two_sum(product, first)
    return total + _odd_sum(rest, error)


def _two_sum(x: Any, y: Any) -> tuple[Any, Any]:
    """Return the rounded sum and what rounding took away (Knuth)."""
    total = x + y
    other = total - x
    return total, (x - (total - other)) + (y - other)


def _two_product(x: Any, y: Any) -> tuple[Any, Any]:
    """Return the rounded product and what rounding took away (Dekker)."""
    product = x * y
    (xh, xl), (yh, yl) = _halves(x), _halves(y)
    return product, xl * yl - (((product - xh * yh) - xl * yh) - xh * yl)


def _halves(x: Any) -> tuple[Any, Any]:
    """Split into two numbers of 26 bits (Veltkamp)."""
    scaled = x * 134217729.0
    high = scaled - (scaled - x)
    return high, x - high


def _odd_sum(x: Any, y: Any) -> Any:
    """Return a float64 sum rounded to a neighbour whose last bit is 1, unless it is exact."""
    total, error = _two_sum(x, y)
    even = (np.asarray(total).view(np.int64) & 1) == 0
    towards = np.where(error > 0, np.inf, -np.inf)
    return np.where((error != 0) & even, np.nextafter(total, towards), total)


def _no_half(*dtypes: np.dtype[Any]) -> np.dtype[Any]:
    if dtypes[0] not in (np.float32, np.float64):
        raise DTypeError(f"fma got operands of {dtypes[0]}; it is defined for float32 and float64.")
    return dtypes[0]


fma_p = nary(
    "fma",
    _fma_impl,
    "f",
    Elementwise(lambda b, x, y, z: b.fma(x, y, z)),
    out_dtype=_no_half,
    not_linear=NOT_LINEAR,
)
fma_p.def_jvp_each(
    lambda t, out, x, y, z: mul(t, y),
    lambda t, out, x, y, z: mul(t, x),
    lambda t, out, x, y, z: t,
)


def fma(x: Any, y: Any, z: Any) -> Any:
    """``x * y + z`` of float32 or float64, rounded once."""
    return fma_p.bind(x, y, z)
