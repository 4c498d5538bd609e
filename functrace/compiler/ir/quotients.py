"""Division of many numbers by one: a reciprocal before the loop, and the very same bits within it.

A division takes as long as ten multiplications. With r = 1/y rounded and t what it lacks, the sum
of x r and x t is within one unit of x/y, rounded but once; q + (x - q y) r, made of two fused
multiply-adds, is then the correctly rounded quotient: that is Markstein's theorem. It holds while
nothing over- or underflows, so x must lie between two bounds that depend on y; all else is divided
as ever, but for zeros.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from functrace.compiler.ir.builder import Builder
from functrace.compiler.ir.independence import independent_lanes
from functrace.compiler.ir.kernel import (
    F64,
    Buffer,
    Const,
    For,
    Load,
    Local,
    Op,
    Region,
    Scalar,
    Stmt,
    Store,
    operands_of,
    regions_of,
    results_of,
)
from functrace.compiler.ir.vecmath_expr import Expr, sel

__all__ = ["hoist_divisors", "quotient"]

#: Operations that trap where nobody asked for them.
_TRAPS = frozenset(("udiv", "urem", "floordiv", "floormod"))


def quotient(b: Builder, *args: Scalar) -> Scalar:
    """x / y, given r and t, and between which sizes of x they serve: none if the least is NaN."""
    x, y, r, t, least, most = (Expr(b, v) for v in args)
    close = x.fma(r, x * t)
    exact = (-close).fma(y, x).fma(r, close)
    size = abs(x)
    # Zero, or NaN where nothing serves. A zero's sign would get lost.
    nothing = least * 0.0
    some = size.ne(nothing)
    settled = sel(some, exact, x * r)
    usual = size >= least
    unusual = (~usual & some) | ~(size <= most)
    (out,) = b.cond(unusual.v, lambda: [(x / y).v], lambda: [settled.v])
    assert isinstance(out, Scalar)
    return out


def _prepared(b: Builder, v: Scalar) -> tuple[Scalar, ...]:
    """What `quotient` is given of a divisor."""
    info = np.finfo(v.dtype)
    low, high, digits = int(info.minexp), int(info.maxexp) - 1, info.nmant + 1
    y = Expr(b, v)
    size = abs(y)
    # t is no denormal either, unless it is too small to matter.
    serves = (size >= 2.0 ** (low + 2)) & (size <= 2.0 ** (high - 2 * digits - 4))
    r = 1.0 / y
    t = (-r).fma(y, 1.0) * r
    # Remainders are exact from here on, and x t is no denormal that matters.
    least, smallest = y.const(2.0 ** (low + digits + 2)), size * 2.0 ** (low + digits + 3)
    most, largest = y.const(2.0 ** (high - 1)), size * 2.0 ** (high - 2)
    # No size is beyond NaN.
    least = sel(serves, sel(smallest > least, smallest, least), math.nan)
    most = sel(largest < most, largest, most)
    return r.v, t.v, least.v, most.v


def hoist_divisors(b: Builder, region: Region) -> None:
    """Prepare the divisors that stay the same throughout loops which SIMD code is made of."""
    found: list[Stmt] = []
    for stmt in region.stmts:
        for inner in regions_of(stmt):
            hoist_divisors(b, inner)
        if isinstance(stmt, For) and _is_long(stmt):
            found += _hoisted(b, stmt)
        found.append(stmt)
    region.stmts = found


def _is_long(loop: For) -> bool:
    """Whether a loop carries nothing, may be long, and is one of plain statements."""
    if loop.params or loop.step != 1 or loop.lanes == 1:
        return False
    if isinstance(loop.lo, Const) and isinstance(loop.hi, Const):
        return False
    plain = all(isinstance(s, (Op, Load, Store)) for s in loop.body.stmts)
    return plain and not any(isinstance(s, Op) and s.name == "extern" for s in loop.body.stmts)


def _hoisted(b: Builder, loop: For) -> list[Stmt]:
    """Replace divisions in a loop; return what is to stand before it."""
    still = _Still(loop)
    places = [k for k, s in enumerate(loop.body.stmts) if isinstance(s, Op) and still.divides(s)]
    if not places:
        return []
    before = list(loop.body.stmts)
    moved = still.needed([before[k] for k in places])
    ready: dict[int, tuple[Scalar, ...]] = {}
    region = b._open()
    for k in places:
        op = before[k]
        assert isinstance(op, Op)
        x, y = op.args
        if y.id not in ready:
            ready[y.id] = _prepared(b, y)
        loop.body.stmts[k] = Op(op.result, "math", (x, y, *ready[y.id]), "quotient")
    b._close()
    loop.body.stmts = [s for s in loop.body.stmts if s not in moved]
    if loop.lanes < 2 and not independent_lanes(loop):
        loop.body.stmts = before
        return []
    return [*moved, *region.stmts]


class _Still:
    """What stays the same throughout a loop."""

    def __init__(self, loop: For) -> None:
        stmts = loop.body.stmts
        self.written = {_group(s.memory) for s in stmts if isinstance(s, Store)}
        self.makers: dict[int, Stmt] = {}
        self.moving = {loop.index.id}
        for stmt in stmts:
            for result in results_of(stmt):
                if self.stays(stmt):
                    self.makers[result.id] = stmt
                else:
                    self.moving.add(result.id)

    def stays(self, stmt: Stmt) -> bool:
        if isinstance(stmt, Load):
            if _group(stmt.memory) in self.written:
                return False
        elif not isinstance(stmt, Op) or stmt.name in _TRAPS:
            return False
        return not any(self.moves(v) for v in operands_of(stmt))

    def moves(self, v: Scalar) -> bool:
        return not isinstance(v, Const) and v.id in self.moving

    def divides(self, op: Op) -> bool:
        """Whether an operation divides what moves by what doesn't."""
        if op.name != "div" or op.result.dtype != F64:
            return False
        x, y = op.args
        return self.moves(x) and not self.moves(y) and not isinstance(y, Const)

    def needed(self, divisions: Sequence[Stmt]) -> list[Stmt]:
        """Return the statements of the loop that divisors are made by, in order."""
        wanted: set[int] = set()

        def visit(v: Scalar) -> None:
            maker = None if isinstance(v, Const) else self.makers.get(v.id)
            if maker is not None and v.id not in wanted:
                wanted.add(v.id)
                for operand in operands_of(maker):
                    visit(operand)

        for op in divisions:
            visit(operands_of(op)[1])
        return list(self._by_results(wanted))

    def _by_results(self, wanted: set[int]) -> Iterator[Stmt]:
        return (stmt for result, stmt in self.makers.items() if result in wanted)


def _group(memory: Buffer | Local) -> tuple[str, int]:
    return ("local", memory.index) if isinstance(memory, Local) else ("group", memory.group)
