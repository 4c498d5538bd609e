"""Dead code: a jaxpr for some of its outputs, without what they don't need."""

from __future__ import annotations

from collections.abc import Sequence

from functrace.core.jaxpr import Atom, ClosedJaxpr, Jaxpr, JaxprEqn, Var, subjaxprs

__all__ = ["dce_jaxpr", "has_effects"]


def dce_jaxpr(
    closed: ClosedJaxpr, used_outs: tuple[bool, ...], keep: tuple[bool, ...] = ()
) -> tuple[ClosedJaxpr, tuple[bool, ...]]:
    """Return the jaxpr of the used outputs, and which inputs it takes.

    Equations that hold jaxprs shed the results nobody uses; effects stay.

    Args:
        closed: the jaxpr.
        used_outs: which outputs are used.
        keep: inputs it takes though nothing needs them.
    """
    key = ("dce", used_outs, keep)
    known = closed.memo.get(key)
    if known is not None:
        return known  # type: ignore[no-any-return]
    jaxpr = closed.jaxpr
    outvars = [a for a, used in zip(jaxpr.outvars, used_outs) if used]
    eqns, needed = _live(jaxpr.eqns, outvars)
    kept = keep or (False,) * len(jaxpr.invars)
    used_ins = tuple(k or v in needed for k, v in zip(kept, jaxpr.invars))
    invars = [v for v, used in zip(jaxpr.invars, used_ins) if used]
    consts = [(v, c) for v, c in zip(jaxpr.constvars, closed.consts) if v in needed]
    live = Jaxpr([v for v, _ in consts], invars, outvars, eqns)
    result = ClosedJaxpr(live, [c for _, c in consts]), used_ins
    if all(used_outs) and all(used_ins) and eqns == jaxpr.eqns:
        result = closed, used_ins
    closed.memo[key] = result
    return result


def _live(eqns: Sequence[JaxprEqn], outs: Sequence[Atom]) -> tuple[list[JaxprEqn], set[Var]]:
    """Return the equations outputs or effects need, and the variables these need."""
    needed = {a for a in outs if isinstance(a, Var)}
    kept = []
    for eqn in reversed(eqns):
        used = [v in needed for v in eqn.outvars]
        if not any(used) and not has_effects(eqn):
            continue
        if eqn.primitive.dce is not None and not has_effects(eqn):
            eqn = _shed(eqn, used)
        kept.append(eqn)
        needed.update(a for a in eqn.invars if isinstance(a, Var))
    return kept[::-1], needed


def _shed(eqn: JaxprEqn, used: Sequence[bool]) -> JaxprEqn:
    """Return an equation without the results nobody uses, and the operands only these need."""
    assert eqn.primitive.dce is not None
    used_ins, kept_outs, params = eqn.primitive.dce(used, **eqn.params)
    if all(kept_outs) and all(used_ins):
        return eqn
    return eqn.replace(
        invars=[a for a, u in zip(eqn.invars, used_ins) if u],
        outvars=[v for v, u in zip(eqn.outvars, kept_outs) if u],
        params=params,
    )


def has_effects(eqn: JaxprEqn) -> bool:
    """Tell whether an equation, or one inside of it, does more than compute its results."""
    if eqn.primitive.effect:
        return True
    inner = subjaxprs(Jaxpr([], [], [], [eqn]))
    return any(has_effects(e) for jaxpr in inner for e in jaxpr.eqns)
