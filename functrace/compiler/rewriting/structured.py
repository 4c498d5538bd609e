"""Simplifies equations that hold jaxprs: loops and branches.

The bodies are simplified like programs; their constants become operands; a literal operand becomes
a literal inside; a carry that never changes becomes a constant; what a loop would compute afresh
each time from constants is computed before it; results nobody reads go, with all that only they
needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from functrace.compiler.rewriting.loop_products import all_rows, of_rows, taken_out
from functrace.core.jaxpr import Atom, ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var
from functrace.core.lowering import (
    Branches,
    Elementwise,
    Library,
    Reduction,
    Scan,
    View,
    While,
)
from functrace.core.trace import Primitive

if TYPE_CHECKING:
    from functrace.compiler.rewriting.simplify import Rewriter

__all__ = ["has_effects", "holds_jaxprs", "inner_jaxprs", "live_equations", "structured"]

#: Lowering kinds whose results may be computed before a loop that may not run at all.
_HARMLESS = (Elementwise, Library, Reduction, View)


def holds_jaxprs(primitive: Primitive) -> bool:
    """Whether a primitive is a loop or a branch."""
    return isinstance(primitive.lowering, (Branches, Scan, While))


def inner_jaxprs(primitive: Primitive, params: dict[str, Any]) -> list[ClosedJaxpr]:
    """Return the jaxprs that an equation of a loop or branch holds."""
    lowering = primitive.lowering
    if isinstance(lowering, Branches):
        return list(params["branches"])
    if isinstance(lowering, While):
        return [params["cond_jaxpr"], params["body_jaxpr"]]
    return [params["jaxpr"]] if isinstance(lowering, Scan) else []


def has_effects(primitive: Primitive, params: dict[str, Any]) -> bool:
    """Whether an equation, or one inside of it, does more than compute its results."""
    if primitive.effect or not holds_jaxprs(primitive):
        return primitive.effect
    return any(
        has_effects(eqn.primitive, eqn.params)
        for closed in inner_jaxprs(primitive, params)
        for eqn in closed.eqns
    )


@dataclass
class _Body:
    """A simplified body: ``around`` gives the atom outside that a variable of it stands for."""

    inputs: list[Var]
    eqns: list[JaxprEqn]
    outs: list[Atom]
    around: dict[Var, Atom]

    def closed(self, consts: Sequence[Var]) -> ClosedJaxpr:
        return ClosedJaxpr(Jaxpr([], [*consts, *self.inputs], self.outs, self.eqns), [])


def structured(
    r: Rewriter, primitive: Primitive, invars: list[Atom], params: dict[str, Any]
) -> list[Atom]:
    """Return the simplified results of a loop or branch."""
    lowering = primitive.lowering
    if isinstance(lowering, Branches):
        return _branches(r, primitive, invars, params)
    if isinstance(lowering, While):
        return _while(r, primitive, invars, params)
    return _scan(r, primitive, invars, params)


def _simplified(r: Rewriter, closed: ClosedJaxpr, args: Sequence[Atom | int | None]) -> _Body:
    """Simplify a body.

    ``args`` has for each input the atom outside if it never changes, else None; or the number of
    another input that is always the same.
    """
    inner = type(r)()
    around: dict[Var, Atom] = {}
    known: dict[Atom, Var] = {}
    invars: list[Atom] = []
    inputs: list[Var] = []
    for var, arg in zip(closed.jaxpr.invars, args, strict=True):
        if isinstance(arg, int):
            invars.append(invars[arg])
        elif isinstance(arg, Literal):
            invars.append(Literal(arg.val, var.aval.strong()))
        elif arg is not None:
            if arg not in known:
                known[arg] = Var(var.aval)
                around[known[arg]] = arg
            invars.append(known[arg])
        else:
            inputs.append(Var(var.aval))
            invars.append(inputs[-1])
    outs = inner.inline(closed, invars)
    for var, value in inner.consts.values():
        around[var] = r._constant(value)
    return _Body(inputs, live_equations(inner.eqns, outs), outs, around)


def _hoisted(r: Rewriter, body: _Body) -> None:
    """Move what depends on nothing that changes in front of the loop."""
    moved: dict[Var, Atom] = {}
    kept: list[JaxprEqn] = []

    def place(atom: Atom) -> Atom:
        return moved.get(atom, atom) if isinstance(atom, Var) else atom

    for eqn in body.eqns:
        operands = [place(a) for a in eqn.invars]
        fixed = [a for a in operands if isinstance(a, Var)]
        still = bool(fixed) and all(a in body.around for a in fixed)
        if not (still and _worth_moving(eqn)):
            kept.append(eqn.replace(invars=operands))
            continue
        outside = [body.around[a] if isinstance(a, Var) else a for a in operands]
        for var, out in zip(eqn.outvars, r.bind(eqn.primitive, outside, eqn.params)):
            if isinstance(out, Literal):
                moved[var] = out
            else:
                body.around[var] = out
    body.outs = [place(a) for a in body.outs]
    body.eqns = kept


def _worth_moving(eqn: JaxprEqn) -> bool:
    """Whether an equation can't fail and its result is an array; LLVM moves scalars by itself."""
    harmless = isinstance(eqn.primitive.lowering, _HARMLESS) and not eqn.primitive.effect
    return harmless and bool(eqn.outvars[0].aval.shape)


