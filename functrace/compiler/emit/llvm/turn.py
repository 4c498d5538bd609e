"""Turns square blocks of memory: rows are read as vectors, and become columns by shuffles.

Blocks at the edge of an array have fewer rows or columns: they are read and written under masks
where the CPU has those, and one by one elsewhere.
"""

from __future__ import annotations

from functrace.compiler.emit.llvm.simd import HAS_MASKS
from functrace.compiler.emit.llvm.vectors import masked_load, masked_store, vector
from functrace.compiler.ir.kernel import TURNED, DType
from functrace.compiler.runtime.wide_ir import transposed

__all__ = ["turn_function", "turn_symbol"]

_ARGS = "(ptr %to, i64 %to.pitch, ptr %of, i64 %of.pitch, i64 %rows, i64 %columns)"
_PARAMS = _ARGS.replace("ptr", "ptr noalias")


def turn_symbol(dtype: DType) -> str:
    """The name of the function that turns blocks of elements of this size."""
    return f"turn.{dtype.itemsize}"


def turn_function(dtype: DType) -> str:
    """The function, and what it calls for blocks that aren't full."""
    writer = _Writer(dtype.itemsize)
    symbol = turn_symbol(dtype)
    edge = writer.masked() if HAS_MASKS and dtype.itemsize >= 4 else writer.one_by_one()
    return f"""define internal void @{symbol}{_PARAMS} alwaysinline nounwind {{
entry:
  %high = icmp eq i64 %rows, {TURNED}
  %wide = icmp eq i64 %columns, {TURNED}
  %full = and i1 %high, %wide
  br i1 %full, label %whole, label %part
whole:
{writer.whole()}
  ret void
part:
  call void @{symbol}.edge{_ARGS}
  ret void
}}
define internal void @{symbol}.edge{_PARAMS} noinline nounwind {{
entry:
{edge}
}}"""


class _Writer:
    """Writes the instructions for elements of so many bytes."""

    def __init__(self, size: int) -> None:
        self.lines: list[str] = []
        self.count = 0
        #: Elements wider than a register's numbers are several of them.
        self.words = max(1, size // 8)
        self.word = f"i{8 * min(size, 8)}"
        self.element = f"[{self.words} x {self.word}]"
        self.row = vector(self.word, TURNED * self.words)
        self.rest = f", align {min(size, 8)}"

    def temp(self) -> str:
        self.count += 1
        return f"%t{self.count}"

    def emit(self, text: str) -> str:
        name = self.temp()
        self.lines.append(f"  {name} = {text}")
        return name

    def text(self) -> str:
        lines, self.lines = self.lines, []
        return "\n".join(lines)

    def place(self, which: str, number: str) -> str:
        """Where a row of one side begins."""
        at = self.emit(f"mul i64 %{which}.pitch, {number}")
        return self.emit(f"getelementptr inbounds {self.element}, ptr %{which}, i64 {at}")

    def whole(self) -> str:
        """A full block."""
        rows = [
            self.emit(f"load {self.row}, ptr {self.place('of', str(k))}{self.rest}")
            for k in range(TURNED)
        ]
        for k, row in enumerate(self.turned(rows)):
            place = self.place("to", str(k))
            self.lines.append(f"  store {self.row} {row}, ptr {place}{self.rest}")
        return self.text()

    def turned(self, rows: list[str]) -> list[str]:
        """Make rows columns."""
        lines, columns = transposed(rows, "%turned", self.row, self.words)
        self.lines += lines
        return columns

    def masked(self) -> str:
        """A block of fewer rows or columns, under masks: rows that aren't there are the last."""
        last, reading = self.emit("sub i64 %columns, 1"), self.first("rows")
        rows = []
        for k in range(TURNED):
            there = self.emit(f"icmp sgt i64 {last}, {k}")
            number = self.emit(f"select i1 {there}, i64 {k}, i64 {last}")
            place, name = self.place("of", number), self.temp()
            self.lines.append("  " + masked_load(name, self.row, place, self.rest, reading))
            rows.append(name)
        writing = self.first("columns")
        for k, row in enumerate(self.turned(rows)):
            more = self.emit(f"icmp sgt i64 %rows, {k}")
            self.lines.append(f"  br i1 {more}, label %row{k}, label %done\nrow{k}:")
            place = self.place("to", str(k))
            self.lines.append("  " + masked_store(row, self.row, place, self.rest, writing))
        self.lines.append("  br label %done\ndone:\n  ret void")
        return self.text()

    def first(self, count: str) -> str:
        """The mask of the first so many elements of a row, with its type."""
        n = TURNED * self.words
        steps = ", ".join(f"i64 {k // self.words}" for k in range(n))
        wide, zeros = vector("i64", n), f"{vector('i32', n)} zeroinitializer"
        one = self.emit(f"insertelement {wide} poison, i64 %{count}, i64 0")
        limit = self.emit(f"shufflevector {wide} {one}, {wide} poison, {zeros}")
        return f"{vector('i1', n)} " + self.emit(f"icmp sgt {wide} {limit}, <{steps}>")

    def one_by_one(self) -> str:
        """A block of fewer rows or columns, element by element."""
        return f"""  br label %line
line:
  %r = phi i64 [ 0, %entry ], [ %r.next, %line.end ]
  %more = icmp slt i64 %r, %rows
  br i1 %more, label %one, label %done
one:
  %c = phi i64 [ 0, %line ], [ %c.next, %copy ]
  %another = icmp slt i64 %c, %columns
  br i1 %another, label %copy, label %line.end
copy:
  %of.row = mul i64 %c, %of.pitch
  %of.at = add i64 %of.row, %r
  %of.one = getelementptr inbounds {self.element}, ptr %of, i64 %of.at
  %value = load {self.element}, ptr %of.one{self.rest}
  %to.row = mul i64 %r, %to.pitch
  %to.at = add i64 %to.row, %c
  %to.one = getelementptr inbounds {self.element}, ptr %to, i64 %to.at
  store {self.element} %value, ptr %to.one{self.rest}
  %c.next = add i64 %c, 1
  br label %one
line.end:
  %r.next = add i64 %r, 1
  br label %line
done:
  ret void"""
