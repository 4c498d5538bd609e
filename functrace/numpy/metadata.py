"""What is known of arrays without their values: dtypes, promotion, kinds, memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from functrace.core.aval import dtype_of
from functrace.core.trace import Tracer
from functrace.numpy.dispatching import numpy_function, operand

__all__ = [
    "can_cast",
    "common_type",
    "iscomplexobj",
    "isrealobj",
    "may_share_memory",
    "min_scalar_type",
    "result_type",
    "shares_memory",
]

_WEAK = {"i": 0, "f": 0.0, "c": 0j, "b": False}


def _stand_in(x: Any) -> Any:
    """Return what NumPy's promotion may take for a traced value."""
    if not isinstance(x, Tracer):
        return x
    return _WEAK[x.dtype.kind] if x.weak_type else x.dtype


@numpy_function(np.result_type)
def result_type(*arrays_and_dtypes: Any) -> np.dtype[Any]:
    """The dtype that an operation on these arrays, numbers and dtypes has."""
    return np.result_type(*(_stand_in(x) for x in arrays_and_dtypes))


@numpy_function(np.can_cast)
def can_cast(from_: Any, to: Any, casting: Any = "safe") -> bool:
    """Tell whether a cast between dtypes is allowed."""
    return np.can_cast(operand(from_).dtype, to, casting)


@numpy_function(np.common_type)
def common_type(*arrays: Any) -> Any:
    """The floating-point type that all arrays fit."""
    return np.common_type(*(np.empty(0, dtype_of(a)) for a in arrays))


@numpy_function(np.min_scalar_type)
def min_scalar_type(a: Any, /) -> np.dtype[Any]:
    """The dtype of a traced array; the values that would narrow it are not looked at."""
    return operand(a).dtype  # type: ignore[no-any-return]


@numpy_function(np.iscomplexobj)
def iscomplexobj(x: Any) -> bool:
    """Tell whether the dtype is complex."""
    return bool(dtype_of(x).kind == "c")


@numpy_function(np.isrealobj)
def isrealobj(x: Any) -> bool:
    """Tell whether the dtype is not complex."""
    return not iscomplexobj(x)


@numpy_function(np.shares_memory)
def shares_memory(a: Any, b: Any, /, max_work: int = -1) -> bool:
    """Tell whether two arrays share memory; traced ones never do."""
    return False


@numpy_function(np.may_share_memory)
def may_share_memory(a: Any, b: Any, /, max_work: int = 0) -> bool:
    """Tell whether two arrays may share memory; traced ones never do."""
    return False
