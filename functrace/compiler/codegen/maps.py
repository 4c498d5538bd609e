"""Loop groups without folds -> kernel IR: plain loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from functrace.compiler.codegen.points import BLOCK, FEW, LIGHT, Point, PointMaker
from functrace.compiler.ir.builder import Index, MemoryRef
from functrace.compiler.ir.kernel import I64, Value
from functrace.compiler.planning.schedule import Key, read_key
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
