"""scan_p: a jaxpr for each of so many slices, with a carry; its forward rules.

Operands ``(*consts, *carry, *xs)``, results ``(*carry, *ys)``; the jaxpr maps consts, a carry and
one slice of each of xs to a carry and one slice of each of ys.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from functrace.control.loops.equation import compiled_equation
from functrace.control.loops.jaxpr_surgery import instantiated, reordered
from functrace.core.aval import ShapedArray
from functrace.core.jaxpr import ClosedJaxpr, eval_jaxpr
from functrace.core.lowering import Scan
from functrace.core.trace import Primitive
from functrace.interpreters.batching import batch_jaxpr, materialize
from functrace.interpreters.dce import dce_jaxpr
from functrace.interpreters.forward import jvp_jaxpr
from functrace.ops.structural import move_axis

__all__ = ["Parts", "bind_scan", "fixpoint", "scan_p"]

scan_p = Primitive("scan", multiple_results=True)


class Parts(NamedTuple):
    """What belongs to the constants, to the carry, and to the slices."""

    consts: list[Any]
    carry: list[Any]
    xs: list[Any]

    @classmethod
    def of(cls, values: Sequence[Any], num_consts: int, num_carry: int) -> Parts:
        """Split a flat list."""
        n = num_consts + num_carry
        return cls(list(values[:num_consts]), list(values[num_consts:n]), list(values[n:]))


def bind_scan(
    closed: ClosedJaxpr,
    consts: Sequence[Any],
    carry: Sequence[Any],
    xs: Sequence[Any],
    *,
    length: int,
    reverse: bool = False,
    unroll: int = 1,
) -> list[Any]:
    """Apply a scan to operands."""
    return scan_p.bind(  # type: ignore[no-any-return]
        *consts,
        *carry,
        *xs,
        jaxpr=closed,
        length=length,
        reverse=reverse,
        num_consts=len(consts),
        num_carry=len(carry),
        unroll=unroll,
    )


def fixpoint(
    start: Sequence[bool], step: Callable[[tuple[bool, ...]], Sequence[bool]]
) -> tuple[bool, ...]:
    """Return the least flags from ``start`` on that ``step`` adds nothing to."""
    flags = tuple(start)
    while True:
        wider = tuple(a or b for a, b in zip(flags, step(flags), strict=True))
        if wider == flags:
            return flags
        flags = wider


# --- computing ---------------------------------------------------------------------------------


@scan_p.def_impl
def _scan_impl(*args: Any, jaxpr: ClosedJaxpr, **params: Any) -> list[Any]:
    program = compiled_equation(scan_p, jaxpr, args, {"jaxpr": jaxpr, **params})
    if program is not None:
        return list(program(*args))
    return _scan_in_python(*args, jaxpr=jaxpr, **params)


def _scan_in_python(
    *args: Any,
    jaxpr: ClosedJaxpr,
    length: int,
    reverse: bool,
    num_consts: int,
    num_carry: int,
    unroll: int,
) -> list[Any]:
    consts, carry, xs = Parts.of(args, num_consts, num_carry)
    avals = jaxpr.out_avals[num_carry:]
    ys = [np.empty((length, *a.shape), a.dtype) for a in avals]
    carry = [np.array(c)[()] for c in carry]
    for i in range(length - 1, -1, -1) if reverse else range(length):
        slices = [x[i] for x in xs]
        outs = eval_jaxpr(jaxpr.jaxpr, jaxpr.consts, *consts, *carry, *slices)
        carry = outs[:num_carry]
        for y, out in zip(ys, outs[num_carry:]):
            y[i] = out
    return [*carry, *ys]


@scan_p.def_abstract_eval
def _scan_type(
    *avals: ShapedArray,
    jaxpr: ClosedJaxpr,
    length: int,
    reverse: bool,
    num_consts: int,
    num_carry: int,
    unroll: int,
) -> list[ShapedArray]:
    inner = jaxpr.in_avals
    consts, carry, xs = Parts.of(inner, num_consts, num_carry)
    wanted = [*consts, *carry, *(a.update(shape=(length, *a.shape)) for a in xs)]
    for i, (given, want) in enumerate(zip(avals, wanted, strict=True)):
        if not given.same_type(want):
            raise TypeError(f"operand {i} of scan is {given}; its jaxpr has {want}")
    outs = [a.strong() for a in jaxpr.out_avals]
    for before, after in zip(carry, outs):
        if not before.same_type(after):
            raise TypeError(f"scan carries {before} in and {after} out")
    return [*outs[:num_carry], *(a.update(shape=(length, *a.shape)) for a in outs[num_carry:])]


# --- forward mode ------------------------------------------------------------------------------


@scan_p.def_jvp
def _scan_jvp(
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    jaxpr: ClosedJaxpr,
    num_consts: int,
    num_carry: int,
    **params: Any,
) -> tuple[list[Any], list[Any]]:
    consts, _, xs = Parts.of([t is not None for t in tangents], num_consts, num_carry)
    start = [t is not None for t in tangents[num_consts : num_consts + num_carry]]

    def step(carry: tuple[bool, ...]) -> Sequence[bool]:
        return jvp_jaxpr(jaxpr, (*consts, *carry, *xs))[1][:num_carry]

    carry = fixpoint(start, step)
    n_ys = len(jaxpr.jaxpr.outvars) - num_carry
    nonzero = (*consts, *carry, *xs)
    moved, nonzero_out = jvp_jaxpr(jaxpr, nonzero, (*carry, *([False] * n_ys)))
    body = _interleaved(moved, nonzero, nonzero_out, num_consts, num_carry)
    p, t = (Parts.of(v, num_consts, num_carry) for v in (primals, tangents))
    carry_aval = jaxpr.in_avals[num_consts : num_consts + num_carry]
    outs = bind_scan(
        body,
        [*p.consts, *(x for x in t.consts if x is not None)],
        [*p.carry, *instantiated(t.carry, carry_aval, carry)],
        [*p.xs, *(x for x in t.xs if x is not None)],
        **params,
    )
    moving = sum(carry)
    tangents_out = iter([*outs[num_carry : num_carry + moving], *outs[num_carry + moving + n_ys :]])
    results = outs[:num_carry] + outs[num_carry + moving : num_carry + moving + n_ys]
    return results, [next(tangents_out) if nz else None for nz in nonzero_out]


def _interleaved(
    moved: ClosedJaxpr,
    nonzero: Sequence[bool],
    nonzero_out: Sequence[bool],
    num_consts: int,
    num_carry: int,
) -> ClosedJaxpr:
    """Put each tangent beside its kind: constants, carry, slices; ``moved`` has them at the end."""

    def order(flags: Sequence[bool], num_consts: int) -> list[int]:
        primal = Parts.of(range(len(flags)), num_consts, num_carry)
        places = iter(range(len(flags), len(flags) + sum(flags)))
        tangent = Parts.of([next(places) if nz else None for nz in flags], num_consts, num_carry)
        pairs = zip(primal, tangent)
        return [i for p, t in pairs for i in (*p, *(x for x in t if x is not None))]

    return reordered(moved, tuple(order(nonzero, num_consts)), tuple(order(nonzero_out, 0)))


# --- batching ----------------------------------------------------------------------------------


@scan_p.def_batching
def _scan_batching(
    size: int,
    args: Sequence[Any],
    dims: Sequence[int | None],
    *,
    jaxpr: ClosedJaxpr,
    num_consts: int,
    num_carry: int,
    **params: Any,
) -> tuple[list[Any], list[int | None]]:
    values = Parts.of(args, num_consts, num_carry)
    places = Parts.of(dims, num_consts, num_carry)
    # Lanes that lie along the scanned axis go behind it.
    xs = [move_axis(x, 0, 1) if d == 0 else x for x, d in zip(values.xs, places.xs)]
    x_dims = [None if d is None else max(d - 1, 0) for d in places.xs]
    n_ys = len(jaxpr.jaxpr.outvars) - num_carry

    def batched(carry: tuple[bool, ...], force: bool) -> Any:
        inner = (*places.consts, *(0 if b else None for b in carry), *x_dims)
        wanted = (*carry, *([False] * n_ys)) if force else ()
        return batch_jaxpr(jaxpr, size, inner, wanted)

    def step(carry: tuple[bool, ...]) -> Sequence[bool]:
        return [d is not None for d in batched(carry, False)[1][:num_carry]]

    carry = fixpoint([d is not None for d in places.carry], step)
    body, out_dims = batched(carry, True)
    start = [
        materialize(size, c, d) if b else c for c, d, b in zip(values.carry, places.carry, carry)
    ]
    outs = bind_scan(body, values.consts, start, xs, **params)
    ys_dims = [None if d is None else d + 1 for d in out_dims[num_carry:]]
    return outs, [*(0 if b else None for b in carry), *ys_dims]


# --- unused results ----------------------------------------------------------------------------


@scan_p.def_dce
def _scan_dce(
    used: Sequence[bool], *, jaxpr: ClosedJaxpr, num_consts: int, num_carry: int, **params: Any
) -> tuple[Sequence[bool], Sequence[bool], dict[str, Any]]:
    ys = tuple(used[num_carry:])

    def step(carry: tuple[bool, ...]) -> Sequence[bool]:
        return dce_jaxpr(jaxpr, (*carry, *ys))[1][num_consts : num_consts + num_carry]

    carry = fixpoint(used[:num_carry], step)
    # A carry that is used is an input, though the body doesn't look at it.
    n_xs = len(jaxpr.jaxpr.invars) - num_consts - num_carry
    keep = (*([False] * num_consts), *carry, *([False] * n_xs))
    body, used_ins = dce_jaxpr(jaxpr, (*carry, *ys), keep)
    counts = {"num_consts": sum(used_ins[:num_consts]), "num_carry": sum(carry)}
    return used_ins, (*carry, *ys), {"jaxpr": body, **counts, **params}


scan_p.def_lowering(Scan())
