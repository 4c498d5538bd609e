"""Marks on the values that a checkpoint policy keeps, inside the bodies of loops too.

A mark is an equation that returns its operand. Derivatives pass through it, so the linearized
function still tells which of its values the kept ones are: there they are taken from outside
instead of computed. A value of a loop's body is kept for all steps, as a stack.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from functrace.control.jit_primitive import jit_p
from functrace.control.loops.scan_primitive import Parts, scan_p
from functrace.control.rules.checkpoint_policies import Policy, name_p
from functrace.core.aval import Shape, ShapedArray
from functrace.core.jaxpr import Atom, ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var
from functrace.core.lowering import View
from functrace.core.trace import Primitive
from functrace.interpreters.staging import stage
from functrace.source_info import replayed

__all__ = ["exposing", "kept_values", "marked", "taking"]

# --- the mark ----------------------------------------------------------------------------------

saved_p = Primitive("saved", not_linear="tangents have no marks")


@saved_p.def_impl
def _saved_impl(x: Any, *, site: int) -> Any:
    return x


@saved_p.def_abstract_eval
def _saved_type(x: ShapedArray, *, site: int) -> ShapedArray:
    return ShapedArray(x.shape, x.dtype)


@saved_p.def_jvp_each
def _saved_jvp(t: Any, out: Any, x: Any, *, site: int) -> Any:
    return t


@saved_p.def_batching
def _saved_batching(size: int, args: Any, dims: Any, *, site: int) -> tuple[Any, int]:
    return saved_p.bind(args[0], site=site), dims[0]


saved_p.def_lowering(View(lambda shape, strides, *, site: (shape, strides, 0)))


# --- marking -----------------------------------------------------------------------------------


def marked(closed: ClosedJaxpr, policy: Policy) -> tuple[ClosedJaxpr, list[ShapedArray]]:
    """Return a jaxpr with marks on what a policy keeps, and the type of each mark's values.

    Calls of ``jit`` are opened. A policy that keeps the results of a loop keeps what it carries.
    """
    marker = _Marker(policy)
    new = stage(lambda *args: marker.run(closed, args, ()), closed.in_avals, "checkpoint")
    return new, marker.avals


class _Marker:
    """Runs a jaxpr and adds marks."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.avals: list[ShapedArray] = []

    def run(self, closed: ClosedJaxpr, args: Sequence[Any], steps: Shape) -> list[Any]:
        """Run a jaxpr that is inside of loops of so many steps."""
        jaxpr = closed.jaxpr
        env: dict[Atom, Any] = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*closed.consts, *args)))
        outer = replayed.source
        try:
            for eqn in jaxpr.eqns:
                values = [a.val if isinstance(a, Literal) else env[a] for a in eqn.invars]
                replayed.source = eqn.source or outer
                env.update(zip(eqn.outvars, self.apply(eqn, values, steps)))
        finally:
            replayed.source = outer
        return [a.val if isinstance(a, Literal) else env[a] for a in jaxpr.outvars]

    def apply(self, eqn: JaxprEqn, values: Sequence[Any], steps: Shape) -> Sequence[Any]:
        """Apply an equation; mark its results if the policy keeps them."""
        if eqn.primitive is jit_p:
            return self.run(eqn.params["jaxpr"], values, steps)
        keeps = self.policy(eqn.primitive, *(a.aval for a in eqn.invars), **eqn.params)
        if eqn.primitive is scan_p:
            outs = self.scan(eqn, values, steps, keeps)
        else:
            outs = eqn.primitive.bind(*values, **eqn.params)
            outs = outs if eqn.primitive.multiple_results else [outs]
        return (
            [self.mark(out, v.aval, steps) for out, v in zip(outs, eqn.outvars)] if keeps else outs
        )

    def mark(self, value: Any, aval: ShapedArray, steps: Shape) -> Any:
        """Return a value with a mark."""
        self.avals.append(ShapedArray((*steps, *aval.shape), aval.dtype))
        return saved_p.bind(value, site=len(self.avals) - 1)

    def scan(self, eqn: JaxprEqn, values: Sequence[Any], steps: Shape, keeps: bool) -> list[Any]:
        """Apply a scan with marks in its body, and on what it carries if ``keeps``."""
        params, body = eqn.params, eqn.params["jaxpr"]
        inside = (*steps, params["length"])

        def step(*args: Any) -> list[Any]:
            parts = Parts.of(args, params["num_consts"], params["num_carry"])
            if keeps:
                pairs = zip(parts.carry, body.in_avals[params["num_consts"] :])
                parts = parts._replace(carry=[self.mark(c, aval, inside) for c, aval in pairs])
            return self.run(body, [*parts.consts, *parts.carry, *parts.xs], inside)

        new = stage(step, [a.strong() for a in body.in_avals], "checkpoint")
        jaxpr = new.jaxpr
        open_body = Jaxpr([], [*jaxpr.constvars, *jaxpr.invars], jaxpr.outvars, jaxpr.eqns)
        counts = {"num_consts": params["num_consts"] + len(new.consts)}
        changed = params | counts | {"jaxpr": ClosedJaxpr(open_body, [])}
        return scan_p.bind(*new.consts, *values, **changed)  # type: ignore[no-any-return]


