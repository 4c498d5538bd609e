"""Long loops in kernels: every few milliseconds they look whether somebody asked them to stop."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

from functrace.compiler.codegen.kernels import op_cost
from functrace.compiler.ir.builder import Body as Emit
from functrace.compiler.ir.builder import Index
from functrace.compiler.ir.kernel import I64, Value
from functrace.compiler.plan import Body, Group, Op
from functrace.core.lowering import Scan

__all__ = ["body_work", "long_loop", "polled_while"]

#: Scalar operations between two looks: well below a millisecond.
_BETWEEN = 1 << 18
#: A loop that never does more than this needs no look at all.
_QUICK = 1 << 22
#: All rounds of a loop that is written out are together no more than this.
_WRITTEN_OUT = 400


class Emitter(Protocol):
    """What builds the kernel."""

    b: Any

    def note_sites(self, op: Op) -> None: ...


def body_work(body: Body) -> int:
    """Return about how many scalar operations a body is; a loop of unknown length counts much."""
    return 1 + sum(map(_group_work, body.groups))


def _group_work(group: Group) -> int:
    if group.kind != "sequence":
        points = math.prod(group.space)
        if group.kind == "update":
            points = math.prod(group.body[0].operands[-1].shape)
        elif group.kind == "nest":
            (op,) = group.body
            points = sum(a.size for a in (*op.outs, *(r.array for r in op.reads)))
        return points * sum(map(op_cost, group.ops))
    (op,) = group.body
    work = sum(map(body_work, op.bodies))
    lowering = op.eqn.primitive.lowering if op.eqn is not None else None
    if isinstance(lowering, Scan):
        return work * int(op.params["length"])
    return work if len(op.bodies) != 2 or not _is_while(op) else _BETWEEN


def _is_while(op: Op) -> bool:
    return "body_jaxpr" in op.params


def long_loop(
    emitter: Emitter,
    op: Op,
    lo: Index,
    hi: Index,
    most: int,
    inits: Sequence[Value],
    body: Emit,
    work: int,
) -> list[Value]:
    """Emit a loop of ``most`` rounds or fewer, each of about so much work."""
    b = emitter.b
    if most * work <= _QUICK:
        return _fold(b, lo, hi, inits, body, most * work <= _WRITTEN_OUT)
    size = max(_BETWEEN // work, 1)
    end = b._index(hi)

    def piece(first: Value, *values: Value) -> list[Value]:
        b.poll()
        emitter.note_sites(op)
        last = b.minimum(b.add(first, b.const(size, I64)), end)
        inner: list[Value] = b.fold(first, last, values, body)
        return inner

    pieces: list[Value] = b.fold(lo, end, inits, piece, size)
    return pieces


def _fold(
    b: Any, lo: Index, hi: Index, inits: Sequence[Value], body: Emit, unrolled: bool
) -> list[Value]:
    """Emit a loop that isn't written out unless it is short, whatever holds for loops inside."""
    limit = b.unrolled

    def one_round(*values: Value) -> Any:
        b.unrolled = limit
        return body(*values)

    b.unrolled = limit if unrolled else 0
    result: list[Value] = b.fold(lo, hi, inits, one_round)
    b.unrolled = limit
    return result


def polled_while(
    emitter: Emitter, op: Op, test: Emit, body: Emit, inits: Sequence[Value], work: int
) -> list[Value]:
    """Emit a loop with a condition that counts its rounds."""

    def look() -> None:
        emitter.b.poll()
        emitter.note_sites(op)

    period = max(_BETWEEN // work, 1)
    result: list[Value] = emitter.b.while_(test, body, inits, look, period)
    return result
