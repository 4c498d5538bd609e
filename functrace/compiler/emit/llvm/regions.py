"""Prints regions as LLVM text: what kernels and the functions of vecmath have in common."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from functrace.compiler import cpu
from functrace.compiler.emit.llvm.extern import call_attribute, wrapper
from functrace.compiler.emit.llvm.lane_loops import LaneLoop, holds_one_while
from functrace.compiler.emit.llvm.lanes import LanePrinter
from functrace.compiler.emit.llvm.ops import llvm_op, llvm_type
from functrace.compiler.emit.llvm.simd import fits, fits_partly, masks_well, straight
from functrace.compiler.emit.llvm.vectors import vector
from functrace.compiler.ir.independence import independent_lanes
from functrace.compiler.ir.kernel import (
    Buffer,
    Const,
    DType,
    For,
    If,
    Local,
    Op,
    Region,
    Scalar,
    Stmt,
    While,
)

__all__ = ["Metadata", "Printer", "Wanted"]

# Vector functions by their symbol: which function, for which dtype, of how many lanes.
Wanted = dict[str, tuple[str, DType, int]]


class Metadata:
    """Numbered metadata of a module: alias scopes and loop hints."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._hints: dict[str, str] = {}

    def add(self, text: str, distinct: bool = False) -> str:
        ref = f"!{len(self.lines)}"
        body = text.replace("!self", ref)
        self.lines.append(f"{ref} = {'distinct ' if distinct else ''}!{{{body}}}")
        return ref

    def hint(self, text: str) -> str:
        if text not in self._hints:
            self._hints[text] = self.add(text)
        return self._hints[text]

    def short(self) -> str:
        """A loop of few iterations: neither unrolled nor vectorised."""
        hints = (
            self.hint('!"llvm.loop.vectorize.width", i32 1'),
            self.hint('!"llvm.loop.interleave.count", i32 1'),
            self.hint('!"llvm.loop.unroll.disable"'),
        )
        return self.add(", ".join(("!self", *hints)), distinct=True)

    def plain(self) -> str:
        """A loop of unknown length: unrolled copies of it cost compile time and gain little."""
        hint = self.hint('!"llvm.loop.unroll.runtime.disable"')
        return self.add(f"!self, {hint}", distinct=True)