def kept_values(eqns: Sequence[JaxprEqn]) -> set[Var]:
    """Return the marked values that equations compute."""
    marks = [eqn for eqn in eqns if eqn.primitive is saved_p]
    return {a for eqn in marks for a in (*eqn.invars, *eqn.outvars) if isinstance(a, Var)}


# --- taking the values from outside ------------------------------------------------------------


def taking(jaxpr: Jaxpr, values: Mapping[int, Atom]) -> Jaxpr:
    """Return a jaxpr without marks: marked values are those given by their sites."""
    named = {e.outvars[0]: e.invars[0] for e in jaxpr.eqns if e.primitive is name_p}
    same: dict[Var, Atom] = {}
    for eqn in jaxpr.eqns:
        if eqn.primitive is saved_p:
            value = values[eqn.params["site"]]
            same[eqn.outvars[0]] = value
            atom: Atom | None = eqn.invars[0]
            while isinstance(atom, Var):
                same[atom] = value
                atom = named.get(atom)  # what has a name is the value it was given to
    eqns = []
    for eqn in jaxpr.eqns:
        if eqn.primitive is saved_p:
            continue
        eqn = eqn.replace(invars=[_now(a, same) for a in eqn.invars])
        eqns.append(_scan_taking(eqn, values, same) if eqn.primitive is scan_p else eqn)
    return Jaxpr(jaxpr.constvars, jaxpr.invars, [_now(a, same) for a in jaxpr.outvars], eqns)


def _scan_taking(eqn: JaxprEqn, values: Mapping[int, Atom], same: dict[Var, Atom]) -> JaxprEqn:
    """Return a scan whose body takes slices; stacks of slices are what they are slices of."""
    body, num_carry = eqn.params["jaxpr"].jaxpr, eqn.params["num_carry"]
    sites = _sites(body)
    if not sites:
        return eqn
    stacks = [values[site] for site in sites]
    slices = [Var(v.aval.update(shape=v.aval.shape[1:])) for v in stacks]
    new = taking(body, dict(zip(sites, slices)))
    new = Jaxpr([], [*new.invars, *slices], new.outvars, new.eqns)
    rows = dict(zip(slices, stacks))
    for out, atom in zip(eqn.outvars[num_carry:], new.outvars[num_carry:]):
        if isinstance(atom, Var) and atom in rows:
            same[out] = rows[atom]
    params = eqn.params | {"jaxpr": ClosedJaxpr(new, [])}
    return eqn.replace(invars=[*eqn.invars, *stacks], params=params)


def _sites(jaxpr: Jaxpr) -> list[int]:
    """Return the sites of the marks in a jaxpr and in the bodies of its loops."""
    found: dict[int, None] = {}
    for eqn in jaxpr.eqns:
        if eqn.primitive is saved_p:
            found[eqn.params["site"]] = None
        elif eqn.primitive is scan_p:
            found.update(dict.fromkeys(_sites(eqn.params["jaxpr"].jaxpr)))
    return list(found)


# --- handing them out --------------------------------------------------------------------------


def exposing(jaxpr: Jaxpr, sites: Sequence[int]) -> Jaxpr:
    """Return a jaxpr without marks that also returns the marked values of these sites."""
    values: dict[int, Atom] = {}
    same: dict[Var, Atom] = {}
    eqns = []
    for eqn in jaxpr.eqns:
        eqn = eqn.replace(invars=[_now(a, same) for a in eqn.invars])
        if eqn.primitive is saved_p:
            same[eqn.outvars[0]] = values[eqn.params["site"]] = eqn.invars[0]
            continue
        inside = _sites(eqn.params["jaxpr"].jaxpr) if eqn.primitive is scan_p else []
        if inside:
            wanted = [site for site in inside if site in sites]
            body = exposing(eqn.params["jaxpr"].jaxpr, wanted)
            rows = body.outvars[len(body.outvars) - len(wanted) :]
            length = eqn.params["length"]
            stacks = [Var(ShapedArray((length, *a.aval.shape), a.aval.dtype)) for a in rows]
            values.update(zip(wanted, stacks))
            params = eqn.params | {"jaxpr": ClosedJaxpr(body, [])}
            eqn = eqn.replace(outvars=[*eqn.outvars, *stacks], params=params)
        eqns.append(eqn)
    outs = [*(_now(a, same) for a in jaxpr.outvars), *(values[site] for site in sites)]
    return Jaxpr(jaxpr.constvars, jaxpr.invars, outs, eqns)


def _now(a: Atom, same: Mapping[Var, Atom]) -> Atom:
    return same.get(a, a) if isinstance(a, Var) else a
