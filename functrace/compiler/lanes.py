"""Reductions with a fixed number of lanes and a fixed tree: the same bits on every machine.

Element k of a row goes to lane k % lanes; lanes are folded block by block (which keeps the error
of long float sums small) and combined at the end by a fixed tree. The order depends on the length
of the row alone. The loops over lanes have a constant trip count, so that LLVM turns each of them
into one SIMD operation and the lanes into registers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from functrace.compiler.builder import Builder, Index, MemoryRef, _as_list
from functrace.compiler.kernel import Value

LANES = 32
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
    lanes: int = LANES,
) -> Any:
    """Reduce `element(i)` for i in range(lo, hi) with `combine(acc, x)`.

    Args:
        b: the builder.
        lo: first index.
        hi: end of the range.
        identity: the neutral value, or a list of them (then `combine` and `element` take and
            return lists). -0.0 is the exact identity of float sums of at least one element.
        combine: associative up to rounding.
        element: the value of one index; it is read once per index.
        lanes: how many partial results, a power of two.

    Returns:
        One value, or a list if `identity` is one.
    """
    if isinstance(identity, Value):
        out = _fold(
            b,
            lo,
            hi,
            [identity],
            lambda acc, x: [combine(acc[0], x[0])],
            lambda i: [element(i)],
            lanes,
        )
        return out[0]
    return _fold(
        b,
        lo,
        hi,
        list(identity),
        lambda acc, x: _as_list(combine(acc, x)),
        lambda i: _as_list(element(i)),
        lanes,
    )


def _fold(
    b: Builder,
    lo: Index,
    hi: Index,
    identity: list[Value],
    combine: Combine,
    element: Element,
    lanes: int,
) -> list[Value]:
    start, stop = b._index(lo), b._index(hi)
    count = b.sub(stop, start)

    def straight() -> list[Value]:
        return b.fold(start, stop, identity, lambda i, *acc: combine(list(acc), element(i)))

    def wide() -> list[Value]:
        return _wide(b, start, stop, identity, combine, element, lanes)

    return b.cond(b.lt(count, b.const(SHORT, count.dtype)), straight, wide)


class _Lanes:
    """One local array per accumulator, read and written lane by lane."""

    def __init__(self, b: Builder, identity: list[Value], lanes: int) -> None:
        self.b = b
        self.lanes = lanes
        self.refs: list[MemoryRef] = [b.alloca(v.dtype, lanes) for v in identity]

    def get(self, lane: Value) -> list[Value]:
        return [ref.load(lane) for ref in self.refs]

    def put(self, lane: Value, values: Sequence[Value]) -> None:
        for ref, v in zip(self.refs, values, strict=True):
            ref.store(lane, v)

    def each(self, body: Callable[[Value], list[Value]], count: int | None = None) -> None:
        n = self.lanes if count is None else count
        self.b._for(0, n, (), lambda lane: self.put(lane, body(lane)), 1, n)


def _wide(
    b: Builder,
    start: Value,
    stop: Value,
    identity: list[Value],
    combine: Combine,
    element: Element,
    lanes: int,
) -> list[Value]:
    total, part = _Lanes(b, identity, lanes), _Lanes(b, identity, lanes)
    total.each(lambda lane: identity)
    chunk, block = b.const(lanes, stop.dtype), b.const(lanes * BLOCK_CHUNKS, stop.dtype)
    count = b.sub(stop, start)
    chunks = b.index_div(count, chunk)
    blocks = b.index_div(b.add(count, b.sub(block, b.const(1, stop.dtype))), block)

    def one_chunk(base: Value) -> None:
        part.each(lambda lane: combine(part.get(lane), element(b.add(base, lane))))

    def one_block(k: Value) -> None:
        part.each(lambda lane: identity)
        first = b.mul(k, b.const(BLOCK_CHUNKS, k.dtype))
        last = b.minimum(chunks, b.add(first, b.const(BLOCK_CHUNKS, k.dtype)))
        b.loop(first, last, lambda c: one_chunk(b.add(start, b.mul(c, chunk))))
        total.each(lambda lane: combine(total.get(lane), part.get(lane)))

    b.loop(0, blocks, one_block)
    # The rest goes lane by lane into a copy: a variable lane would keep `total` in memory.
    tail = _Lanes(b, identity, lanes)
    tail.each(total.get)
    rest = b.add(start, b.mul(chunks, chunk))

    def one_more(i: Value) -> None:
        lane = b.sub(i, rest)
        tail.put(lane, combine(tail.get(lane), element(i)))

    b.loop(rest, stop, one_more)
    half = lanes // 2
    while half >= _STATIC:
        tail.each(_halving(b, tail, combine, half), half)
        half //= 2
    rows = [tail.get(b.const(k, stop.dtype)) for k in range(2 * half)]
    while half:
        rows = [combine(rows[k], rows[k + half]) for k in range(half)]
        half //= 2
    return rows[0]


def _halving(
    b: Builder, lanes: _Lanes, combine: Combine, half: int
) -> Callable[[Value], list[Value]]:
    """One level of the tree: lane k takes in lane k + half."""

    def level(lane: Value) -> list[Value]:
        other = b.add(lane, b.const(half, lane.dtype))
        return combine(lanes.get(lane), lanes.get(other))

    return level
