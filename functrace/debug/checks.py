"""check: a condition on values that raises with a message when it fails, also in compiled code."""

from __future__ import annotations

from typing import Any

import numpy as np

import functrace.numpy as fnp
from functrace.control.host.callbacks import debug_callback
from functrace.control.host.checks import MOST_VALUES, Failure, check_p
from functrace.core.arguments import argument_leaf
from functrace.core.aval import is_array_like
from functrace.debug.formatting import check_fields
from functrace.errors import DTypeError, compose
from functrace.source_info import api_boundary, current_source

__all__ = ["check"]


@api_boundary
def check(pred: Any, message: str, *args: Any, **kwargs: Any) -> None:
    """Raise ``CheckError`` unless ``pred`` holds, also from inside compiled code and loops.

    Compiled, it is one compare and a branch beside the arithmetic, no call of Python. It changes
    no derivative, and is tested even where nothing depends on it.

    Args:
        pred: a boolean, or an array of them that all must be true.
        message: a format string; its fields are the arguments.
        args: values for the message. Of arrays of ``pred``'s shape it shows the first wrong
            element, of others all.
        kwargs: values by name.

    Raises:
        CheckError: with the message; a note has the line of the check.

    Example:
        >>> import numpy as np
        >>> import functrace as ft
        >>> @ft.jit
        ... def root(x):
        ...     ft.debug.check(x >= 0.0, "no root of {x}", x=x)
        ...     return np.sqrt(x)
        >>> try:
        ...     root(np.array([4.0, -1.0]))
        ... except ft.errors.CheckError as error:
        ...     print(error)
        no root of -1.0
    """
    check_fields("debug.check", message, args, kwargs)
    pred = argument_leaf(pred, lambda: "the condition of debug.check").value
    if pred.dtype.kind != "b":
        raise DTypeError(
            compose(
                f"debug.check was given a condition of dtype {pred.dtype}.",
                "a condition is a boolean.",
                "a comparison.",
            )
        )
    given: dict[int | str, Any] = dict(enumerate(args))
    given.update(kwargs)
    values = {
        k: argument_leaf(v, lambda: "a value of debug.check").value
        for k, v in given.items()
        if is_array_like(v)
    }
    known = {k: v for k, v in given.items() if k not in values}
    failure = Failure(message, [(k, v.dtype) for k, v in values.items()], current_source(), known)
    if len(values) <= MOST_VALUES and all(_fits(v, pred) for v in values.values()):
        wide = [v if v.shape == () else fnp.broadcast_to(v, pred.shape) for v in values.values()]
        check_p.bind(pred, *wide, failure=failure)
    else:
        debug_callback(_raise_unless, pred, list(values.values()), failure)


def _fits(value: Any, pred: Any) -> bool:
    """Whether a kernel can tell the value: one for each element of the condition, of 64 bits."""
    if value.dtype.kind == "c" or value.dtype.itemsize > 8:
        return False
    return bool(np.broadcast_shapes(value.shape, pred.shape) == pred.shape)


def _raise_unless(pred: Any, values: list[Any], failure: Failure) -> None:
    if not np.all(pred):
        raise failure.of_values(values)
