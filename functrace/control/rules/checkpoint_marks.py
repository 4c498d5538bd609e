"""Marks on the values that a checkpoint policy keeps, inside of branches and scans too.

A mark is an equation that returns its operand. Derivatives pass through it, so the linearized
function still tells which of its values the kept ones are: there they are taken from outside
instead of computed. A value of a scan's body is kept for all steps, as a stack. Of several branches
one runs: what they keep shares places, by type. A while loop keeps what it carries, as always.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from functrace.control.jit_primitive import jit_p
from functrace.control.loops.branches import cond_p
from functrace.control.loops.scan_primitive import Parts, scan_p
from functrace.control.rules.checkpoint_policies import Policy, name_p
from functrace.core.aval import Shape, ShapedArray
from functrace.core.jaxpr import Atom, ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var
from functrace.core.lowering import View
from functrace.core.trace import Primitive
from functrace.interpreters.staging import stage
from functrace.ops.creation import full_p
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
        #: Sites of branches that don't run when this one does; and those taken by this one.
        self.free: list[int] = []
        self.taken: list[int] = []

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
        elif eqn.primitive is cond_p:
            outs = self.cond(eqn, values, steps)
        else:
            outs = eqn.primitive.bind(*values, **eqn.params)
            outs = outs if eqn.primitive.multiple_results else [outs]
        return (
            [self.mark(out, v.aval, steps) for out, v in zip(outs, eqn.outvars)] if keeps else outs
        )

    def mark(self, value: Any, aval: ShapedArray, steps: Shape) -> Any:
        """Return a value with a mark."""
        kept = ShapedArray((*steps, *aval.shape), aval.dtype)
        site = next((k for k in self.free if self.avals[k] == kept), len(self.avals))
        if site == len(self.avals):
            self.avals.append(kept)
        else:
            self.free.remove(site)
        self.taken.append(site)
        return saved_p.bind(value, site=site)

    def cond(self, eqn: JaxprEqn, values: Sequence[Any], steps: Shape) -> list[Any]:
        """Apply a choice with marks in its branches, which share sites."""
        free, taken, made = self.free, self.taken, list[int]()
        branches = []
        for branch in eqn.params["branches"]:
            self.free, self.taken = [*made, *free], []
            avals = [a.strong() for a in branch.in_avals]
            branches.append(
                stage(lambda *args, b=branch: self.run(b, args, steps), avals, "checkpoint")
            )
            made = list(dict.fromkeys([*made, *self.taken]))
            free = [site for site in free if site not in made]
        self.free, self.taken = free, [*taken, *made]
        return cond_p.bind(*values, branches=tuple(branches))  # type: ignore[no-any-return]

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
        if eqn.primitive is scan_p:
            eqn = _scan_taking(eqn, values, same)
        elif eqn.primitive is cond_p:
            eqn = _cond_taking(eqn, values)
        eqns.append(eqn)
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


def _cond_taking(eqn: JaxprEqn, values: Mapping[int, Atom]) -> JaxprEqn:
    """Return a choice whose branches take what they kept."""
    branches = eqn.params["branches"]
    sites = list(dict.fromkeys(site for branch in branches for site in _sites(branch.jaxpr)))
    if not sites:
        return eqn

    def open_branch(branch: ClosedJaxpr) -> ClosedJaxpr:
        given = [Var(values[site].aval) for site in sites]
        new = taking(branch.jaxpr, dict(zip(sites, given)))
        new = Jaxpr(new.constvars, [*new.invars, *given], new.outvars, new.eqns)
        return ClosedJaxpr(new, branch.consts)

    params = {"branches": tuple(map(open_branch, branches))}
    return eqn.replace(invars=[*eqn.invars, *(values[site] for site in sites)], params=params)


def _sites(jaxpr: Jaxpr) -> list[int]:
    """Return the sites of the marks in a jaxpr, in the bodies of its scans, and its branches."""
    found: dict[int, None] = {}
    for eqn in jaxpr.eqns:
        if eqn.primitive is saved_p:
            found[eqn.params["site"]] = None
        elif eqn.primitive is scan_p:
            found.update(dict.fromkeys(_sites(eqn.params["jaxpr"].jaxpr)))
        elif eqn.primitive is cond_p:
            for branch in eqn.params["branches"]:
                found.update(dict.fromkeys(_sites(branch.jaxpr)))
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
        inside = _sites(Jaxpr([], [], [], [eqn]))
        wanted = [site for site in inside if site in sites]
        if inside:
            handing_out = _scan_exposing if eqn.primitive is scan_p else _cond_exposing
            eqn, given = handing_out(eqn, wanted)
            values.update(zip(wanted, given))
        eqns.append(eqn)
    outs = [*(_now(a, same) for a in jaxpr.outvars), *(values[site] for site in sites)]
    return Jaxpr(jaxpr.constvars, jaxpr.invars, outs, eqns)


def _scan_exposing(eqn: JaxprEqn, wanted: Sequence[int]) -> tuple[JaxprEqn, list[Var]]:
    """Return a scan that also returns marked values, stacked."""
    body = exposing(eqn.params["jaxpr"].jaxpr, wanted)
    rows = body.outvars[len(body.outvars) - len(wanted) :]
    length = eqn.params["length"]
    stacks = [Var(ShapedArray((length, *a.aval.shape), a.aval.dtype)) for a in rows]
    params = eqn.params | {"jaxpr": ClosedJaxpr(body, [])}
    return eqn.replace(outvars=[*eqn.outvars, *stacks], params=params), stacks


def _cond_exposing(eqn: JaxprEqn, wanted: Sequence[int]) -> tuple[JaxprEqn, list[Var]]:
    """Return a choice that also returns marked values; zeros where its branch has none."""
    branches = eqn.params["branches"]
    types: dict[int, ShapedArray] = {}
    opened = []
    for branch in branches:
        mine = [site for site in _sites(branch.jaxpr) if site in wanted]
        new = exposing(branch.jaxpr, mine)
        kept = dict(zip(mine, new.outvars[len(new.outvars) - len(mine) :]))
        types |= {site: a.aval.strong() for site, a in kept.items()}
        opened.append((new, len(new.outvars) - len(mine), kept))

    def close(new: Jaxpr, n: int, kept: dict[int, Atom], consts: Sequence[Any]) -> ClosedJaxpr:
        outs, eqns = list(new.outvars[:n]), list(new.eqns)
        for site in wanted:
            if site not in kept:
                zero = kept[site] = Var(types[site])
                params = {"shape": zero.aval.shape, "fill_value": 0, "dtype": zero.aval.dtype}
                eqns.append(JaxprEqn(full_p, [], [zero], params))
            outs.append(kept[site])
        return ClosedJaxpr(Jaxpr(new.constvars, new.invars, outs, eqns), consts)

    closed = tuple(close(*parts, b.consts) for parts, b in zip(opened, branches))
    given = [Var(types[site]) for site in wanted]
    return eqn.replace(outvars=[*eqn.outvars, *given], params={"branches": closed}), given


def _now(a: Atom, same: Mapping[Var, Atom]) -> Atom:
    return same.get(a, a) if isinstance(a, Var) else a
