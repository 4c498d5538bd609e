"""jaxpr -> jaxpr: nested jaxprs inlined, constants folded, equal equations merged, dead code gone.

One forward pass rebuilds the equations through `Rewriter.bind`, which folds, looks a rewrite up in
`rewrites.REWRITES`, and merges; one backward pass drops what no output needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from functrace.compiler.rewriting.rewrites import REWRITES
from functrace.compiler.rewriting.structured import (
    has_effects,
    holds_jaxprs,
    live_equations,
    structured,
)
from functrace.core.aval import ShapedArray
from functrace.core.jaxpr import Atom, ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var
from functrace.core.lowering import Composite, Elementwise, Nested, View
from functrace.core.trace import PRIMITIVES, Primitive
from functrace.interpreters.staging import stage
from functrace.source_info import SourceInfo

__all__ = ["Rewriter", "simplify"]


def simplify(closed: ClosedJaxpr) -> ClosedJaxpr:
    """Return an equal jaxpr with less in it, and no nested jaxpr."""
    rewriter = Rewriter()
    jaxpr = closed.jaxpr
    invars = [Var(v.aval) for v in jaxpr.invars]
    outs = rewriter.inline(closed, invars)
    eqns = live_equations(rewriter.eqns, outs)
    used = {a for eqn in eqns for a in eqn.invars if isinstance(a, Var)}
    used.update(a for a in outs if isinstance(a, Var))
    consts = [(v, value) for v, value in rewriter.consts.values() if v in used]
    result = Jaxpr([v for v, _ in consts], invars, outs, eqns)
    return ClosedJaxpr(result, [value for _, value in consts])


class Rewriter:
    """Collects simplified equations; rules call `bind`, `prim` and look at `made_by`."""

    def __init__(self) -> None:
        self.eqns: list[JaxprEqn] = []
        self.consts: dict[int, tuple[Var, Any]] = {}
        self._makers: dict[Var, JaxprEqn] = {}
        self._known: dict[Any, list[Var]] = {}
        self._source: SourceInfo | None = None
        self._uses: dict[Atom, int] = {}

    # --- what rules use ---

    def made_by(self, atom: Atom, *names: str) -> JaxprEqn | None:
        """Return the equation that makes an atom when its primitive has one of the names."""
        eqn = self._makers.get(atom) if isinstance(atom, Var) else None
        return eqn if eqn is not None and eqn.primitive.name in names else None

    def used_once(self, atom: Atom) -> bool:
        """Whether only one equation of the jaxpr reads an atom."""
        return self._uses.get(atom, 0) <= 1

    def apply(self, name: str, *invars: Atom, **params: Any) -> Atom:
        """Return the simplified result of a primitive with one result."""
        return self.bind(PRIMITIVES[name], list(invars), params)[0]

    def bind(self, primitive: Primitive, invars: list[Atom], params: dict[str, Any]) -> list[Atom]:
        """Return the simplified results of a primitive."""
        folded = _fold(primitive, invars, params)
        if folded is not None:
            return [folded]
        for rule in REWRITES.get(primitive.name, ()):
            better = rule(self, invars, params)
            if better is not None:
                return [better]
        if primitive.elementwise:
            better = _of_splats(self, primitive, invars, params)
            if better is not None:
                return [better]
        elif isinstance(primitive.lowering, View):
            scalar = _repeated_scalar(self, invars[0])
            if scalar is not None:
                shape = _shape(primitive, invars, params)
                wide = {"shape": shape, "broadcast_dimensions": ()}
                return [self.apply("broadcast_in_dim", scalar, **wide)]
        return self._add(primitive, invars, params)

    # --- equations ---

    def _add(self, primitive: Primitive, invars: list[Atom], params: dict[str, Any]) -> list[Atom]:
        pure = not has_effects(primitive, params)
        key = (primitive, *map(_atom_key, invars), *params.items()) if pure else None
        known = self._known.get(key) if pure else None
        if known is not None:
            return list(known)
        assert primitive.abstract_eval is not None
        result = primitive.abstract_eval(*(a.aval for a in invars), **params)
        avals = result if primitive.multiple_results else [result]
        return self._append(primitive, invars, params, avals, key)

    def _append(
        self,
        primitive: Primitive,
        invars: list[Atom],
        params: dict[str, Any],
        avals: Sequence[ShapedArray],
        key: Any,
    ) -> list[Atom]:
        outvars = [Var(aval) for aval in avals]
        eqn = JaxprEqn(primitive, invars, outvars, params, self._source)
        self.eqns.append(eqn)
        for var in outvars:
            self._makers[var] = eqn
        if key is not None:
            self._known[key] = outvars
        return list(outvars)

    def inline(self, closed: ClosedJaxpr, args: Sequence[Atom]) -> list[Atom]:
        """Add the equations of a jaxpr applied to atoms, and return its outputs."""
        jaxpr = closed.jaxpr
        env: dict[Var, Atom] = dict(zip(jaxpr.invars, args))
        for var, value in zip(jaxpr.constvars, closed.consts):
            env[var] = self._constant(value)
        uses = _count_uses(jaxpr)
        for var, arg in zip(jaxpr.invars, args):
            # The equation that held this jaxpr was counted as one use.
            if isinstance(arg, Var):
                self._uses[arg] = self._uses.get(arg, 0) + uses.get(var, 0) - 1
        for eqn in jaxpr.eqns:
            invars = [a if isinstance(a, Literal) else env[a] for a in eqn.invars]
            self._source = eqn.source
            lowering = eqn.primitive.lowering
            if isinstance(lowering, Nested):
                outs = self.inline(eqn.params[lowering.jaxpr], invars)
            elif isinstance(lowering, Composite):
                outs = self.inline(_composition(lowering, eqn), invars)
            elif holds_jaxprs(eqn.primitive):
                outs = structured(self, eqn.primitive, invars, eqn.params)
            else:
                outs = self.bind(eqn.primitive, invars, eqn.params)
            for var, out in zip(eqn.outvars, outs):
                env[var] = out
                if isinstance(out, Var):
                    self._uses[out] = self._uses.get(out, 0) + uses.get(var, 0)
        return [a if isinstance(a, Literal) else env[a] for a in jaxpr.outvars]

    def _constant(self, value: Any) -> Atom:
        if np.ndim(value) == 0:
            return Literal(np.asarray(value)[()])
        if id(value) not in self.consts:
            self.consts[id(value)] = (Var(ShapedArray(value.shape, value.dtype)), value)
        return self.consts[id(value)][0]


def _composition(lowering: Composite, eqn: JaxprEqn) -> ClosedJaxpr:
    """Return the jaxpr that an equation is short for."""
    avals = [a.aval for a in eqn.invars]
    return stage(lambda *xs: lowering.rule(*xs, **eqn.params), avals, eqn.primitive.name)


def _count_uses(jaxpr: Jaxpr) -> dict[Atom, int]:
    uses: dict[Atom, int] = {}
    for eqn in jaxpr.eqns:
        for atom in eqn.invars:
            if isinstance(atom, Var):
                uses[atom] = uses.get(atom, 0) + 1
    for atom in jaxpr.outvars:
        uses[atom] = uses.get(atom, 0) + 1
    return uses


def _atom_key(atom: Atom) -> Any:
    if isinstance(atom, Literal):
        value = np.asarray(atom.val, atom.aval.dtype)
        return (value.dtype.char, value.tobytes())
    return atom


def _fold(primitive: Primitive, invars: list[Atom], params: dict[str, Any]) -> Literal | None:
    """Compute an element-wise equation of literals now."""
    if not invars or not isinstance(primitive.lowering, Elementwise):
        return None
    for atom in invars:
        if not isinstance(atom, Literal):
            return None
    assert primitive.impl is not None
    assert primitive.abstract_eval is not None
    values = [np.asarray(a.val, a.aval.dtype)[()] for a in invars]  # type: ignore[union-attr]
    try:
        with np.errstate(all="ignore"):
            out = primitive.impl(*values, **params)
    except (ArithmeticError, ValueError, TypeError):
        return None
    aval = primitive.abstract_eval(*(a.aval for a in invars), **params)
    return Literal(np.asarray(out, aval.dtype)[()], aval.strong())


def _of_splats(
    r: Rewriter, primitive: Primitive, invars: list[Atom], params: dict[str, Any]
) -> Atom | None:
    """Element-wise operands that repeat one scalar become that scalar."""
    scalars = [_repeated_scalar(r, a) for a in invars]
    if all(s is None for s in scalars):
        return None
    shape = next((a.aval.shape for a in invars if a.aval.shape), ())
    narrow = [a if s is None else s for a, s in zip(invars, scalars)]
    if any(a.aval.shape == shape for a in narrow):
        return r.bind(primitive, narrow, params)[0]
    out = r.bind(primitive, narrow, params)[0]
    return r.apply("broadcast_in_dim", out, shape=shape, broadcast_dimensions=())


def _shape(primitive: Primitive, invars: list[Atom], params: dict[str, Any]) -> tuple[int, ...]:
    assert primitive.abstract_eval is not None
    shape: tuple[int, ...] = primitive.abstract_eval(*(a.aval for a in invars), **params).shape
    return shape


def _repeated_scalar(r: Rewriter, atom: Atom) -> Atom | None:
    eqn = r.made_by(atom, "broadcast_in_dim")
    if eqn is None or eqn.invars[0].aval.shape:
        return None
    return eqn.invars[0]
