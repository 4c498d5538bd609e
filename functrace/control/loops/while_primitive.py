"""while_p: a jaxpr again and again for as long as another says so; its forward rules.

Operands ``(*cond_consts, *body_consts, *carry)``, results the carry.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from functrace.control.loops.equation import compiled_equation
from functrace.control.loops.jaxpr_surgery import instantiated, memoised, reordered
from functrace.control.loops.lanes import lane_by_lane
from functrace.control.loops.scan_primitive import fixpoint
from functrace.core.aval import ShapedArray
from functrace.core.jaxpr import ClosedJaxpr, Jaxpr, Var, eval_jaxpr
from functrace.core.lowering import While
from functrace.core.trace import Primitive
from functrace.interpreters.batching import batch_jaxpr, materialize
from functrace.interpreters.dce import dce_jaxpr
from functrace.interpreters.forward import jvp_jaxpr

__all__ = ["Operands", "bind_while", "ignoring", "jvp_of_body", "while_p"]

while_p = Primitive("while", multiple_results=True)


class Operands(NamedTuple):
    """What the condition and the body are given, and the carry."""

    cond_consts: list[Any]
    body_consts: list[Any]
    carry: list[Any]

    @classmethod
    def of(cls, values: Sequence[Any], cond_nconsts: int, body_nconsts: int) -> Operands:
        """Split a flat list."""
        n = cond_nconsts + body_nconsts
        return cls(list(values[:cond_nconsts]), list(values[cond_nconsts:n]), list(values[n:]))


def bind_while(
    cond_jaxpr: ClosedJaxpr,
    body_jaxpr: ClosedJaxpr,
    cond_consts: Sequence[Any],
    body_consts: Sequence[Any],
    carry: Sequence[Any],
) -> list[Any]:
    """Apply a while loop to operands."""
    return while_p.bind(  # type: ignore[no-any-return]
        *cond_consts,
        *body_consts,
        *carry,
        cond_jaxpr=cond_jaxpr,
        body_jaxpr=body_jaxpr,
        cond_nconsts=len(cond_consts),
        body_nconsts=len(body_consts),
    )


# --- computing ---------------------------------------------------------------------------------


@while_p.def_impl
def _while_impl(*args: Any, body_jaxpr: ClosedJaxpr, **params: Any) -> list[Any]:
    program = compiled_equation(while_p, body_jaxpr, args, {"body_jaxpr": body_jaxpr, **params})
    if program is not None:
        return list(program(*args))
    return _while_in_python(*args, body_jaxpr=body_jaxpr, **params)


def _while_in_python(
    *args: Any,
    cond_jaxpr: ClosedJaxpr,
    body_jaxpr: ClosedJaxpr,
    cond_nconsts: int,
    body_nconsts: int,
) -> list[Any]:
    cond_consts, body_consts, carry = Operands.of(args, cond_nconsts, body_nconsts)
    while eval_jaxpr(cond_jaxpr.jaxpr, cond_jaxpr.consts, *cond_consts, *carry)[0]:
        carry = eval_jaxpr(body_jaxpr.jaxpr, body_jaxpr.consts, *body_consts, *carry)
    return carry


@while_p.def_abstract_eval
def _while_type(
    *avals: ShapedArray,
    cond_jaxpr: ClosedJaxpr,
    body_jaxpr: ClosedJaxpr,
    cond_nconsts: int,
    body_nconsts: int,
) -> list[ShapedArray]:
    cond_consts, body_consts, carry = Operands.of(avals, cond_nconsts, body_nconsts)
    for given, want in (
        *zip([*cond_consts, *carry], cond_jaxpr.in_avals, strict=True),
        *zip([*body_consts, *carry], body_jaxpr.in_avals, strict=True),
        *zip(carry, body_jaxpr.out_avals, strict=True),
    ):
        if not given.same_type(want):
            raise TypeError(f"while got {given} where its jaxprs have {want}")
    (answer,) = cond_jaxpr.out_avals
    if answer.shape != () or answer.dtype.kind != "b":
        raise TypeError(f"the condition of while is {answer}, not one boolean")
    return [a.strong() for a in body_jaxpr.out_avals]


# --- forward mode ------------------------------------------------------------------------------


@while_p.def_jvp
def _while_jvp(
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    cond_jaxpr: ClosedJaxpr,
    body_jaxpr: ClosedJaxpr,
    cond_nconsts: int,
    body_nconsts: int,
) -> tuple[list[Any], list[Any]]:
    p, t = (Operands.of(v, cond_nconsts, body_nconsts) for v in (primals, tangents))
    carry, body = jvp_of_body(
        body_jaxpr, [v is not None for v in t.body_consts], [v is not None for v in t.carry]
    )
    avals = [a for a, nz in zip(body_jaxpr.in_avals[body_nconsts:], carry) if nz]
    cond = ignoring(cond_jaxpr, [a.tangent() for a in avals])
    start = instantiated(t.carry, body_jaxpr.in_avals[body_nconsts:], carry)
    moving_consts = [v for v in t.body_consts if v is not None]
    body_consts = [*p.body_consts, *moving_consts]
    outs = bind_while(cond, body, p.cond_consts, body_consts, [*p.carry, *start])
    n = len(p.carry)
    moving = iter(outs[n:])
    return outs[:n], [next(moving) if nz else None for nz in carry]


def jvp_of_body(
    body: ClosedJaxpr, consts: Sequence[bool], start: Sequence[bool]
) -> tuple[tuple[bool, ...], ClosedJaxpr]:
    """Return which of the carry moves, and the body of constants, their tangents, and such a carry.

    Args:
        body: of constants and carry.
        consts: which constants have a tangent.
        start: which of the initial carry has one.
    """
    carry = fixpoint(start, lambda flags: jvp_jaxpr(body, (*consts, *flags))[1])
    moved, _ = jvp_jaxpr(body, (*consts, *carry), carry)
    n, m = len(consts), len(carry)
    first = n + m  # where the tangents of the constants begin
    second = first + sum(consts)
    order = (
        *range(n),
        *range(first, second),
        *range(n, first),
        *range(second, second + sum(carry)),
    )
    return carry, reordered(moved, order, tuple(range(len(moved.jaxpr.outvars))))


def ignoring(closed: ClosedJaxpr, more: Sequence[ShapedArray]) -> ClosedJaxpr:
    """Return a jaxpr with more inputs, which it doesn't look at."""

    def make() -> ClosedJaxpr:
        jaxpr = closed.jaxpr
        invars = [*jaxpr.invars, *(Var(a) for a in more)]
        return ClosedJaxpr(Jaxpr(jaxpr.constvars, invars, jaxpr.outvars, jaxpr.eqns), closed.consts)

    return memoised(closed, ("ignoring", tuple(more)), make)


