"""Loop groups -> kernel IR: maps, row folds and column folds, as the schedule says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from functrace.compiler.builder import ArrayRef, Builder, Index, MemoryRef
from functrace.compiler.codegen import KernelMaker, StepCode, op_cost
from functrace.compiler.kernel import I64, Value
from functrace.compiler.lanes import lane_fold
from functrace.compiler.plan import Array, Group, Memory, Number, Op, Operand, Read
from functrace.compiler.schedule import (
    COLUMNS,
    STATIC_EXTENT,
    TILE,
    Access,
    Key,
    Schedule,
    read_key,
    store_key,
)
from functrace.core.lowering import Indexed, Reduction

__all__ = ["loop_kernels"]

#: Element expressions up to this cost are written out several times, to run in lanes.
_LIGHT = 8
#: How many elements of a heavy expression are computed into a local array at once.
_ROW_BLOCK = 512
#: Lines up to these lengths are folded by one, or by a few accumulators; longer ones in lanes.
_TINY_LINE, _LONG_LINE = 16, 1024
_SHORT_LANES = 4
#: How many operands of a tile may be turned in local arrays.
_MOST_LOCAL_TILES = 4
#: What tells the printer that a loop has few iterations.
_FEW = 1

Point = tuple[Value, ...]


def loop_kernels(group: Group, plan: Schedule, memory: Memory) -> list[StepCode]:
    """Return the steps of a loop group: one, or two for a large fold."""
    if plan.style == "blocks":
        first, last = (_LoopMaker(group, plan, memory) for _ in range(2))
        first.blocks()
        last.blocks_end()
        return [first.finish(plan.extent, plan.grain), last.finish()]
    maker = _LoopMaker(group, plan, memory)
    {"map": maker.map, "tiles": maker.tiles, "rows": maker.rows, "columns": maker.columns}[
        plan.style
    ]()
    return [maker.finish(plan.extent, plan.grain)]


def plus(b: Builder, first: Index, i: Value) -> Value:
    """Return ``first + i``, which is i when first is 0."""
    return i if isinstance(first, int) and first == 0 else b.add(b._index(first), i)


class _LoopMaker(KernelMaker):
    def __init__(self, group: Group, plan: Schedule, memory: Memory) -> None:
        super().__init__(group, memory)
        self.plan = plan
        self._extents: dict[int, Index] = {}
        self.places = {k: self.place(a) for k, a in plan.accesses.items()}
        self.indexed_refs: dict[tuple[Op, int], ArrayRef] = {}
        self.indexed_shapes = {
            op: self.shapes(op) for op in group.ops if isinstance(op.lowering, Indexed)
        }
        self.enter(group.parts[0])

    def enter(self, part: Group) -> None:
        """Go on to a phase of the group."""
        self.part = part
        self.part_cost = sum(map(op_cost, part.body))

    def place(self, access: Access) -> ArrayRef:
        """Return an access as an array indexed by the loops."""
        memory = self.buffer(access.array)
        inner = self.innermost()
        strides = [self.stride(s, i == inner) for i, s in enumerate(access.strides)]
        return ArrayRef(memory, [0] * len(strides), strides, self.offset(access.offset))

    def trips(self, loop: int) -> Index:
        """Return the extent of a loop."""
        if loop not in self._extents:
            self._extents[loop] = self.extent(self.plan.loops[loop].extent, STATIC_EXTENT)
        return self._extents[loop]

    def innermost(self) -> int:
        """Return which loop runs along memory."""
        loops = self.plan.loops
        if self.plan.style == "columns":
            return max(i for i, x in enumerate(loops) if not x.reduced)
        return len(loops) - 1

    # --- one point ---

    def shapes(self, op: Op) -> tuple[list[list[Value]], list[Value]]:
        """Return the extents an indexed rule may ask for, and note how it reads its operands."""
        ins = []
        for k, x in enumerate(op.operands):
            if isinstance(x, Read):
                ref = self.array_ref(x)
                self.indexed_refs[op, k] = ref
                ins.append(list(ref.shape))
            else:
                ins.append([self.number(n) for n in x.shape])
        return ins, [self.number(n) for n in op.outs[0].shape]

    def evaluate(self, ops: Sequence[Op], at: Point, env: dict[Any, Value], kept: bool) -> None:
        """Compute operations at one point of the loops; ``env`` holds what is known there."""
        space = self.part.kept if kept else self.part.space
        for op in ops:
            if isinstance(op.lowering, Indexed):
                value = self.pull(op, at, kept)
            else:
                values = [self.value(x, space, at, env) for x in op.operands]
                value = op.lowering.rule(self.b, *values, **op.params)  # type: ignore[union-attr]
            self.note_sites(op)
            env[op.outs[0]] = value

    def value(
        self, operand: Operand, space: tuple[int, ...], at: Point, env: dict[Any, Value]
    ) -> Value:
        if isinstance(operand, Number):
            return self.b.const(operand.value, operand.dtype)
        made = env.get(operand.array)
        if made is not None:
            return made
        key = read_key(operand, space)
        loaded = env.get(key)
        if loaded is None:
            loaded = env[key] = self.places[key].load(at)
        return loaded

    def pull(self, op: Op, at: Point, kept: bool) -> Value:
        """Compute an indexed operation at one point."""
        b, rule = self.b, op.lowering
        assert isinstance(rule, Indexed)
        by_axis = {x.axes[0]: i for x, i in zip(self.plan.loops, at)}
        axes = [a for a in range(len(self.part.space)) if not (kept and a in self.part.axes)]
        points = iter([by_axis[a] for a in axes])
        zero = b.const(0, I64)
        index = tuple(zero if n == 1 else next(points) for n in op.outs[0].shape)
        ins, out = self.indexed_shapes[op]
        operands = [self.reader(op, k, x) for k, x in enumerate(op.operands)]
        with b.extents(ins, out):
            result: Value = rule.pull(b, index, operands, op.avals_in, op.avals_out[0], **op.params)
        return result

    def reader(self, op: Op, k: int, operand: Operand) -> Callable[[Sequence[Index]], Value]:
        if isinstance(operand, Number):
            constant = operand
            return lambda index: self.b.const(constant.value, constant.dtype)
        return self.indexed_refs[op, k].load

    def store(self, arrays: Sequence[Array], at: Point, env: dict[Any, Value]) -> None:
        for array in arrays:
            self.places[store_key(array)].store(at, env[array])

    def stored(self, ops: Sequence[Op]) -> list[Array]:
        made = {a for op in ops for a in op.outs}
        return [a for a in self.part.stores if a in made]

    def nest(self, first: int, last: int, at: Point, body: Callable[[Point], None]) -> None:
        """Run ``body`` over loops ``first`` to ``last - 1``; loop 0 is the outer range."""
        if first == last:
            body(at)
            return
        lo, hi = (self.b.lo, self.b.hi) if first == 0 else (0, self.trips(first))
        outer = self.holds_loops(first)
        self.loop(lo, hi, lambda i: self.nest(first + 1, last, (*at, i), body), outer)

    def loop(self, lo: Index, hi: Index, body: Callable[[Value], None], few: bool = False) -> None:
        """Emit a loop; one of few iterations, or of a tiny program, is not worth SIMD code."""
        lanes = _FEW if few or self.plan.tiny else 0
        self.b._for(lo, hi, (), lambda i: body(i) or (), 1, lanes)  # type: ignore[func-returns-value]

    def holds_loops(self, level: int) -> bool:
        """Whether a loop still holds another one when LLVM has unrolled what is static."""
        return any(not x.static for x in self.plan.loops[level + 1 :])

    # --- maps ---

    def map(self) -> None:
        """Emit loops without folds."""
        self.nest(0, len(self.plan.loops), (), self.map_point)

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

        if cross == 0:
            self.loop(b.lo, b.hi, lambda k: strip((), b.mul(k, side)), True)
        else:
            self.nest(0, cross, (), lambda at: self.steps(rows, lambda i: strip(at, i)))

    def steps(self, hi: Value, body: Callable[[Value], None]) -> None:
        """Emit a loop over the starts of tiles."""
        self.b._for(0, hi, (), lambda i: body(i) or (), TILE, _FEW)  # type: ignore[func-returns-value]

    def crossing_loads(self, cross: int) -> dict[Key, MemoryRef]:
        """Return local tiles for the loads that run along memory in the outer of the two loops."""
        found = {
            key: a.array.dtype
            for key, a in self.plan.accesses.items()
            if key != store_key(a.array) and a.strides[cross] == 1 and a.strides[-1] not in (0, 1)
        }
        if len(found) > _MOST_LOCAL_TILES:
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

    # --- folds ---

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

    def element(self, at: Point) -> list[Value]:
        """Compute and store the body at one point, and return what the folds add."""
        env: dict[Any, Value] = {}
        self.evaluate(self.part.body, at, env, False)
        self.store(self.stored(self.part.body), at, env)
        space = self.part.space
        return [self.value(op.operands[0], space, at, env) for op in self.part.folds]

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

    def fold(self, level: int, at: Point, accs: Sequence[Value] | None) -> list[Value]:
        """Fold the loops from ``level`` on, onto ``accs`` if there are any."""
        if level == len(self.plan.loops) - 1:
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
        results = self.line_fold(n, _ROW_BLOCK, lambda i: [ref.load(i) for ref in partial])
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
        b, loop = self.b, self.plan.loops[-1]
        n = self.trips(len(self.plan.loops) - 1) if count is None else count
        if loop.static:
            result = self.identities() if accs is None else list(accs)
            for i in range(loop.extent):
                result = self.combine(result, self.element((*at, self.b.const(i, I64))))
            return result
        if self.part_cost > _LIGHT:
            return self.blocked_fold(at, accs, first, b._index(n))
        known = self.plan.block if count is not None else loop.extent
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
        lanes = 1 if known <= _TINY_LINE else _SHORT_LANES
        return self.short_fold(self.b._index(n), lanes, element)

    def short_fold(
        self, n: Value, lanes: int, element: Callable[[Value], list[Value]]
    ) -> list[Value]:
        """Fold with a few accumulators side by side, and add those pairwise."""
        b, width = self.b, len(self.part.folds)
        whole = b.mul(b.index_div(n, b.const(lanes, I64)), b.const(lanes, I64))

        def several(i: Value, *accs: Value) -> list[Value]:
            out: list[Value] = []
            for lane in range(lanes):
                xs = element(b.add(i, b.const(lane, I64)))
                out += self.combine(accs[lane * width : (lane + 1) * width], xs)
            return out

        flat = b._for(0, whole, self.identities() * lanes, several, lanes, _FEW)
        parts = [flat[k : k + width] for k in range(0, len(flat), width)]
        if lanes > 1:

            def one(i: Value, *accs: Value) -> list[Value]:
                return self.combine(accs, element(i))

            parts[0] = b._for(whole, n, parts[0], one, 1, _FEW)
        while len(parts) > 1:
            half = len(parts) // 2
            parts = [self.combine(parts[k], parts[k + half]) for k in range(half)]
        return parts[0]

    def blocked_fold(
        self, at: Point, accs: Sequence[Value] | None, first: Index, n: Value
    ) -> list[Value]:
        """Compute blocks of elements into local arrays, and fold those."""
        b = self.b
        block = [b.alloca(op.outs[0].dtype, _ROW_BLOCK) for op in self.part.folds]
        start = self.identities() if accs is None else list(accs)

        def one_block(base: Value, *carried: Value) -> list[Value]:
            width = b.minimum(b.const(_ROW_BLOCK, I64), b.sub(n, base))

            def one(i: Value) -> None:
                place = plus(b, first, b.add(base, i))
                for ref, x in zip(block, self.element((*at, place))):
                    ref.store(i, x)

            self.loop(0, width, one)
            line = self.line_fold(width, _ROW_BLOCK, lambda i: [ref.load(i) for ref in block])
            return self.combine(carried, line)

        return b.fold(0, n, start, one_block, _ROW_BLOCK)

    def columns(self) -> None:
        """Emit folds over outer loops for a block of columns at a time."""
        inner = self.innermost()
        loop, b = self.plan.loops[inner], self.b
        accs = [b.alloca(op.outs[0].dtype, COLUMNS) for op in self.part.folds]
        n = b._index(self.trips(inner))

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

        def one_row(point: Point) -> None:
            def one(j: Value) -> None:
                # The column comes before the reduced loops in the order of the loops.
                k = len(at)
                xs = self.element((*point[:k], b.add(base, j), *point[k:]))
                for acc, value in zip(accs, self.combine([a.load(j) for a in accs], xs)):
                    acc.store(j, value)

            each(one, False)

        each(start, True)
        self.reduced_nest(len(at) + 1, at, one_row)
        light = sum(map(op_cost, self.part.epilogue)) <= _LIGHT
        each(lambda j: self.epilogue((*at, b.add(base, j)), [a.load(j) for a in accs]), light)

    def reduced_nest(self, level: int, at: Point, body: Callable[[Point], None]) -> None:
        if level == len(self.plan.loops):
            body(at)
            return
        trips = self.trips(level)
        self.loop(0, trips, lambda i: self.reduced_nest(level + 1, (*at, i), body), True)
