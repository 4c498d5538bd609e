"""Branches split for linearize: what one stores, the others fill with zeros of the same types."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from functrace.control.loops.jaxpr_surgery import substituted
from functrace.core.aval import ShapedArray
from functrace.core.jaxpr import Atom, ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var
from functrace.interpreters.linearize import LinearizedJaxpr, linearize_jaxpr
from functrace.ops.creation import full_p

__all__ = ["SplitBranches", "split_branches"]


class SplitBranches(NamedTuple):
    """Branches in two: ``primal`` give the outputs and the slots of the residuals; ``linear`` take
    these, the ``operands`` of these numbers, and tangents.
    """

    primal: tuple[ClosedJaxpr, ...]
    linear: tuple[ClosedJaxpr, ...]
    operands: tuple[int, ...]
    nonzero_out: tuple[bool, ...]


def split_branches(branches: Sequence[ClosedJaxpr], moving: tuple[bool, ...]) -> SplitBranches:
    """Split branches whose operands move where ``moving`` says so."""
    found = [linearize_jaxpr(b, moving).nonzero_out for b in branches]
    nonzero_out = tuple(map(any, zip(*found)))
    splits = [_Residuals(linearize_jaxpr(b, moving, nonzero_out)) for b in branches]
    slots = Counter[ShapedArray]()
    for split in splits:
        slots |= Counter(v.aval for v in split.stored)
    types = [aval for aval, count in slots.items() for _ in range(count)]
    operands = sorted({i for split in splits for i in split.passed.values()})
    return SplitBranches(
        tuple(s.primal(types) for s in splits),
        tuple(s.linear(types, operands) for s in splits),
        tuple(operands),
        nonzero_out,
    )


class _Residuals:
    """The residuals of one branch: operands that are passed on, and values that are stored."""

    def __init__(self, split: LinearizedJaxpr) -> None:
        jaxpr, linear = split.primal.jaxpr, split.linear.jaxpr
        n = len(jaxpr.outvars) - split.n_residuals
        places = {v: i for i, v in enumerate(jaxpr.invars)}
        self.split = split
        self.outs = jaxpr.outvars[:n]
        self.tangents = linear.invars[split.n_residuals :]
        self.passed: dict[Var, int] = {}
        self.stored: dict[Var, Var] = {}
        self.same: dict[Var, Atom] = {}
        seen: dict[Var, Var] = {}
        for name, atom in zip(linear.invars, jaxpr.outvars[n:]):
            if isinstance(atom, Literal):
                self.same[name] = atom
            elif atom in seen:
                self.same[name] = seen[atom]
            elif atom in places:
                seen[atom] = name
                self.passed[name] = places[atom]
            else:
                seen[atom] = name
                self.stored[name] = atom

    def slots(self, types: Sequence[ShapedArray]) -> list[Var | None]:
        """Return which residual is in which slot; None for another branch's."""
        waiting = list(self.stored)
        found: list[Var | None] = []
        for aval in types:
            mine = next((v for v in waiting if v.aval == aval), None)
            if mine is not None:
                waiting.remove(mine)
            found.append(mine)
        return found

    def primal(self, types: Sequence[ShapedArray]) -> ClosedJaxpr:
        """Return the branch that stores its residuals, and zeros in the slots of others."""
        jaxpr = self.split.primal.jaxpr
        outvars: list[Atom] = list(self.outs)
        zeros: list[JaxprEqn] = []
        for aval, name in zip(types, self.slots(types)):
            if name is not None:
                outvars.append(self.stored[name])
                continue
            var = Var(aval)
            params = {"shape": aval.shape, "fill_value": 0, "dtype": aval.dtype}
            zeros.append(JaxprEqn(full_p, [], [var], params))
            outvars.append(var)
        new = Jaxpr(jaxpr.constvars, jaxpr.invars, outvars, [*jaxpr.eqns, *zeros])
        return ClosedJaxpr(new, self.split.primal.consts)

    def linear(self, types: Sequence[ShapedArray], operands: Sequence[int]) -> ClosedJaxpr:
        """Return the linear branch: of the slots, these operands, and tangents."""
        avals = self.split.primal.in_avals
        names = {i: v for v, i in self.passed.items()}
        invars: list[Any] = [
            Var(aval) if v is None else v for aval, v in zip(types, self.slots(types))
        ]
        invars += [names.get(i) or Var(avals[i].strong()) for i in operands]
        jaxpr = substituted(self.split.linear.jaxpr, self.same)
        return ClosedJaxpr(Jaxpr([], [*invars, *self.tangents], jaxpr.outvars, jaxpr.eqns), [])
