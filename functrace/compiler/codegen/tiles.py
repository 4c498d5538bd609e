"""Maps whose operands cross -> kernel IR: square pieces, turned in registers.

An operand that runs along memory where the results jump is turned block by block. What is a mere
copy of it goes straight to the result; for anything else a tile of it is laid out beside first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from functrace.compiler.codegen.maps import MOST_LOCAL, MapMaker
from functrace.compiler.codegen.points import FEW, Point
from functrace.compiler.ir.builder import MemoryRef
from functrace.compiler.ir.kernel import I64, TURNED, Value
from functrace.compiler.plan import Array
from functrace.compiler.planning.copies import is_copy
from functrace.compiler.planning.schedule import TILE, TILE_WIDTH, Key, narrow, read_key, store_key
from functrace.core.lowering import Indexed

__all__ = ["TileMaker"]

Span = tuple[Value, Value]


class TileMaker(MapMaker):
    """Emits maps in tiles."""

    def tiles(self) -> None:
        """Emit loops over pieces of the two innermost loops."""
        b, cross = self.b, len(self.plan.loops) - 2
        rows, columns = (b._index(self.trips(cross + k)) for k in range(2))
        self.find_turned(cross)
        zero, height, width = b.const(0, I64), b.const(TILE, I64), b.const(TILE_WIDTH, I64)

        def strip(at: Point, first: Value) -> None:
            span = (first, b.minimum(b.add(first, height), rows))

            def tile(left: Value) -> None:
                self.tile(at, span, (left, b.minimum(b.add(left, width), columns)))

            self.steps((zero, columns), TILE_WIDTH, tile)

        def piece(k: Value) -> None:
            left = b.mul(k, width)
            self.tile((), (zero, rows), (left, b.minimum(b.add(left, width), columns)))

        if cross == 0 and narrow(self.plan.loops):
            self.loop(b.lo, b.hi, piece, True)
        elif cross == 0:
            self.loop(b.lo, b.hi, lambda k: strip((), b.mul(k, height)), True)
        else:
            every = (zero, rows)
            self.nest(0, cross, (), lambda at: self.steps(every, TILE, lambda i: strip(at, i)))

    def steps(self, span: Span, step: int, body: Callable[[Value], None]) -> None:
        """Emit a loop over the starts of blocks."""
        self.b._for(*span, (), lambda i: body(i) or (), step, FEW)  # type: ignore[func-returns-value]

    def find_turned(self, cross: int) -> None:
        """Find what is copied crosswise, and the other loads that cross, with a tile for each."""
        crossing = {
            key: a.array.dtype
            for key, a in self.plan.accesses.items()
            if key != store_key(a.array) and a.strides[cross] == 1 and a.strides[-1] not in (0, 1)
        }
        self.copied: dict[Array, Key] = {}
        beside: dict[Key, None] = {}
        used = {r.array for op in self.part.body for r in op.reads}
        for op in self.part.body:
            if isinstance(op.lowering, Indexed):
                continue
            keys = [k for r in op.reads if (k := read_key(r, self.part.space)) in crossing]
            (out,) = op.outs
            if keys and is_copy(op) and out not in used and self.rows_follow(out, keys[0]):
                self.copied[out] = keys[0]
            else:
                beside.update(dict.fromkeys(keys))
        self.rest = [a for a in self.part.stores if a not in self.copied]
        few = len(beside) <= MOST_LOCAL
        size = TILE * TILE_WIDTH
        self.beside = {k: self.b.alloca(crossing[k], size) for k in beside if few}

    def rows_follow(self, out: Array, key: Key) -> bool:
        """Whether blocks of a load may go straight to a result: they are in different memory."""
        target, source = self.places[store_key(out)].memory, self.places[key].memory
        return target is not source and self.plan.accesses[store_key(out)].strides[-1] == 1

    def tile(self, at: Point, rows: Span, columns: Span) -> None:
        """Emit one tile."""

        def line(j: Value) -> None:
            self.steps(rows, TURNED, lambda i: self.block((*at, i, j), rows, columns))

        if self.copied or self.beside:
            self.steps(columns, TURNED, line)
        if self.rest:
            first = (rows[0], columns[0])

            def point(i: Value, j: Value) -> None:
                here, place = (*at, i, j), self.beside_place((i, j), first)
                env: dict[Any, Value] = {k: ref.load(place) for k, ref in self.beside.items()}
                self.evaluate(self.part.body, here, env, False)
                self.store(self.rest, here, env)

            self.loop(*rows, lambda i: self.loop(*columns, lambda j: point(i, j)), True)

    def beside_place(self, point: Point, first: Point) -> Value:
        """Return where a point is in the tiles laid out beside."""
        b = self.b
        i, j = (b.sub(p, q) for p, q in zip(point, first))
        return b.add(b.mul(i, b.const(TILE_WIDTH, I64)), j)

    def block(self, here: Point, rows: Span, columns: Span) -> None:
        """Emit one block: where it begins is given, and the tile it is in."""
        b, cross = self.b, len(here) - 2
        side = b.const(TURNED, I64)
        counts = [b.minimum(side, b.sub(s[1], k)) for s, k in zip((rows, columns), here[cross:])]

        def turn(to: tuple[MemoryRef, Value, Value], key: Key) -> None:
            of = self.places[key]
            b.turn(to, (of.memory, of.linear(here), of.strides[-1]), *counts)

        for array, key in self.copied.items():
            to = self.places[store_key(array)]
            turn((to.memory, to.linear(here), to.strides[cross]), key)
        for key, ref in self.beside.items():
            place = self.beside_place(here[cross:], (rows[0], columns[0]))
            turn((ref, place, b.const(TILE_WIDTH, I64)), key)