# --- batching ----------------------------------------------------------------------------------


@while_p.def_batching
def _while_batching(
    size: int,
    args: Sequence[Any],
    dims: Sequence[int | None],
    *,
    cond_jaxpr: ClosedJaxpr,
    body_jaxpr: ClosedJaxpr,
    cond_nconsts: int,
    body_nconsts: int,
) -> tuple[list[Any], Sequence[int | None]]:
    values, places = (Operands.of(v, cond_nconsts, body_nconsts) for v in (args, dims))

    def inner(carry: Sequence[bool]) -> tuple[int | None, ...]:
        return tuple(0 if b else None for b in carry)

    def step(carry: tuple[bool, ...]) -> Sequence[bool]:
        found = batch_jaxpr(body_jaxpr, size, (*places.body_consts, *inner(carry)))[1]
        return [d is not None for d in found]

    carry = fixpoint([d is not None for d in places.carry], step)
    cond, (answer,) = batch_jaxpr(cond_jaxpr, size, (*places.cond_consts, *inner(carry)))
    if answer is not None:
        params = {
            "cond_jaxpr": cond_jaxpr,
            "body_jaxpr": body_jaxpr,
            "cond_nconsts": cond_nconsts,
            "body_nconsts": body_nconsts,
        }
        return lane_by_lane(while_p, body_jaxpr, size, args, dims, params)
    body, _ = batch_jaxpr(body_jaxpr, size, (*places.body_consts, *inner(carry)), carry)
    start = [
        materialize(size, c, d) if b else c for c, d, b in zip(values.carry, places.carry, carry)
    ]
    return bind_while(cond, body, values.cond_consts, values.body_consts, start), list(inner(carry))


# --- unused results ----------------------------------------------------------------------------


@while_p.def_dce
def _while_dce(
    used: Sequence[bool],
    *,
    cond_jaxpr: ClosedJaxpr,
    body_jaxpr: ClosedJaxpr,
    cond_nconsts: int,
    body_nconsts: int,
) -> tuple[Sequence[bool], Sequence[bool], dict[str, Any]]:
    cond_uses = dce_jaxpr(cond_jaxpr, (True,))[1]

    def step(carry: tuple[bool, ...]) -> Sequence[bool]:
        return dce_jaxpr(body_jaxpr, carry)[1][body_nconsts:]

    start = [a or b for a, b in zip(used, cond_uses[cond_nconsts:])]
    carry = fixpoint(start, step)
    body, body_uses = dce_jaxpr(body_jaxpr, carry, (*([False] * body_nconsts), *carry))
    cond, cond_uses = dce_jaxpr(cond_jaxpr, (True,), (*([False] * cond_nconsts), *carry))
    cond_consts, body_consts = cond_uses[:cond_nconsts], body_uses[:body_nconsts]
    params = {
        "cond_jaxpr": cond,
        "body_jaxpr": body,
        "cond_nconsts": sum(cond_consts),
        "body_nconsts": sum(body_consts),
    }
    return (*cond_consts, *body_consts, *carry), carry, params


while_p.def_lowering(While())
