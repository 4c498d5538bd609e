"""Prints a loop over lanes as straight SIMD code: every statement once, on vectors of all lanes.

LLVM's loop vectoriser could do the same, at several times the compile time, and only when it finds
it profitable. A scalar of the loop body is here one of three: uniform (the same in all lanes,
printed as a scalar), affine (an index `base + step * lane` with a constant step), or a vector.

Where there are fewer iterations left than lanes, memory is touched under a mask: idle lanes read 0
and write nothing. A short row costs one step more instead of a scalar loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from functrace.compiler import cpu
from functrace.compiler.emit.llvm.apart import (
    Neighbours,
    lanes_of_register,
    name_of,
    pick_lines,
    starts_of,
)
from functrace.compiler.emit.llvm.extern import wrapper
from functrace.compiler.emit.llvm.ops import llvm_op, llvm_type
from functrace.compiler.emit.llvm.vectors import (
    join_lines,
    masked_load,
    masked_store,
    numbers,
    storage_type,
    suffix,
    vector,
    vector_literal,
)
from functrace.compiler.ir.kernel import (
    I64,
    Buffer,
    Const,
    DType,
    If,
    Load,
    Local,
    Op,
    Region,
    Scalar,
    Stmt,
    Store,
    real_dtype,
)

#: Elements at most so far apart are loaded as one vector.
_MOST_STEP = 4


class Host(Protocol):
    """What the lane printer needs of the printer it works for."""

    def emit(self, line: str) -> None: ...

    def temp(self) -> str: ...

    def value(self, v: Scalar) -> str: ...

    def define(self, v: Scalar) -> str: ...

    def stmt(self, stmt: Stmt) -> None: ...

    def label(self, name: str) -> None: ...

    def fresh_labels(self, *names: str) -> list[str]: ...

    block: str

    def memory(self, memory: Buffer | Local) -> tuple[str, str]: ...

    def vector_function(self, name: str, dtype: DType, lanes: int) -> str: ...


class LanePrinter:
    """Prints statements for `lanes` lanes at once."""

    def __init__(self, host: Host, lanes: int, mask: str = "") -> None:
        self.host = host
        self.lanes = lanes
        #: Lanes that run at all; and of those, the ones in the arm being printed.
        self.active = mask
        self.mask = mask or vector_literal("i1", "true", lanes)
        self.first: Scalar | None = None
        self.vectors: set[int] = set()
        self.affine: dict[int, tuple[str, int]] = {}
        #: Whether blocks may be opened: not within a loop whose printer names its last one.
        self.jumps = False
        self._made: dict[str, str] = {}

    # ---- values --------------------------------------------------------------------------------

    def varies(self, v: Scalar) -> bool:
        return not isinstance(v, Const) and (v.id in self.vectors or v.id in self.affine)

    def use(self, v: Scalar) -> str:
        """`v` as a vector."""
        if not isinstance(v, Const):
            if v.id in self.vectors:
                return self.host.value(v)
            if v.id in self.affine:
                return self._indices(v)
        kind, text = llvm_type(v.dtype), self.host.value(v)
        return self._once(f"{kind} {text}", lambda: self.splat(kind, text))

    def _once(self, key: str, make: Callable[[], str]) -> str:
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def splat(self, kind: str, text: str) -> str:
        one, all_lanes, n = self.host.temp(), self.host.temp(), self.lanes
        wide = vector(kind, n)
        self.host.emit(f"{one} = insertelement {wide} poison, {kind} {text}, i64 0")
        self.host.emit(
            f"{all_lanes} = shufflevector {wide} {one}, {wide} poison, "
            f"{vector('i32', n)} zeroinitializer"
        )
        return all_lanes

    def _indices(self, v: Scalar) -> str:
        base, step = self.affine[v.id]

        def make() -> str:
            start = self._once(f"i64 {base}", lambda: self.splat("i64", base))
            steps = ", ".join(f"i64 {k * step}" for k in range(self.lanes))
            out = self.host.temp()
            self.host.emit(f"{out} = add {vector('i64', self.lanes)} {start}, <{steps}>")
            return out

        return self._once(f"index {v.id}", make)

    # ---- statements ----------------------------------------------------------------------------

    def loop(self, body: Region, index: Scalar, first: str) -> None:
        """Print the iterations from index `first` on, one a lane."""
        self.affine[index.id] = (first, 1)
        self.first = index if first == "0" else None
        self.neighbours = Neighbours(body)
        self.region(body)

    def own(self, memory: Buffer | Local, index: Scalar) -> bool:
        """Whether lane k accesses element k of an array of all lanes: no mask is needed to read."""
        return isinstance(memory, Local) and index is self.first and memory.length == self.lanes

    def region(self, region: Region) -> None:
        skip = False
        for k, stmt in enumerate(region.stmts):
            if skip:
                skip = False
            elif isinstance(stmt, Op):
                self.op(stmt)
            elif isinstance(stmt, If):
                self.branch(stmt)
            elif isinstance(stmt, Load):
                self.load(stmt)
            elif isinstance(stmt, Store):
                # The two halves of a complex value are stored together.
                skip = stmt.memory.dtype.kind == "c"
                other = region.stmts[k + 1] if skip else stmt
                assert isinstance(other, Store)
                self.store(stmt, other)

    def op(self, op: Op) -> None:
        if not any(self.varies(a) for a in op.args):
            self.host.stmt(op)
            return
        if op.result.dtype == I64 and self._affine(op):
            return
        args = [self.use(a) for a in op.args]
        result = self.host.define(op.result)
        self.vectors.add(op.result.id)
        if op.attr:
            self.call(op, result, args)
            return
        for line in llvm_op(op, result, args, self.host.temp, self.lanes):
            self.host.emit(line)

    def _affine(self, op: Op) -> bool:
        """Keep sums of indices and invariants, and constant multiples, as scalars."""
        if op.name not in ("add", "sub", "mul"):
            return False
        if any(not isinstance(a, Const) and a.id in self.vectors for a in op.args):
            return False
        (b0, s0), (b1, s1) = (self._as_affine(a) for a in op.args)
        if op.name == "mul":
            times = next((a for a in op.args if isinstance(a, Const)), None)
            if times is None:
                return False
            step = (s0 or s1) * int(times.value)
        else:
            step = s0 + s1 if op.name == "add" else s0 - s1
        base = self.host.temp()
        self.host.emit(f"{base} = {op.name} i64 {b0}, {b1}")
        self.affine[op.result.id] = (base, step)
        return True

    def _as_affine(self, v: Scalar) -> tuple[str, int]:
        if not isinstance(v, Const) and v.id in self.affine:
            return self.affine[v.id]
        return self.host.value(v), 0

    def call(self, op: Op, result: str, args: Sequence[str]) -> None:
        kind = vector(llvm_type(op.result.dtype), self.lanes)
        typed = [f"{kind} {a}" for a in args]
        if op.name == "extern":
            typed.append(f"{vector('i1', self.lanes)} {self.mask}")
            name = f"{wrapper(op.attr)}.x{self.lanes}"
        else:
            name = self.host.vector_function(op.attr, op.result.dtype, self.lanes)
        self.host.emit(f"{result} = call {kind} @{name}({', '.join(typed)})")

    def branch(self, stmt: If) -> None:
        """Both arms, each under its mask, and a select."""
        if self.jumps and not stmt.orelse.stmts:
            self.rare_branch(stmt)
            return
        wide = vector("i1", self.lanes)
        pred, no = self.use(stmt.pred), self.host.temp()
        every = vector_literal("i1", "true", self.lanes)
        self.host.emit(f"{no} = xor {wide} {pred}, {every}")
        outer = self.mask
        picked: list[list[str]] = []
        for side, arm in ((pred, stmt.then), (no, stmt.orelse)):
            self.mask = self.host.temp()
            self.host.emit(f"{self.mask} = and {wide} {outer}, {side}")
            self.region(arm)
            picked.append([self.use(v) for v in arm.yields])
        self.mask = outer
        for result, yes, other in zip(stmt.results, *picked, strict=True):
            kind = vector(llvm_type(result.dtype), self.lanes)
            self.vectors.add(result.id)
            name = self.host.define(result)
            self.host.emit(f"{name} = select {wide} {pred}, {kind} {yes}, {kind} {other}")

    def rare_branch(self, stmt: If) -> None:
        """An arm without alternative: jumped over when no lane wants it."""
        n = self.lanes
        pred, outer, before = self.use(stmt.pred), self.mask, self.host.block
        others = [self.use(v) for v in stmt.orelse.yields]
        self.mask, some = self.host.temp(), self.host.temp()
        rare, done = self.host.fresh_labels("rare", "done")
        self.host.emit(f"{self.mask} = and {vector('i1', n)} {outer}, {pred}")
        self.host.emit(f"{some}.bits = bitcast {vector('i1', n)} {self.mask} to i{n}")
        self.host.emit(f"{some} = icmp ne i{n} {some}.bits, 0")
        self.host.emit(f"br i1 {some}, label %{rare}, label %{done}")
        # What is made in the arm isn't there behind it.
        made = dict(self._made)
        self.host.label(rare)
        self.region(stmt.then)
        picked = []
        for value, other in zip(stmt.then.yields, others, strict=True):
            kind, name, mine = vector(llvm_type(value.dtype), n), self.host.temp(), self.use(value)
            pick = f"{vector('i1', n)} {pred}, {kind} {mine}, {kind} {other}"
            self.host.emit(f"{name} = select {pick}")
            picked.append(name)
        last, self.mask, self._made = self.host.block, outer, made
        self.host.emit(f"br label %{done}")
        self.host.label(done)
        for result, name, other in zip(stmt.results, picked, others, strict=True):
            self.vectors.add(result.id)
            kind = vector(llvm_type(result.dtype), n)
            merged = self.host.define(result)
            self.host.emit(f"{merged} = phi {kind} [ {name}, %{last} ], [ {other}, %{before} ]")

    # ---- memory --------------------------------------------------------------------------------

    def load(self, stmt: Load) -> None:
        if not self.varies(stmt.index):
            self.host.stmt(stmt)
            return
        stored = storage_type(stmt.memory.dtype)
        name = self.host.define(stmt.result)
        self.vectors.add(stmt.result.id)
        raw = name if stored == llvm_type(stmt.result.dtype) else self.host.temp()
        step = self.affine.get(stmt.index.id, ("", 0))[1]
        if step == 1:
            self._load_row(stmt, raw, stored)
        elif 2 <= step <= _MOST_STEP and stmt.memory.dtype.kind != "c":
            self._load_apart(stmt, raw, stored, step)
        elif self.active:
            self._masked_gather(stmt, raw, stored)
        else:
            self._gather(stmt, raw, stored)
        wide = vector(stored, self.lanes)
        if stored == "i8" and stmt.result.dtype.kind == "b":
            self.host.emit(f"{name} = icmp ne {wide} {raw}, zeroinitializer")
        elif stored == "half":
            self.host.emit(f"{name} = fpext {wide} {raw} to {vector('float', self.lanes)}")

    def _load_row(self, stmt: Load, raw: str, stored: str) -> None:
        base, _ = self.affine[stmt.index.id]
        parts = 2 if stmt.memory.dtype.kind == "c" else 1
        pointer, rest = self._pointer(stmt.memory, base, parts, stored)
        wide = vector(stored, self.lanes * parts)
        both = raw if parts == 1 else self.host.temp()
        if self.active and not self.own(stmt.memory, stmt.index):
            self.host.emit(masked_load(both, wide, pointer, rest, self._wide_mask(parts)))
        else:
            self.host.emit(f"{both} = load {wide}, ptr {pointer}{rest}")
        if parts == 1:
            return
        picks = numbers(2 * k + stmt.part for k in range(self.lanes))
        self.host.emit(f"{raw} = shufflevector {wide} {both}, {wide} poison, {picks}")

    def _load_apart(self, stmt: Load, raw: str, stored: str, step: int) -> None:
        """Load elements a few apart together with what is between them, and pick them."""
        n, both = self.lanes, self.host.temp()
        width = lanes_of_register(stmt.memory.dtype.itemsize, n)
        if width and not self.active and cpu.wide_vectors():
            self._load_registers(stmt, raw, stored, step, width)
            return
        base, _ = self.affine[stmt.index.id]
        pointer, rest = self._pointer(stmt.memory, base, 1, stored)
        if self.active:
            wide = vector(stored, n * step)
            self.host.emit(masked_load(both, wide, pointer, rest, self._apart_mask(step)))
        else:
            # No further than the last lane's element: beyond it the array may end.
            wide = vector(stored, (n - 1) * step + 1)
            self.host.emit(f"{both} = load {wide}, ptr {pointer}{rest}")
        picks = numbers(k * step for k in range(n))
        self.host.emit(f"{raw} = shufflevector {wide} {both}, {wide} poison, {picks}")

    def _load_registers(self, stmt: Load, raw: str, stored: str, step: int, width: int) -> None:
        """The same by whole registers; other loads may find there what they want."""
        filled = self.neighbours.fill(stmt, step)
        root, offset = self.neighbours.root(stmt) if filled else (stmt.index.id, 0)
        base, _ = self.affine[root]
        starts, kind = starts_of(width, step, filled), vector(stored, width)

        def load(at: int) -> str:
            def make() -> str:
                there, out = self.host.temp(), self.host.temp()
                self.host.emit(f"{there} = add i64 {base}, {at}")
                pointer, rest = self._pointer(stmt.memory, there, 1, stored)
                self.host.emit(f"{out} = load {kind}, ptr {pointer}{rest}")
                return out

            return self._once(f"{name_of(stmt.memory)} {base} {at}", make)

        places = [offset + k * step for k in range(width)]
        parts = []
        for first in range(0, self.lanes * step, width * step):
            loaded = [load(first + at) for at in starts]
            parts.append(raw if width == self.lanes else self.host.temp())
            for line in pick_lines(parts[-1], loaded, kind, places, starts):
                self.host.emit(line)
        for line in join_lines(raw, parts, stored, width):
            self.host.emit(line)

    def _apart_mask(self, step: int) -> str:
        """The active lanes' elements a few apart, with its type; nothing between them."""
        n = self.lanes

        def make() -> str:
            out, wide = self.host.temp(), vector("i1", n)
            picks = numbers(k // step if k % step == 0 else n for k in range(step * n))
            self.host.emit(
                f"{out} = shufflevector {wide} {self.active}, {wide} zeroinitializer, {picks}"
            )
            return out

        return f"{vector('i1', step * n)} {self._once(f'apart {step}', make)}"

    def _wide_mask(self, parts: int) -> str:
        """The active lanes, each for so many numbers next to each other, with its type."""
        n = self.lanes
        if parts == 1:
            return f"{vector('i1', n)} {self.active}"

        def make() -> str:
            out, wide = self.host.temp(), vector("i1", n)
            picks = numbers(k // parts for k in range(parts * n))
            self.host.emit(f"{out} = shufflevector {wide} {self.active}, {wide} poison, {picks}")
            return out

        return f"{vector('i1', parts * n)} {self._once(f'mask {parts}', make)}"

    def _pointers(self, memory: Buffer | Local, index: Scalar, part: int, stored: str) -> str:
        """A vector of pointers, one a lane."""
        pointer, _ = self.host.memory(memory)
        kind, at = vector("i64", self.lanes), self.use(index)
        if memory.dtype.kind == "c":
            first, even, at = at, self.host.temp(), self.host.temp()
            self.host.emit(f"{even} = shl {kind} {first}, {vector_literal('i64', '1', self.lanes)}")
            half = vector_literal("i64", str(part), self.lanes)
            self.host.emit(f"{at} = or {kind} {even}, {half}")
        out = self.host.temp()
        self.host.emit(f"{out} = getelementptr inbounds {stored}, ptr {pointer}, {kind} {at}")
        return f"{vector('ptr', self.lanes)} {out}"

    def _masked_gather(self, stmt: Load, raw: str, stored: str) -> None:
        wide, size = vector(stored, self.lanes), real_dtype(stmt.memory.dtype).itemsize
        pointers = self._pointers(stmt.memory, stmt.index, stmt.part, stored)
        self.host.emit(
            f"{raw} = call {wide} @llvm.masked.gather.{suffix(wide)}.v{self.lanes}p0({pointers}, "
            f"i32 {size}, {self._wide_mask(1)}, {wide} zeroinitializer)"
        )

    def _pointer(
        self, memory: Buffer | Local, base: str, parts: int, stored: str
    ) -> tuple[str, str]:
        pointer, rest = self.host.memory(memory)
        at = base
        if parts == 2:
            at = self.host.temp()
            self.host.emit(f"{at} = shl i64 {base}, 1")
        out = self.host.temp()
        self.host.emit(f"{out} = getelementptr inbounds {stored}, ptr {pointer}, i64 {at}")
        return out, rest

    def _each(
        self, memory: Buffer | Local, index: Scalar, part: int, stored: str
    ) -> list[tuple[str, str]]:
        """A pointer for every lane."""
        indices, out = self.use(index), []
        wide = vector("i64", self.lanes)
        for k in range(self.lanes):
            at = self.host.temp()
            self.host.emit(f"{at} = extractelement {wide} {indices}, i64 {k}")
            parts = 2 if memory.dtype.kind == "c" else 1
            pointer, rest = self._pointer(memory, at, parts, stored)
            if part:
                first, pointer = pointer, self.host.temp()
                self.host.emit(f"{pointer} = getelementptr inbounds {stored}, ptr {first}, i64 1")
            out.append((pointer, rest))
        return out

    def _gather(self, stmt: Load, raw: str, stored: str) -> None:
        wide, last = vector(stored, self.lanes), "poison"
        pointers = self._each(stmt.memory, stmt.index, stmt.part, stored)
        for k, (pointer, rest) in enumerate(pointers):
            one = self.host.temp()
            self.host.emit(f"{one} = load {stored}, ptr {pointer}{rest}")
            put = raw if k == self.lanes - 1 else self.host.temp()
            self.host.emit(f"{put} = insertelement {wide} {last}, {stored} {one}, i64 {k}")
            last = put

    def store(self, stmt: Store, other: Store) -> None:
        """Store one statement's value, or those of both halves of a complex element."""
        memory = stmt.memory
        stored = storage_type(memory.dtype)
        halves = [stmt] if other is stmt else [stmt, other]
        values = [self._to_store(s.value, stored) for s in halves]
        if not isinstance(stmt.index, Const) and self.affine.get(stmt.index.id, ("", 0))[1] == 1:
            base, _ = self.affine[stmt.index.id]
            pointer, rest = self._pointer(memory, base, len(values), stored)
            value, wide = values[0], vector(stored, self.lanes)
            if len(values) == 2:
                value, wide = self._interleave(values, stored)
            if not self.active:
                self.host.emit(f"store {wide} {value}, ptr {pointer}{rest}")
            elif self.own(memory, stmt.index) and len(values) == 1:
                self._store_own(value, wide, pointer, rest)
            else:
                mask = self._wide_mask(len(values))
                self.host.emit(masked_store(value, wide, pointer, rest, mask))
            return
        if self.active:
            self._scatter(stmt, values, stored)
            return
        for part, value in enumerate(values):
            for k, (pointer, rest) in enumerate(self._each(memory, stmt.index, part, stored)):
                one = self.host.temp()
                wide = vector(stored, self.lanes)
                self.host.emit(f"{one} = extractelement {wide} {value}, i64 {k}")
                self.host.emit(f"store {stored} {one}, ptr {pointer}{rest}")

    def _store_own(self, value: str, wide: str, pointer: str, rest: str) -> None:
        """Write all of a lane array, idle lanes as they were: LLVM keeps it in a register."""
        old, new = self.host.temp(), self.host.temp()
        self.host.emit(f"{old} = load {wide}, ptr {pointer}{rest}")
        mask = f"{vector('i1', self.lanes)} {self.active}"
        self.host.emit(f"{new} = select {mask}, {wide} {value}, {wide} {old}")
        self.host.emit(f"store {wide} {new}, ptr {pointer}{rest}")

    def _scatter(self, stmt: Store, values: Sequence[str], stored: str) -> None:
        wide, size = vector(stored, self.lanes), real_dtype(stmt.memory.dtype).itemsize
        for part, value in enumerate(values):
            pointers = self._pointers(stmt.memory, stmt.index, part, stored)
            self.host.emit(
                f"call void @llvm.masked.scatter.{suffix(wide)}.v{self.lanes}p0({wide} {value}, "
                f"{pointers}, i32 {size}, {self._wide_mask(1)})"
            )

    def _interleave(self, values: Sequence[str], stored: str) -> tuple[str, str]:
        narrow, out, n = vector(stored, self.lanes), self.host.temp(), self.lanes
        picks = numbers(k // 2 + (k % 2) * n for k in range(2 * n))
        self.host.emit(f"{out} = shufflevector {narrow} {values[0]}, {narrow} {values[1]}, {picks}")
        return out, vector(stored, 2 * n)

    def _to_store(self, v: Scalar, stored: str) -> str:
        value, wide = self.use(v), vector(llvm_type(v.dtype), self.lanes)
        if stored == llvm_type(v.dtype):
            return value
        out = self.host.temp()
        word = "zext" if stored == "i8" else "fptrunc"
        self.host.emit(f"{out} = {word} {wide} {value} to {vector(stored, self.lanes)}")
        return out
