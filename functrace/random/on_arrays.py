"""The operations of kernels' scalars on NumPy arrays: a kernel's rule without a kernel."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from functrace.ops.fused import fma_p

__all__ = ["OnArrays"]

DType = np.dtype[Any]

_BINARY: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "eq": np.equal,
    "ne": np.not_equal,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "shl": np.left_shift,
    "lshr": np.right_shift,
}
_UNARY: dict[str, Callable[..., Any]] = {
    "sqrt": np.sqrt,
    "floor": np.floor,
    "trunc": np.trunc,
    "not": np.invert,
    "abs": np.abs,
    "neg": np.negative,
}


def _of_c(name: str, count: int, otherwise: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of the C library, which Python refuses to call for some arguments."""
    known = getattr(math, name)

    def one(*args: float) -> float:
        try:
            return float(known(*args))
        except (OverflowError, ValueError):
            return float(otherwise(*args))

    return np.frompyfunc(one, count, 1)


_OF_C = {
    "erf": _of_c("erf", 1, math.erf),
    "pow": _of_c("pow", 2, np.power),
    "tan": _of_c("tan", 1, np.tan),
}
"""Functions of the C library: NumPy's own have other last bits."""


class OnArrays:
    """Stands in for a kernel builder: its scalars are arrays, and operations are done at once."""

    def _const(self, value: Any, dtype: DType) -> Any:
        if dtype.kind in "iu":
            bits = int(value) & ((1 << 8 * dtype.itemsize) - 1)
            return np.array(bits, f"u{dtype.itemsize}").view(dtype)
        return np.array(value, dtype)

    def _bin(self, name: str, x: Any, y: Any) -> Any:
        return np.asarray(_BINARY[name](x, y))

    def _un(self, name: str, x: Any) -> Any:
        return np.asarray(_UNARY[name](x))

    def _op(self, name: str, dtype: DType, *args: Any, attr: str = "") -> Any:
        if name == "extern":
            return np.asarray(_OF_C[attr](*args), dtype)
        done = {"fma": fma_p.impl, "copysign": np.copysign}[name]
        return np.asarray(done(*args), dtype)  # type: ignore[misc]

    def _neg(self, x: Any) -> Any:
        return self._un("neg", x)

    def _abs(self, x: Any) -> Any:
        return self._un("abs", x)

    def _sel(self, pred: Any, x: Any, y: Any) -> Any:
        return np.where(pred, x, y)

    def _cast(self, x: Any, dtype: DType) -> Any:
        return np.asarray(x).astype(dtype)

    def _bits(self, x: Any, dtype: DType) -> Any:
        return np.asarray(x).view(dtype)
