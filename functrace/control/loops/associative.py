"""associative_scan: running results of an associative function, in a tree of few, wide steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from functrace import tree
from functrace.control.rules.arguments import read_leaves
from functrace.core.arguments import require_callable
from functrace.errors import ShapeError, StructureError, compose
from functrace.ops.broadcasting import broadcast_in_dim
from functrace.ops.joining import concatenate, slice_in_dim
from functrace.ops.structural import reshape, rev
from functrace.source_info import api_boundary, describe_function

__all__ = ["associative_scan"]

Leaves = list[Any]
Combine = Callable[[Leaves, Leaves], Leaves]


@api_boundary
def associative_scan(
    fn: Callable[[Any, Any], Any], elems: Any, reverse: bool = False, axis: int = 0
) -> Any:
    """Return the running results of an associative function along an axis.

    The k-th result is ``fn(fn(elems[0], elems[1]), ...)`` up to ``elems[k]``, put together from
    results for neighbouring pairs: 2 log2(n) calls of ``fn``, each on many elements at once.

    Args:
        fn: takes two trees like ``elems``, of which each slice along ``axis`` is an element, and
            combines them slice by slice. ``fn(a, fn(b, c)) == fn(fn(a, b), c)``.
        elems: a tree of arrays of one size along ``axis``.
        reverse: run from the end.
        axis: along which.

    Returns:
        A tree like ``elems``.

    Raises:
        StructureError: ``fn`` returns another structure.
        ShapeError: the arrays differ along ``axis``.

    Example:
        >>> import numpy as np
        >>> associative_scan(lambda a, b: a * b, np.array([1.0, 2.0, 3.0, 4.0]))
        array([ 1.,  2.,  6., 24.])
    """
    require_callable(fn, "associative_scan")
    leaves = read_leaves(elems, "elems of associative_scan")
    where = _axes(leaves, axis, fn)
    values = [rev(x, (a,)) for x, a in zip(leaves.values, where)] if reverse else leaves.values

    def combine(a: Leaves, b: Leaves) -> Leaves:
        out, treedef = tree.flatten(fn(leaves.treedef.unflatten(a), leaves.treedef.unflatten(b)))
        if treedef != leaves.treedef:
            raise StructureError(
                compose(
                    f"associative_scan: {describe_function(fn)} returned {treedef}.",
                    f"it was given two trees of structure {leaves.treedef}.",
                    "return the same containers, keys and lengths.",
                )
            )
        return out

    results = _running(combine, values, where)
    if reverse:
        results = [rev(x, (a,)) for x, a in zip(results, where)]
    return leaves.treedef.unflatten(results)


def _axes(leaves: Any, axis: int, fn: Any) -> list[int]:
    """Return the axis of each leaf, counted from 0."""
    for aval in leaves.avals:
        if not -aval.ndim <= axis < aval.ndim:
            raise ShapeError(
                f"associative_scan of {describe_function(fn)}: axis {axis} of an array {aval}."
            )
    found = [axis % a.ndim for a in leaves.avals]
    sizes = {a.shape[i] for a, i in zip(leaves.avals, found)}
    if len(sizes) > 1:
        raise ShapeError(
            compose(
                f"associative_scan of {describe_function(fn)}: arrays of sizes {sorted(sizes)} "
                f"along axis {axis}.",
                then="arrays of one length.",
            )
        )
    return found


def _running(
    combine: Callable[[Leaves, Leaves], Leaves], xs: Leaves, axes: Sequence[int]
) -> Leaves:
    """Combine pairs, run over these, and combine once more with the elements between."""

    def cut(values: Leaves, start: int, stop: int, step: int = 1) -> Leaves:
        return [slice_in_dim(x, start, stop, step, a) for x, a in zip(values, axes)]

    n = xs[0].shape[axes[0]] if xs else 0
    if n < 2:
        return xs
    odd = _running(combine, combine(cut(xs, 0, n - 1, 2), cut(xs, 1, n, 2)), axes)
    m = n // 2
    before = odd if n % 2 else cut(odd, 0, m - 1)
    even = combine(before, cut(xs, 2, n, 2)) if n > 2 else []
    first = cut(xs, 0, 1)
    if even:
        first = [concatenate([f, e], a) for f, e, a in zip(first, even, axes)]
    return [_interleaved(e, o, a) for e, o, a in zip(first, odd, axes)]


def _interleaved(even: Any, odd: Any, axis: int) -> Any:
    """Return the slices of two arrays in turn; ``even`` may have one more."""
    m = odd.shape[axis]
    pairs = [_with_axis(slice_in_dim(x, 0, m, axis=axis), axis + 1) for x in (even, odd)]
    shape = list(odd.shape)
    shape[axis] = 2 * m
    both = reshape(concatenate(pairs, axis + 1), shape)
    if even.shape[axis] == m:
        return both
    return concatenate([both, slice_in_dim(even, m, m + 1, axis=axis)], axis)


def _with_axis(x: Any, axis: int) -> Any:
    shape = (*x.shape[:axis], 1, *x.shape[axis:])
    return broadcast_in_dim(x, shape, [i for i in range(len(shape)) if i != axis])
