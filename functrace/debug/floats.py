"""checked: a function that raises where a NaN is made, or something divided by zero."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from functrace import tree
from functrace.control.host.float_checks import Checks, with_checks
from functrace.control.jit import JitFunction
from functrace.core.arguments import flat_values, require_callable
from functrace.core.aval import typeof
from functrace.core.jaxpr import eval_jaxpr
from functrace.interpreters.staging import stage
from functrace.source_info import describe_function

__all__ = ["checked"]


def checked(
    fun: Callable[..., Any], *, nan: bool = True, division: bool = True
) -> Callable[..., Any]:
    """Return ``fun`` compiled with a check after each of its operations, in loops too.

    An index out of bounds raises with or without it. ``config.debug_nans`` watches everything
    for NaNs instead, and compiles checks only when one was found.

    Args:
        fun: a function of arrays.
        nan: raise ``FloatingPointError`` where a NaN is made.
        division: raise ``ZeroDivisionError`` where something is divided by zero.

    Returns:
        A function like ``fun``; a note of what it raises has the line at fault.

    Example:
        >>> import numpy as np
        >>> safe = checked(lambda x: np.log(x) / 2.0)
        >>> try:
        ...     safe(-1.0)
        ... except FloatingPointError as error:
        ...     print(error)
        invalid value (nan) produced by log
    """
    require_callable(fun, "debug.checked")
    checks = Checks(nan, division)

    @functools.wraps(fun)
    def with_all_checks(*args: Any, **kwargs: Any) -> Any:
        flat, treedef = tree.flatten((args, kwargs))
        out_tree: Any = None

        def flat_fun(*leaves: Any) -> list[Any]:
            nonlocal out_tree
            given, named = treedef.unflatten(leaves)
            place = f"an output of {describe_function(fun)}"
            outs, out_tree = flat_values(fun(*given, **named), place)
            return outs

        closed = stage(flat_fun, [typeof(v) for v in flat], f"checked({describe_function(fun)})")
        safe = with_checks(closed, checks)
        return out_tree.unflatten(eval_jaxpr(safe.jaxpr, safe.consts, *flat))

    return JitFunction(with_all_checks)