def _used(atoms: Sequence[Atom], eqns: Sequence[JaxprEqn]) -> set[Var]:
    used = {a for eqn in eqns for a in eqn.invars if isinstance(a, Var)}
    return used | {a for a in atoms if isinstance(a, Var)}


def _constants(*bodies: _Body) -> list[tuple[Var, Atom]]:
    """Return the variables that stand for atoms outside and are used, with those."""
    return [
        (var, atom)
        for body in bodies
        for var, atom in body.around.items()
        if var in _used(body.outs, body.eqns)
    ]


def _append(
    r: Rewriter, primitive: Primitive, invars: list[Atom], params: dict[str, Any]
) -> list[Atom]:
    return r._add(primitive, invars, params)


# --- scan --------------------------------------------------------------------------------------


def _scan(
    r: Rewriter, primitive: Primitive, invars: list[Atom], params: dict[str, Any]
) -> list[Atom]:
    closed, n_consts, n_carry = params["jaxpr"], params["num_consts"], params["num_carry"]
    consts = invars[:n_consts]
    carry, xs = list(invars[n_consts : n_consts + n_carry]), invars[n_consts + n_carry :]

    first = n_consts + n_carry
    places = _first_places(xs)
    rows = [first + k if k < n else None for n, k in enumerate(places)]

    def simplify(still: Sequence[bool]) -> tuple[_Body, list[Atom]]:
        args = [c if fixed else None for c, fixed in zip(carry, still)]
        body = _simplified(r, closed, [*consts, *args, *rows])
        _hoisted(r, body)
        return body, body.outs[:n_carry]

    still, body = _settled(closed.jaxpr.invars[n_consts:], closed.jaxpr.outvars, n_carry, simplify)
    moving = [k for k in range(n_carry) if not still[k]]
    body.outs = [body.outs[k] for k in moving] + body.outs[n_carry:]
    xs = [x for n, x in enumerate(xs) if places[n] == n]
    last, ys = _run_scan(r, primitive, params, body, [carry[k] for k in moving], xs)
    results = iter(last)
    return [carry[k] if still[k] else next(results) for k in range(n_carry)] + ys


def _run_scan(
    r: Rewriter,
    primitive: Primitive,
    params: dict[str, Any],
    body: _Body,
    carry: list[Atom],
    xs: list[Atom],
) -> tuple[list[Atom], list[Atom]]:
    """Bind a scan of a simplified body; sums of products that it collects come after it."""
    count = len(carry)
    rows = dict(zip(body.inputs[count:], xs))
    rows |= _products_in_front(r, body, rows, params["length"])
    inputs = body.inputs = [*body.inputs[:count], *rows]
    xs = list(rows.values())
    outs, ys = body.outs[:count], body.outs[count:]
    products = taken_out(body.eqns, inputs[:count], outs, params["length"], {*body.around})
    factors = [a for product in products for a in product.eqn.invars if a not in rows]
    distinct = list(dict.fromkeys([*ys, *factors]))
    moving = [n for n in range(count) if outs[n] is not inputs[n]]
    body.outs = [*(outs[n] for n in moving), *distinct]
    body.inputs = [*(inputs[n] for n in moving), *inputs[count:]]
    body.eqns = live_equations(body.eqns, body.outs)
    around = _constants(body)
    new = params | {
        "jaxpr": body.closed([v for v, _ in around]),
        "num_consts": len(around),
        "num_carry": len(moving),
    }
    operands = [*(a for _, a in around), *(carry[n] for n in moving), *xs]
    results = _append(r, primitive, operands, new)
    last = list(carry)
    for n, result in zip(moving, results):
        last[n] = result
    stacks: dict[Atom, Atom] = dict(zip(distinct, results[len(moving) :]))
    stacks.update((v, x) for v, x in rows.items() if v not in stacks)
    for product in products:
        whole = [stacks[a] for a in product.eqn.invars]
        (total,) = r.bind(product.eqn.primitive, whole, product.params())
        last[product.carry] = r.apply("add", last[product.carry], total)
    return last, [stacks[a] for a in ys]


