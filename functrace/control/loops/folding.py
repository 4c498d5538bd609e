"""fold: reduce with any function of two scalars, as a loop over the axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from functrace import tree
from functrace.control.loops.mapping import vectorized
from functrace.control.loops.scan import run_scan
from functrace.control.rules.arguments import read_leaves
from functrace.errors import ShapeError, compose
from functrace.ops.broadcasting import broadcast_to
from functrace.ops.creation import convert_element_type
from functrace.ops.structural import reshape, transpose
from functrace.source_info import describe_function

__all__ = ["fold"]


def fold(
    operands: Any, init_values: Any, computation: Callable[[Any, Any], Any], axes: Sequence[int]
) -> Any:
    """Fold axes from the first element to the last.

    Args:
        operands: a tree of arrays of one shape.
        init_values: a tree like it, of scalars: what the fold starts from.
        computation: takes two such trees of scalars, what there is so far and an element.
        axes: the axes, counted from 0 or from the end.
    """
    given = read_leaves(operands, "operands of lax.reduce")
    init = read_leaves(init_values, "init_values of lax.reduce")
    shapes = {a.shape for a in given.avals}
    if init.treedef != given.treedef or len(shapes) != 1:
        raise ShapeError(
            compose(
                f"lax.reduce of {describe_function(computation)}: operands of shapes "
                f"{sorted(shapes)}, init_values of structure {init.treedef}.",
                "operands have one shape, and there is an initial value for each.",
            )
        )
    (shape,) = shapes
    gone = [a % len(shape) for a in axes]
    kept = [a for a in range(len(shape)) if a not in gone]
    sizes = [shape[a] for a in kept]
    length, width = math.prod(shape[a] for a in gone), math.prod(sizes)
    rows = [reshape(transpose(x, [*gone, *kept]), (length, width)) for x in given.values]
    starts = [
        broadcast_to(convert_element_type(v, x.dtype), (width,))
        for v, x in zip(init.values, given.values)
    ]
    many = vectorized(computation)

    def step(carry: Any, row: Any) -> Any:
        return many(carry, row), None

    carry, xs = given.treedef.unflatten(starts), given.treedef.unflatten(rows)
    out, _ = run_scan("reduce", step, carry, xs, length, False, 1)
    return tree.map(lambda x: reshape(x, sizes), out)
