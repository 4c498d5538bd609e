"""cond and switch: one of several functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from functrace import tree
from functrace.control.loops.bodies import Body, trace_body
from functrace.control.loops.branch_types import common_types, with_common_operands
from functrace.control.loops.branches import INDEX, cond_p
from functrace.control.rules.arguments import Leaves, read_leaves
from functrace.core.arguments import argument_leaf, require_callable
from functrace.core.aval import typeof
from functrace.errors import ConcretizationError, DTypeError, ShapeError, compose
from functrace.ops.arithmetic import clamp
from functrace.ops.creation import convert_element_type
from functrace.source_info import api_boundary

__all__ = ["cond", "switch"]

_NOTHING = object()


@api_boundary
def cond(
    pred: Any,
    true_fun: Callable[..., Any],
    false_fun: Callable[..., Any],
    *operands: Any,
    operand: Any = _NOTHING,
) -> Any:
    """Return ``true_fun(*operands)`` if ``pred`` is true, otherwise ``false_fun(*operands)``.

    Only the function that is chosen runs: in Python when ``pred`` is known, otherwise as a real
    branch of the compiled program, forward, backward, and in each lane under ``vmap``. Both may
    close over traced values.

    Args:
        pred: one boolean or number.
        true_fun: the function for a true ``pred``.
        false_fun: likewise; when ``pred`` is traced, both return the same structure and types.
        operands: what they are called with; trees of arrays.
        operand: a single operand by name.

    Raises:
        StructureError: the functions return different structures.
        DTypeError: they return different dtypes at the leaf the message names.
        ShapeError: likewise for shapes.

    Example:
        >>> cond(True, lambda x: x + 1.0, lambda x: x - 1.0, 2.0)
        np.float64(3.0)
    """
    require_callable(true_fun, "cond")
    require_callable(false_fun, "cond")
    operands = operands if operand is _NOTHING else (*operands, operand)
    leaf = _scalar(pred, "cond", "its predicate")
    branches = (false_fun, true_fun)
    try:
        chosen = int(bool(leaf))
    except ConcretizationError:
        truth = leaf if leaf.dtype.kind == "b" else leaf != 0
        return _staged("cond", convert_element_type(truth, INDEX), branches, operands)
    return _in_python("cond", branches, chosen, operands)


@api_boundary
def switch(
    index: Any,
    branches: Sequence[Callable[..., Any]],
    *operands: Any,
    operand: Any = _NOTHING,
) -> Any:
    """Return ``branches[index](*operands)``; the index is clamped into bounds.

    Like ``cond`` for any number of functions.

    Args:
        index: one integer.
        branches: the functions; they return the same structure and types.
        operands: what they are called with; trees of arrays.
        operand: a single operand by name.

    Example:
        >>> switch(2, [lambda x: x, lambda x: -x, lambda x: x * x], 3.0)
        np.float64(9.0)
    """
    branches = tuple(branches)
    if not branches:
        raise ValueError("switch got no branches.")
    for branch in branches:
        require_callable(branch, "switch")
    operands = operands if operand is _NOTHING else (*operands, operand)
    leaf = _scalar(index, "switch", "its index")
    if leaf.dtype.kind not in "iu":
        raise DTypeError(
            compose(
                f"switch: its index is {typeof(leaf)}.",
                "it picks one of the branches.",
                "an integer: x.astype(int); lax.cond for a boolean.",
            )
        )
    last = len(branches) - 1
    try:
        chosen = min(max(leaf.__index__(), 0), last)
    except ConcretizationError:
        high = leaf.dtype.type(min(last, np.iinfo(leaf.dtype).max))
        inside = clamp(leaf.dtype.type(0), leaf, high)
        return _staged("switch", convert_element_type(inside, INDEX), branches, operands)
    return _in_python("switch", branches, chosen, operands)


def _scalar(value: Any, what: str, name: str) -> Any:
    leaf = argument_leaf(value, lambda: f"{what}: {name}").value
    if leaf.shape != ():
        raise ShapeError(
            compose(
                f"{what}: {name} is {typeof(leaf)}.",
                "one function is chosen for all.",
                "np.any or np.all; np.where to choose for each element; vmap of it all.",
            )
        )
    return leaf


def _in_python(what: str, branches: Sequence[Any], chosen: int, operands: Sequence[Any]) -> Any:
    """Run the chosen function; what it returns as Python numbers has the type all agree on."""
    out = branches[chosen](*operands)
    flat, treedef = tree.flatten(out)
    leaves = [argument_leaf(v, lambda: f"an output of a function of {what}") for v in flat]
    if not any(leaf.weak for leaf in leaves):
        return treedef.unflatten([leaf.value for leaf in leaves])
    try:
        bodies = _trace(what, branches, read_leaves(operands, f"the operands of {what}"))
    except ConcretizationError:
        return treedef.unflatten([leaf.value for leaf in leaves])
    avals = common_types(what, branches, bodies)
    return treedef.unflatten(
        [convert_element_type(leaf.value, a.dtype) for leaf, a in zip(leaves, avals)]
    )


def _trace(what: str, branches: Sequence[Any], operands: Leaves) -> list[Body]:
    def call(branch: Any) -> Any:
        def run(leaves: Sequence[Any]) -> tuple[list[Any], Any]:
            return tree.flatten(branch(*operands.treedef.unflatten(leaves)))

        return run

    kind = (what, operands.treedef)
    return [trace_body(b, kind, call(b), operands.avals, f"a branch of {what}") for b in branches]


def _staged(what: str, index: Any, branches: Sequence[Any], operands: Sequence[Any]) -> Any:
    given = read_leaves(operands, f"the operands of {what}")
    bodies = _trace(what, branches, given)
    avals = common_types(what, branches, bodies)
    jaxprs, closed_over = with_common_operands(bodies, avals)
    if len(bodies) == 1:
        index = np.int32(0)
    outs = cond_p.bind(index, *closed_over, *given.values, branches=jaxprs)
    return bodies[0].about.unflatten(outs)