def _products_in_front(
    r: Rewriter, body: _Body, rows: dict[Var, Atom], length: int
) -> dict[Var, Atom]:
    """Compute products of slices with constants for all rounds; they become slices."""
    new: dict[Var, Atom] = {}
    for eqn, row_first in of_rows(body.eqns, {*rows}, {*body.around}, length):
        row, constant = eqn.invars if row_first else eqn.invars[::-1]
        assert isinstance(row, Var)
        assert isinstance(constant, Var)
        factors = [rows[row], body.around[constant]]
        (new[eqn.outvars[0]],) = r.bind(eqn.primitive, factors, all_rows(eqn, row_first))
    body.eqns = [eqn for eqn in body.eqns if new.keys().isdisjoint(eqn.outvars)]
    return new


def _first_places(atoms: Sequence[Atom]) -> list[int]:
    """Return for each atom where it is first; literals are all different."""
    first: dict[Atom, int] = {}
    return [first.setdefault(atom, n) for n, atom in enumerate(atoms)]


def _settled(
    invars: Sequence[Var],
    outvars: Sequence[Atom],
    n_carry: int,
    simplify: Callable[[Sequence[bool]], tuple[_Body, list[Atom]]],
) -> tuple[list[bool], _Body]:
    """Simplify a loop until no carry is left that its body hands on unchanged."""
    still = [outvars[k] is invars[k] for k in range(n_carry)]
    while True:
        body, outs = simplify(still)
        moving = iter(body.inputs)
        found = list(still)
        for k in range(n_carry):
            if not still[k]:
                found[k] = next(moving) is outs[k]
        if found == still:
            return still, body
        still = found


# --- while -------------------------------------------------------------------------------------


def _while(
    r: Rewriter, primitive: Primitive, invars: list[Atom], params: dict[str, Any]
) -> list[Atom]:
    test, closed = params["cond_jaxpr"], params["body_jaxpr"]
    n_test, n_body = params["cond_nconsts"], params["body_nconsts"]
    test_consts, consts = invars[:n_test], invars[n_test : n_test + n_body]
    carry = invars[n_test + n_body :]

    def simplify(still: Sequence[bool]) -> tuple[_Body, list[Atom]]:
        args = [c if fixed else None for c, fixed in zip(carry, still)]
        body = _simplified(r, closed, [*consts, *args])
        _hoisted(r, body)
        return body, body.outs

    still, body = _settled(closed.jaxpr.invars[n_body:], closed.jaxpr.outvars, len(carry), simplify)
    fixed = [c if s else None for c, s in zip(carry, still)]
    condition = _simplified(r, test, [*test_consts, *fixed])
    _hoisted(r, condition)
    body.outs = [out for out, s in zip(body.outs, still) if not s]
    around, tested = _constants(body), _constants(condition)
    new = params | {
        "cond_jaxpr": condition.closed([v for v, _ in tested]),
        "body_jaxpr": body.closed([v for v, _ in around]),
        "cond_nconsts": len(tested),
        "body_nconsts": len(around),
    }
    moving = [c for c, s in zip(carry, still) if not s]
    operands = [*(a for _, a in tested), *(a for _, a in around), *moving]
    results = iter(_append(r, primitive, operands, new))
    return [c if s else next(results) for c, s in zip(carry, still)]


# --- branches ----------------------------------------------------------------------------------


def _branches(
    r: Rewriter, primitive: Primitive, invars: list[Atom], params: dict[str, Any]
) -> list[Atom]:
    branches: tuple[ClosedJaxpr, ...] = params["branches"]
    index, operands = invars[0], invars[1:]
    if isinstance(index, Literal) or len(branches) == 1:
        chosen = int(index.val) if isinstance(index, Literal) else 0
        return r.inline(branches[min(max(chosen, 0), len(branches) - 1)], operands)
    bodies = [_simplified(r, branch, operands) for branch in branches]
    needed = list(dict.fromkeys(atom for _, atom in _constants(*bodies)))
    new = []
    for body in bodies:
        inside = {atom: var for var, atom in body.around.items()}
        new.append(body.closed([inside.get(a) or Var(a.aval) for a in needed]))
    return _append(r, primitive, [index, *needed], params | {"branches": tuple(new)})


# --- what nobody reads -------------------------------------------------------------------------


