"""reduce_window: fold windows that slide along the axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from functrace.core.trace import Tracer
from functrace.errors import MissingRuleError, compose
from functrace.lax.operands import matching
from functrace.lax.reductions import monoid
from functrace.ops import arithmetic, windows
from functrace.ops.arithmetic import add_p, max_p, min_p
from functrace.ops.convolution import padding_pairs
from functrace.ops.reductions import highest, lowest

__all__ = ["padtype_to_pads", "reduce_window"]

_KINDS: dict[Any, tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]] = {
    add_p: (windows.reduce_window_sum, arithmetic.add, lambda dtype: dtype.type(0)),
    max_p: (windows.reduce_window_max, arithmetic.max, lowest),
    min_p: (windows.reduce_window_min, arithmetic.min, highest),
}


def reduce_window(
    operand: Any,
    init_value: Any,
    computation: Callable[..., Any],
    window_dimensions: Sequence[int],
    window_strides: Sequence[int] | None = None,
    padding: Any = "VALID",
    base_dilation: Sequence[int] | None = None,
    window_dilation: Sequence[int] | None = None,
) -> Any:
    """Fold each of the windows that slide along the axes: pooling.

    Args:
        operand: the array.
        init_value: what each fold starts from, usually 0, -inf or inf; padding doesn't count.
        computation: ``lax.add``, ``lax.max`` or ``lax.min``, or a function that is one of them.
        window_dimensions: the size of the window, for each axis.
        window_strides: its steps; 1 without it.
        padding: ``"VALID"``, ``"SAME"``, ``"SAME_LOWER"`` or (low, high) for each axis.
        base_dilation: how far apart the elements of the operand are put.
        window_dilation: how far apart the elements of a window are.

    Raises:
        NotImplementedError: the function is none of the three.

    Example:
        >>> import numpy as np
        >>> from functrace import lax
        >>> reduce_window(np.arange(4.0), 0.0, lax.add, (2,), (2,), "VALID")
        array([1., 5.])
    """
    x, init = matching("lax.reduce_window", operand, init_value)
    primitive = monoid(computation, x.dtype)
    if primitive not in _KINDS:
        raise MissingRuleError(
            compose(
                "lax.reduce_window with a function that is none of add, max, min.",
                "only these have a primitive.",
                "gather the windows by indexing, then reduce an axis.",
            )
        )
    fold, combine, identity = _KINDS[primitive]
    out = fold(x, window_dimensions, window_strides, padding, base_dilation, window_dilation)
    if not isinstance(init, Tracer) and init == identity(x.dtype):
        return out
    return combine(out, init)


def padtype_to_pads(
    in_shape: Sequence[int],
    window_shape: Sequence[int],
    window_strides: Sequence[int],
    padding: str,
) -> list[tuple[int, int]]:
    """The (low, high) padding of each axis that ``"SAME"`` or ``"VALID"`` stands for."""
    ones = (1,) * len(in_shape)
    shape, window = tuple(in_shape), tuple(window_shape)
    return list(padding_pairs(padding, shape, window, tuple(window_strides), ones, ones))
