"""while linearized and transposed.

Linearized, it runs with checkpoints, and ``while_linear_p`` stands for the tangents' loop. Pushed
forward that is the loop of values and tangents; transposed, the way back over the checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from functrace.control.loops.jaxpr_surgery import instantiated, memoised
from functrace.control.loops.scan_primitive import fixpoint
from functrace.control.loops.while_primitive import (
    Operands,
    bind_while,
    ignoring,
    jvp_of_body,
    while_p,
)
from functrace.control.loops.while_pull import Loop, moving_carry, while_kept_p
from functrace.control.loops.while_reverse import run_forward
from functrace.control.loops.while_steps import step_back
from functrace.core.aval import ShapedArray
from functrace.core.jaxpr import ClosedJaxpr, Var
from functrace.core.lowering import Composite
from functrace.core.placeholders import is_linear
from functrace.core.trace import Primitive, Trace
from functrace.errors import MissingRuleError, compose
from functrace.interpreters.batching import batch_flat
from functrace.interpreters.dce import dce_jaxpr
from functrace.interpreters.forward import jvp_flat
from functrace.interpreters.linearize import linearize_flat

__all__ = ["while_linear_p"]


Linearized = tuple[list[Any], tuple[bool, ...], Callable[[list[Any]], list[Any]]]


@while_p.def_linearize
def _while_linearize(
    parent: Trace, primals: Sequence[Any], nonzero: Sequence[bool], **params: Any
) -> Linearized:
    outs, carry, linear = _while_kept_linearize(parent, primals, nonzero, **params)
    n = 2 + (len(outs) - 2) // 2
    return outs[n:], carry[n:], linear


@while_kept_p.def_linearize
def _while_kept_linearize(
    parent: Trace,
    primals: Sequence[Any],
    nonzero: Sequence[bool],
    *,
    cond_jaxpr: ClosedJaxpr,
    body_jaxpr: ClosedJaxpr,
    cond_nconsts: int,
    body_nconsts: int,
) -> Linearized:
    p = Operands.of(primals, cond_nconsts, body_nconsts)
    moves = Operands.of(nonzero, cond_nconsts, body_nconsts)
    consts = tuple(moves.body_consts)
    carry = moving_carry(body_jaxpr, consts, moves.carry)
    outs, kept = Loop(cond_jaxpr, body_jaxpr, *p).run()
    avals = body_jaxpr.in_avals[body_nconsts:]

    def linear(tangents: list[Any]) -> list[Any]:
        moving = iter(tangents)
        t = Operands.of(
            [next(moving) if nz else None for nz in nonzero], cond_nconsts, body_nconsts
        )
        return while_linear_p.bind(  # type: ignore[no-any-return]
            *kept,
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

    # What is kept has no tangents: whoever takes it takes what the loop starts from as well, and
    # moves with that.
    return [*kept, *outs], (*[False] * len(kept), *carry), linear


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
    loop = Loop(cond_jaxpr, body_jaxpr, s.cond_consts, s.body_consts, s.carry)
    pulled = loop.pull(consts, carry, s.kept, ct)
    known = len(args) - len(pulled)
    return [None] * known + [c if is_linear(a) else None for c, a in zip(pulled, args[known:])]


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
