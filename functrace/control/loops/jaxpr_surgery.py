"""Jaxprs taken apart and put together: inputs in another order, zeros where something is due."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from functrace.control.jit_primitive import jit_p
from functrace.core.aval import ShapedArray
from functrace.core.jaxpr import Atom, ClosedJaxpr, Jaxpr, JaxprEqn, Var
from functrace.ops.creation import zeros_like_aval

__all__ = ["inlined", "instantiated", "memoised", "reordered", "substituted"]

R = TypeVar("R")


def memoised(closed: ClosedJaxpr, key: Any, make: Callable[[], R]) -> R:
    """Return what ``make`` made the first time, kept in the jaxpr's memo."""
    if key not in closed.memo:
        closed.memo[key] = make()
    return closed.memo[key]  # type: ignore[no-any-return]


def reordered(closed: ClosedJaxpr, ins: tuple[int, ...], outs: tuple[int, ...]) -> ClosedJaxpr:
    """Return a jaxpr whose i-th input and output are number ``ins[i]`` and ``outs[i]`` of these.

    Every input is there once; outputs may be left out or be there twice.
    """

    def make() -> ClosedJaxpr:
        jaxpr = closed.jaxpr
        invars = [jaxpr.invars[i] for i in ins]
        outvars = [jaxpr.outvars[i] for i in outs]
        return ClosedJaxpr(Jaxpr(jaxpr.constvars, invars, outvars, jaxpr.eqns), closed.consts)

    if ins == tuple(range(len(ins))) and outs == tuple(range(len(closed.jaxpr.outvars))):
        return closed
    return memoised(closed, ("reordered", ins, outs), make)


def substituted(jaxpr: Jaxpr, same: Mapping[Var, Atom]) -> Jaxpr:
    """Return a jaxpr with variables replaced by what they are the same as."""
    if not same:
        return jaxpr

    eqns = [eqn.replace(invars=[_now(a, same) for a in eqn.invars]) for eqn in jaxpr.eqns]
    invars = [v for v in jaxpr.invars if v not in same]
    return Jaxpr(jaxpr.constvars, invars, [_now(a, same) for a in jaxpr.outvars], eqns)


def inlined(closed: ClosedJaxpr) -> Jaxpr:
    """Return the jaxpr of the same constants with the jaxprs of ``jit`` equations in place."""
    if not any(e.primitive is jit_p for e in closed.eqns):
        return closed.jaxpr
    jaxpr = closed.jaxpr
    eqns: list[JaxprEqn] = []
    same: dict[Var, Atom] = {}
    for eqn in jaxpr.eqns:
        eqn = eqn.replace(invars=[_now(a, same) for a in eqn.invars])
        inner = eqn.params["jaxpr"] if eqn.primitive is jit_p else None
        if inner is None or inner.consts:
            eqns.append(eqn)
            continue
        fresh: dict[Var, Atom] = dict(zip(inner.jaxpr.invars, eqn.invars))
        body = inlined(inner)
        for e in body.eqns:
            outvars = [Var(v.aval) for v in e.outvars]
            eqns.append(e.replace(invars=[_now(a, fresh) for a in e.invars], outvars=outvars))
            fresh.update(zip(e.outvars, outvars))
        same.update(zip(eqn.outvars, (_now(a, fresh) for a in body.outvars)))
    return Jaxpr(jaxpr.constvars, jaxpr.invars, [_now(a, same) for a in jaxpr.outvars], eqns)


def _now(a: Atom, same: Mapping[Var, Atom]) -> Atom:
    return same.get(a, a) if isinstance(a, Var) else a


def instantiated(
    values: Sequence[Any], avals: Sequence[ShapedArray], wanted: Sequence[bool]
) -> list[Any]:
    """Return the wanted values; zeros for those that are None."""
    return [
        zeros_like_aval(a.tangent()) if v is None else v
        for v, a, want in zip(values, avals, wanted)
        if want
    ]
