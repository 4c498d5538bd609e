"""Reductions, running reductions and sorting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from functrace.control.loops.folding import fold
from functrace.core.aval import ShapedArray
from functrace.core.trace import Primitive, Tracer
from functrace.interpreters.staging import stage
from functrace.lax import elementwise
from functrace.lax.operands import array, matching
from functrace.ops import arithmetic, bitwise, cumulative, reductions, sorting, structural
from functrace.ops.arithmetic import add_p, max_p, min_p, mul_p
from functrace.ops.bitwise import and_p, or_p
from functrace.ops.broadcasting import reduce_sum as sum_over
from functrace.ops.cumulative import reduce_prod as prod_over

__all__ = [
    "argmax",
    "argmin",
    "cumlogsumexp",
    "cummax",
    "cummin",
    "cumprod",
    "cumsum",
    "reduce",
    "reduce_and",
    "reduce_max",
    "reduce_min",
    "reduce_or",
    "reduce_prod",
    "reduce_sum",
    "reduce_xor",
    "sort",
    "sort_key_val",
    "top_k",
]


def _axes(x: Any, axes: Sequence[int]) -> tuple[int, ...]:
    ndim = len(x.shape)
    return tuple(a + ndim if a < 0 else a for a in axes)


def _axis(x: Any, axis: int) -> int:
    return axis + len(x.shape) if axis < 0 else axis


# --- reductions --------------------------------------------------------------------------------


def reduce_sum(operand: Any, axes: Sequence[int]) -> Any:
    """Sum over ``axes``, in the dtype of the operand.

    Example:
        >>> import numpy as np
        >>> reduce_sum(np.array([[1, 2], [3, 4]]), (0,))
        array([4, 6])
    """
    x = array(operand, "lax.reduce_sum")
    return sum_over(x, _axes(x, axes))


def reduce_prod(operand: Any, axes: Sequence[int]) -> Any:
    """Product over ``axes``, in the dtype of the operand."""
    x = array(operand, "lax.reduce_prod")
    return prod_over(x, _axes(x, axes))


def reduce_max(operand: Any, axes: Sequence[int]) -> Any:
    """Largest element over ``axes``; the least number of the dtype when there is none."""
    x = array(operand, "lax.reduce_max")
    return reductions.reduce_max(x, _axes(x, axes))


def reduce_min(operand: Any, axes: Sequence[int]) -> Any:
    """Smallest element over ``axes``; the greatest number of the dtype when there is none."""
    x = array(operand, "lax.reduce_min")
    return reductions.reduce_min(x, _axes(x, axes))


def reduce_and(operand: Any, axes: Sequence[int]) -> Any:
    """Bitwise *and* over ``axes``; whether all are true, of booleans."""
    x = array(operand, "lax.reduce_and")
    return reductions.reduce_and(x, _axes(x, axes))


def reduce_or(operand: Any, axes: Sequence[int]) -> Any:
    """Bitwise *or* over ``axes``; whether any is true, of booleans."""
    x = array(operand, "lax.reduce_or")
    return reductions.reduce_or(x, _axes(x, axes))


def reduce_xor(operand: Any, axes: Sequence[int]) -> Any:
    """Bitwise exclusive *or* over ``axes``."""
    x = array(operand, "lax.reduce_xor")
    return reductions.reduce_xor(x, _axes(x, axes))


_REDUCTIONS: dict[Primitive, tuple[Callable[..., Any], Callable[..., Any]]] = {
    add_p: (sum_over, arithmetic.add),
    mul_p: (prod_over, arithmetic.mul),
    max_p: (reductions.reduce_max, arithmetic.max),
    min_p: (reductions.reduce_min, arithmetic.min),
    and_p: (reductions.reduce_and, bitwise.bitwise_and),
    or_p: (reductions.reduce_or, bitwise.bitwise_or),
}


_NAMED: dict[Callable[..., Any], Primitive] = {
    elementwise.add: add_p,
    elementwise.mul: mul_p,
    elementwise.max: max_p,
    elementwise.min: min_p,
}


def monoid(computation: Callable[..., Any], dtype: np.dtype[Any]) -> Primitive | None:
    """Return the primitive that a function of two scalars is; None when it is no such one.

    ``lax.add`` and its kin are known by name; any other function is traced.
    """
    named = _NAMED.get(computation)
    if named is not None:
        return named
    scalar = ShapedArray((), dtype)
    try:
        jaxpr = stage(lambda x, y: [computation(x, y)], [scalar, scalar], "reduce").jaxpr
    except TypeError:
        return None  # it isn't defined for this dtype
    if len(jaxpr.eqns) != 1:
        return None
    eqn = jaxpr.eqns[0]
    ordered = list(eqn.invars) in (jaxpr.invars, jaxpr.invars[::-1])
    return eqn.primitive if ordered and jaxpr.outvars == eqn.outvars else None


def reduce(
    operands: Any, init_values: Any, computation: Callable[..., Any], dimensions: Sequence[int]
) -> Any:
    """Fold axes with an associative function of two scalars.

    ``add``, ``mul``, ``max``, ``min``, *and* and *or* are primitives; any other function runs in a
    loop, element by element.

    Args:
        operands: an array, or a tree of arrays of one shape.
        init_values: what the fold starts from; a tree like ``operands``, of scalars.
        computation: ``lax.add`` and its kin, or a function of two trees of scalars.
        dimensions: the axes.

    Example:
        >>> import numpy as np
        >>> reduce(np.array([3.0, 4.0]), 0.0, lambda a, b: np.hypot(a, b), (0,))
        np.float64(5.0)
    """
    if not isinstance(operands, (Tracer, np.ndarray, np.generic)):
        return fold(operands, init_values, computation, dimensions)
    x, init = matching("lax.reduce", operands, init_values)
    primitive = monoid(computation, x.dtype)
    if primitive not in _REDUCTIONS:
        return fold(x, init, computation, _axes(x, dimensions))
    whole, combine = _REDUCTIONS[primitive]
    return combine(whole(x, _axes(x, dimensions)), init)


# --- argmax, argmin ----------------------------------------------------------------------------


def argmax(operand: Any, axis: int, index_dtype: Any) -> Any:
    """Index of the first largest element along ``axis``, in ``index_dtype``.

    Example:
        >>> import numpy as np
        >>> argmax(np.array([1, 3, 2]), 0, np.int32)
        np.int32(1)
    """
    x = array(operand, "lax.argmax")
    return reductions.argmax(x, _axis(x, axis), index_dtype)


def argmin(operand: Any, axis: int, index_dtype: Any) -> Any:
    """Index of the first smallest element along ``axis``, in ``index_dtype``."""
    x = array(operand, "lax.argmin")
    return reductions.argmin(x, _axis(x, axis), index_dtype)


# --- running reductions ------------------------------------------------------------------------


def _running(function: Callable[..., Any], operand: Any, axis: int, reverse: bool) -> Any:
    x = array(operand, "a running reduction of lax")
    return function(x, _axis(x, axis), bool(reverse))


def cumsum(operand: Any, axis: int = 0, reverse: bool = False) -> Any:
    """Running sum along ``axis``, from the end with ``reverse``.

    Example:
        >>> import numpy as np
        >>> cumsum(np.array([1, 2, 3]), reverse=True)
        array([6, 5, 3])
    """
    return _running(cumulative.cumsum, operand, axis, reverse)


def cumprod(operand: Any, axis: int = 0, reverse: bool = False) -> Any:
    """Running product along ``axis``, from the end with ``reverse``."""
    return _running(cumulative.cumprod, operand, axis, reverse)


def cummax(operand: Any, axis: int = 0, reverse: bool = False) -> Any:
    """Running maximum along ``axis``, from the end with ``reverse``."""
    return _running(cumulative.cummax, operand, axis, reverse)


def cummin(operand: Any, axis: int = 0, reverse: bool = False) -> Any:
    """Running minimum along ``axis``, from the end with ``reverse``."""
    return _running(cumulative.cummin, operand, axis, reverse)


def cumlogsumexp(operand: Any, axis: int = 0, reverse: bool = False) -> Any:
    """Running ``log(sum(exp(x)))`` along ``axis``, from the end with ``reverse``."""
    return _running(cumulative.cumlogsumexp, operand, axis, reverse)


# --- sorting -----------------------------------------------------------------------------------


def sort(operand: Any, dimension: int = -1, is_stable: bool = True, num_keys: int = 1) -> Any:
    """Sort along an axis; several arrays together, by the first ``num_keys`` of them.

    Args:
        operand: an array, or a sequence of arrays of one shape.
        dimension: the axis.
        is_stable: accepted; sorts are always stable.
        num_keys: how many of the arrays are compared.

    Example:
        >>> import numpy as np
        >>> sort(np.array([3, 1, 2]))
        array([1, 2, 3])
    """
    if isinstance(operand, Sequence):
        xs = tuple(array(x, "lax.sort") for x in operand)
        return tuple(sorting.sort(xs, _axis(xs[0], dimension), num_keys=num_keys))
    x = array(operand, "lax.sort")
    return sorting.sort(x, _axis(x, dimension))


def sort_key_val(
    keys: Any, values: Any, dimension: int = -1, is_stable: bool = True
) -> tuple[Any, Any]:
    """Sort ``keys`` along an axis, and ``values`` with them.

    Example:
        >>> import numpy as np
        >>> sort_key_val(np.array([3, 1]), np.array([10, 20]))
        (array([1, 3]), array([20, 10]))
    """
    out = sort((keys, values), dimension)
    return out[0], out[1]


def top_k(operand: Any, k: int, *, axis: int = -1) -> tuple[Any, Any]:
    """The ``k`` largest elements along an axis, the largest first, and their indices.

    Example:
        >>> import numpy as np
        >>> top_k(np.array([3, 1, 2]), 2)
        (array([3, 2]), array([0, 2]))
    """
    x = array(operand, "lax.top_k")
    place = _axis(x, axis)
    last = len(x.shape) - 1
    values, indices = sorting.top_k(structural.move_axis(x, place, last), int(k))
    return structural.move_axis(values, last, place), structural.move_axis(indices, last, place)
