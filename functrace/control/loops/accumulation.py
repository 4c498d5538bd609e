"""Sums in place: adding an array that is zero but for a few places adds to these places only.

The transpose of ``x[i]`` is an array of zeros with one number in it. In a loop that array is added
to a cotangent that the loop carries; written as a ``scatter_add`` into the carry, or an update of a
window of it, a step costs what it touches and not the size of x.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from functrace.control.loops.branches import cond_p
from functrace.control.loops.jaxpr_surgery import inlined
from functrace.control.loops.residuals import needed_eqns
from functrace.control.loops.scan_primitive import scan_p
from functrace.core.aval import ShapedArray
from functrace.core.jaxpr import Atom, ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var
from functrace.ops.arithmetic import add_p
from functrace.ops.creation import full_p
from functrace.ops.dynamic import dynamic_slice_p, dynamic_update_slice_p
from functrace.ops.indexing import scatter_add_p
from functrace.ops.joining import pad_p

__all__ = ["adding_in_place", "with_sums"]


def with_sums(jaxpr: Jaxpr, known: int, n_sums: int, n_carry: int, n_ys: int) -> ClosedJaxpr:
    """Add the cotangents of constants to sums that are carried.

    ``jaxpr`` has as inputs known constants, known slices, cotangents of the carry and of ys.
    """
    last = len(jaxpr.invars) - n_ys
    consts, slices = jaxpr.invars[:known], jaxpr.invars[known : last - n_carry]
    carry, ys = jaxpr.invars[last - n_carry : last], jaxpr.invars[last:]
    terms = jaxpr.outvars[:n_sums]
    sums = [Var(a.aval) for a in terms]
    totals = [Var(a.aval) for a in terms]
    adds = [JaxprEqn(add_p, [s, t], [out], {}) for s, t, out in zip(sums, terms, totals)]
    invars = [*consts, *sums, *carry, *slices, *ys]
    outvars = [*totals, *jaxpr.outvars[n_sums:]]
    return adding_in_place(ClosedJaxpr(Jaxpr([], invars, outvars, [*jaxpr.eqns, *adds]), []))


def adding_in_place(closed: ClosedJaxpr) -> ClosedJaxpr:
    """Return a jaxpr with its sums of sparse arrays in place; the same up to rounding."""
    jaxpr = inlined(closed)
    writer = _Writer(jaxpr)
    for eqn in jaxpr.eqns:
        writer.add(eqn)
    outs = [writer.now(a) for a in jaxpr.outvars]
    eqns = needed_eqns(writer.eqns, outs)
    return ClosedJaxpr(Jaxpr(jaxpr.constvars, jaxpr.invars, outs, eqns), closed.consts)


class _Writer:
    """Equations so far, rewritten."""

    def __init__(self, jaxpr: Jaxpr) -> None:
        self.eqns: list[JaxprEqn] = []
        self.places: dict[Var, int] = {}
        self.same: dict[Var, Atom] = {}
        self.sums: dict[Var, JaxprEqn] = {}
        uses = [a for eqn in jaxpr.eqns for a in eqn.invars if isinstance(a, Var)]
        self.uses = Counter([*uses, *(a for a in jaxpr.outvars if isinstance(a, Var))])
        # Sums that only another sum uses: all are written as one.
        adds = [eqn for eqn in jaxpr.eqns if eqn.primitive is add_p]
        inner = {a for eqn in adds for a in eqn.invars if isinstance(a, Var)}
        self.partial = {eqn.outvars[0] for eqn in adds if self.uses[eqn.outvars[0]] == 1} & inner

    def now(self, a: Atom) -> Atom:
        """Return what an atom of the old jaxpr is in the new one."""
        return self.same.get(a, a) if isinstance(a, Var) else a

    def add(self, eqn: JaxprEqn) -> None:
        """Write an equation, as it is or in place."""
        eqn = eqn.replace(invars=[self.now(a) for a in eqn.invars])
        if eqn.primitive is not add_p or not eqn.outvars[0].aval.shape:
            self.write(eqn)
        elif eqn.outvars[0] in self.partial:
            self.sums[eqn.outvars[0]] = eqn
        else:
            self.write_sum(eqn)

    def write_sum(self, eqn: JaxprEqn) -> None:
        """Write a sum of any number of terms: first what isn't sparse, then the rest in place."""
        terms: list[Atom] = []
        parts: list[JaxprEqn] = []
        self.flatten(eqn, terms, parts)
        if not any(map(self.is_sparse, terms)):
            for part in parts:
                self.write(part)
            return
        total, *rest = sorted(terms, key=self.rank)
        for term in rest:
            merged = self.merged(total, term)
            total = merged or self.apply(add_p, [total, term], {}, eqn.outvars[0].aval)
        self.same[eqn.outvars[0]] = total

    def flatten(self, eqn: JaxprEqn, terms: list[Atom], parts: list[JaxprEqn]) -> None:
        """Collect the terms of a sum, and its equations."""
        for a in eqn.invars:
            part = self.sums.get(a) if isinstance(a, Var) else None
            if part is None:
                terms.append(a)
            else:
                self.flatten(part, terms, parts)
        parts.append(eqn)

    def rank(self, term: Atom) -> tuple[int, int]:
        """Tell when a term is added: what others are added to, dense ones, loops, the sparse rest.

        An input of the jaxpr comes first: it is the sum that is carried. A loop or a choice starts
        from the total, which must be there before it.
        """
        eqn = self.made_by(term)
        if eqn is None:
            return 0, 0
        if not self.is_sparse(term):
            return 1, 0
        inside = eqn.primitive in (scan_p, cond_p)
        return (2, self.places[term]) if inside else (3, 0)  # type: ignore[index]

    def is_sparse(self, term: Atom) -> bool:
        """Tell whether a term may be added in place."""
        eqn = self.made_by(term)
        if eqn is None:
            return False
        if eqn.primitive in (scatter_add_p, dynamic_update_slice_p):
            return self.is_zero(eqn.invars[0])
        return eqn.primitive in (pad_p, full_p, scan_p, cond_p)

    def write(self, eqn: JaxprEqn) -> None:
        """Append an equation."""
        for v in eqn.outvars:
            self.places[v] = len(self.eqns)
        self.eqns.append(eqn)

    def made_by(self, a: Atom) -> JaxprEqn | None:
        """Return the equation that makes an atom."""
        return self.eqns[self.places[a]] if isinstance(a, Var) and a in self.places else None

    def is_zero(self, a: Atom) -> bool:
        """Tell whether an atom is an array of zeros."""
        eqn = self.made_by(a)
        if isinstance(a, Literal):
            return bool(np.all(np.asarray(a.val) == 0))
        return eqn is not None and eqn.primitive is full_p and eqn.params["fill_value"] == 0

    # --- what is added ---

    def merged(self, total: Atom, term: Atom) -> Atom | None:
        """Return the sum when it can be in place; it is written then."""
        if total.aval.shape != term.aval.shape:
            return None
        if self.is_zero(term):
            return total
        eqn = self.made_by(term)
        if eqn is None or self.uses[term] != 1:  # type: ignore[index]
            return None
        if eqn.primitive is scatter_add_p and self.is_zero(eqn.invars[0]):
            aval = total.aval.strong()
            return self.apply(scatter_add_p, [total, *eqn.invars[1:]], eqn.params, aval)
        if eqn.primitive is dynamic_update_slice_p and self.is_zero(eqn.invars[0]):
            return self.window(total, eqn.invars[1], eqn.invars[2:])
        if eqn.primitive is pad_p and self.is_zero(eqn.invars[1]):
            config = eqn.params["padding_config"]
            if all(low >= 0 and high >= 0 and not inside for low, high, inside in config):
                return self.window(
                    total, eqn.invars[0], [Literal(np.int64(low)) for low, _, _ in config]
                )
        if eqn.primitive is scan_p:
            return self.into_scan(total, term, eqn)
        if eqn.primitive is cond_p:
            return self.into_branches(total, term, eqn)
        return None

    def apply(
        self, primitive: Any, invars: Sequence[Atom], params: dict[str, Any], aval: ShapedArray
    ) -> Var:
        out = Var(aval)
        self.write(JaxprEqn(primitive, invars, [out], params))
        return out

    def window(self, total: Atom, update: Atom, starts: Sequence[Atom]) -> Atom | None:
        """Add to a window of the total."""
        if update.aval.shape == total.aval.shape:
            return None
        sizes = {"slice_sizes": update.aval.shape}
        old = self.apply(dynamic_slice_p, [total, *starts], sizes, update.aval)
        new = self.apply(add_p, [old, update], {}, update.aval)
        return self.apply(dynamic_update_slice_p, [total, new, *starts], {}, total.aval.strong())

    def into_scan(self, total: Atom, term: Atom, eqn: JaxprEqn) -> Atom | None:
        """Let a loop that adds to a carry of zeros start from the total."""
        k = eqn.outvars.index(term)  # type: ignore[arg-type]
        first = eqn.params["num_consts"]
        if k >= eqn.params["num_carry"] or not self.is_zero(eqn.invars[first + k]):
            return None
        body = eqn.params["jaxpr"].jaxpr
        place = self.places[term]  # type: ignore[index]
        if self.places.get(total, -1) >= place:  # type: ignore[arg-type]
            return None
        if not _adds_to(body, body.invars[first + k], body.outvars[k]):
            return None
        invars = list(eqn.invars)
        invars[first + k] = total
        self.eqns[place] = eqn.replace(invars=invars)
        return term

    def into_branches(self, total: Atom, term: Atom, eqn: JaxprEqn) -> Atom | None:
        """Let each branch add to the total, where one of them adds nothing or little."""
        k = eqn.outvars.index(term)  # type: ignore[arg-type]
        branches = eqn.params["branches"]
        wider = [_with_total(b, k) for b in branches]
        if not any(changed for _, changed in wider):
            return None
        out = Var(total.aval.strong())
        outvars = [out if i == k else v for i, v in enumerate(eqn.outvars)]
        place = self.places[term]  # type: ignore[index]
        if self.places.get(total, -1) >= place:  # type: ignore[arg-type]
            return None
        new = eqn.replace(
            invars=[*eqn.invars, total],
            outvars=outvars,
            params={"branches": tuple(b for b, _ in wider)},
        )
        self.eqns[place] = new
        self.places[out] = place
        return out


