"""Reductions with a fixed number of lanes and a fixed tree: the same bits on every machine.

Element k of a row goes to lane k % lanes; lanes are folded block by block (which keeps the error
of long float sums small) and combined at the end by a fixed tree. The order depends on the length
of the row alone. The loops over lanes have a constant trip count, so that LLVM turns each of them
into one SIMD operation and the lanes into registers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from functrace.compiler.ir.arithmetic import scalar
from functrace.compiler.ir.builder import Builder, Index, MemoryRef, as_values
from functrace.compiler.ir.kernel import I64, Scalar, Value

# How many bytes of partial results there are, at most 32 of them: two of the widest registers,
# four of those most machines have.
LANE_BYTES = 128
MOST_LANES = 32
SHORT = 16
BLOCK_CHUNKS = 64
_STATIC = 4

Combine = Callable[[list[Value], list[Value]], list[Value]]
Element = Callable[[Value], list[Value]]


def lane_fold(
    b: Builder,
    lo: Index,
    hi: Index,
    identity: Value | Sequence[Value],
    combine: Callable[..., Any],
    element: Callable[[Value], Any],
    lanes: int = 0,
) -> Any:
    """Reduce `element(i)` for i in range(lo, hi) with `combine(acc, x)`.

    Args:
        b: the builder.
        lo: first index.
        hi: end of the range.
        identity: the neutral value, or a list of them (then `combine` and `element` take and
            return lists). -0.0 is the exact identity of float sums of at least one element.
        combine: associative up to rounding.
        element: the value of one index; it is built several times, and read once per index.
        lanes: how many partial results, a power of two; 0 lets the widest dtype decide.

    Returns:
        One value, or a list if `identity` is one.
    """
    if isinstance(identity, Value):
        one = lane_fold(b, lo, hi, [identity], lambda p, q: [combine(p[0], q[0])], element, lanes)
        return one[0]
    start = list(identity)
    lanes = lanes or min(MOST_LANES, LANE_BYTES // max(v.dtype.itemsize for v in start))
    fold = _Fold(
        b,
        b._index(lo),
        b._index(hi),
        start,
        lambda acc, x: as_values(combine(acc, x)),
        lambda i: as_values(element(i)),
        lanes,
    )
    short = b.lt(b.sub(fold.hi, fold.lo), b.const(SHORT, I64))
    return b.cond(short, fold.straight, fold.wide)


def vector_fold(
    b: Builder,
    n: Index,
    identity: Sequence[Value],
    combine: Combine,
    element: Element,
    lanes: int,
    once: bool,
) -> list[Value]:
    """Reduce `element(i)` for i in range(n) in one vector of partial results: for shorter rows.

    The last step has idle lanes. With `once` every step is made as if it were the last, so that
    a long `element` is written out once only.
    """
    count, width = b._index(n), b.const(lanes, I64)
    part = _Lanes(b, list(identity), lanes, lambda p, q: as_values(combine(p, q)))
    part.each(lambda lane: list(identity))

    def step(base: Value, active: Index) -> None:
        def one(lane: Value) -> None:
            xs = as_values(element(b.add(base, lane)))
            part.put(lane, part.combine(part.get(lane), xs))

        b._for(0, active, (), lambda lane: one(lane) or (), 1, lanes)  # type: ignore[func-returns-value]

    def few(stop: Scalar, body: Callable[[Value], None]) -> None:
        b._for(0, stop, (), lambda base: body(base) or (), lanes, 1)  # type: ignore[func-returns-value]

    if once:
        few(count, lambda base: step(base, b.minimum(width, b.sub(count, base))))
    else:
        whole = scalar(b.and_(count, b.const(-lanes, I64)))
        few(whole, lambda base: step(base, lanes))
        step(whole, b.sub(count, whole))
    return part.tree()


class _Lanes:
    """One local array per accumulator, read and written lane by lane."""

    def __init__(self, b: Builder, identity: list[Value], lanes: int, combine: Combine) -> None:
        self.b = b
        self.lanes = lanes
        self.combine = combine
        self.refs: list[MemoryRef] = [b.alloca(v.dtype, lanes) for v in identity]

    def get(self, lane: Value) -> list[Value]:
        return [ref.load(lane) for ref in self.refs]

    def put(self, lane: Value, values: Sequence[Value]) -> None:
        for ref, v in zip(self.refs, values, strict=True):
            ref.store(lane, v)

    def each(self, body: Callable[[Value], list[Value]], count: int | None = None) -> None:
        """`self[lane] = body(lane)` for all lanes, or the first `count`."""
        n = self.lanes if count is None else count
        self.b._for(0, n, (), lambda lane: self.put(lane, body(lane)), 1, n)

    def tree(self) -> list[Value]:
        """Lane k takes in lane k + half, while there is a half."""
        b, half = self.b, self.lanes // 2

        def level(lane: Value) -> list[Value]:
            other = b.add(lane, b.const(half, I64))
            return self.combine(self.get(lane), self.get(other))

        while half >= _STATIC:
            self.each(level, half)
            half //= 2
        rows = [self.get(b.const(k, I64)) for k in range(2 * half)]
        while half:
            rows = [self.combine(rows[k], rows[k + half]) for k in range(half)]
            half //= 2
        return rows[0]


@dataclass
class _Fold:
    b: Builder
    lo: Scalar
    hi: Scalar
    identity: list[Value]
    combine: Combine
    element: Element
    lanes: int

    def straight(self) -> list[Value]:
        """One after the other: few elements."""

        def body(i: Value, *acc: Value) -> list[Value]:
            return self.combine(list(acc), self.element(i))

        return self.b._for(self.lo, self.hi, self.identity, body, 1, 1)

    def wide(self) -> list[Value]:
        b = self.b
        total, part = (_Lanes(b, self.identity, self.lanes, self.combine) for _ in range(2))
        total.each(lambda lane: self.identity)
        count = b.sub(self.hi, self.lo)
        size = self.lanes * BLOCK_CHUNKS
        chunks = b.index_div(count, b.const(self.lanes, I64))
        blocks = b.index_div(b.add(count, b.const(size - 1, I64)), b.const(size, I64))

        def one_chunk(c: Value) -> None:
            base = b.add(self.lo, b.mul(c, b.const(self.lanes, I64)))
            part.each(lambda lane: self.combine(part.get(lane), self.element(b.add(base, lane))))

        def one_block(k: Value) -> None:
            part.each(lambda lane: self.identity)
            first = b.mul(k, b.const(BLOCK_CHUNKS, I64))
            last = b.minimum(chunks, b.add(first, b.const(BLOCK_CHUNKS, I64)))
            b.loop(first, last, one_chunk)
            total.each(lambda lane: self.combine(total.get(lane), part.get(lane)))

        b.loop(0, blocks, one_block)
        return self.rest(total, b.add(self.lo, b.mul(chunks, b.const(self.lanes, I64))))

    def rest(self, total: _Lanes, first: Value) -> list[Value]:
        """The elements that fill no chunk, lane by lane, then the tree."""
        b = self.b
        # They go into a copy: a lane that varies would keep `total` in memory.
        tail = _Lanes(b, self.identity, self.lanes, self.combine)
        tail.each(total.get)

        def one(i: Value) -> None:
            lane = b.sub(i, first)
            tail.put(lane, self.combine(tail.get(lane), self.element(i)))

        b._for(first, self.hi, (), one, 1, 1)
        return tail.tree()
