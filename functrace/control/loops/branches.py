"""cond_p: one of several jaxprs, by an index; only the one that is chosen runs.

Operands ``(index, *operands)``; the index is an int32 within bounds. All branches have one type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from functrace.control.loops.branch_residuals import split_branches
from functrace.control.loops.jaxpr_surgery import memoised
from functrace.control.loops.lanes import lane_by_lane
from functrace.core.aval import ShapedArray
from functrace.core.jaxpr import ClosedJaxpr, eval_jaxpr
from functrace.core.lowering import Branches
from functrace.core.placeholders import is_linear
from functrace.core.trace import Primitive, Trace
from functrace.interpreters.batching import batch_jaxpr
from functrace.interpreters.dce import dce_jaxpr
from functrace.interpreters.forward import jvp_jaxpr
from functrace.interpreters.reverse import transpose_jaxpr

__all__ = ["cond_p"]

cond_p = Primitive("cond", multiple_results=True)

INDEX = np.dtype(np.int32)

# --- computing ---------------------------------------------------------------------------------


@cond_p.def_impl
def _cond_impl(index: Any, *operands: Any, branches: tuple[ClosedJaxpr, ...]) -> list[Any]:
    branch = branches[int(index)]
    return eval_jaxpr(branch.jaxpr, branch.consts, *operands)


@cond_p.def_abstract_eval
def _cond_type(
    index: ShapedArray, *operands: ShapedArray, branches: tuple[ClosedJaxpr, ...]
) -> list[ShapedArray]:
    if index.shape != () or index.dtype != INDEX:
        raise TypeError(f"the index of cond is {index}, not a scalar of int32")
    first = branches[0].out_avals
    for branch in branches:
        for given, want in zip(operands, branch.in_avals, strict=True):
            if not given.same_type(want):
                raise TypeError(f"cond got {given} where a branch has {want}")
        for a, b in zip(first, branch.out_avals, strict=True):
            if not a.same_type(b):
                raise TypeError(f"branches of cond return {a} and {b}")
    return [a.strong() for a in first]


# --- forward mode ------------------------------------------------------------------------------


@cond_p.def_jvp
def _cond_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, branches: tuple[ClosedJaxpr, ...]
) -> tuple[list[Any], list[Any]]:
    nonzero = tuple(t is not None for t in tangents[1:])
    moves = _any_of(jvp_jaxpr(b, nonzero)[1] for b in branches)
    moved = tuple(jvp_jaxpr(b, nonzero, moves)[0] for b in branches)
    given = [*primals, *(t for t in tangents if t is not None)]
    outs = cond_p.bind(*given, branches=moved)
    n = len(moves)
    moving = iter(outs[n:])
    return outs[:n], [next(moving) if m else None for m in moves]


def _any_of(flags: Iterable[Sequence[bool]]) -> tuple[bool, ...]:
    """Return which places are true in any branch."""
    return tuple(map(any, zip(*flags)))


# --- reverse mode ------------------------------------------------------------------------------


@cond_p.def_linearize
def _cond_linearize(
    parent: Trace,
    primals: Sequence[Any],
    nonzero: Sequence[bool],
    *,
    branches: tuple[ClosedJaxpr, ...],
) -> tuple[list[Any], tuple[bool, ...], Callable[[list[Any]], list[Any]]]:
    moving = tuple(nonzero[1:])
    split = memoised(
        branches[0], ("cond linearize", branches, moving), lambda: split_branches(branches, moving)
    )
    index, *operands = primals
    results = cond_p.bind(index, *operands, branches=split.primal)
    n = len(split.nonzero_out)
    known = [*results[n:], *(operands[i] for i in split.operands)]

    def linear(tangents: list[Any]) -> list[Any]:
        return cond_p.bind(  # type: ignore[no-any-return]
            index, *known, *tangents, branches=split.linear
        )

    return results[:n], split.nonzero_out, linear


@cond_p.def_transpose
def _cond_transpose(
    ct: list[Any], index: Any, *args: Any, branches: tuple[ClosedJaxpr, ...]
) -> list[Any]:
    linear = tuple(is_linear(a) for a in args)
    nonzero_ct = tuple(c is not None for c in ct)
    nonzero = _any_of(transpose_jaxpr(b, linear, nonzero_ct)[1] for b in branches)
    pulled_back = tuple(transpose_jaxpr(b, linear, nonzero_ct, nonzero)[0] for b in branches)
    given = [*(a for a in args if not is_linear(a)), *(c for c in ct if c is not None)]
    outs = iter(cond_p.bind(index, *given, branches=pulled_back))
    moves = iter(nonzero)
    return [None, *((next(outs) if next(moves) else None) if lin else None for lin in linear)]


# --- batching ----------------------------------------------------------------------------------


@cond_p.def_batching
def _cond_batching(
    size: int,
    args: Sequence[Any],
    dims: Sequence[int | None],
    *,
    branches: tuple[ClosedJaxpr, ...],
) -> tuple[list[Any], Sequence[int | None]]:
    if dims[0] is not None:
        return lane_by_lane(cond_p, branches[0], size, args, dims, {"branches": branches})
    inner = tuple(dims[1:])
    found = [batch_jaxpr(b, size, inner)[1] for b in branches]
    mapped = _any_of([d is not None for d in dims] for dims in found)
    batched = tuple(batch_jaxpr(b, size, inner, mapped)[0] for b in branches)
    return cond_p.bind(*args, branches=batched), [0 if m else None for m in mapped]


# --- unused results ----------------------------------------------------------------------------


@cond_p.def_dce
def _cond_dce(
    used: Sequence[bool], *, branches: tuple[ClosedJaxpr, ...]
) -> tuple[Sequence[bool], Sequence[bool], dict[str, Any]]:
    used = tuple(used)
    needed = _any_of(dce_jaxpr(b, used)[1] for b in branches)
    lighter = tuple(dce_jaxpr(b, used, needed)[0] for b in branches)
    return (True, *needed), used, {"branches": lighter}


cond_p.def_lowering(Branches())