class Printer:
    """Prints regions: what kernels and functions have in common."""

    def __init__(self, metadata: Metadata, wanted: Wanted) -> None:
        self.metadata = metadata
        self.wanted = wanted
        self.lines: list[str] = []
        self.block = "entry"
        self.copy = 0
        self.renamed: dict[int, str] = {}
        self._copies = 0
        self._labels = 0
        self._temps = 0

    def emit(self, line: str) -> None:
        self.lines.append("  " + line)

    def label(self, name: str) -> None:
        self.lines.append(f"{name}:")
        self.block = name

    def fresh_labels(self, *names: str) -> list[str]:
        self._labels += 1
        return [f"{name}{self._labels}" for name in names]

    def temp(self) -> str:
        self._temps += 1
        return f"%t{self._temps}"

    def value(self, v: Scalar) -> str:
        if isinstance(v, Const):
            return literal(v)
        return self.renamed.get(v.id, f"%v{v.id}")

    def define(self, v: Scalar) -> str:
        """The name of a new value; a body that is printed twice has its own names each time."""
        if self.copy:
            self.renamed[v.id] = f"%c{self.copy}.{v.id}"
        return self.value(v)

    def typed(self, v: Scalar) -> str:
        return f"{llvm_type(v.dtype)} {self.value(v)}"

    def memory(self, memory: Buffer | Local) -> tuple[str, str]:
        raise TypeError("a scalar function has no memory")

    def vector_function(self, name: str, dtype: DType, lanes: int) -> str:
        """The symbol of a vector function, which the module is then to define."""
        symbol = f"vm.{name}.{dtype.name}.x{lanes}"
        self.wanted[symbol] = (name, dtype, lanes)
        return symbol

    def region(self, region: Region) -> None:
        for stmt in region.stmts:
            self.stmt(stmt)

    def stmt(self, stmt: Stmt) -> None:
        if isinstance(stmt, Op):
            self.op(stmt)
        elif isinstance(stmt, For):
            self.for_loop(stmt)
        elif isinstance(stmt, While):
            self.while_loop(stmt)
        elif isinstance(stmt, If):
            self.branch(stmt)
        else:
            raise TypeError(f"{type(stmt).__name__} may not occur in a scalar function")

    def op(self, op: Op) -> None:
        result = self.define(op.result)
        if op.attr:
            args = ", ".join(self.typed(a) for a in op.args)
            kind = llvm_type(op.result.dtype)
            if op.name == "extern":
                name, rest = wrapper(op.attr), call_attribute(op.attr, len(op.args))
            else:
                name, rest = math_symbol(op.attr, op.result), ""
            self.emit(f"{result} = call {kind} @{name}({args}){rest}")
            return
        for line in llvm_op(op, result, [self.value(a) for a in op.args], self.temp):
            self.emit(line)

    # ---- structure -----------------------------------------------------------------------------

    def phi(self, v: Scalar, *incoming: tuple[str, str]) -> None:
        pairs = ", ".join(f"[ {value}, %{block} ]" for value, block in incoming)
        self.emit(f"%v{v.id} = phi {llvm_type(v.dtype)} {pairs}")

    def for_loop(self, loop: For) -> None:
        if fits(loop):
            LanePrinter(self, loop.lanes).loop(loop.body, loop.index, self.value(loop.lo))
            return
        if fits_partly(loop):
            self.some_lanes(loop)
            return
        if not self.copy and holds_one_while(loop):
            LaneLoop(self, loop).print()
            return
        lanes = 0 if self.copy else loop.lanes if loop.lanes > 1 else independent_lanes(loop)
        if lanes and straight(loop.body, lanes):
            print_loop = self.masked_loop if masks_well(loop.body) else self.simd_loop
            print_loop(loop, lanes)
        else:
            self.scalar_loop(loop, self.value(loop.lo), self.loop_hint(loop))

    def some_lanes(self, loop: For) -> None:
        """The first lanes of one vector, if there are any."""
        body, done = self.fresh_labels("lanes", "done")
        hi, some = self.value(loop.hi), self.temp()
        self.emit(f"{some} = icmp sgt i64 {hi}, 0")
        self.emit(f"br i1 {some}, label %{body}, label %{done}")
        self.label(body)
        mask = self.lane_mask(hi, loop.lanes)
        LanePrinter(self, loop.lanes, mask).loop(loop.body, loop.index, "0")
        self.emit(f"br label %{done}")
        self.label(done)

    def lane_mask(self, count: str, lanes: int) -> str:
        """The mask of the first `count` lanes."""
        mask = self.temp()
        self.emit(f"{mask}.few = icmp slt i64 {count}, {lanes}")
        self.emit(f"{mask}.count = select i1 {mask}.few, i64 {count}, i64 {lanes}")
        if lanes < 64 and cpu.wide_vectors():
            # Masks are numbers there, made without a vector instruction.
            self.emit(f"{mask}.idle = shl nsw i64 -1, {mask}.count")
            self.emit(f"{mask}.wide = xor i64 {mask}.idle, -1")
            self.emit(f"{mask}.bits = trunc i64 {mask}.wide to i{lanes}")
            self.emit(f"{mask} = bitcast i{lanes} {mask}.bits to {vector('i1', lanes)}")
            return mask
        # Compared in 32 bits: half the instructions of 64.
        steps = ", ".join(f"i32 {k}" for k in range(lanes))
        self.emit(f"{mask}.short = trunc i64 {mask}.count to i32")
        wide = LanePrinter(self, lanes).splat("i32", f"{mask}.short")
        self.emit(f"{mask} = icmp sgt {vector('i32', lanes)} {wide}, <{steps}>")
        return mask

    def masked_loop(self, loop: For, lanes: int) -> None:
        """Vectors of iterations, the last of which may be partly idle."""
        head, body, done = self.fresh_labels("simd", "vector", "done")
        lo, hi, before, i = self.value(loop.lo), self.value(loop.hi), self.block, self.temp()
        self.emit(f"br label %{head}")
        self.label(head)
        self.emit(f"{i} = phi i64 [ {lo}, %{before} ], [ {i}.next, %{body} ]")
        self.emit(f"{i}.go = icmp slt i64 {i}, {hi}")
        self.emit(f"br i1 {i}.go, label %{body}, label %{done}")
        self.label(body)
        self.emit(f"{i}.left = sub i64 {hi}, {i}")
        mask = self.lane_mask(f"{i}.left", lanes)
        LanePrinter(self, lanes, mask).loop(loop.body, loop.index, i)
        self.emit(f"{i}.next = add nsw i64 {i}, {lanes}")
        self.emit(f"br label %{head}, !llvm.loop {self.metadata.short()}")
        self.label(done)

    def simd_loop(self, loop: For, lanes: int) -> None:
        """Whole vectors of iterations, then the rest one by one."""
        head, body, done = self.fresh_labels("simd", "vector", "rest")
        lo, hi, before, i = self.value(loop.lo), self.value(loop.hi), self.block, self.temp()
        self.emit(f"{i}.count = sub i64 {hi}, {lo}")
        self.emit(f"{i}.whole = and i64 {i}.count, {-lanes}")
        self.emit(f"{i}.end = add i64 {lo}, {i}.whole")
        self.emit(f"br label %{head}")
        self.label(head)
        self.emit(f"{i} = phi i64 [ {lo}, %{before} ], [ {i}.next, %{body} ]")
        self.emit(f"{i}.go = icmp slt i64 {i}, {i}.end")
        self.emit(f"br i1 {i}.go, label %{body}, label %{done}")
        self.label(body)
        self._copies += 1
        self.copy, outer = self._copies, dict(self.renamed)
        LanePrinter(self, lanes).loop(loop.body, loop.index, i)
        self.copy, self.renamed = 0, outer
        self.emit(f"{i}.next = add nsw i64 {i}, {lanes}")
        self.emit(f"br label %{head}, !llvm.loop {self.metadata.short()}")
        self.label(done)
        # With fewer than one iteration `whole` may be negative, and the rest starts at lo.
        self.emit(f"{i}.some = icmp sgt i64 {i}.whole, 0")
        self.emit(f"{i}.from = select i1 {i}.some, i64 {i}.end, i64 {lo}")
        self.scalar_loop(loop, f"{i}.from", f", !llvm.loop {self.metadata.short()}")

    def scalar_loop(self, loop: For, lo: str, hint: str) -> None:
        head, body, latch, done = self.fresh_labels("head", "body", "latch", "done")
        before = self.block
        index = f"%v{loop.index.id}"
        self.emit(f"br label %{head}")
        self.label(head)
        self.phi(loop.index, (lo, before), (f"{index}.next", latch))
        carried = zip(loop.params, loop.inits, loop.body.yields, strict=True)
        for param, init, out in carried:
            self.phi(param, (self.value(init), before), (self.value(out), latch))
        test = "slt" if loop.step > 0 else "sgt"
        self.emit(f"{index}.go = icmp {test} i64 {index}, {self.value(loop.hi)}")
        self.emit(f"br i1 {index}.go, label %{body}, label %{done}")
        self.label(body)
        self.region(loop.body)
        self.emit(f"br label %{latch}")
        self.label(latch)
        self.emit(f"{index}.next = add nsw i64 {index}, {loop.step}")
        self.emit(f"br label %{head}{hint}")
        self.label(done)
        self.copies(loop.results, loop.params, head)

    def loop_hint(self, loop: For) -> str:
        if loop.lanes == 1:
            return f", !llvm.loop {self.metadata.short()}"
        if isinstance(loop.lo, Const) and isinstance(loop.hi, Const):
            return ""
        return f", !llvm.loop {self.metadata.plain()}"

    def copies(self, results: Sequence[Scalar], params: Sequence[Scalar], block: str) -> None:
        for result, param in zip(results, params, strict=True):
            self.phi(result, (self.value(param), block))

    def while_loop(self, loop: While) -> None:
        head, body, done = self.fresh_labels("while", "body", "done")
        before = self.block
        self.emit(f"br label %{head}")
        self.label(head)
        # The phis need the last block of the body, which is known only once it is printed.
        at = len(self.lines)
        self.region(loop.cond)
        last = self.block
        self.emit(f"br i1 {self.value(loop.cond.yields[0])}, label %{body}, label %{done}")
        self.label(body)
        count = self.watched(loop, self.temp())
        self.region(loop.body)
        self.emit(f"br label %{head}")
        back, rest = self.block, self.lines[at:]
        del self.lines[at:]
        if count:
            rounds = count.removesuffix(".next")
            self.emit(f"{rounds} = phi i64 [ {loop.period}, %{before} ], [ {count}, %{back} ]")
        for param, init, out in zip(loop.params, loop.inits, loop.body.yields, strict=True):
            self.phi(param, (self.value(init), before), (self.value(out), back))
        self.lines += rest
        self.label(done)
        self.copies(loop.results, loop.params, last)

    def watched(self, loop: While, rounds: str) -> str:
        """Count a round, and look whether to stop if it is time; the new count, if any is kept."""
        if not loop.watch.stmts:
            return ""
        look, on = self.fresh_labels("look", "on")
        weights = self.metadata.hint('!"branch_weights", i32 1, i32 1000000')
        before = self.block
        self.emit(f"{rounds}.left = sub i64 {rounds}, 1")
        self.emit(f"{rounds}.out = icmp eq i64 {rounds}.left, 0")
        self.emit(f"br i1 {rounds}.out, label %{look}, label %{on}, !prof {weights}")
        self.label(look)
        self.region(loop.watch)
        self.emit(f"br label %{on}")
        looked = self.block
        self.label(on)
        left = f"[ {rounds}.left, %{before} ], [ {loop.period}, %{looked} ]"
        self.emit(f"{rounds}.next = phi i64 {left}")
        return f"{rounds}.next"

    def branch(self, stmt: If) -> None:
        then, orelse, done = self.fresh_labels("then", "else", "done")
        self.emit(f"br i1 {self.value(stmt.pred)}, label %{then}, label %{orelse}")
        self.label(then)
        self.region(stmt.then)
        from_then = self.block
        self.emit(f"br label %{done}")
        self.label(orelse)
        self.region(stmt.orelse)
        from_else = self.block
        self.emit(f"br label %{done}")
        self.label(done)
        for k, result in enumerate(stmt.results):
            self.phi(
                result,
                (self.value(stmt.then.yields[k]), from_then),
                (self.value(stmt.orelse.yields[k]), from_else),
            )


def math_symbol(name: str, result: Scalar) -> str:
    """The name of a vecmath function for one dtype."""
    return f"vm.{name}.{result.dtype.name}"


def literal(v: Const) -> str:
    """An LLVM constant with exactly the bits of `v`."""
    if v.dtype.kind == "b":
        return "true" if v.value else "false"
    if v.dtype.kind == "f":
        # LLVM writes float32 constants as the float64 of equal value.
        (bits,) = struct.unpack("<Q", struct.pack("<d", float(v.value)))
        return f"0x{bits:016X}"
    return str(int(v.value))
