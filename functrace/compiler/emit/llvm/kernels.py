"""Prints a kernel as LLVM IR text: one module, with the functions of vecmath it uses.

Every load and store names its buffer's alias scope, so that a kernel of many buffers vectorises
without run-time checks. No fast-math flag is ever printed: no reassociation, no contraction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

from functrace.compiler.emit.llvm.extern import definitions as extern_definitions
from functrace.compiler.emit.llvm.lanes import LanePrinter
from functrace.compiler.emit.llvm.natives import native_declarations, native_function
from functrace.compiler.emit.llvm.ops import declarations, llvm_type
from functrace.compiler.emit.llvm.regions import Metadata, Printer, Wanted
from functrace.compiler.emit.llvm.turn import turn_function, turn_symbol
from functrace.compiler.emit.llvm.vectors import storage_type, vector
from functrace.compiler.ir import vecmath
from functrace.compiler.ir.kernel import (
    ERROR_SLOT,
    FAIL_KINDS,
    POLL_SOURCE_WORD,
    POLL_WORD,
    STATUS_KIND_SHIFT,
    Buffer,
    Fail,
    Function,
    Kernel,
    Load,
    Local,
    Poll,
    Scalar,
    Stmt,
    Store,
    Turn,
    real_dtype,
)
from functrace.compiler.ir.kernel_passes import turned_dtypes

Names = Sequence[str]
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
    metadata = Metadata()
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
    declared = [*declarations(body), *native_declarations(body)]
    declared += extern_definitions(externs, body)
    return "\n".join([*declared, "", body, *metadata.lines, ""])


def _vector_functions(wanted: Wanted) -> list[str]:
    """The vector forms that were asked for, and those they ask for in turn."""
    texts: list[str] = []
    printed: set[str] = set()
    while len(printed) < len(wanted):
        for symbol, (name, dtype, lanes) in list(wanted.items()):
            if symbol not in printed:
                printed.add(symbol)
                function = vecmath.function(name, dtype)
                text = native_function(function.name, symbol, lanes)
                if not text:
                    text, more = _vector_text(function, symbol, lanes)
                    wanted.update(more)
                texts.append(text)
    return texts


@cache
def _scalar_text(function: Function) -> str:
    """A function of vecmath: it has no loops, so its text is the same in every module."""
    return _FunctionPrinter(function, Metadata(), {}).text()


@cache
def _vector_text(function: Function, symbol: str, lanes: int) -> tuple[str, Wanted]:
    """Its vector form, and the vector functions which that calls."""
    wanted: Wanted = {}
    return _FunctionPrinter(function, Metadata(), wanted).vector_text(symbol, lanes), wanted


class _FunctionPrinter(Printer):
    """A scalar function, inlined wherever it is called."""

    def __init__(self, function: Function, metadata: Metadata, wanted: Wanted) -> None:
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


class _KernelPrinter(Printer):
    """A kernel: reads frame and record at its entry, then runs its body."""

    def __init__(self, kernel: Kernel, metadata: Metadata, wanted: Wanted) -> None:
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
