"""while linearized and transposed.

Linearized, it runs with checkpoints, and ``while_linear_p`` stands for the tangents' loop. Pushed
forward that is the loop of values and tangents; transposed, the way back over the checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from functrace.control.loops.accumulation import with_sums
from functrace.control.loops.jaxpr_surgery import instantiated, memoised
from functrace.control.loops.scan_primitive import fixpoint
from functrace.control.loops.while_primitive import (
    Operands,
    bind_while,
    ignoring,
    jvp_of_body,
    while_p,
)
from functrace.control.loops.while_reverse import Checkpoints, pull_back, run_forward
from functrace.core.aval import ShapedArray
from functrace.core.jaxpr import ClosedJaxpr, Var, eval_jaxpr
from functrace.core.lowering import Composite
from functrace.core.placeholders import is_linear
from functrace.core.trace import Primitive, Trace
from functrace.errors import MissingRuleError, compose
from functrace.interpreters.batching import batch_flat
from functrace.interpreters.dce import dce_jaxpr
from functrace.interpreters.forward import jvp_flat
from functrace.interpreters.linearize import linearize_flat, linearize_jaxpr
from functrace.interpreters.reverse import transpose_jaxpr
from functrace.interpreters.staging import stage
from functrace.ops.creation import zeros_like_aval

__all__ = ["while_linear_p"]


@while_p.def_linearize
def _while_linearize(
    parent: Trace,
    primals: Sequence[Any],
    nonzero: Sequence[bool],
    *,
    cond_jaxpr: ClosedJaxpr,
    body_jaxpr: ClosedJaxpr,
    cond_nconsts: int,
    body_nconsts: int,
) -> tuple[list[Any], tuple[bool, ...], Callable[[list[Any]], list[Any]]]:
    p = Operands.of(primals, cond_nconsts, body_nconsts)
    moves = Operands.of(nonzero, cond_nconsts, body_nconsts)
    consts = tuple(moves.body_consts)
    carry = fixpoint(
        moves.carry, lambda flags: linearize_jaxpr(body_jaxpr, (*consts, *flags)).nonzero_out
    )
    outs, kept = run_forward(cond_jaxpr, body_jaxpr, p.cond_consts, p.body_consts, p.carry)
    avals = body_jaxpr.in_avals[body_nconsts:]

    def linear(tangents: list[Any]) -> list[Any]:
        moving = iter(tangents)
        t = Operands.of(
            [next(moving) if nz else None for nz in nonzero], cond_nconsts, body_nconsts
        )
        return while_linear_p.bind(  # type: ignore[no-any-return]
            *kept.flat(),
            *p.cond_consts,
            *p.body_consts,
            *p.carry,
            *(v for v in t.body_consts if v is not None),
            *instantiated(t.carry, avals, carry),
            cond_jaxpr=cond_jaxpr,
            body_jaxpr=body_jaxpr,
            consts=consts,
            carry=carry,
        )

    return outs, carry, linear


# --- the loop of tangents ----------------------------------------------------------------------

while_linear_p = Primitive("while_linear", multiple_results=True)


class _Split:
    """The operands of ``while_linear_p``, by what they are."""

    def __init__(
        self,
        args: Sequence[Any],
        cond_jaxpr: ClosedJaxpr,
        consts: Sequence[bool],
        carry: Sequence[bool],
    ) -> None:
        n_carry = len(carry)
        items = iter(args)

        def take(n: int) -> list[Any]:
            return [next(items) for _ in range(n)]

        self.kept = take(2 + n_carry)
        self.cond_consts = take(len(cond_jaxpr.jaxpr.invars) - n_carry)
        self.body_consts = take(len(consts))
        self.carry = take(n_carry)
        self.moving_consts = take(sum(consts))
        self.moving_carry = take(sum(carry))


def _as_while(
    *args: Any,
    cond_jaxpr: ClosedJaxpr,
    body_jaxpr: ClosedJaxpr,
    consts: tuple[bool, ...],
    carry: tuple[bool, ...],
) -> list[Any]:
    """Run values and tangents together, from the start."""
    s = _Split(args, cond_jaxpr, consts, carry)
    _, body = jvp_of_body(body_jaxpr, consts, carry)
    avals = [a for a, nz in zip(body_jaxpr.in_avals[len(consts) :], carry) if nz]
    outs = bind_while(
        ignoring(cond_jaxpr, [a.tangent() for a in avals]),
        body,
        s.cond_consts,
        [*s.body_consts, *s.moving_consts],
        [*s.carry, *s.moving_carry],
    )
    return outs[len(carry) :]


while_linear_p.def_impl(_as_while)
while_linear_p.def_lowering(Composite(_as_while))


@while_linear_p.def_abstract_eval
def _while_linear_type(
    *avals: ShapedArray,
    cond_jaxpr: ClosedJaxpr,
    body_jaxpr: ClosedJaxpr,
    consts: tuple[bool, ...],
    carry: tuple[bool, ...],
) -> list[ShapedArray]:
    moving = avals[len(avals) - sum(carry) :]
    wanted = [a.tangent() for a, nz in zip(body_jaxpr.out_avals, carry) if nz]
    for given, want in zip(moving, wanted, strict=True):
        if not given.same_type(want):
            raise TypeError(f"while_linear got a tangent of type {given}, not {want}")
    return wanted


@while_linear_p.def_jvp
def _while_linear_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], **params: Any
) -> tuple[list[Any], list[Any]]:
    return jvp_flat(lambda *args: _as_while(*args, **params), primals, tangents)


@while_linear_p.def_linearize
def _while_linear_linearize(
    parent: Trace, primals: Sequence[Any], nonzero: Sequence[bool], **params: Any
) -> tuple[list[Any], list[bool], Callable[[list[Any]], list[Any]]]:
    outs, program = linearize_flat(lambda *args: _as_while(*args, **params), primals, nonzero)

    def linear(tangents: list[Any]) -> list[Any]:
        return [t for t in program.apply(tangents) if t is not None]

    return outs, [o is not None for o in program.outputs], linear


@while_linear_p.def_batching
def _while_linear_batching(
    size: int, args: Sequence[Any], dims: Sequence[int | None], **params: Any
) -> tuple[list[Any], list[int | None]]:
    return batch_flat(lambda *values: _as_while(*values, **params), size, args, dims)


@while_linear_p.def_transpose
def _while_linear_transpose(
    ct: list[Any],
    *args: Any,
    cond_jaxpr: ClosedJaxpr,
    body_jaxpr: ClosedJaxpr,
    consts: tuple[bool, ...],
    carry: tuple[bool, ...],
) -> list[Any]:
    s = _Split(args, cond_jaxpr, consts, carry)
    step = memoised(
        body_jaxpr,
        ("tangent step", consts, carry),
        lambda: _tangent_step(body_jaxpr, consts, carry),
    )
    n_known, n_consts = len(body_jaxpr.jaxpr.invars), sum(consts)
    flags = (False,) * n_known + (True,) * (n_consts + sum(carry))
    back = step_back(step, flags, n_consts, tuple(c is not None for c in ct))
    steps, bits, *buffers = s.kept
    kept = Checkpoints(steps, bits, buffers)
    pulled = back.pull(body_jaxpr, s.body_consts, kept, ct)
    known = len(args) - len(pulled)
    return [None] * known + [c if is_linear(a) else None for c, a in zip(pulled, args[known:])]


def _tangent_step(
    body: ClosedJaxpr, consts: tuple[bool, ...], carry: tuple[bool, ...]
) -> ClosedJaxpr:
    """Return one step of the tangents: of constants, carry, and tangents of both that move."""
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


# --- a loop with linear operands ---------------------------------------------------------------


@while_p.def_transpose
def _while_transpose(
    ct: list[Any],
    *args: Any,
    cond_jaxpr: ClosedJaxpr,
    body_jaxpr: ClosedJaxpr,
    cond_nconsts: int,
    body_nconsts: int,
) -> list[Any]:
    linear = Operands.of([is_linear(a) for a in args], cond_nconsts, body_nconsts)
    values = Operands.of(args, cond_nconsts, body_nconsts)
    carry = _linear_carry(body_jaxpr, linear)
    _check_condition(cond_jaxpr, linear, carry)
    loop = memoised(
        body_jaxpr,
        ("known loop", cond_jaxpr, tuple(linear.body_consts), carry),
        lambda: _known_loop(cond_jaxpr, body_jaxpr, tuple(linear.body_consts), carry),
    )
    consts = [v for v, lin in zip(values.body_consts, linear.body_consts) if not lin]
    start = [v for v, lin in zip(values.carry, carry) if not lin]
    _, kept = run_forward(loop.cond, loop.body, values.cond_consts, consts, start)
    nonzero = tuple(c is not None for c, lin in zip(ct, carry) if lin)
    flags = (*linear.body_consts, *carry)
    back = step_back(loop.step, flags, sum(linear.body_consts), nonzero)
    moving = back.pull(loop.body, consts, kept, [c for c, lin in zip(ct, carry) if lin])
    pulled = iter(moving)
    result = [None] * cond_nconsts + [next(pulled) if lin else None for lin in flags]
    # A carry that starts from a known value needs no cotangent.
    return [c if is_linear(a) else None for c, a in zip(result, args)]


def _linear_carry(body: ClosedJaxpr, linear: Operands) -> tuple[bool, ...]:
    """Return which of the carry depends on a linear operand at some step."""

    def step(carry: tuple[bool, ...]) -> Sequence[bool]:
        flags = (*linear.body_consts, *carry)
        reached = {v for v, lin in zip(body.jaxpr.invars, flags) if lin}
        for eqn in body.eqns:
            if not reached.isdisjoint(a for a in eqn.invars if isinstance(a, Var)):
                reached.update(eqn.outvars)
        return [isinstance(a, Var) and a in reached for a in body.jaxpr.outvars]

    return fixpoint(linear.carry, step)


def _check_condition(cond: ClosedJaxpr, linear: Operands, carry: Sequence[bool]) -> None:
    used = dce_jaxpr(cond, (True,))[1]
    if any(u and lin for u, lin in zip(used, (*linear.cond_consts, *carry))):
        raise MissingRuleError(
            compose(
                "the transpose of a while loop whose condition depends on a linear argument.",
                "how often it runs would depend on what it is linear in: it isn't linear.",
                "vjp or grad instead of linear_transpose.",
            )
        )


class _Loop(NamedTuple):
    """The known part of a loop, and the step of its linear part."""

    cond: ClosedJaxpr
    body: ClosedJaxpr
    step: ClosedJaxpr


def _known_loop(
    cond: ClosedJaxpr, body: ClosedJaxpr, consts: tuple[bool, ...], carry: tuple[bool, ...]
) -> _Loop:
    n_cond = len(cond.jaxpr.invars) - len(carry)
    keep = (*([True] * n_cond), *(not lin for lin in carry))
    known_cond, _ = dce_jaxpr(cond, (True,), keep)
    outs = tuple(not lin for lin in carry)
    known_body, _ = dce_jaxpr(body, outs, (*(not lin for lin in consts), *outs))
    step, _ = dce_jaxpr(body, carry, (True,) * len(body.jaxpr.invars))
    return _Loop(known_cond, known_body, step)
