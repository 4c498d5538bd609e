"""One step of a while loop's tangents, and one step back: its transpose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from functrace.control.loops.accumulation import with_sums
from functrace.control.loops.jaxpr_surgery import instantiated, memoised
from functrace.control.loops.scan_primitive import fixpoint
from functrace.control.loops.while_reverse import Checkpoints, pull_back
from functrace.core.aval import ShapedArray
from functrace.core.jaxpr import ClosedJaxpr, eval_jaxpr
from functrace.interpreters.dce import dce_jaxpr
from functrace.interpreters.linearize import linearize_jaxpr
from functrace.interpreters.reverse import transpose_jaxpr
from functrace.interpreters.staging import stage
from functrace.ops.creation import zeros_like_aval

__all__ = ["StepBack", "step_back", "step_of_tangents"]


def step_of_tangents(
    body: ClosedJaxpr, consts: tuple[bool, ...], carry: tuple[bool, ...]
) -> ClosedJaxpr:
    """Return one step of the tangents: of constants, carry, and tangents of both that move."""
    key = ("tangent step", consts, carry)
    return memoised(body, key, lambda: _step_of_tangents(body, consts, carry))


def _step_of_tangents(
    body: ClosedJaxpr, consts: tuple[bool, ...], carry: tuple[bool, ...]
) -> ClosedJaxpr:
    split = linearize_jaxpr(body, (*consts, *carry), carry)
    primal, linear = split.primal, split.linear
    n_in = len(body.jaxpr.invars)

    def step(*args: Any) -> list[Any]:
        outs = eval_jaxpr(primal.jaxpr, primal.consts, *args[:n_in])
        residuals = outs[len(outs) - split.n_residuals :]
        return eval_jaxpr(linear.jaxpr, linear.consts, *residuals, *args[n_in:])

    tangents = linear.in_avals[split.n_residuals :]
    return stage(step, [*(a.strong() for a in body.in_avals), *tangents], "a step of tangents")


class StepBack(NamedTuple):
    """One step back: of constants, the carry, sums, and cotangents of the next carry.

    It returns the sums, with the cotangents of moving constants added, and the cotangents of the
    carry. ``consts`` and ``carry`` tell which of what moves gets a cotangent; ``const_avals`` and
    ``carry_avals`` are their types.
    """

    jaxpr: ClosedJaxpr
    consts: tuple[bool, ...]
    carry: tuple[bool, ...]
    const_avals: list[ShapedArray]
    carry_avals: list[ShapedArray]

    @property
    def types(self) -> list[ShapedArray]:
        """The types of what a loop of such steps returns."""
        avals, flags = (*self.const_avals, *self.carry_avals), (*self.consts, *self.carry)
        return [a.tangent() for a, nz in zip(avals, flags) if nz]

    def pull(
        self, body: ClosedJaxpr, consts: Sequence[Any], kept: Checkpoints, ct: Sequence[Any]
    ) -> list[Any]:
        """Return the cotangents of what moves, constants and carry; None where they are zero."""
        zeros = [zeros_like_aval(a) for a, nz in zip(self.const_avals, self.consts) if nz]
        last = instantiated(ct, self.carry_avals, self.carry)
        found = iter(pull_back(body, self.jaxpr, consts, kept, zeros, last))
        return [next(found) if nz else None for nz in (*self.consts, *self.carry)]


def step_back(
    step: ClosedJaxpr, linear: tuple[bool, ...], n_consts: int, nonzero: tuple[bool, ...]
) -> StepBack:
    """Return the transpose of one step, at the fixpoint of the cotangents of the carry.

    Args:
        step: the step; its outputs are the carry that moves.
        linear: which inputs it is linear in: ``n_consts`` constants, then the carry.
        n_consts: how many constants it is linear in.
        nonzero: which of the last carry has a cotangent.
    """
    carry = fixpoint(nonzero, lambda moving: transpose_jaxpr(step, linear, moving)[1][n_consts:])
    wanted = (False,) * n_consts + carry
    back, found = transpose_jaxpr(step, linear, carry, wanted)
    n_sums, known = sum(found[:n_consts]), linear.count(False)
    live = memoised(
        back, "step back", lambda: with_sums(_live(back).jaxpr, known, n_sums, sum(carry), 0)
    )
    avals = [a.strong() for a, lin in zip(step.in_avals, linear) if lin]
    return StepBack(live, found[:n_consts], carry, avals[:n_consts], avals[n_consts:])


def _live(closed: ClosedJaxpr) -> ClosedJaxpr:
    """Return a jaxpr of the same inputs and outputs without dead code."""
    return dce_jaxpr(
        closed, (True,) * len(closed.jaxpr.outvars), (True,) * len(closed.jaxpr.invars)
    )[0]
