"""Prints a kernel as LLVM IR text: one module, with the functions of vecmath it uses.

Every load and store names its buffer's alias scope, so that a kernel of many buffers vectorises
without run-time checks. No fast-math flag is ever printed: no reassociation, no contraction.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from functools import cache

from functrace.compiler.emit.emit_llvm_extern import call_attribute, wrapper
from functrace.compiler.emit.emit_llvm_extern import definitions as extern_definitions
from functrace.compiler.emit.emit_llvm_lane_loops import LaneLoop, holds_one_while
from functrace.compiler.emit.emit_llvm_lanes import LanePrinter
from functrace.compiler.emit.emit_llvm_ops import declarations, llvm_op, llvm_type
from functrace.compiler.emit.emit_llvm_simd import fits, fits_partly, masks_well, straight
from functrace.compiler.emit.emit_llvm_turn import turn_function, turn_symbol
from functrace.compiler.emit.emit_llvm_vectors import storage_type, vector
from functrace.compiler.ir import vecmath
from functrace.compiler.ir.independence import independent_lanes
from functrace.compiler.ir.kernel import (
    ERROR_SLOT,
    FAIL_KINDS,
    POLL_SOURCE_WORD,
    POLL_WORD,
    STATUS_KIND_SHIFT,
    Buffer,
    Const,
    DType,
    Fail,
    For,
    Function,
    If,
    Kernel,
    Load,
    Local,
    Op,
    Poll,
    Region,
    Scalar,
    Stmt,
    Store,
    Turn,
    While,
    real_dtype,
)
from functrace.compiler.ir.kernel_passes import turned_dtypes

Names = Sequence[str]
# Vector functions by their symbol: which function, for which dtype, of how many lanes.
Wanted = dict[str, tuple[str, DType, int]]

# Some CPUs are tuned for 256 bits though they have more: vecmath gains a quarter from all of it.
_WIDTH = '"prefer-vector-width"="512"'


def kernel_module(kernel: Kernel, name: str = "kernel") -> str:
    """The LLVM module of one kernel, whose entry point is called `name`."""
    return module([kernel], [name])


def module(kernels: Sequence[Kernel], names: Names) -> str:
    """One LLVM module for several kernels.

    Args:
        kernels: finished kernels.
        names: the symbol of each.

    Returns:
        Text that `llvmlite.binding.parse_assembly` takes; it names neither triple nor CPU.
    """
    metadata = _Metadata()
    wanted: Wanted = {}
    texts = [
        _KernelPrinter(k, metadata, wanted).text(name)
        for k, name in zip(kernels, names, strict=True)
    ]
    functions, externs = vecmath.used_functions([k.body for k in kernels])
    texts += _vector_functions(wanted)
    for f in reversed(functions):
        # Those who call it stand before it.
        if any(f"@{f.name}(" in text for text in texts):
            texts.append(_scalar_text(f))
    turned = {turn_symbol(d): d for k in kernels for d in turned_dtypes(k.body)}
    texts += [turn_function(d) for _, d in sorted(turned.items())]
    body = "\n".join(texts)
    declared = [*declarations(body), *extern_definitions(externs, body)]
    return "\n".join([*declared, "", body, *metadata.lines, ""])


def _vector_functions(wanted: Wanted) -> list[str]:
    """The vector forms that were asked for, and those they ask for in turn."""
    texts: list[str] = []
    printed: set[str] = set()
    while len(printed) < len(wanted):
        for symbol, (name, dtype, lanes) in list(wanted.items()):
            if symbol not in printed:
                printed.add(symbol)
                text, more = _vector_text(vecmath.function(name, dtype), symbol, lanes)
                texts.append(text)
                wanted.update(more)
    return texts


@cache
def _scalar_text(function: Function) -> str:
    """A function of vecmath: it has no loops, so its text is the same in every module."""
    return _FunctionPrinter(function, _Metadata(), {}).text()


@cache
def _vector_text(function: Function, symbol: str, lanes: int) -> tuple[str, Wanted]:
    """Its vector form, and the vector functions which that calls."""
    wanted: Wanted = {}
    return _FunctionPrinter(function, _Metadata(), wanted).vector_text(symbol, lanes), wanted


class _Metadata:
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


class _Printer:
    """Prints regions: what kernels and functions have in common."""

    def __init__(self, metadata: _Metadata, wanted: Wanted) -> None:
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
        # Compared in 32 bits: half the instructions of 64.
        steps = ", ".join(f"i32 {k}" for k in range(lanes))
        mask = self.temp()
        self.emit(f"{mask}.few = icmp slt i64 {count}, {lanes}")
        self.emit(f"{mask}.count = select i1 {mask}.few, i64 {count}, i64 {lanes}")
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


class _FunctionPrinter(_Printer):
    """A scalar function, inlined wherever it is called."""

    def __init__(self, function: Function, metadata: _Metadata, wanted: Wanted) -> None:
        super().__init__(metadata, wanted)
        self.function = function

    def text(self) -> str:
        f = self.function
        (result,) = f.body.yields
        params = ", ".join(self.typed(p) for p in f.params)
        self.region(f.body)
        self.emit(f"ret {self.typed(result)}")
        kind = llvm_type(result.dtype)
        head = f"define internal {kind} @{f.name}({params}) alwaysinline nounwind {{"
        return "\n".join([head, "entry:", *self.lines, "}"])

    def vector_text(self, symbol: str, lanes: int) -> str:
        """The same function on vectors."""
        f = self.function
        (result,) = f.body.yields
        wide = [f"{vector(llvm_type(p.dtype), lanes)} %v{p.id}" for p in f.params]
        lane = LanePrinter(self, lanes)
        lane.jumps = True
        lane.vectors.update(p.id for p in f.params)
        lane.region(f.body)
        kind = vector(llvm_type(result.dtype), lanes)
        self.emit(f"ret {kind} {lane.use(result)}")
        head = f"define internal {kind} @{symbol}({', '.join(wide)}) alwaysinline nounwind {{"
        return "\n".join([head, "entry:", *self.lines, "}"])


class _KernelPrinter(_Printer):
    """A kernel: reads frame and record at its entry, then runs its body."""

    def __init__(self, kernel: Kernel, metadata: _Metadata, wanted: Wanted) -> None:
        super().__init__(metadata, wanted)
        self.kernel = kernel
        self.aliases = dict(self._scopes())

    def text(self, name: str) -> str:
        k = self.kernel
        self.entry()
        self.region(k.body)
        self.emit("ret i64 0")
        lo, hi = self.value(k.lo), self.value(k.hi)
        head = (
            f"define i64 @{name}(ptr noalias nocapture readonly %frame, "
            f"ptr noalias nocapture readonly %record, i64 {lo}, i64 {hi}) nounwind {_WIDTH} {{"
        )
        return "\n".join([head, "entry:", *self.lines, "}"])

    def _scopes(self) -> Iterator[tuple[int, str]]:
        """Per alias group, the metadata its loads and stores carry."""
        groups = sorted({b.group for b in self.kernel.buffers})
        if len(groups) < 2:
            return
        domain = self.metadata.add("!self", distinct=True)
        scopes = {g: self.metadata.add(f"!self, {domain}", distinct=True) for g in groups}
        for g in groups:
            own = self.metadata.add(scopes[g])
            others = self.metadata.add(", ".join(scopes[o] for o in groups if o != g))
            yield g, f", !alias.scope {own}, !noalias {others}"

    def entry(self) -> None:
        for local in self.kernel.locals:
            kind = storage_type(local.dtype)
            count = local.length * (2 if local.dtype.kind == "c" else 1)
            self.emit(f"%local{local.index} = alloca [{count} x {kind}], align 64")
        for position, entry in enumerate(self.kernel.record):
            word = self.temp()
            target = word if entry.value is None else f"%v{entry.value.id}"
            self.emit(f"{word}.at = getelementptr inbounds i64, ptr %record, i64 {position}")
            self.emit(f"{target} = load i64, ptr {word}.at, align 8")
            if entry.buffer is not None:
                self.frame_pointer(f"%buffer{entry.buffer.index}", word)

    def frame_pointer(self, result: str, slot: str) -> None:
        self.emit(f"{result}.at = getelementptr inbounds ptr, ptr %frame, i64 {slot}")
        self.emit(f"{result} = load ptr, ptr {result}.at, align 8")

    def stmt(self, stmt: Stmt) -> None:
        if isinstance(stmt, Load):
            self.load(stmt)
        elif isinstance(stmt, Store):
            self.store(stmt)
        elif isinstance(stmt, Turn):
            self.turn(stmt)
        elif isinstance(stmt, Fail):
            self.fail(stmt)
        elif isinstance(stmt, Poll):
            cell = self.temp()
            self.frame_pointer(cell, str(ERROR_SLOT))
            self.emit(f"{cell}.own = getelementptr inbounds i64, ptr {cell}, i64 {POLL_WORD}")
            self.emit(f"{cell}.source = getelementptr i64, ptr {cell}, i64 {POLL_SOURCE_WORD}")
            self.emit(f"{cell}.of = load ptr, ptr {cell}.source, align 8")
            self.emit(f"{cell}.no = icmp eq ptr {cell}.of, null")
            self.emit(f"{cell}.w = select i1 {cell}.no, ptr {cell}.own, ptr {cell}.of")
            self.emit(f"%v{stmt.result.id} = load volatile i64, ptr {cell}.w, align 8")
        else:
            super().stmt(stmt)

    # ---- memory --------------------------------------------------------------------------------

    def address(self, memory: Buffer | Local, index: Scalar, part: int) -> tuple[str, str]:
        """A pointer to one scalar, and the metadata of accesses through it."""
        at = self.value(index)
        if memory.dtype.kind == "c":
            first, at = at, self.temp()
            self.emit(f"{at} = shl i64 {first}, 1")
            if part:
                even, at = at, self.temp()
                self.emit(f"{at} = or disjoint i64 {even}, 1")
        pointer = self.temp()
        base, rest = self.memory(memory)
        kind = storage_type(memory.dtype)
        self.emit(f"{pointer} = getelementptr inbounds {kind}, ptr {base}, i64 {at}")
        return pointer, rest

    def memory(self, memory: Buffer | Local) -> tuple[str, str]:
        """The pointer to `memory`, and what accesses through it carry."""
        align = f", align {real_dtype(memory.dtype).itemsize}"
        if isinstance(memory, Local):
            return f"%local{memory.index}", align
        return f"%buffer{memory.index}", align + self.aliases.get(memory.group, "")

    def load(self, stmt: Load) -> None:
        pointer, rest = self.address(stmt.memory, stmt.index, stmt.part)
        kind, name = stmt.memory.dtype.kind, self.define(stmt.result)
        stored = storage_type(stmt.memory.dtype)
        if stored == llvm_type(stmt.result.dtype):
            self.emit(f"{name} = load {stored}, ptr {pointer}{rest}")
            return
        raw = self.temp()
        self.emit(f"{raw} = load {stored}, ptr {pointer}{rest}")
        if kind == "b":
            self.emit(f"{name} = icmp ne i8 {raw}, 0")
        else:
            self.emit(f"{name} = fpext half {raw} to float")

    def store(self, stmt: Store) -> None:
        pointer, rest = self.address(stmt.memory, stmt.index, stmt.part)
        stored, value = storage_type(stmt.memory.dtype), self.value(stmt.value)
        if stored != llvm_type(stmt.value.dtype):
            raw = self.temp()
            if stored == "i8":
                self.emit(f"{raw} = zext i1 {value} to i8")
            else:
                self.emit(f"{raw} = fptrunc float {value} to half")
            value = raw
        self.emit(f"store {stored} {value}, ptr {pointer}{rest}")

    def turn(self, stmt: Turn) -> None:
        to = self.block_of(stmt.target, stmt.target_at, stmt.target_pitch)
        of = self.block_of(stmt.source, stmt.source_at, stmt.source_pitch)
        counts = f"i64 {self.value(stmt.rows)}, i64 {self.value(stmt.columns)}"
        self.emit(f"call void @{turn_symbol(stmt.target.dtype)}({to}, {of}, {counts})")

    def block_of(self, memory: Buffer | Local, at: Scalar, pitch: Scalar) -> str:
        pointer, _ = self.address(memory, at, 0)
        return f"ptr {pointer}, i64 {self.value(pitch)}"

    # ---- failures ------------------------------------------------------------------------------

    def fail(self, stmt: Fail) -> None:
        bad, fine = self.fresh_labels("fail", "fine")
        weights = self.metadata.hint('!"branch_weights", i32 1, i32 1000000')
        self.emit(f"br i1 {self.value(stmt.pred)}, label %{bad}, label %{fine}, !prof {weights}")
        self.label(bad)
        cell = self.temp()
        self.frame_pointer(cell, str(ERROR_SLOT))
        for k, detail in enumerate(stmt.details):
            self.emit(f"{cell}.{k} = getelementptr inbounds i64, ptr {cell}, i64 {k}")
            self.emit(f"store i64 {self.value(detail)}, ptr {cell}.{k}, align 8")
        status = (FAIL_KINDS[stmt.kind] << STATUS_KIND_SHIFT) | stmt.site
        self.emit(f"ret i64 {status}")
        self.label(fine)


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
