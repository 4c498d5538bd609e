"""Loop groups with folds -> kernel IR: along rows, down columns, in blocks of one large row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from functrace.compiler.codegen.kernels import op_cost
from functrace.compiler.codegen.points import BLOCK, FEW, LIGHT, Point, plus
from functrace.compiler.codegen.tiles import TileMaker
from functrace.compiler.ir.builder import Index, MemoryRef
from functrace.compiler.ir.kernel import I64, Value
from functrace.compiler.ir.lanes import lane_fold, vector_fold
from functrace.compiler.plan import Op
from functrace.compiler.planning.schedule import COLUMNS, Key
from functrace.core.lowering import Reduction

__all__ = ["FoldMaker"]

#: Lines up to these lengths are folded by one, or by a few accumulators; longer ones in lanes.
_TINY_LINE, _WIDE_LINE, _LONG_LINE = 8, 128, 1024
#: How many rows are added to a block of columns at a time.
_ROWS = 4


class FoldMaker(TileMaker):
    """Emits folds, and groups of several phases."""

    lines: dict[Key, MemoryRef]

    def identities(self) -> list[Value]:
        values = []
        for op in self.part.folds:
            dtype = op.outs[0].dtype
            start = op.lowering.identity(dtype, **op.params)  # type: ignore[union-attr]
            values.append(self.b.const(start, dtype))
        return values

    def combine(self, accs: Sequence[Value], xs: Sequence[Value]) -> list[Value]:
        out = []
        for op, acc, x in zip(self.part.folds, accs, xs):
            assert isinstance(op.lowering, Reduction)
            out.append(op.lowering.combine(self.b, acc, x, **op.params))
        return out

    def element(self, at: Point, known: dict[Any, Value] | None = None) -> list[Value]:
        """Compute and store the body at one point, and return what the folds add."""
        env = dict(known or {})
        self.evaluate(self.part.body, at, env, False)
        self.store(self.stored(self.part.body), at, env)
        return [self.added(op, at, env) for op in self.part.folds]

    def added(self, op: Op, at: Point, env: dict[Any, Value]) -> Value:
        """Return what a fold adds at one point."""
        rule = op.lowering
        assert isinstance(rule, Reduction)
        xs = [self.value(x, self.part.space, at, env) for x in op.operands]
        value: Value = xs[0] if rule.element is None else rule.element(self.b, *xs)
        return value

    def epilogue(self, at: Point, results: Sequence[Value]) -> None:
        """Compute what follows the folds at one kept point, and store."""
        zero = self.b.const(0, I64)
        at = (*at, *[zero] * (len(self.plan.loops) - len(at)))
        env: dict[Any, Value] = {op.outs[0]: r for op, r in zip(self.part.folds, results)}
        self.evaluate(self.part.epilogue, at, env, True)
        self.store(self.stored([*self.part.folds, *self.part.epilogue]), at, env)

    def rows(self) -> None:
        """Emit folds along the innermost loop."""
        kept = sum(not x.reduced for x in self.plan.loops)

        def row(at: Point) -> None:
            for part in self.group.parts:
                self.enter(part)
                if part.folds:
                    self.epilogue(at, self.fold(kept, at, None))
                else:
                    self.nest(kept, len(self.plan.loops), at, self.map_point)

        self.nest(0, kept, (), row)

    def along(self) -> int:
        """Return which loop lines are folded along."""
        return len(self.plan.loops) - 1

    def fold(self, level: int, at: Point, accs: Sequence[Value] | None) -> list[Value]:
        """Fold the loops from ``level`` on, onto ``accs`` if there are any."""
        if level == self.along():
            return self.innermost_fold(at, accs)
        start = self.identities() if accs is None else accs
        return self.b.fold(
            0,
            self.trips(level),
            start,
            lambda i, *inner: self.fold(level + 1, (*at, i), inner),
        )

    def blocks(self) -> None:
        """Emit the folds of pieces of the outermost loop, each into its place of the scratch."""
        b = self.b
        partial = [self.slot_buffer(s, d, "out") for s, d in self.partials()]
        size, n = self.number(self.plan.block), b._index(self.trips(0))

        def block(k: Value) -> None:
            first = b.mul(k, size)
            count = b.minimum(size, b.sub(n, first))
            if len(self.plan.loops) == 1:
                results = self.innermost_fold((), None, first, count)
            else:
                results = b.fold(
                    first,
                    b.add(first, count),
                    self.identities(),
                    lambda i, *accs: self.fold(1, (i,), accs),
                )
            for ref, result in zip(partial, results):
                ref.store(k, result)

        self.loop(b.lo, b.hi, block, True)

    def blocks_end(self) -> None:
        """Emit the fold of the pieces' results, and the epilogue."""
        partial = [self.slot_buffer(s, d, "in") for s, d in self.partials()]
        n = self.number(self.plan.extent)
        results = self.line_fold(n, BLOCK, lambda i: [ref.load(i) for ref in partial])
        self.epilogue((), results)

    def partials(self) -> list[tuple[int, Any]]:
        """Return slot and dtype of the scratch of each fold."""
        slots = self.memory.scratch[self.group.index]
        return [(slot, op.outs[0].dtype) for slot, op in zip(slots, self.group.folds)]

    def innermost_fold(
        self,
        at: Point,
        accs: Sequence[Value] | None,
        first: Index = 0,
        count: Index | None = None,
    ) -> list[Value]:
        """Fold the innermost loop, or ``count`` of its elements from ``first`` on."""
        b, loop = self.b, self.plan.loops[self.along()]
        n = self.trips(self.along()) if count is None else count
        if loop.static:
            result = self.identities() if accs is None else list(accs)
            for i in range(loop.extent):
                result = self.combine(result, self.element((*at, self.b.const(i, I64))))
            return result
        known = self.plan.block if count is not None else loop.extent
        if self.part_cost > LIGHT:
            return self.blocked_fold(at, accs, first, b._index(n), known)
        result = self.line_fold(n, known, lambda i: self.element((*at, plus(b, first, i))))
        return result if accs is None else self.combine(accs, result)

    def line_fold(
        self, n: Index, known: int, element: Callable[[Value], list[Value]]
    ) -> list[Value]:
        """Fold ``element(i)`` for i < n in an order that n alone decides.

        Args:
            n: how many there are.
            known: n's class: kernels for short lines take far less time to compile.
            element: what to fold; it is built several times.
        """
        if known > _LONG_LINE:
            long: list[Value] = lane_fold(
                self.b, 0, n, self.identities(), lambda acc, x: self.combine(acc, x), element
            )
            return long
        if known <= _TINY_LINE:
            return self.short_fold(self.b._index(n), element)
        once = self.part_cost > LIGHT
        start = self.identities()
        lanes = self.width() * (2 if known > _WIDE_LINE else 1)
        return vector_fold(self.b, n, start, self.combine, element, lanes, once)

    def short_fold(self, n: Value, element: Callable[[Value], list[Value]]) -> list[Value]:
        """Fold one after the other."""

        def one(i: Value, *accs: Value) -> list[Value]:
            return self.combine(accs, element(i))

        return self.b._for(0, n, self.identities(), one, 1, FEW)

    def blocked_fold(
        self, at: Point, accs: Sequence[Value] | None, first: Index, n: Value, known: int
    ) -> list[Value]:
        """Fold a line of what takes long to compute, block by block when it is long."""
        b = self.b
        lines = self.local_lines()

        def block(base: Index, width: Index) -> list[Value]:
            begin = plus(b, base, b._index(first))
            found = self.gather(width, lines, lambda i: (*at, b.add(begin, i)))
            return self.line_fold(
                width, BLOCK, lambda i: self.element((*at, b.add(begin, i)), found(i))
            )

        if known <= BLOCK:
            line = block(0, n)
            return line if accs is None else self.combine(accs, line)

        def one_block(base: Value, *carried: Value) -> list[Value]:
            width = b.minimum(b.const(BLOCK, I64), b.sub(n, base))
            return self.combine(carried, block(base, width))

        start = self.identities() if accs is None else list(accs)
        return b._for(0, n, start, one_block, BLOCK, FEW)

    def columns(self) -> None:
        """Emit folds over outer loops for a block of columns at a time."""
        inner = self.innermost()
        loop, b = self.plan.loops[inner], self.b
        accs = [b.alloca(start.dtype, COLUMNS) for start in self.identities()]
        n = b._index(self.trips(inner))
        self.lines = self.local_lines() if self.part_cost > LIGHT and not loop.static else {}

        def block(at: Point, base: Value) -> None:
            width: Index = loop.extent
            if not loop.static:
                width = b.minimum(b.const(COLUMNS, I64), b.sub(n, base))
            self.column_block(at, base, width, accs)

        if inner == 0:
            b.loop(b.lo, b.hi, lambda k: block((), b.mul(k, b.const(COLUMNS, I64))))
        else:
            self.nest(0, inner, (), lambda at: b.loop(0, n, lambda j: block(at, j), COLUMNS))

    def column_block(self, at: Point, base: Value, width: Index, accs: Sequence[MemoryRef]) -> None:
        b = self.b
        starts = self.identities()

        def each(body: Callable[[Value], None], few: bool) -> None:
            self.loop(0, width, body, few)

        def start(j: Value) -> None:
            for acc, value in zip(accs, starts):
                acc.store(j, value)

        def of_row(point: Point) -> Callable[[Value], Point]:
            # The column comes before the reduced loops in the order of the loops.
            return lambda j: (*point[: len(at)], b.add(base, j), *point[len(at) :])

        def some_rows(points: list[Point]) -> None:
            places = [of_row(point) for point in points]
            known = [self.gather(width, self.lines, place) for place in places]

            def one(j: Value) -> None:
                values = [a.load(j) for a in accs]
                for place, found in zip(places, known):
                    values = self.combine(values, self.element(place(j), found(j)))
                for acc, value in zip(accs, values):
                    acc.store(j, value)

            each(one, False)

        each(start, True)
        self.reduced_nest(len(at) + 1, at, some_rows)
        light = sum(map(op_cost, self.part.epilogue)) <= LIGHT
        each(lambda j: self.epilogue((*at, b.add(base, j)), [a.load(j) for a in accs]), light)

    def reduced_nest(self, level: int, at: Point, body: Callable[[list[Point]], None]) -> None:
        """Run ``body`` over rows: a few at a time, added one after the other, where that's light.

        So what has been added up is read and written once for all of them.
        """
        b, trips = self.b, self.trips(level)
        if level < self.along():
            self.loop(0, trips, lambda i: self.reduced_nest(level + 1, (*at, i), body), True)
            return
        first: Index = 0
        if self.part_cost <= LIGHT and not (self.plan.loops[level].static or self.plan.tiny):
            first = b.and_(b._index(trips), b.const(-_ROWS, I64))

            def rows(i: Value) -> None:
                body([(*at, b.add(i, b.const(k, I64))) for k in range(_ROWS)])

            b.loop(0, first, rows, _ROWS)
        self.loop(first, trips, lambda i: body([(*at, i)]), True)
