"""optimization_barrier: values that the compiler must not take for those they are copies of.

It costs nothing: no equation behind it is merged with an equal one before it, and no kernel
computes things of both sides. Checkpointing relies on it, or what is to be computed again would be
found to be known already, and be kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from functrace import tree
from functrace.core.arguments import argument_leaf
from functrace.core.aval import ShapedArray
from functrace.core.lowering import Barrier
from functrace.core.trace import Primitive, Tracer

__all__ = ["barrier", "optimization_barrier", "optimization_barrier_p"]

optimization_barrier_p = Primitive("optimization_barrier", multiple_results=True)


def barrier(values: Sequence[Any]) -> list[Any]:
    """Put a barrier before flat values."""
    return optimization_barrier_p.bind(*values) if values else []


def optimization_barrier(operand: Any) -> Any:
    """Return a tree of the same values, across which the compiler merges and fuses nothing.

    Args:
        operand: a tree of arrays. All of it is computed before anything that uses the result.

    Example:
        >>> optimization_barrier((1.0, 2.0))
        (1.0, 2.0)
    """
    leaves, treedef = tree.flatten(operand)
    if not any(isinstance(v, Tracer) for v in leaves):
        return operand
    values = [argument_leaf(v, lambda: "an operand of optimization_barrier").value for v in leaves]
    return treedef.unflatten(barrier(values))


@optimization_barrier_p.def_impl
def _barrier_impl(*args: Any) -> list[Any]:
    return list(args)


@optimization_barrier_p.def_abstract_eval
def _barrier_type(*avals: ShapedArray) -> list[ShapedArray]:
    return [a.strong() for a in avals]


@optimization_barrier_p.def_jvp
def _barrier_jvp(
    primals: Sequence[Any], tangents: Sequence[Any]
) -> tuple[list[Any], list[Any | None]]:
    moved = iter(barrier([t for t in tangents if t is not None]))
    return barrier(primals), [None if t is None else next(moved) for t in tangents]


@optimization_barrier_p.def_transpose
def _barrier_transpose(ct: list[Any], *args: Any) -> list[Any]:
    moved = iter(barrier([c for c in ct if c is not None]))
    return [None if c is None else next(moved) for c in ct]


@optimization_barrier_p.def_batching
def _barrier_batching(
    size: int, args: Sequence[Any], dims: Sequence[int | None]
) -> tuple[list[Any], list[int | None]]:
    return barrier(args), list(dims)


optimization_barrier_p.def_lowering(Barrier())
