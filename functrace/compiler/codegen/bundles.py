"""Folds of a few columns side by side -> kernel IR: as many folds along one line.

Sums over all pairs of points are of this kind: the coordinates are what is left. A loop over three
columns has nothing to offer to SIMD code; the long loop that is folded has, with one register of
partial results for each column.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from functrace.compiler.codegen.points import Point
from functrace.compiler.codegen.rows import RowMaker
from functrace.compiler.ir.kernel import I64, Value

__all__ = ["BundleMaker"]


class BundleMaker(RowMaker):
    """Emits folds whose innermost loop is kept, static and written out."""

    def rows(self) -> None:
        """Emit folds along the innermost loop but the columns'."""
        if not self.plan.bundle:
            super().rows()
            return
        kept = sum(not x.reduced for x in self.plan.loops) - 1
        self.nest(0, kept, (), lambda at: self.epilogue(at, self.fold(kept, at, None)))

    def along(self) -> int:
        return super().along() - self.plan.bundle

    def innermost(self) -> int:
        loops = self.plan.loops
        if not self.plan.bundle or self.plan.style == "rows":
            return super().innermost()
        return max(i for i, x in enumerate(loops[:-1]) if not x.reduced)

    def columns_of(self) -> list[tuple[Value, ...]]:
        """Return the last index of each column; of folds without columns, none."""
        if not self.plan.bundle:
            return [()]
        return [(self.b.const(k, I64),) for k in range(self.plan.loops[-1].extent)]

    def identities(self) -> list[Value]:
        return super().identities() * len(self.columns_of())

    def combine(self, accs: Sequence[Value], xs: Sequence[Value]) -> list[Value]:
        n = len(self.part.folds)
        pairs = ((accs[k : k + n], xs[k : k + n]) for k in range(0, len(accs), n))
        return [x for pair in pairs for x in super(BundleMaker, self).combine(*pair)]

    def element(self, at: Point, known: dict[Any, Value] | None = None) -> list[Value]:
        columns = [super(BundleMaker, self).element((*at, *k), known) for k in self.columns_of()]
        return [x for column in columns for x in column]

    def epilogue(self, at: Point, results: Sequence[Value]) -> None:
        if not self.plan.bundle:
            super().epilogue(at, results)
            return
        n, zero = len(self.part.folds), self.b.const(0, I64)
        among = [zero] * (len(self.plan.loops) - 1 - len(at))
        for place, k in enumerate(self.columns_of()):
            super().epilogue((*at, *among, *k), results[n * place : n * (place + 1)])
