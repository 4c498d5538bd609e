"""Running sums and products: cumsum, cumprod and their Array API names."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from functrace.numpy.dispatching import (
    cast,
    normalize_axis,
    numpy_function,
    operand,
    refuse_out,
)
from functrace.numpy.reductions import sum_operand
from functrace.ops import cumulative, joining, structural
from functrace.ops.broadcasting import broadcast_to

__all__ = ["cumprod", "cumsum", "cumulative_prod", "cumulative_sum"]


def accumulate(name: str, a: Any, axis: int | None, dtype: Any) -> Any:
    """Return ``cumsum`` or ``cumprod`` along an axis, or of the elements in C order."""
    x = sum_operand(a, dtype)
    if axis is None:
        x, axis = structural.reshape(x, (math.prod(x.shape),)), 0
    return getattr(cumulative, name)(x, normalize_axis(axis, len(x.shape)))


@numpy_function(np.cumsum)
def cumsum(a: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Any:
    """Running sum along ``axis``, or of all elements in C order; as ``numpy.cumsum``.

    Example:
        >>> import numpy as np
        >>> cumsum(np.array([1, 2, 3]))
        array([1, 3, 6])
    """
    refuse_out(out, "cumsum")
    return accumulate("cumsum", a, axis, dtype)


@numpy_function(np.cumprod)
def cumprod(a: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Any:
    """Running product along ``axis``, or of all elements in C order; as ``numpy.cumprod``.

    Example:
        >>> import numpy as np
        >>> cumprod(np.array([1, 2, 3]))
        array([1, 2, 6])
    """
    refuse_out(out, "cumprod")
    return accumulate("cumprod", a, axis, dtype)


def _array_api_accumulate(
    name: str, x: Any, axis: int | None, dtype: Any, include_initial: bool, initial: int
) -> Any:
    x = operand(x)
    if not x.shape:
        x = structural.reshape(x, (1,))
    if axis is None:
        if len(x.shape) > 1:
            raise ValueError(
                "For arrays which have more than one dimension ``axis`` argument is required."
            )
        axis = 0
    axis = normalize_axis(axis, len(x.shape))
    out = accumulate(name, x, axis, dtype)
    if not include_initial:
        return out
    shape = (*out.shape[:axis], 1, *out.shape[axis + 1 :])
    return joining.concatenate([broadcast_to(cast(initial, out.dtype), shape), out], axis)


def _numpy_cumulative(name: str) -> Any:
    """NumPy's ``cumulative_sum`` or ``cumulative_prod``, which came with NumPy 2.1."""
    return getattr(np, name, None)


@numpy_function(_numpy_cumulative("cumulative_sum"))
def cumulative_sum(
    x: Any,
    /,
    *,
    axis: int | None = None,
    dtype: Any = None,
    out: None = None,
    include_initial: bool = False,
) -> Any:
    """Running sum along ``axis``; as ``numpy.cumulative_sum``.

    Args:
        x: the array.
        axis: an axis; may be left out for arrays of one axis.
        dtype: the dtype to sum in.
        out: refused for traced arrays.
        include_initial: start with a 0.

    Example:
        >>> import numpy as np
        >>> cumulative_sum(np.array([1, 2, 3]), include_initial=True)
        array([0, 1, 3, 6])
    """
    refuse_out(out, "cumulative_sum")
    return _array_api_accumulate("cumsum", x, axis, dtype, include_initial, 0)


@numpy_function(_numpy_cumulative("cumulative_prod"))
def cumulative_prod(
    x: Any,
    /,
    *,
    axis: int | None = None,
    dtype: Any = None,
    out: None = None,
    include_initial: bool = False,
) -> Any:
    """Running product along ``axis``; as ``numpy.cumulative_prod``.

    The arguments are those of ``cumulative_sum``; ``include_initial`` starts with a 1.

    Example:
        >>> import numpy as np
        >>> cumulative_prod(np.array([1, 2, 3]))
        array([1, 2, 6])
    """
    refuse_out(out, "cumulative_prod")
    return _array_api_accumulate("cumprod", x, axis, dtype, include_initial, 1)
