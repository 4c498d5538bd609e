"""scan transposed: the loop backwards, which carries cotangents.

The cotangents of constants are added up in the carry, in place: a body that reads ``x[i]`` adds to
one place of the cotangent of x, it doesn't add an array of zeros with one number in it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from functrace.control.loops.accumulation import with_sums
from functrace.control.loops.jaxpr_surgery import inlined, instantiated, memoised
from functrace.control.loops.late_products import WithoutProducts, without_products
from functrace.control.loops.residuals import needed_eqns
from functrace.control.loops.scan_primitive import Parts, bind_scan, fixpoint, scan_p
from functrace.core.jaxpr import ClosedJaxpr, Jaxpr, Var
from functrace.core.placeholders import is_linear
from functrace.interpreters.reverse import transpose_jaxpr
from functrace.ops.arithmetic import add
from functrace.ops.creation import zeros_like_aval

__all__: list[str] = []


@scan_p.def_transpose
def _scan_transpose(
    ct: list[Any],
    *args: Any,
    jaxpr: ClosedJaxpr,
    num_consts: int,
    num_carry: int,
    reverse: bool,
    **params: Any,
) -> list[Any]:
    linear = Parts.of([is_linear(a) for a in args], num_consts, num_carry)
    carry = linear_carry(jaxpr, linear, num_carry)
    values = Parts.of(args, num_consts, num_carry)
    history = _known_history(jaxpr, linear, carry, values, reverse, params)
    nonzero_ct = (
        tuple(c is not None for c, lin in zip(ct, carry) if lin),
        tuple(c is not None for c in ct[num_carry:]),
    )
    flags = (*linear.consts, *carry, *linear.xs)
    key = ("scan transpose", flags, nonzero_ct, num_consts, num_carry)
    back = memoised(jaxpr, key, lambda: _backward(jaxpr, linear, carry, nonzero_ct))
    known = [v for v, lin in zip(values.consts, linear.consts) if not lin]
    first = len(known) + sum(back.late.left)
    sums = [zeros_like_aval(a) for a in back.body.in_avals[len(known) : first]]
    carry_avals = [a for a, lin in zip(jaxpr.in_avals[num_consts:], carry) if lin]
    carry_cts = [c for c, lin in zip(ct, carry) if lin]
    stacks = [
        *history,
        *(v for v, lin in zip(values.xs, linear.xs) if not lin),
        *(c for c in ct[num_carry:] if c is not None),
    ]
    outs = bind_scan(
        back.body,
        known,
        [*sums, *instantiated(carry_cts, carry_avals, back.carry)],
        stacks,
        reverse=not reverse,
        **params,
    )
    found = iter([*_totals(back.late, outs, stacks), *outs[len(sums) :]])
    pulled = iter([next(found) if nz else None for nz in (*back.consts, *back.carry, *back.xs)])
    result = [next(pulled) if lin else None for lin in flags]
    # A carry that starts from a known value needs no cotangent.
    return [c if is_linear(a) else None for c, a in zip(result, args)]


def _totals(late: WithoutProducts, outs: Sequence[Any], stacks: Sequence[Any]) -> Iterator[Any]:
    """Yield the sums of the cotangents of constants: those of the loop and late products."""
    sums = iter(outs)
    factors = [*stacks, *outs[len(outs) - late.n_factors :]]
    for left, products in zip(late.left, late.products):
        terms = [next(sums)] if left else []
        terms += [product.total(factors) for product in products]
        yield functools.reduce(add, terms)


def linear_carry(jaxpr: ClosedJaxpr, linear: Parts, num_carry: int) -> tuple[bool, ...]:
    """Return which of the carry depends on a linear operand at some step."""

    def step(carry: tuple[bool, ...]) -> Sequence[bool]:
        reached = {
            v for v, lin in zip(jaxpr.jaxpr.invars, (*linear.consts, *carry, *linear.xs)) if lin
        }
        for eqn in jaxpr.eqns:
            if not reached.isdisjoint(a for a in eqn.invars if isinstance(a, Var)):
                reached.update(eqn.outvars)
        return [isinstance(a, Var) and a in reached for a in jaxpr.jaxpr.outvars[:num_carry]]

    return fixpoint(linear.carry, step)


def _known_history(
    jaxpr: ClosedJaxpr,
    linear: Parts,
    carry: Sequence[bool],
    values: Parts,
    reverse: bool,
    params: dict[str, Any],
) -> list[Any]:
    """Return what the known part of the carry was before each step, by running that part."""
    if all(carry):
        return []
    num_consts, num_carry = len(values.consts), len(values.carry)

    def make() -> ClosedJaxpr:
        parts = Parts.of(jaxpr.jaxpr.invars, num_consts, num_carry)
        known = [v for v, lin in zip(parts.carry, carry) if not lin]
        nexts = [a for a, lin in zip(jaxpr.jaxpr.outvars, carry) if not lin]
        outs = [*nexts, *known]
        invars = [
            *(v for v, lin in zip(parts.consts, linear.consts) if not lin),
            *known,
            *(v for v, lin in zip(parts.xs, linear.xs) if not lin),
        ]
        return ClosedJaxpr(Jaxpr([], invars, outs, needed_eqns(jaxpr.eqns, outs)), [])

    flags = (*linear.consts, *carry, *linear.xs)
    body = memoised(jaxpr, ("known history", flags, num_consts, num_carry), make)
    outs = bind_scan(
        body,
        [v for v, lin in zip(values.consts, linear.consts) if not lin],
        [v for v, lin in zip(values.carry, carry) if not lin],
        [v for v, lin in zip(values.xs, linear.xs) if not lin],
        reverse=reverse,
        **params,
    )
    return outs[len(carry) - sum(carry) :]


class _Backward(NamedTuple):
    """The transposed body: of known constants; sums and cotangents of the carry; history, known
    xs, cotangents of ys. The flags tell which linear operands get a cotangent.

    ``late`` has the products that are added to the sums after the loop.
    """

    body: ClosedJaxpr
    late: WithoutProducts
    consts: tuple[bool, ...]
    carry: tuple[bool, ...]
    xs: tuple[bool, ...]


def _backward(
    jaxpr: ClosedJaxpr,
    linear: Parts,
    carry: tuple[bool, ...],
    nonzero_ct: tuple[tuple[bool, ...], tuple[bool, ...]],
) -> _Backward:
    flags = (*linear.consts, *carry, *linear.xs)
    n_consts, n_carry = sum(linear.consts), sum(carry)

    def pulled(moving: tuple[bool, ...], instantiate: tuple[bool, ...] = ()) -> Any:
        moves = iter(moving)
        cts = [next(moves) if lin else False for lin in carry]
        return transpose_jaxpr(jaxpr, flags, (*cts, *nonzero_ct[1]), instantiate)

    moving = fixpoint(nonzero_ct[0], lambda flags: pulled(flags)[1][n_consts : n_consts + n_carry])
    n_xs = sum(linear.xs)
    wanted = (*([False] * n_consts), *moving, *([False] * n_xs))
    transposed, nonzero = pulled(moving, wanted)
    parts = Parts.of(nonzero, n_consts, n_carry)
    known = len(linear.consts) - n_consts
    sizes = known, sum(moving), sum(nonzero_ct[1])
    late = without_products(inlined(transposed), sum(parts.consts), *sizes)
    body = with_sums(late.jaxpr, known, sum(late.left), *sizes[1:])
    return _Backward(body, late, tuple(parts.consts), moving, tuple(parts.xs))
