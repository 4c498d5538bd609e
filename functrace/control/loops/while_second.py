"""Derivatives of a while loop pulled back.

Let J be the derivative of a loop's last carry by what it starts from and its constants. Pulled
back, a cotangent c becomes J^T c. How that moves is linear in how they and c move; its transpose
takes a direction u to

- the cotangent of c, J u: the loop of values and tangents, which start from u;
- the cotangents of what J depends on: the gradient of <J u, c>. That loop is pulled back, with c
  for the last tangents.

So the second derivative is the first one of a loop with a longer body, and so on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from functrace.control.loops.jaxpr_surgery import instantiated
from functrace.control.loops.while_linear import while_linear_p
from functrace.control.loops.while_primitive import jvp_of_body
from functrace.control.loops.while_pull import (
    Pulled,
    back_of,
    moving_carry,
    pull,
    run_kept,
    while_pull_p,
)
from functrace.core.aval import ShapedArray
from functrace.core.jaxpr import ClosedJaxpr
from functrace.core.lowering import Composite
from functrace.core.placeholders import is_linear
from functrace.core.trace import Primitive, Trace
from functrace.errors import MissingRuleError
from functrace.interpreters.batching import batch_flat
from functrace.interpreters.forward import jvp_flat
from functrace.interpreters.linearize import linearize_flat
from functrace.ops.creation import zeros_like_aval

__all__ = ["while_pull_linear_p"]

Flags = tuple[bool, ...]
Linearized = tuple[list[Any], Sequence[bool], Callable[[list[Any]], list[Any]]]


@while_pull_p.def_jvp
def _while_pull_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], **params: Any
) -> tuple[list[Any], list[Any]]:
    t = Pulled(tangents, **params)
    if all(v is None for v in tangents[: len(tangents) - len(t.ct)]):
        fixed = primals[: len(primals) - len(t.ct)]
        moved = while_pull_p.bind(*fixed, *_instantiated(t.ct, **params), **params)
        return while_pull_p.bind(*primals, **params), moved
    run = pull if any(v is not None for v in t.kept) else _from_the_start
    return jvp_flat(lambda *args: run(*args, **params), primals, tangents)


@while_pull_p.def_batching
def _while_pull_batching(
    size: int, args: Sequence[Any], dims: Sequence[int | None], **params: Any
) -> tuple[list[Any], list[int | None]]:
    # What isn't mapped may be the result of the primitive, which has no tangents.
    mapped = any(d is not None for d in Pulled(dims, **params).kept)
    run = pull if mapped else _from_the_start
    return batch_flat(lambda *values: run(*values, **params), size, args, dims)


@while_pull_p.def_linearize
def _while_pull_linearize(
    parent: Trace, primals: Sequence[Any], nonzero: Sequence[bool], **params: Any
) -> Linearized:
    moves, p = Pulled(nonzero, **params), Pulled(primals, **params)
    flags = (*moves.loop.body_consts, *moves.loop.start)
    if any(flags) and not _pushes(params["body_jaxpr"], params["consts"], params["carry"]):
        return _linearized(lambda *args: _from_the_start(*args, **params), primals, nonzero)
    outs = while_pull_p.bind(*primals, **params)
    known = [*p.loop.cond_consts, *p.loop.body_consts, *p.loop.start, *p.ct]

    def linear(tangents: list[Any]) -> list[Any]:
        given = iter(tangents)
        t = Pulled([next(given) if nz else None for nz in nonzero], **params)
        if not any(flags):
            fixed = primals[: len(primals) - len(t.ct)]
            return while_pull_p.bind(  # type: ignore[no-any-return]
                *fixed, *_instantiated(t.ct, **params), **params
            )
        moving = [v for v in (*t.loop.body_consts, *t.loop.start, *t.ct) if v is not None]
        moves_of = (*flags, *moves.ct)
        return while_pull_linear_p.bind(*known, *moving, moves=moves_of, **params)  # type: ignore[no-any-return]

    return outs, [True] * len(outs), linear


def _pushes(body: ClosedJaxpr, consts: Flags, carry: Flags) -> bool:
    """Whether a body has derivatives in forward mode: not all rules of users do."""
    try:
        jvp_of_body(body, consts, carry)
    except MissingRuleError:
        return False
    return True


def _linearized(
    fun: Callable[..., list[Any]], primals: Sequence[Any], nonzero: Sequence[bool]
) -> Linearized:
    outs, program = linearize_flat(fun, primals, nonzero)

    def linear(tangents: list[Any]) -> list[Any]:
        return [t for t in program.apply(tangents) if t is not None]

    return outs, [o is not None for o in program.outputs], linear


def _from_the_start(*args: Any, **params: Any) -> list[Any]:
    """Pull back after another run."""
    p = Pulled(args, **params)
    loop = p.loop
    given = [*loop.cond_consts, *loop.body_consts, *loop.start]
    outs = run_kept(
        *given,
        cond_jaxpr=loop.cond,
        body_jaxpr=loop.body,
        cond_nconsts=len(loop.cond_consts),
        body_nconsts=len(loop.body_consts),
    )
    return pull(*outs[: len(p.kept)], *given, *p.ct, **params)


def _instantiated(
    values: Sequence[Any],
    cond_jaxpr: ClosedJaxpr,
    body_jaxpr: ClosedJaxpr,
    consts: Flags,
    carry: Flags,
    ct: Flags,
) -> list[Any]:
    """Return tangents of the cotangents, zeros for those that are None."""
    avals = back_of(body_jaxpr, consts, carry, ct).carry_avals
    return instantiated(values, [a for a, nz in zip(avals, ct) if nz], [True] * len(values))


@while_pull_p.def_transpose
def _while_pull_transpose(u: list[Any], *args: Any, **params: Any) -> list[Any]:
    p = Pulled(args, **params)
    consts, start = _directions(u, **params)
    avals = p.loop.body.in_avals[len(consts) :]
    carry = moving_carry(
        p.loop.body, tuple(v is not None for v in consts), [v is not None for v in start]
    )
    outs = iter(
        while_linear_p.bind(
            *p.kept,
            *p.loop.cond_consts,
            *p.loop.body_consts,
            *p.loop.start,
            *(v for v in consts if v is not None),
            *instantiated(start, avals, carry),
            cond_jaxpr=p.loop.cond,
            body_jaxpr=p.loop.body,
            consts=tuple(v is not None for v in consts),
            carry=carry,
        )
    )
    found = _of_cotangents([next(outs) if nz else None for nz in carry], **params)
    known = len(args) - len(found)
    return [None] * known + [c if is_linear(a) else None for c, a in zip(found, args[known:])]


def _directions(
    u: Sequence[Any],
    cond_jaxpr: ClosedJaxpr,
    body_jaxpr: ClosedJaxpr,
    consts: Flags,
    carry: Flags,
    ct: Flags,
) -> tuple[list[Any], list[Any]]:
    """Return what is given for the results, for each constant and all of the carry."""
    back = back_of(body_jaxpr, consts, carry, ct)
    given = iter(u)
    moving = iter([next(given) if nz else None for nz in (*back.consts, *back.carry)])
    return [next(moving) if nz else None for nz in consts], [
        next(moving) if nz else None for nz in carry
    ]


def _of_cotangents(values: Sequence[Any], carry: Flags, ct: Flags, **_: Any) -> list[Any]:
    """Return of something for all of the carry what belongs to the cotangents."""
    moving = [v for v, nz in zip(values, carry) if nz]
    return [v for v, nz in zip(moving, ct) if nz]


# --- how it moves ------------------------------------------------------------------------------

while_pull_linear_p = Primitive("while_pull_linear", multiple_results=True)


class _Moving:
    """The operands of ``while_pull_linear_p``: those of ``while_pull_p`` but what is kept, and
    tangents of constants, start, and cotangents, None where there is none.
    """

    def __init__(self, args: Sequence[Any], moves: Flags, params: dict[str, Any]) -> None:
        n = len(params["carry"])
        p = Pulled([*[None] * (2 + n), *args], **params)
        self.loop, self.ct = p.loop, p.ct
        given = iter(p.rest)
        tangents = [next(given) if nz else None for nz in moves]
        m = len(params["consts"])
        self.consts, self.start, self.moving_ct = (
            tangents[:m],
            tangents[m : m + n],
            tangents[m + n :],
        )


def _pushed(*args: Any, moves: Flags, **params: Any) -> list[Any]:
    """Push the tangents forward.

    J w is linear in w, and so is how it moves when what J depends on does, K w. The tangents are
    J^T of the moving cotangent and K^T of the other one: a loop of w, J w and K w, pulled back to
    w, which may as well be zero.
    """
    s = _Moving(args, moves, params)
    body, m, n = s.loop.body, len(s.consts), len(s.start)
    avals, flags = body.in_avals, (*params["consts"], *params["carry"])
    w = [zeros_like_aval(a.tangent()) if nz else None for a, nz in zip(avals, flags)]
    first, along = s.loop.with_tangents(w[:m], w[m:])
    more = [None] * (len(first.body_consts) - m), [None] * sum(along)
    both, moving = first.with_tangents([*s.consts, *more[0]], [*s.start, *more[1]])
    _, kept = both.run()
    consts = (*[False] * m, *[True] * len(more[0]))
    consts += (False,) * (len(both.body_consts) - len(consts))
    begins = (*[False] * n, *[True] * sum(along))
    carry = moving_carry(both.body, consts, (*begins, *[False] * sum(moving)))
    ct = _of_carry(s.ct, along, **params)
    ends = [*[None] * n, *_of_carry(s.moving_ct, along, **params)]
    ends += [c for c, nz in zip([*[None] * n, *ct], moving) if nz]
    pulled = iter(both.pull(consts, carry, kept, [c for c, nz in zip(ends, carry) if nz]))
    found = [next(pulled) if nz else None for nz in (*consts, *carry)]
    of_consts = iter(found[m : m + len(more[0])])
    of_start = iter(found[len(consts) + n : len(consts) + n + sum(along)])
    by_carry = [next(of_start) if nz else None for nz in along]
    mine = [*of_consts, *(c for c, nz in zip(by_carry, params["carry"]) if nz)]
    back = back_of(body, params["consts"], params["carry"], params["ct"])
    wanted = [c for c, nz in zip(mine, (*back.consts, *back.carry)) if nz]
    return instantiated(wanted, back.types, [True] * len(wanted))


def _of_carry(
    cts: Sequence[Any], along: Sequence[bool], carry: Flags, ct: Flags, **_: Any
) -> list[Any]:
    """Return the cotangents, None where there is none, of those of all the carry that ask."""
    given = iter(cts)
    moving = iter([next(given) if nz else None for nz in ct])
    every = [next(moving) if nz else None for nz in carry]
    return [c for c, nz in zip(every, along) if nz]


while_pull_linear_p.def_impl(_pushed)
while_pull_linear_p.def_lowering(Composite(_pushed))


@while_pull_linear_p.def_abstract_eval
def _while_pull_linear_type(
    *avals: ShapedArray,
    moves: Flags,
    cond_jaxpr: ClosedJaxpr,
    body_jaxpr: ClosedJaxpr,
    consts: Flags,
    carry: Flags,
    ct: Flags,
) -> list[ShapedArray]:
    return back_of(body_jaxpr, consts, carry, ct).types


@while_pull_linear_p.def_jvp
def _while_pull_linear_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], **params: Any
) -> tuple[list[Any], list[Any]]:
    return jvp_flat(lambda *args: _pushed(*args, **params), primals, tangents)


@while_pull_linear_p.def_linearize
def _while_pull_linear_linearize(
    parent: Trace, primals: Sequence[Any], nonzero: Sequence[bool], **params: Any
) -> Linearized:
    return _linearized(lambda *args: _pushed(*args, **params), primals, nonzero)


@while_pull_linear_p.def_batching
def _while_pull_linear_batching(
    size: int, args: Sequence[Any], dims: Sequence[int | None], **params: Any
) -> tuple[list[Any], list[int | None]]:
    return batch_flat(lambda *values: _pushed(*values, **params), size, args, dims)


@while_pull_linear_p.def_transpose
def _while_pull_linear_transpose(
    u: list[Any], *args: Any, moves: Flags, **params: Any
) -> list[Any]:
    known = len(args) - sum(moves)
    if all(c is None for c in u):
        return [None] * len(args)
    s = _Moving(args, moves, params)
    m, n = len(s.consts), len(s.start)
    pushed, carry = s.loop.with_tangents(*_directions(u, **params))
    outs, kept = pushed.run()
    last = iter(outs[n:])
    cts = _of_cotangents([next(last) if nz else None for nz in carry], **params)
    # Which constants and carry of the loop of values and tangents are to get cotangents.
    consts = (*moves[:m], *[False] * (len(pushed.body_consts) - m))
    moving = moving_carry(
        pushed.body, consts, (*moves[m : m + n], *[False] * (len(pushed.start) - n))
    )
    ends = [*[None] * n, *_of_carry(s.ct, carry, **params)]
    pulled = iter(pushed.pull(consts, moving, kept, [c for c, nz in zip(ends, moving) if nz]))
    found = [next(pulled) if nz else None for nz in (*consts, *moving)]
    wanted = [*found[:m], *found[len(consts) : len(consts) + n], *cts]
    result = [c for c, nz in zip(wanted, moves) if nz]
    return [None] * known + [c if is_linear(a) else None for c, a in zip(result, args[known:])]
