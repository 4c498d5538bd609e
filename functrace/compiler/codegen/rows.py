"""Folds along short rows -> kernel IR: many rows at a time, so that SIMD code has enough to do.

A block of rows goes through each phase of the group. What is computed once a row (a logarithm, a
square root) runs over the rows of the block; what takes long to compute and is wanted for each
element runs over the whole block as one line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from functrace.compiler.codegen.folds import FoldMaker
from functrace.compiler.codegen.maps import MOST_LOCAL
from functrace.compiler.codegen.points import FEW, LIGHT, Point
from functrace.compiler.ir.builder import Index, MemoryRef
from functrace.compiler.ir.kernel import I64, Value
from functrace.compiler.planning.schedule import Key, Schedule, read_key, store_key
from functrace.core.lowering import Indexed

__all__ = ["RowMaker", "rows_of_block"]

#: Rows up to this length are worked on in blocks, and up to the second made one line of.
_SHORT, _FLAT = 512, 64
#: About how many elements a block has, and the most rows.
_BLOCK, MOST_ROWS = 1024, 128


def rows_of_block(plan: Schedule) -> int:
    """Return how many rows are worked on at a time."""
    row = plan.loops[-1].extent if plan.loops else 1
    return min(MOST_ROWS, max(8, _BLOCK // max(row, 1)))


class RowMaker(FoldMaker):
    """Emits folds along rows."""

    def rows(self) -> None:
        """Emit folds along the innermost loop."""
        loops = self.plan.loops
        kept = sum(not x.reduced for x in loops)
        short = len(loops) == kept + 1 and loops[-1].extent <= _SHORT
        if not kept or not short or self.plan.tiny:
            super().rows()
            return
        self.raw: dict[tuple[int, Any], MemoryRef] = {}
        self.flat: dict[tuple[int, Any], MemoryRef] = {}
        self.nest(0, kept - 1, (), lambda at: self.blocks_of_rows(kept - 1, at))

    def map(self) -> None:
        """Emit loops without folds."""
        last = len(self.plan.loops) - 1
        if last < 1 or self.plan.tiny or not self.makes_line():
            super().map()
            return
        self.flat = {}
        self.nest(0, last - 1, (), lambda at: self.blocks_of_rows(last - 1, at))

    def blocks_of_rows(self, level: int, at: Point) -> None:
        """Emit the loop over blocks of the innermost kept loop."""
        b, size = self.b, self.number(rows_of_block(self.plan))
        lo, hi = self.outer_range() if level == 0 else (0, self.trips(level))
        first, stop = b._index(lo), b._index(hi)
        blocks = b.index_div(b.sub(b.add(b.sub(stop, first), size), b.const(1, I64)), size)

        def block(k: Value) -> None:
            base = b.add(first, b.mul(k, size))
            rows = b.minimum(size, b.sub(stop, base))
            for part in self.group.parts:
                self.enter(part)
                if part.folds:
                    self.fold_rows(at, base, rows)
                else:
                    self.map_rows(at, base, rows)

        self.loop(0, blocks, block, True)

    def each(self, rows: Value, body: Callable[[Value], None]) -> None:
        """Emit a loop over the rows of a block that holds loops."""
        self.loop(0, rows, body, not self.plan.loops[-1].static)

    def fold_rows(self, at: Point, base: Value, rows: Value) -> None:
        """Emit the folds of a block of rows, and what follows them."""
        b, ops = self.b, self.part.folds
        raw = [self.local(self.raw, k, op.outs[0].dtype, MOST_ROWS) for k, op in enumerate(ops)]
        length = b._index(self.trips(len(self.plan.loops) - 1))
        values: list[MemoryRef] = []
        if self.makes_line():
            values = [
                self.local(self.flat, k, op.outs[0].dtype, _BLOCK) for k, op in enumerate(ops)
            ]

            def one(place: Value, known: dict[Any, Value]) -> None:
                for ref, x in zip(values, self.element((*at, base, place), known)):
                    ref.store(place, x)

            self.line(at, base, rows, one)

        def row(r: Value) -> None:
            if values:
                results = self.fold_values(values, b.mul(r, length))
            else:
                results = self.innermost_fold((*at, b.add(base, r)), None)
            for ref, result in zip(raw, results):
                ref.store(r, result)

        self.each(rows, row)
        self.loop(
            0,
            rows,
            lambda r: self.epilogue((*at, b.add(base, r)), [ref.load(r) for ref in raw]),
        )

    def fold_values(self, values: Sequence[MemoryRef], start: Value) -> list[Value]:
        """Fold one row of what has been computed."""
        b, loop = self.b, self.plan.loops[-1]
        if not loop.static:
            length, cost = self.trips(len(self.plan.loops) - 1), self.part_cost
            self.part_cost = 0
            line = self.line_fold(
                length, loop.extent, lambda j: [ref.load(b.add(start, j)) for ref in values]
            )
            self.part_cost = cost
            return line
        result = self.identities()
        for j in range(loop.extent):
            here = b.add(start, b.const(j, I64))
            result = self.combine(result, [ref.load(here) for ref in values])
        return result

    def map_rows(self, at: Point, base: Value, rows: Value) -> None:
        """Emit a map over a block of rows."""
        if self.makes_line():
            self.line(at, base, rows, lambda i, known: self.map_point((*at, base, i), known))
            return
        last = len(self.plan.loops)

        def row(r: Value) -> None:
            self.nest(last - 1, last, (*at, self.b.add(base, r)), self.map_point)

        self.each(rows, row)

    # --- a block as one line ---

    def makes_line(self) -> bool:
        """Whether the part is worth running over a whole block, and can."""
        loop = self.plan.loops[-1]
        if self.part_cost <= LIGHT or loop.extent > _FLAT:
            return False
        if any(isinstance(op.lowering, Indexed) for op in self.part.ops):
            return False
        stores = [store_key(a) for a in self.stored(self.part.body)]
        return len(self.scattered()) <= MOST_LOCAL and all(map(self.is_line, stores))

    def is_line(self, key: Key) -> bool:
        """Whether an access runs through a block as through one line."""
        row, along = self.plan.accesses[key].strides[-2:]
        return row == along == 0 or (along == 1 and row == self.plan.loops[-1].extent)

    def scattered(self) -> list[Key]:
        """Return the reads that don't."""
        ops = (*self.part.body, *self.part.folds)
        read = {read_key(r, self.part.space): None for op in ops for r in op.reads}
        return [key for key in read if key in self.plan.accesses and not self.is_line(key)]

    def line(
        self, at: Point, base: Value, rows: Value, body: Callable[[Value, dict[Any, Value]], None]
    ) -> None:
        """Emit a loop over all elements of a block; other reads are laid out beside it first."""
        b = self.b
        length = b._index(self.trips(len(self.plan.loops) - 1))
        keys = self.scattered()
        beside = [
            self.local(self.flat, -1 - k, self.plan.accesses[key].array.dtype, _BLOCK)
            for k, key in enumerate(keys)
        ]

        def lay_out(r: Value) -> None:
            start = b.mul(r, length)

            def one(j: Value) -> None:
                for key, ref in zip(keys, beside):
                    ref.store(b.add(start, j), self.places[key].load((*at, b.add(base, r), j)))

            self.loop(0, length, one)

        if keys:
            self.b._for(0, rows, (), lambda r: lay_out(r) or (), 1, FEW)  # type: ignore[func-returns-value]
        self.loop(
            0,
            b.mul(rows, length),
            lambda i: body(i, {key: ref.load(i) for key, ref in zip(keys, beside)}),
        )

    def local(
        self, known: dict[tuple[int, Any], MemoryRef], number: int, dtype: Any, length: Index
    ) -> MemoryRef:
        """Return a local array, the same one for each phase."""
        if (number, dtype) not in known:
            assert isinstance(length, int)
            known[number, dtype] = self.b.alloca(dtype, length)
        return known[number, dtype]
