"""while_loop and fori_loop: a function again and again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from functrace import tree
from functrace.config import config
from functrace.control.loops.bodies import (
    Body,
    can_run_as_python,
    trace_body,
    warn_that_python_runs,
)
from functrace.control.loops.carries import Carry, settle
from functrace.control.loops.scan import run_scan
from functrace.control.loops.scan_in_python import PythonCarry
from functrace.control.loops.while_primitive import bind_while
from functrace.control.rules.arguments import Leaves, read_leaves
from functrace.core.arguments import argument_leaf, require_callable
from functrace.core.aval import typeof
from functrace.core.trace import Tracer
from functrace.errors import ConcretizationError, DTypeError, ShapeError, compose
from functrace.ops.creation import convert_element_type
from functrace.ops.logical import lt
from functrace.ops.promotion import promote_dtypes
from functrace.source_info import api_boundary, describe_function

__all__ = ["fori_loop", "staged_while", "while_loop"]


class Looper:
    """Condition and body of one while loop: how they are called, traced, and what is carried."""

    def __init__(
        self, what: str, cond_fun: Any, body_fun: Any, init: Leaves, user_fun: Any = None
    ) -> None:
        self.what = what
        self.cond_fun = cond_fun
        self.body_fun = body_fun
        user_fun = body_fun if user_fun is None else user_fun
        self.carry = Carry(what, user_fun, init.treedef, init.avals, what == "fori_loop")

    def step(self, leaves: Sequence[Any]) -> tuple[list[Any], Any]:
        """Call the body with flat leaves."""
        return self.carry.take(self.body_fun(self.carry.treedef.unflatten(leaves))), None

    def goes_on(self, leaves: Sequence[Any]) -> tuple[list[Any], Any]:
        """Call the condition with flat leaves; its output is one boolean."""
        out = self.cond_fun(self.carry.treedef.unflatten(leaves))
        flat, treedef = tree.flatten(out)
        if treedef != tree.structure(0):
            self._refuse_condition(f"a tree of structure {treedef}")
        value = argument_leaf(flat[0], lambda: f"the condition of {self.what}").value
        if value.shape != ():
            self._refuse_condition(f"an array of type {typeof(value)}")
        if value.dtype.kind != "b":
            self._refuse_condition(f"a value of type {typeof(value)}")
        return [value], None

    def _refuse_condition(self, got: str) -> None:
        raise DTypeError(
            compose(
                f"{self.what}: the condition {describe_function(self.cond_fun)} returned {got}.",
                "it decides whether the loop goes on.",
                "one boolean: a comparison, np.any or np.all of several.",
            )
        )

    def trace(self) -> tuple[Body, Body]:
        """Trace the body until the types of the carry are settled, then the condition."""
        kind = (self.what, self.carry.treedef)

        def body() -> Body:
            name = f"the body of {self.what}"
            return trace_body(self.carry.fun, kind, self.step, self.carry.avals, name)

        settled = settle(self.carry, body)
        name = f"the condition of {self.what}"
        cond = trace_body(self.cond_fun, (kind, "?"), self.goes_on, self.carry.avals, name)
        return cond, settled

    def run_as_python(self, init: Sequence[Any]) -> Any:
        """Run as a Python loop."""
        carry = PythonCarry(self.carry, init)
        while bool(self.goes_on(carry.values)[0][0]):
            carry.next(self.step(carry.values)[0])
        return self.carry.treedef.unflatten(carry.results())


@api_boundary
def while_loop(
    cond_fun: Callable[[Any], Any], body_fun: Callable[[Any], Any], init_val: Any
) -> Any:
    """Run ``val = body_fun(val)`` while ``cond_fun(val)`` is true; return the last ``val``.

    Both functions are traced once and compiled into a native loop; they may close over traced
    values. Both modes of differentiation work: reverse mode keeps as many copies of the carry as
    fit 8 MiB (64 to 1,024 of them), twice, and runs the steps between two of them again.

    Args:
        cond_fun: returns one boolean.
        body_fun: returns the next value, of the same structure and types.
        init_val: the first value, a tree of arrays. Python numbers in it take the type that
            ``body_fun`` returns.

    Returns:
        The value for which ``cond_fun`` is false.

    Raises:
        StructureError: the value changes its structure.
        DTypeError: a leaf changes its dtype, or the condition is no boolean.
        ShapeError: a leaf changes its shape.

    Example:
        >>> while_loop(lambda x: x < 100, lambda x: x * 3, 1)
        np.int64(243)
    """
    require_callable(cond_fun, "while_loop")
    require_callable(body_fun, "while_loop")
    return run_while("while_loop", cond_fun, body_fun, init_val)


def run_while(what: str, cond_fun: Any, body_fun: Any, init_val: Any, user_fun: Any = None) -> Any:
    """Run a while loop; ``what`` names it in messages, and ``user_fun`` its body."""
    init = read_leaves(init_val, f"the initial value of {what}")
    looper = Looper(what, cond_fun, body_fun, init, user_fun)
    if config.disable_jit:
        return looper.run_as_python(init.values)
    try:
        return _staged(looper, init)
    except ConcretizationError as error:
        if not can_run_as_python():
            raise
        warn_that_python_runs(what, looper.carry.fun, error)
        again = Looper(what, cond_fun, body_fun, init, user_fun)
        return again.run_as_python(init.values)


def staged_while(what: str, cond_fun: Any, body_fun: Any, init_val: Any) -> Any:
    """Run a while loop as one equation in any case; for programs that rules write."""
    init = read_leaves(init_val, f"the initial value of {what}")
    return _staged(Looper(what, cond_fun, body_fun, init), init)


def _staged(looper: Looper, init: Leaves) -> Any:
    cond, body = looper.trace()
    carry = [convert_element_type(v, a.dtype) for v, a in zip(init.values, looper.carry.avals)]
    outs = bind_while(cond.closed, body.closed, cond.closed_over, body.closed_over, carry)
    return init.treedef.unflatten(outs)


# --- fori_loop ---------------------------------------------------------------------------------


@api_boundary
def fori_loop(
    lower: Any,
    upper: Any,
    body_fun: Callable[[Any, Any], Any],
    init_val: Any,
    *,
    unroll: int | bool | None = None,
) -> Any:
    """Run ``val = body_fun(i, val)`` for i from ``lower`` up to, not including, ``upper``.

    With bounds that are known while tracing it is a ``scan``, otherwise a ``while_loop``; both
    are compiled, and differentiable in both modes.

    Args:
        lower: the first i.
        upper: one past the last; nothing runs when it isn't above ``lower``.
        body_fun: takes i, an integer scalar, and the value; returns the next value.
        init_val: the first value, a tree of arrays. Python numbers in it take the type that
            ``body_fun`` returns.
        unroll: how many steps the compiled loop may take at once; for bounds that are known.

    Returns:
        The last value.

    Example:
        >>> fori_loop(0, 5, lambda i, total: total + i, 0)
        np.int64(10)
    """
    require_callable(body_fun, "fori_loop")
    lower, upper = _bound(lower, "lower"), _bound(upper, "upper")
    if isinstance(lower, Tracer) or isinstance(upper, Tracer):
        return _computed_bounds(lower, upper, body_fun, init_val)
    first = int(lower)
    steps = max(int(upper) - first, 0)
    start = first if isinstance(lower, int) and isinstance(upper, int) else _typed(lower, upper)[0]

    def step(carry: Any, _: Any) -> Any:
        i, value = carry
        return (i + 1, body_fun(i, value)), None

    unroll = 1 if unroll is None else unroll
    carry = (start, init_val)
    (_, value), _ = run_scan(
        "fori_loop", step, carry, None, steps, False, unroll, user_fun=body_fun
    )
    return value


def _bound(value: Any, name: str) -> Any:
    """Return a bound: a Python integer, a NumPy one, or a traced one."""
    leaf = argument_leaf(value, lambda: f"{name} of fori_loop")
    if leaf.value.shape != () or leaf.value.dtype.kind not in "iu":
        error = ShapeError if leaf.value.shape else DTypeError
        raise error(
            compose(
                f"fori_loop: {name} is {typeof(leaf.value)}.",
                "it counts in integers.",
                "an integer, or x.astype(int) of a scalar.",
            )
        )
    return int(leaf.value) if isinstance(value, int) else leaf.value


def _typed(lower: Any, upper: Any) -> Any:
    if isinstance(lower, int) and isinstance(upper, int):
        return np.int64(lower), np.int64(upper)
    return promote_dtypes(lower, upper)


def _computed_bounds(lower: Any, upper: Any, body_fun: Any, init_val: Any) -> Any:
    lower, upper = _typed(lower, upper)

    def goes_on(carry: Any) -> Any:
        return lt(carry[0], upper)

    def step(carry: Any) -> Any:
        i, value = carry
        return i + 1, body_fun(i, value)

    return run_while("fori_loop", goes_on, step, (lower, init_val), body_fun)[1]
