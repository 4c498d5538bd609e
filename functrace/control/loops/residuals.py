"""Which residuals of a loop's body are stored at each step, and which needn't be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from functrace import compiler
from functrace.control.loops.jaxpr_surgery import substituted
from functrace.control.loops.minimum_cut import ALWAYS, Graph
from functrace.control.rules.checkpoint_marks import kept_values
from functrace.core.jaxpr import Atom, ClosedJaxpr, Jaxpr, JaxprEqn, Var
from functrace.core.lowering import Elementwise, Indexed, View
from functrace.interpreters.dce import has_effects
from functrace.interpreters.linearize import LinearizedJaxpr

__all__ = ["SplitBody", "needed_eqns", "same_every_step", "split_body"]


class SplitBody(NamedTuple):
    """A loop's body in three parts.

    Attributes:
        fixed: what is the same in every step, from the constants.
        primal: of ``(*consts, *fixed, *carry, *xs)`` to the carry, ys, and the stored residuals.
        linear: of shared values, tangents of constants, tangents of the carry, stacked slices,
            and tangents of xs, to the tangents of the carry and ys.
        shared: which of ``(*consts, *fixed)`` the linear part takes.
        stacked: which of ``(*xs, *ys, *stored)`` it takes.
    """

    fixed: ClosedJaxpr
    primal: ClosedJaxpr
    linear: ClosedJaxpr
    shared: tuple[int, ...]
    stacked: tuple[int, ...]


def split_body(
    both: LinearizedJaxpr, num_consts: int, num_carry: int, moving_shared: int, hoist: bool
) -> SplitBody:
    """Sort the residuals of a linearized body by how often they change.

    Args:
        both: the body, linearized.
        num_consts: how many of its inputs are constants.
        num_carry: how many outputs are the carry, and inputs after the constants.
        moving_shared: how many of its tangents are those of constants and carry.
        hoist: whether what is the same in every step may be computed before the loop.
    """
    jaxpr = both.primal.jaxpr
    n_out = len(jaxpr.outvars) - both.n_residuals
    consts = jaxpr.invars[:num_consts]
    carry = jaxpr.invars[num_consts : num_consts + num_carry]
    xs = jaxpr.invars[num_consts + num_carry :]
    names = both.linear.jaxpr.invars[: both.n_residuals]
    tangents = both.linear.jaxpr.invars[both.n_residuals :]
    linear = substituted(both.linear.jaxpr, dict(zip(names, jaxpr.outvars[n_out:])))
    same = same_every_step(jaxpr.eqns, consts) if hoist else set()
    ys = [a for a in jaxpr.outvars[num_carry:n_out] if isinstance(a, Var)]
    free = {*consts, *xs, *ys, *same}
    residuals = [a for a in jaxpr.outvars[n_out:] if isinstance(a, Var)]
    eqns, residuals = _computed_again(jaxpr.eqns, residuals, free)
    fixed = [v for v in residuals if v in same and v not in consts]
    shared = [v for v in (*consts, *fixed) if v in residuals]
    stored = [v for v in residuals if v not in free]
    slices = [*xs, *jaxpr.outvars[num_carry:n_out], *stored]
    stacked = [v for v in dict.fromkeys(slices) if v in residuals and v not in shared]
    order = [*shared, *tangents[:moving_shared], *stacked, *tangents[moving_shared:]]
    outs = [*jaxpr.outvars[:n_out], *stored]
    taken = [*consts, *fixed, *carry, *xs]
    primal = Jaxpr([], taken, outs, needed_eqns(jaxpr.eqns, outs, fixed))
    return SplitBody(
        ClosedJaxpr(Jaxpr([], consts, fixed, needed_eqns(jaxpr.eqns, fixed, effects=False)), []),
        ClosedJaxpr(primal, []),
        ClosedJaxpr(Jaxpr([], order, linear.outvars, [*eqns, *linear.eqns]), []),
        tuple([*consts, *fixed].index(v) for v in shared),
        tuple(slices.index(v) for v in stacked),
    )


def needed_eqns(
    eqns: Sequence[JaxprEqn],
    outs: Iterable[Atom],
    given: Iterable[Var] = (),
    effects: bool = True,
) -> list[JaxprEqn]:
    """Return the equations that ``outs`` need when ``given`` are known, and those with effects."""
    known = set(given)
    needed = {a for a in outs if isinstance(a, Var)} - known
    kept = []
    for eqn in reversed(eqns):
        if needed.isdisjoint(eqn.outvars) and not (effects and has_effects(eqn)):
            continue
        kept.append(eqn)
        needed.update(a for a in eqn.invars if isinstance(a, Var) and a not in known)
    return kept[::-1]


def same_every_step(eqns: Sequence[JaxprEqn], consts: Sequence[Var]) -> set[Var]:
    """Return the constants and what is computed from them alone."""
    same = set(consts)
    for eqn in eqns:
        inputs = [a for a in eqn.invars if isinstance(a, Var)]
        if inputs and same.issuperset(inputs) and not has_effects(eqn):
            same.update(eqn.outvars)
    return same


def _computed_again(
    eqns: Sequence[JaxprEqn], residuals: Sequence[Var], free: set[Var]
) -> tuple[list[JaxprEqn], list[Var]]:
    """Return equations to run a second time, and the values they and the linear part start from.

    What is stored and what is computed again together cost the least there is: a minimum cut
    between what the body knows and what its linear part needs.

    Args:
        eqns: those of the body.
        residuals: what the linear part needs.
        free: what it may have without storing anything.
    """
    makers = {eqn.outvars[0]: eqn for eqn in eqns if _work(eqn) is not None}
    # What can't be made again is stored in any case, and then it is there for others; what a
    # checkpoint policy keeps is there too.
    given = {*free, *kept_values(eqns), *(v for v in residuals if v not in makers)}
    graph = Graph()
    waiting = [v for v in dict.fromkeys(residuals) if v not in given]
    for v in waiting:
        graph.join((v, "needed"), None, ALWAYS)
    seen = set(waiting)
    while waiting:
        v = waiting.pop()
        work = _work(makers[v]) if v in makers else None
        if work is None:
            graph.join(None, (v, "needed"), _nbytes(v) * _BYTE)
            continue
        graph.join(None, (v, "made"), work)
        graph.join((v, "made"), (v, "needed"), _nbytes(v) * _BYTE)
        for a in makers[v].invars:
            if isinstance(a, Var) and a not in given:
                graph.join((a, "needed"), (v, "made"), ALWAYS)
                if a not in seen:
                    seen.add(a)
                    waiting.append(a)
    behind = graph.behind_cut()
    again = [eqn for v, eqn in makers.items() if (v, "made") in behind]
    made = {eqn.outvars[0] for eqn in again}
    starts = [*residuals, *(a for eqn in again for a in eqn.invars if isinstance(a, Var))]
    return again, [v for v in dict.fromkeys(starts) if v not in made]


# What counts as so many operations on an element of an array: storing and reading a byte; an
# operation on a scalar, of which no vector does several at once; a division; an element that comes
# from another place of operands as large as the result, or is picked from a larger one.
_BYTE, _SCALAR, _DIVISION, _MOVE, _PICK = 2, 8, 16, 6, 16
_VECTOR = 16
"""From so many elements on, operations are those of vectors."""


def _work(eqn: JaxprEqn) -> int | None:
    """Return about how much work an equation is; None if it must not run again."""
    if len(eqn.outvars) != 1 or has_effects(eqn):
        return None
    lowering, size = eqn.primitive.lowering, int(eqn.outvars[0].aval.size)
    elements = size if size >= _VECTOR else size * _SCALAR
    if isinstance(lowering, Elementwise):
        dtypes = tuple(a.aval.dtype for a in eqn.invars)
        params = tuple(sorted(eqn.params.items()))
        cost: int = compiler.codegen.rule_cost(lowering, dtypes, params, _DIVISION)
        return cost * elements
    if isinstance(lowering, View) or not eqn.invars:
        return 0
    if isinstance(lowering, Indexed):
        return (_PICK if sum(a.aval.size for a in eqn.invars) > size else _MOVE) * elements
    return None


def _nbytes(v: Any) -> int:
    return int(v.aval.size * v.aval.dtype.itemsize)
