"""Functions and the values they close over: found by looking, or by tracing and made arguments."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from functrace import tree
from functrace.control.loops.interning import intern_jaxpr
from functrace.core.arguments import flat_values, require_callable
from functrace.core.aval import ShapedArray, typeof
from functrace.core.jaxpr import ClosedJaxpr, Jaxpr, Var, eval_jaxpr
from functrace.core.trace import Tracer
from functrace.dtypes import is_inexact
from functrace.errors import ShapeError, StructureError, compose
from functrace.interpreters.staging import same_bits, stage
from functrace.source_info import api_boundary, describe_function

__all__ = ["closes_over_tracers", "closure_convert", "reached_values", "stage_open"]

_DEEPEST = 4


def reached_values(*things: Any) -> Iterator[Any]:
    """Yield the arrays and tracers in trees, and those that functions in them reach by themselves.

    They are those in a function's closure, its defaults, its bound and partial arguments, what
    the functions among these reach, and the global arrays that it names.
    """
    yield from _values(things, _DEEPEST)


def _closed_over(fun: Any, depth: int) -> Iterator[Any]:
    if isinstance(fun, functools.partial):
        yield from _values((fun.args, fun.keywords), depth)
        fun = fun.func
    if isinstance(fun, types.MethodType):
        yield from _values(fun.__self__, depth)
        fun = fun.__func__
    fun = getattr(fun, "__wrapped__", fun)
    code = getattr(fun, "__code__", None)
    if code is None:
        return
    for name in code.co_names:
        if type(fun.__globals__.get(name)) is np.ndarray:
            yield fun.__globals__[name]
    yield from _values((fun.__defaults__, fun.__kwdefaults__), depth)
    for cell in fun.__closure__ or ():
        try:
            yield from _values(cell.cell_contents, depth)
        except ValueError:  # the variable has no value yet
            continue


def _values(value: Any, depth: int) -> Iterator[Any]:
    for leaf in tree.leaves(value):
        if isinstance(leaf, (Tracer, np.ndarray)):
            yield leaf
        elif callable(leaf) and depth:
            yield from _closed_over(leaf, depth - 1)


def closes_over_tracers(*things: Any) -> bool:
    """Tell whether functions, or trees, reach values of a transformation that is running."""
    return any(isinstance(v, Tracer) for v in reached_values(*things))


def stage_open(
    fun: Callable[..., Sequence[Any]], avals: Sequence[ShapedArray], name: str
) -> tuple[ClosedJaxpr, list[Any]]:
    """Trace a flat function to a jaxpr that takes what the function closes over as first inputs.

    Returns:
        The jaxpr, without constants, and the values of those inputs.
    """
    captured: list[tuple[Any, Any]] = []
    closed = stage(fun, avals, name, captured)
    jaxpr, values = closed.jaxpr, list(closed.consts)
    originals = {id(copy): original for original, copy in captured}
    for i, value in enumerate(values):
        # An array that may change goes in as itself, so that an outer trace watches it.
        original = originals.get(id(value))
        if original is not None and same_bits(original, value):
            values[i] = original
    invars = [*jaxpr.constvars, *jaxpr.invars]
    return intern_jaxpr(ClosedJaxpr(Jaxpr([], invars, jaxpr.outvars, jaxpr.eqns), [])), values


@api_boundary
def closure_convert(fun: Callable[..., Any], *example_args: Any) -> tuple[Any, list[Any]]:
    """Return ``fun`` with the traced values it closes over as arguments, and those values.

    A derivative rule must not close over what is being differentiated; higher-order functions
    with rules of their own pass such values on as arguments.

    Args:
        fun: a function of arrays.
        example_args: arguments of the types it will be called with.

    Returns:
        ``(converted, values)``, such that ``converted(*args, *values)`` is ``fun(*args)``. Values
        that can't be differentiated (plain arrays, integers) stay where they are.

    Example:
        >>> import functrace as ft
        >>> def g(x):
        ...     converted, values = closure_convert(lambda y: x * y, 1.0)
        ...     return converted(3.0, *values)
        >>> ft.grad(g)(2.0)
        np.float64(3.0)
    """
    require_callable(fun, "closure_convert")
    name = describe_function(fun)
    flat, in_tree = tree.flatten(example_args)
    out_tree: Any = None

    def flat_fun(*leaves: Any) -> list[Any]:
        nonlocal out_tree
        outs, out_tree = flat_values(fun(*in_tree.unflatten(leaves)), f"an output of {name}")
        return outs

    closed = stage(flat_fun, [typeof(v) for v in flat], "closure_convert")
    hoisted = [isinstance(c, Tracer) and is_inexact(c.dtype) for c in closed.consts]
    values = [c for c, out in zip(closed.consts, hoisted) if out]

    def converted(*args_and_values: Any) -> Any:
        n = len(args_and_values) - len(values)
        leaves, given_tree = tree.flatten(args_and_values[:n])
        if given_tree != in_tree:
            raise StructureError(
                compose(
                    f"the closure-converted {name} was called with arguments of structure "
                    f"{given_tree}.",
                    f"it was converted for {in_tree}.",
                )
            )
        for given, var in zip(leaves, closed.jaxpr.invars):
            _check_type(given, var, name)
        given_values = iter(args_and_values[n:])
        consts = [next(given_values) if out else c for c, out in zip(closed.consts, hoisted)]
        return out_tree.unflatten(eval_jaxpr(closed.jaxpr, consts, *leaves))

    return converted, values


def _check_type(given: Any, var: Var, name: str) -> None:
    if not typeof(given).same_type(var.aval):
        raise ShapeError(
            f"the closure-converted {name} was called with {typeof(given)} where it was "
            f"converted for {var.aval}."
        )
