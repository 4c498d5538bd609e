"""A jaxpr split for checkpointing: what runs forward, and what is run again for its tangents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from functrace.control.loops.jaxpr_surgery import memoised
from functrace.control.rules.checkpoint_marks import exposing, marked, taking
from functrace.control.rules.checkpoint_policies import Policy
from functrace.core.aval import ShapedArray
from functrace.core.jaxpr import ClosedJaxpr, Jaxpr, Var, eval_jaxpr
from functrace.interpreters.dce import dce_jaxpr
from functrace.interpreters.linearize import linearize_flat
from functrace.interpreters.staging import stage

__all__ = ["CheckpointSplit", "split_for_checkpoint"]


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
    marks: list[ShapedArray] = []
    if policy is not None:
        closed, marks = marked(closed, policy)
    tangent, nonzero_out = _tangent_part(closed, nonzero, marks)
    n, m = len(nonzero), len(marks)
    moving = (False,) * (n + m) + (True,) * sum(nonzero)
    tangent, used = dce_jaxpr(tangent, (True,) * sum(nonzero_out), moving)
    kept = [site for site in range(m) if used[n + site]]
    primal = ClosedJaxpr(exposing(closed.jaxpr, kept), closed.consts) if marks else closed
    inputs = tuple(i for i in range(n) if used[i])
    return CheckpointSplit(primal, tangent, inputs, nonzero_out)


def _tangent_part(
    closed: ClosedJaxpr, nonzero: tuple[bool, ...], marks: Sequence[ShapedArray]
) -> tuple[ClosedJaxpr, tuple[bool, ...]]:
    """Return the jaxpr of inputs, marked values and tangents to the tangents of outputs."""
    n, m = len(nonzero), len(marks)
    nonzero_out: list[bool] = []

    def fun(*args: Any) -> list[Any]:
        primals, tangents = args[:n], args[n + m :]
        # Linearized, not pushed forward: rules that only know how to go backward are welcome.
        _, program = linearize_flat(
            lambda *xs: eval_jaxpr(closed.jaxpr, closed.consts, *xs), primals, nonzero
        )
        out_tangents = program.apply(tangents)
        nonzero_out[:] = [t is not None for t in out_tangents]
        return [t for t in out_tangents if t is not None]

    moving_avals = [a.tangent() for a, nz in zip(closed.in_avals, nonzero) if nz]
    both = stage(fun, [*closed.in_avals, *marks, *moving_avals], "checkpoint")
    jaxpr = taking(both.jaxpr, dict(enumerate(both.jaxpr.invars[n : n + m])))
    return ClosedJaxpr(_needed(jaxpr), both.consts), tuple(nonzero_out)


def _needed(jaxpr: Jaxpr) -> Jaxpr:
    """Return a jaxpr without what its outputs don't need; effects aren't repeated."""
    needed = {a for a in jaxpr.outvars if isinstance(a, Var)}
    eqns = []
    for eqn in reversed(jaxpr.eqns):
        if not needed.isdisjoint(eqn.outvars):
            eqns.append(eqn)
            needed.update(a for a in eqn.invars if isinstance(a, Var))
    return Jaxpr(jaxpr.constvars, jaxpr.invars, jaxpr.outvars, eqns[::-1])
