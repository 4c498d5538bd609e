"""What lax functions take: arrays of one dtype, where a Python number has the dtype of the rest."""

from __future__ import annotations

import enum
from typing import Any

import numpy as np

from functrace.core.trace import Tracer
from functrace.dtypes import check_supported
from functrace.errors import DTypeError, compose
from functrace.ops.creation import convert_element_type
from functrace.ops.promotion import result_dtype

__all__ = ["Precision", "array", "matching"]

_NUMBERS = (bool, int, float, complex)
_RANK = {"b": 0, "i": 1, "u": 1, "f": 2, "c": 3}


class Precision(enum.Enum):
    """How exact products are. Accepted and ignored: they are always exact in their dtype."""

    DEFAULT = 0
    HIGH = 1
    HIGHEST = 2


def array(x: Any, name: str = "lax") -> Any:
    """Return ``x``, a Python number as a NumPy scalar.

    Raises:
        DTypeError: it is neither an array nor a number; lax takes no lists.
    """
    if isinstance(x, Tracer):
        return x
    if isinstance(x, (np.ndarray, np.generic)):
        check_supported(x.dtype, f"an operand of {name}")
        return x
    if isinstance(x, _NUMBERS):
        return np.asarray(x)[()]
    raise DTypeError(
        compose(
            f"{name} got an operand of type {type(x).__name__}.",
            "functions of lax take arrays and numbers.",
            "functrace.numpy.asarray(x), or the function of functrace.numpy.",
        )
    )


def _is_weak(x: Any) -> bool:
    return isinstance(x, _NUMBERS) or (isinstance(x, Tracer) and x.weak_type)


def matching(name: str, *xs: Any) -> list[Any]:
    """Return operands of one dtype: Python numbers, traced ones too, take that of the arrays.

    Raises:
        DTypeError: a number doesn't fit the dtype (a float for integers).
    """
    for x in xs:
        if not isinstance(x, Tracer) or x.weak_type:
            break
    else:
        return list(xs)
    strong = [x for x in xs if not _is_weak(x)]
    if not strong:
        dtype = result_dtype(*xs)
        return [convert_element_type(x, dtype) for x in xs]
    dtype = array(strong[0], name).dtype
    return [_adapt(name, x, dtype) if _is_weak(x) else array(x, name) for x in xs]


def _adapt(name: str, x: Any, dtype: np.dtype[Any]) -> Any:
    given = np.asarray(x).dtype if isinstance(x, _NUMBERS) else x.dtype
    if _RANK[given.kind] > _RANK[dtype.kind]:
        raise DTypeError(
            compose(
                f"{name} got the {(given.kind == 'c' and 'complex') or given.name} number {x!r} "
                f"beside an array of dtype {dtype}.",
                "functions of lax don't promote.",
                "lax.convert_element_type(array, dtype), or the function of functrace.numpy.",
            )
        )
    if type(x) is int and dtype.kind in "iu":
        return dtype.type(x)  # raises OverflowError when it doesn't fit
    return convert_element_type(x, dtype)
