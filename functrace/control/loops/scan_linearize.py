"""scan split for linearize: the loop as it is, with residuals stacked, and a loop of tangents.

A residual that is the same in every step is handed over once; one that is a slice of the operands
is not stored again; those that cost little to compute again are not stored: a polynomial of the
carry needs the carry only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from functrace.control.loops.jaxpr_surgery import inlined, instantiated, memoised
from functrace.control.loops.residuals import SplitBody, split_body
from functrace.control.loops.scan_primitive import Parts, bind_scan, fixpoint, scan_p
from functrace.core.jaxpr import ClosedJaxpr, eval_jaxpr
from functrace.core.trace import Trace
from functrace.interpreters.linearize import linearize_jaxpr

__all__: list[str] = []


class _Split(NamedTuple):
    """A body split at the fixpoint of its moving carry."""

    body: SplitBody
    carry: tuple[bool, ...]
    nonzero_out: tuple[bool, ...]


def _split(
    jaxpr: ClosedJaxpr, nonzero: Sequence[bool], num_consts: int, num_carry: int, hoist: bool
) -> _Split:
    # What a function of ``jit`` computes may be computed again as well.
    jaxpr = ClosedJaxpr(inlined(jaxpr), jaxpr.consts)
    consts, start, xs = Parts.of(nonzero, num_consts, num_carry)
    n_ys = len(jaxpr.jaxpr.outvars) - num_carry

    def step(carry: tuple[bool, ...]) -> Sequence[bool]:
        return linearize_jaxpr(jaxpr, (*consts, *carry, *xs)).nonzero_out[:num_carry]

    carry = fixpoint(start, step)
    moving = (*consts, *carry, *xs)
    both = linearize_jaxpr(jaxpr, moving, (*carry, *([False] * n_ys)))
    body = split_body(both, num_consts, num_carry, sum(consts) + sum(carry), hoist)
    return _Split(body, carry, both.nonzero_out)


@scan_p.def_linearize
def _scan_linearize(
    parent: Trace,
    primals: Sequence[Any],
    nonzero: Sequence[bool],
    *,
    jaxpr: ClosedJaxpr,
    num_consts: int,
    num_carry: int,
    length: int,
    **params: Any,
) -> tuple[list[Any], tuple[bool, ...], Callable[[list[Any]], list[Any]]]:
    key = ("scan linearize", tuple(nonzero), num_consts, num_carry, length > 0)
    split = memoised(jaxpr, key, lambda: _split(jaxpr, nonzero, num_consts, num_carry, length > 0))
    body, n_out = split.body, len(split.nonzero_out)
    consts, carry, xs = Parts.of(primals, num_consts, num_carry)
    fixed = eval_jaxpr(body.fixed.jaxpr, body.fixed.consts, *consts)
    results = bind_scan(body.primal, [*consts, *fixed], carry, xs, length=length, **params)
    known = [*consts, *fixed]
    shared = [known[i] for i in body.shared]
    stacked = [(*xs, *results[num_carry:])[i] for i in body.stacked]
    avals = jaxpr.in_avals[num_consts : num_consts + num_carry]

    def linear(tangents: list[Any]) -> list[Any]:
        moving = iter(tangents)
        t = Parts.of([next(moving) if nz else None for nz in nonzero], num_consts, num_carry)
        return bind_scan(
            body.linear,
            [*shared, *(v for v in t.consts if v is not None)],
            instantiated(t.carry, avals, split.carry),
            [*stacked, *(v for v in t.xs if v is not None)],
            length=length,
            **params,
        )

    return results[:n_out], split.nonzero_out, linear