def _with_total(branch: ClosedJaxpr, k: int) -> tuple[ClosedJaxpr, bool]:
    """Return a branch that adds its k-th output to one more operand; whether that is in place."""
    jaxpr = branch.jaxpr
    atom = jaxpr.outvars[k]
    total, out = Var(atom.aval.strong()), Var(atom.aval.strong())
    outvars = [out if i == k else a for i, a in enumerate(jaxpr.outvars)]
    adds = JaxprEqn(add_p, [total, atom], [out], {})
    wider = Jaxpr(jaxpr.constvars, [*jaxpr.invars, total], outvars, [*jaxpr.eqns, adds])
    new = adding_in_place(ClosedJaxpr(wider, branch.consts))
    plain = any(e.primitive is add_p and total in e.invars for e in new.eqns)
    return new, not plain


def _adds_to(jaxpr: Jaxpr, start: Var, end: Atom) -> bool:
    """Tell whether a jaxpr does nothing with an input but add to it, and returns the sum."""
    v = start
    while True:
        users = [eqn for eqn in jaxpr.eqns if v in eqn.invars]
        if not users:
            return v is end
        if v in jaxpr.outvars:
            return False
        after = _sum_of(users, v)
        if after is None:
            return False
        v = after


def _sum_of(users: Sequence[JaxprEqn], v: Var) -> Var | None:
    """Return the sum that equations make of ``v`` and other things; None if they do more."""
    if len(users) == 1:
        (eqn,) = users
        if eqn.primitive is add_p and eqn.invars.count(v) == 1:
            return eqn.outvars[0]
        if eqn.primitive is scatter_add_p and eqn.invars[0] is v and v not in eqn.invars[1:]:
            return eqn.outvars[0]
        if eqn.primitive is scan_p and eqn.invars.count(v) == 1:
            k = eqn.invars.index(v) - eqn.params["num_consts"]
            body = eqn.params["jaxpr"].jaxpr
            if 0 <= k < eqn.params["num_carry"]:
                inner = body.invars[k + eqn.params["num_consts"]]
                return eqn.outvars[k] if _adds_to(body, inner, body.outvars[k]) else None
        return None
    if len(users) != 2 or users[0].primitive is not dynamic_slice_p:
        return None
    old, new = users
    if new.primitive is not dynamic_update_slice_p or new.invars[0] is not v:
        return None
    same = all(a is b or _equal(a, b) for a, b in zip(old.invars[1:], new.invars[2:]))
    return new.outvars[0] if same and v not in new.invars[1:] else None


def _equal(a: Atom, b: Atom) -> bool:
    return isinstance(a, Literal) and isinstance(b, Literal) and bool(a.val == b.val)