def live_equations(eqns: Sequence[JaxprEqn], outs: Sequence[Atom]) -> list[JaxprEqn]:
    """Return the equations that outputs or effects need, loops without results nobody reads."""
    needed = {a for a in outs if isinstance(a, Var)}
    kept = []
    for eqn in reversed(eqns):
        if needed.isdisjoint(eqn.outvars) and not has_effects(eqn.primitive, eqn.params):
            continue
        eqn = _pruned(eqn, [v in needed for v in eqn.outvars])
        kept.append(eqn)
        needed.update(a for a in eqn.invars if isinstance(a, Var))
    return kept[::-1]


def _pruned(eqn: JaxprEqn, used: list[bool]) -> JaxprEqn:
    lowering = eqn.primitive.lowering
    if isinstance(lowering, Scan):
        return _pruned_scan(eqn, used)
    if all(used):
        return eqn
    if isinstance(lowering, While):
        return _pruned_while(eqn, used)
    return _pruned_branches(eqn, used) if isinstance(lowering, Branches) else eqn


def _kept(items: Sequence[Any], flags: Sequence[bool]) -> list[Any]:
    return [item for item, flag in zip(items, flags, strict=True) if flag]


def _part(jaxpr: Jaxpr, outs: Sequence[Atom]) -> tuple[list[JaxprEqn], list[bool]]:
    """Return the equations that some outputs need, and which inputs are used then."""
    eqns = live_equations(jaxpr.eqns, outs)
    used = _used(outs, eqns)
    return eqns, [v in used for v in jaxpr.invars]


def _pruned_scan(eqn: JaxprEqn, used: list[bool]) -> JaxprEqn:
    params = eqn.params
    jaxpr, n_carry = params["jaxpr"].jaxpr, params["num_carry"]
    first = params["num_consts"]
    keep = list(used)
    while True:
        eqns, read = _part(jaxpr, _kept(jaxpr.outvars, keep))
        more = [a or b for a, b in zip(keep[:n_carry], read[first : first + n_carry])]
        if more == keep[:n_carry]:
            break
        keep[:n_carry] = more
    ins = [*read[:first], *keep[:n_carry], *read[first + n_carry :]]
    if all(ins) and all(keep):
        return eqn
    body = Jaxpr([], _kept(jaxpr.invars, ins), _kept(jaxpr.outvars, keep), eqns)
    new = {
        "jaxpr": ClosedJaxpr(body, []),
        "num_consts": sum(read[:first]),
        "num_carry": sum(keep[:n_carry]),
    }
    return eqn.replace(
        invars=_kept(eqn.invars, ins), outvars=_kept(eqn.outvars, keep), params=params | new
    )


def _pruned_while(eqn: JaxprEqn, used: list[bool]) -> JaxprEqn:
    params = eqn.params
    test, jaxpr = params["cond_jaxpr"].jaxpr, params["body_jaxpr"].jaxpr
    n_test, n_body = params["cond_nconsts"], params["body_nconsts"]
    _, tested = _part(test, test.outvars)
    keep = [a or b for a, b in zip(used, tested[n_test:])]
    while True:
        eqns, read = _part(jaxpr, _kept(jaxpr.outvars, keep))
        more = [a or b for a, b in zip(keep, read[n_body:])]
        if more == keep:
            break
        keep = more
    if all(keep):
        return eqn
    tests = [*[True] * n_test, *keep]
    ins = [*read[:n_body], *keep]
    body = Jaxpr([], _kept(jaxpr.invars, ins), _kept(jaxpr.outvars, keep), eqns)
    condition = Jaxpr([], _kept(test.invars, tests), test.outvars, test.eqns)
    new = {
        "cond_jaxpr": ClosedJaxpr(condition, []),
        "body_jaxpr": ClosedJaxpr(body, []),
        "body_nconsts": sum(read[:n_body]),
    }
    return eqn.replace(
        invars=_kept(eqn.invars, [*[True] * n_test, *ins]),
        outvars=_kept(eqn.outvars, keep),
        params=params | new,
    )


def _pruned_branches(eqn: JaxprEqn, used: list[bool]) -> JaxprEqn:
    parts = [
        (closed.jaxpr, *_part(closed.jaxpr, _kept(closed.jaxpr.outvars, used)))
        for closed in eqn.params["branches"]
    ]
    ins = np.any([read for _, _, read in parts], axis=0).tolist()
    new = tuple(
        ClosedJaxpr(Jaxpr([], _kept(jaxpr.invars, ins), _kept(jaxpr.outvars, used), eqns), [])
        for jaxpr, eqns, _ in parts
    )
    return eqn.replace(
        invars=[eqn.invars[0], *_kept(eqn.invars[1:], ins)],
        outvars=_kept(eqn.outvars, used),
        params=eqn.params | {"branches": new},
    )
