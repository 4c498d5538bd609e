"""map: a function for each slice, one after the other or some at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from functrace import tree
from functrace.control.loops.scan import run_scan
from functrace.control.rules.arguments import read_leaves
from functrace.core.arguments import flat_values, require_callable
from functrace.errors import ShapeError, compose
from functrace.interpreters.batching import batch_flat, materialize
from functrace.ops.joining import concatenate, slice_in_dim
from functrace.ops.structural import reshape
from functrace.source_info import api_boundary, describe_function

__all__ = ["map", "vectorized"]


@api_boundary
def map(f: Callable[[Any], Any], xs: Any, *, batch_size: int | None = None) -> Any:
    """Return the results of ``f`` for each slice of ``xs`` along the first axis, stacked.

    Like ``vmap``, but slices are taken one after the other, in a compiled loop, so ``f`` may
    branch by ``lax.cond`` or loop as long as its slice needs, and only one slice's intermediate
    results exist at a time.

    Args:
        f: a function of one slice, a tree like ``xs``.
        xs: a tree of arrays.
        batch_size: how many slices to take at once, by ``vmap``.

    Example:
        >>> import numpy as np
        >>> map(lambda x: x * x, np.array([1.0, 2.0, 3.0]))
        array([1., 4., 9.])
    """
    require_callable(f, "map")
    if batch_size is None:
        return _one_by_one(f, xs)
    if batch_size < 1:
        raise ValueError(f"map got batch_size={batch_size}; it is a number from 1 on.")
    leaves = read_leaves(xs, "xs of map")
    if not leaves.values or any(not a.shape for a in leaves.avals):
        return _one_by_one(f, xs)  # which says what is wrong
    length = leaves.avals[0].shape[0]
    rows, rest = divmod(length, batch_size)
    whole = rows * batch_size
    many = vectorized(f)
    batches = tree.map(
        lambda x: reshape(slice_in_dim(x, 0, whole), (rows, batch_size, *x.shape[1:])), xs
    )
    parts = []
    if rows or not rest:
        stacked = _one_by_one(many, batches)
        parts.append(tree.map(lambda y: reshape(y, (whole, *y.shape[2:])), stacked))
    if rest:
        parts.append(many(tree.map(lambda x: slice_in_dim(x, whole, length), xs)))
    return parts[0] if len(parts) == 1 else tree.map(lambda a, b: concatenate([a, b], 0), *parts)


def _one_by_one(f: Callable[[Any], Any], xs: Any) -> Any:
    def step(_: Any, x: Any) -> Any:
        return (), f(x)

    return run_scan("map", step, (), xs, None, False, 1, user_fun=f)[1]


def vectorized(fun: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of trees for all slices of its arguments at once."""

    def many(*args: Any) -> Any:
        flat, treedef = tree.flatten(args)
        out_tree: Any = None

        def flat_fun(*leaves: Any) -> Sequence[Any]:
            nonlocal out_tree
            place = f"an output of {describe_function(fun)}"
            outs, out_tree = flat_values(fun(*treedef.unflatten(leaves)), place)
            return outs

        sizes = {x.shape[0] for x in flat}
        if len(sizes) != 1:
            raise ShapeError(
                compose(
                    f"{describe_function(fun)} is to be mapped over arrays whose first axes have "
                    f"sizes {sorted(sizes)}.",
                    then="arrays of one length.",
                )
            )
        (size,) = sizes
        outs, dims = batch_flat(flat_fun, size, flat, [0] * len(flat))
        return out_tree.unflatten([materialize(size, o, d) for o, d in zip(outs, dims)])

    return many
