"""A jaxpr split for checkpointing: what runs forward, and what is run again for its tangents."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from functrace.control.jit_primitive import jit_p
from functrace.control.loops.jaxpr_surgery import memoised, substituted
from functrace.control.rules.checkpoint_policies import Policy
from functrace.core.aval import ShapedArray
from functrace.core.jaxpr import Atom, ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var
from functrace.interpreters.dce import dce_jaxpr
from functrace.interpreters.forward import JVPTracer
from functrace.interpreters.linearize import linearize_flat
from functrace.interpreters.staging import JaxprTracer, stage
from functrace.source_info import replayed

__all__ = ["CheckpointSplit", "split_for_checkpoint"]

Visit = Callable[[int, JaxprEqn, Sequence[Any]], Sequence[Any]]


class CheckpointSplit(NamedTuple):
    """A function in two parts.

    Attributes:
        primal: maps the inputs to the outputs and the values that are kept.
        tangent: of the inputs number ``inputs``, the kept values and the moving inputs' tangents
            to the tangents of the ``nonzero_out`` outputs; computes again whatever else it needs.
        inputs: which inputs the tangent part takes.
        nonzero_out: which outputs move.
    """

    primal: ClosedJaxpr
    tangent: ClosedJaxpr
    inputs: tuple[int, ...]
    nonzero_out: tuple[bool, ...]


def split_for_checkpoint(
    closed: ClosedJaxpr, nonzero: tuple[bool, ...], policy: Policy | None
) -> CheckpointSplit:
    """Split a jaxpr whose inputs move where ``nonzero`` says; kept in its memo."""
    key = ("checkpoint", nonzero, policy)
    return memoised(closed, key, lambda: _split(closed, nonzero, policy))


def _split(
    closed: ClosedJaxpr, nonzero: tuple[bool, ...], policy: Policy | None
) -> CheckpointSplit:
    places = _saveable(closed, policy)
    tangent, nonzero_out = _tangent_part(closed, nonzero, places)
    n, m = len(nonzero), len(places)
    moving = (False,) * (n + m) + (True,) * sum(nonzero)
    tangent, used = dce_jaxpr(tangent, (True,) * sum(nonzero_out), moving)
    kept = [place for place, use in zip(places, used[n:]) if use]
    primal = _primal_part(closed, kept)
    inputs = tuple(i for i in range(n) if used[i])
    return CheckpointSplit(primal, tangent, inputs, nonzero_out)


# --- running a jaxpr equation by equation ------------------------------------------------------


def _walk(closed: ClosedJaxpr, args: Sequence[Any], visit: Visit) -> list[Any]:
    """Run a jaxpr by ``visit``, which is given each equation's number; calls of jit are opened."""
    return _run(closed, args, visit, iter(range(1 << 62)))


def _run(
    closed: ClosedJaxpr, args: Sequence[Any], visit: Visit, numbers: Iterator[int]
) -> list[Any]:
    jaxpr = closed.jaxpr
    env: dict[Atom, Any] = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*closed.consts, *args)))
    outer = replayed.source
    try:
        for eqn in jaxpr.eqns:
            values = [a.val if isinstance(a, Literal) else env[a] for a in eqn.invars]
            replayed.source = eqn.source or outer
            if eqn.primitive is jit_p:
                outs: Sequence[Any] = _run(eqn.params["jaxpr"], values, visit, numbers)
            else:
                outs = visit(next(numbers), eqn, values)
            env.update(zip(eqn.outvars, outs))
    finally:
        replayed.source = outer
    return [a.val if isinstance(a, Literal) else env[a] for a in jaxpr.outvars]


def _apply(eqn: JaxprEqn, values: Sequence[Any]) -> Sequence[Any]:
    out = eqn.primitive.bind(*values, **eqn.params)
    return out if eqn.primitive.multiple_results else (out,)


# --- the parts ---------------------------------------------------------------------------------

Place = tuple[int, int, ShapedArray]
"""A result: the number of its equation, its number among the results, its type."""


def _saveable(closed: ClosedJaxpr, policy: Policy | None) -> list[Place]:
    """Return the results that a policy keeps."""
    places: list[Place] = []
    if policy is None:
        return places

    def visit(number: int, eqn: JaxprEqn, values: Sequence[Any]) -> Sequence[Any]:
        if policy(eqn.primitive, *(a.aval for a in eqn.invars), **eqn.params):
            places.extend((number, k, v.aval.strong()) for k, v in enumerate(eqn.outvars))
        return [None] * len(eqn.outvars)

    _walk(closed, [None] * len(closed.in_avals), visit)
    return places


def _primal_part(closed: ClosedJaxpr, kept: Sequence[Place]) -> ClosedJaxpr:
    if not kept:
        return closed

    def fun(*args: Any) -> list[Any]:
        found: dict[tuple[int, int], Any] = {}

        def visit(number: int, eqn: JaxprEqn, values: Sequence[Any]) -> Sequence[Any]:
            outs = _apply(eqn, values)
            found.update(((number, k), out) for k, out in enumerate(outs))
            return outs

        return [*_walk(closed, args, visit), *(found[number, k] for number, k, _ in kept)]

    return stage(fun, closed.in_avals, "checkpoint")


def _tangent_part(
    closed: ClosedJaxpr, nonzero: tuple[bool, ...], places: Sequence[Place]
) -> tuple[ClosedJaxpr, tuple[bool, ...]]:
    """Return the jaxpr of inputs, saveable values and tangents to the tangents of outputs."""
    number_of = {(number, k): i for i, (number, k, _) in enumerate(places)}
    n, m = len(nonzero), len(places)
    same: dict[Var, Atom] = {}
    nonzero_out: list[bool] = []

    def fun(*args: Any) -> list[Any]:
        primals, saved, tangents = args[:n], args[n : n + m], args[n + m :]
        inputs = {a.variable for a in args}

        def visit(number: int, eqn: JaxprEqn, values: Sequence[Any]) -> Sequence[Any]:
            outs = _apply(eqn, values)
            for k, out in enumerate(outs):
                i = number_of.get((number, k))
                value = out.primal if type(out) is JVPTracer else out
                if i is not None and type(value) is JaxprTracer and value.variable not in inputs:
                    same.setdefault(value.variable, saved[i].variable)
            return outs

        # Linearized, not pushed forward: rules that only know how to go backward are welcome.
        _, program = linearize_flat(lambda *xs: _walk(closed, xs, visit), primals, nonzero)
        out_tangents = program.apply(tangents)
        nonzero_out[:] = [t is not None for t in out_tangents]
        return [t for t in out_tangents if t is not None]

    moving_avals = [a.tangent() for a, nz in zip(closed.in_avals, nonzero) if nz]
    saved_avals = [aval for _, _, aval in places]
    both = stage(fun, [*closed.in_avals, *saved_avals, *moving_avals], "checkpoint")
    jaxpr = _needed(substituted(both.jaxpr, same))
    return ClosedJaxpr(jaxpr, both.consts), tuple(nonzero_out)


def _needed(jaxpr: Jaxpr) -> Jaxpr:
    """Return a jaxpr without what its outputs don't need; effects aren't repeated."""
    needed = {a for a in jaxpr.outvars if isinstance(a, Var)}
    eqns = []
    for eqn in reversed(jaxpr.eqns):
        if not needed.isdisjoint(eqn.outvars):
            eqns.append(eqn)
            needed.update(a for a in eqn.invars if isinstance(a, Var))
    return Jaxpr(jaxpr.constvars, jaxpr.invars, jaxpr.outvars, eqns[::-1])
