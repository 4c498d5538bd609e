"""Look at a function without running it: make_jaxpr, eval_shape."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from functrace import tree
from functrace.config import config
from functrace.core.arguments import argument_leaf, flat_values, require_callable
from functrace.core.aval import ShapedArray, ShapeDtypeStruct, typeof
from functrace.core.jaxpr import ClosedJaxpr
from functrace.interpreters.staging import stage
from functrace.source_info import api_boundary, describe_function

__all__ = ["disable_jit", "eval_shape", "make_jaxpr"]


def make_jaxpr(
    fun: Callable[..., Any],
    static_argnums: int | Sequence[int] = (),
    return_shape: bool = False,
) -> Callable[..., Any]:
    """Return a function that traces ``fun`` and returns its jaxpr.

    Args:
        fun: a function of arrays.
        static_argnums: positional arguments that are Python values, not traced.
        return_shape: return ``(jaxpr, tree of ShapeDtypeStruct)`` instead.

    Returns:
        A function of the same arguments (arrays, or ``ShapeDtypeStruct``) returning a
        ``ClosedJaxpr``; it prints as JAX's do.

    Example:
        >>> import numpy as np
        >>> print(make_jaxpr(lambda x: np.sin(x) * 2.0)(1.0))
        { lambda ; a:f64[]. let
            b:f64[] = sin a
            c:f64[] = mul b 2.0:f64[]
          in (c,) }
    """
    require_callable(fun, "make_jaxpr")
    static = {static_argnums} if isinstance(static_argnums, int) else set(static_argnums)

    @functools.wraps(fun)
    @api_boundary
    def make_jaxpr_fun(*args: Any, **kwargs: Any) -> Any:
        wanted = {i % len(args) for i in static} if args else set()
        closed, shapes = _trace(fun, args, kwargs, wanted, "make_jaxpr")
        return (closed, shapes) if return_shape else closed

    return make_jaxpr_fun


@api_boundary
def eval_shape(fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return the shapes and dtypes ``fun`` would return, without computing anything.

    Args:
        fun: a function of arrays.
        args: arrays or ``ShapeDtypeStruct``.
        kwargs: likewise.

    Returns:
        A tree of ``ShapeDtypeStruct`` like the output.

    Example:
        >>> eval_shape(lambda x: x @ x.T, ShapeDtypeStruct((2, 3), "float32"))
        ShapeDtypeStruct(shape=(2, 2), dtype=float32)
    """
    require_callable(fun, "eval_shape")
    return _trace(fun, args, kwargs, set(), "eval_shape")[1]


def _trace(
    fun: Any, args: Sequence[Any], kwargs: dict[str, Any], static: set[int], what: str
) -> tuple[ClosedJaxpr, Any]:
    """Stage a call; return its jaxpr and the tree of its output types."""
    dynamic = [None if i in static else a for i, a in enumerate(args)]
    flat, treedef = tree.flatten((dynamic, kwargs))
    avals = [_aval(v, f"an argument of {describe_function(fun)} in {what}") for v in flat]
    out_tree: Any = None

    def flat_fun(*leaves: Any) -> list[Any]:
        nonlocal out_tree
        new_args, new_kwargs = treedef.unflatten(leaves)
        call_args = [a if i in static else n for i, (a, n) in enumerate(zip(args, new_args))]
        place = f"an output of {describe_function(fun)}"
        outs, out_tree = flat_values(fun(*call_args, **new_kwargs), place)
        return outs

    closed = stage(flat_fun, avals, str(getattr(fun, "__name__", type(fun).__name__)))
    shapes = [ShapeDtypeStruct(a.shape, a.dtype) for a in closed.out_avals]
    return closed, out_tree.unflatten(shapes)


def _aval(value: Any, where: str) -> ShapedArray:
    if isinstance(value, (ShapeDtypeStruct, ShapedArray)):
        return typeof(value) if isinstance(value, ShapeDtypeStruct) else value
    leaf = argument_leaf(value, lambda: where)
    return typeof(leaf.value).update(weak_type=leaf.weak)


@contextlib.contextmanager
def disable_jit(disable: bool = True) -> Iterator[None]:
    """Run jitted functions as Python inside a ``with`` block, to debug them.

    Args:
        disable: False turns jit back on inside.

    Example:
        >>> import functrace as ft
        >>> with disable_jit():
        ...     float(ft.jit(lambda x: x if x > 0 else -x)(-2.0))
        2.0
    """
    with config.override(disable_jit=disable):
        yield
