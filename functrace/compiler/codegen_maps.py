"""Loop groups without folds -> kernel IR: plain loops, and tiles where operands cross."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from functrace.compiler.codegen_points import BLOCK, FEW, LIGHT, Point, PointMaker
from functrace.compiler.ir.builder import Index, MemoryRef
from functrace.compiler.ir.kernel import I64, Value
from functrace.compiler.schedule import (
    TILE,
    Key,
    narrow,
    read_key,
    store_key,
)
from functrace.core.lowering import Indexed

__all__ = ["MapMaker"]

#: How many operands may go through local arrays.
MOST_LOCAL = 4


class MapMaker(PointMaker):
    """Emits maps."""

    def map(self) -> None:
        """Emit loops without folds."""
        last = len(self.plan.loops) - 1
        if self.part_cost <= LIGHT or last < 0 or self.plan.loops[last].static:
            self.nest(0, last + 1, (), self.map_point)
            return
        lines = self.local_lines()
        if not lines:
            self.nest(0, last + 1, (), self.map_point)
        elif last == 0:
            self.map_line((), self.b.lo, self.b.hi, lines)
        else:
            hi = self.b._index(self.trips(last))
            self.nest(0, last, (), lambda at: self.map_line(at, self.b.const(0, I64), hi, lines))

    def map_line(self, at: Point, lo: Value, hi: Value, lines: dict[Key, MemoryRef]) -> None:
        """Emit the innermost loop in blocks whose strided operands are gathered first."""
        b = self.b

        def block(base: Value) -> None:
            width = b.minimum(b.const(BLOCK, I64), b.sub(hi, base))
            known = self.gather(width, lines, lambda i: (*at, b.add(base, i)))
            self.loop(0, width, lambda i: self.map_point((*at, b.add(base, i)), known(i)))

        b._for(lo, hi, (), lambda i: block(i) or (), BLOCK, FEW)  # type: ignore[func-returns-value]

    def local_lines(self) -> dict[Key, MemoryRef]:
        """Return local arrays for the loads of the part that jump in the innermost loop."""
        read = {
            read_key(r, self.part.space)
            for op in (*self.part.body, *self.part.folds)
            if not isinstance(op.lowering, Indexed)
            for r in op.reads
        }
        inner = self.innermost()
        found = {
            key: a.array.dtype
            for key, a in self.plan.accesses.items()
            if key in read and a.strides[inner] not in (0, 1)
        }
        if len(found) > MOST_LOCAL:
            return {}
        return {key: self.b.alloca(dtype, BLOCK) for key, dtype in found.items()}

    def gather(
        self, width: Index, lines: dict[Key, MemoryRef], place: Callable[[Value], Point]
    ) -> Callable[[Value], dict[Any, Value]]:
        """Copy strided operands to local arrays; return what is then known at i of the block.

        Heavy expressions of strided operands are not worth SIMD code to LLVM; of local ones, yes.
        """

        def one(i: Value) -> None:
            for key, ref in lines.items():
                ref.store(i, self.places[key].load(place(i)))

        if lines:
            self.loop(0, width, one, True)
        return lambda i: {key: ref.load(i) for key, ref in lines.items()}

    def map_point(self, at: Point, known: dict[Any, Value] | None = None) -> None:
        """Compute the body at one point and store what is wanted of it."""
        env = dict(known or {})
        self.evaluate(self.part.body, at, env, False)
        self.store(self.part.stores, at, env)

    def tiles(self) -> None:
        """Emit loops over square pieces of the two innermost loops."""
        b, cross = self.b, len(self.plan.loops) - 2
        side = b.const(TILE, I64)
        rows, columns = (b._index(self.trips(cross + k)) for k in range(2))
        local = self.crossing_loads(cross)

        def strip(at: Point, first: Value) -> None:
            last = b.minimum(b.add(first, side), rows)

            def tile(left: Value) -> None:
                self.tile(at, (first, last), (left, b.minimum(b.add(left, side), columns)), local)

            self.steps(columns, tile)

        if cross == 0 and narrow(self.plan.loops):
            whole = (b.const(0, I64), rows)

            def piece(k: Value) -> None:
                left = b.mul(k, side)
                self.tile((), whole, (left, b.minimum(b.add(left, side), columns)), local)

            self.loop(b.lo, b.hi, piece, True)
        elif cross == 0:
            self.loop(b.lo, b.hi, lambda k: strip((), b.mul(k, side)), True)
        else:
            self.nest(0, cross, (), lambda at: self.steps(rows, lambda i: strip(at, i)))

    def steps(self, hi: Value, body: Callable[[Value], None]) -> None:
        """Emit a loop over the starts of tiles."""
        self.b._for(0, hi, (), lambda i: body(i) or (), TILE, FEW)  # type: ignore[func-returns-value]

    def crossing_loads(self, cross: int) -> dict[Key, MemoryRef]:
        """Return local tiles for the loads that run along memory in the outer of the two loops."""
        found = {
            key: a.array.dtype
            for key, a in self.plan.accesses.items()
            if key != store_key(a.array) and a.strides[cross] == 1 and a.strides[-1] not in (0, 1)
        }
        if len(found) > MOST_LOCAL:
            return {}
        return {key: self.b.alloca(dtype, TILE * TILE) for key, dtype in found.items()}

    def tile(
        self,
        at: Point,
        rows: tuple[Value, Value],
        columns: tuple[Value, Value],
        local: dict[Key, MemoryRef],
    ) -> None:
        """Emit one tile: what crosses it is turned in a local array first."""
        b = self.b

        def place(i: Value, j: Value) -> Value:
            line = b.mul(b.sub(i, rows[0]), b.const(TILE, I64))
            return b.add(line, b.sub(j, columns[0]))

        def turn(j: Value, i: Value) -> None:
            for key, ref in local.items():
                ref.store(place(i, j), self.places[key].load((*at, i, j)))

        def point(i: Value, j: Value) -> None:
            here = place(i, j)
            self.map_point((*at, i, j), {key: ref.load(here) for key, ref in local.items()})

        if local:
            self.loop(*columns, lambda j: self.loop(*rows, lambda i: turn(j, i), True), True)
        self.loop(*rows, lambda i: self.loop(*columns, lambda j: point(i, j)), True)
