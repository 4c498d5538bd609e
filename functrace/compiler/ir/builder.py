"""Builds kernels: memory, structured control flow and failures on top of the scalar operations.

>>> import numpy as np
>>> b = KernelBuilder("double")
>>> x, y = b.buffer("float64", "in"), b.buffer("float64", "out")
>>> b.loop(b.lo, b.hi, lambda i: y.store(i, b.mul(x.load(i), b.const(2, np.float64))))
>>> kernel = b.finish()
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from functrace.compiler.ir import complex_math
from functrace.compiler.ir.arithmetic import scalar
from functrace.compiler.ir.bit_ops import BitOps
from functrace.compiler.ir.kernel import (
    BOOL,
    FAIL_KINDS,
    I64,
    MAX_DETAILS,
    MEMORY_DTYPES,
    Buffer,
    Complex,
    Const,
    DType,
    Entry,
    Fail,
    For,
    Function,
    If,
    Kernel,
    Load,
    Local,
    Poll,
    Region,
    Scalar,
    Site,
    Store,
    Turn,
    Value,
    While,
    flatten,
    scalar_dtypes,
    unflatten,
)
from functrace.compiler.ir.kernel_passes import remove_dead, renumber

Index = Value | int
Body = Callable[..., Any]


class MemoryRef:
    """One-dimensional memory a kernel reads and writes: a buffer or a local array."""

    __slots__ = ("builder", "memory")

    def __init__(self, builder: Builder, memory: Buffer | Local) -> None:
        self.builder = builder
        self.memory = memory

    @property
    def dtype(self) -> DType:
        return self.memory.dtype

    def load(self, index: Index | Sequence[Index]) -> Value:
        """Element `index`, counted in elements from where the pointer points."""
        return self.builder._load(self.memory, _single(index))

    def store(self, index: Index | Sequence[Index], value: Value) -> None:
        """Write element `index`."""
        self.builder._store(self.memory, _single(index), value)


class ArrayRef:
    """A strided array over memory: shape, strides and offset in elements, static or not.

    A stride given as the Python int 1 or 0 is known to both printers, so LLVM sees unit stride.
    """

    __slots__ = ("memory", "offset", "shape", "strides")

    def __init__(
        self,
        memory: MemoryRef,
        shape: Sequence[Index],
        strides: Sequence[Index],
        offset: Index = 0,
    ) -> None:
        if len(shape) != len(strides):
            raise ValueError(f"{len(shape)} extents but {len(strides)} strides")
        index = memory.builder._index
        self.memory = memory
        self.shape: tuple[Value, ...] = tuple(index(n) for n in shape)
        self.strides: tuple[Scalar, ...] = tuple(index(s) for s in strides)
        self.offset: Scalar = index(offset)

    @property
    def dtype(self) -> DType:
        return self.memory.dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def linear(self, index: Sequence[Index]) -> Scalar:
        """Where element `index` lies, in elements."""
        if len(index) != self.ndim:
            raise ValueError(f"{len(index)} indices for {self.ndim} dimensions")
        b = self.memory.builder
        total = self.offset
        for i, stride in zip(index, self.strides, strict=True):
            total = b._bin("add", total, b._bin("mul", b._index(i), stride))
        return total

    def load(self, index: Sequence[Index]) -> Value:
        """Read one element."""
        return self.memory.load(self.linear(index))

    def store(self, index: Sequence[Index], value: Value) -> None:
        """Write one element."""
        self.memory.store(self.linear(index), value)


def _single(index: Index | Sequence[Index]) -> Index:
    if isinstance(index, (Value, int)):
        return index
    (only,) = index
    return only


class Builder(BitOps):
    """What a lowering rule is given as `b`: scalar operations and structured control flow."""

    def __init__(self) -> None:
        super().__init__()
        self._locals: list[Local] = []
        self._sites: list[Site] = []
        self._extents: Sequence[Sequence[Value]] = ()
        self._out_extents: Sequence[Value] = ()
        #: Loops of literal bounds with so many iterations or fewer are written out.
        self.unrolled = 0

    # ---- mathematics ---------------------------------------------------------------------------

    def math(self, name: str, *args: Value) -> Value:
        """One of vecmath's functions; on complex values, its complex counterpart."""
        if isinstance(args[0], Complex):
            return complex_math.apply(self, name, args)
        return super().math(name, *args)

    def pow_int(self, x: Value, y: Value) -> Value:
        """Integer power for y >= 0, wrapping. A negative y gives 1."""
        one, zero = self.const(1, x.dtype), self.const(0, y.dtype)

        def step(result: Value, power: Value, n: Value) -> list[Value]:
            odd = self.ne(self.and_(n, self.const(1, n.dtype)), zero)
            result = self.select(odd, self.mul(result, power), result)
            return [result, self.mul(power, power), self.shr(n, self.const(1, n.dtype))]

        return self.while_(lambda r, p, n: self.gt(n, zero), step, [one, x, y])[0]

    # ---- structure -----------------------------------------------------------------------------

    def _index(self, v: Index) -> Scalar:
        if isinstance(v, (int, np.integer)):
            return self._const(int(v), I64)
        if v.dtype != I64:
            raise TypeError(f"an index or bound must be int64, not {v.dtype}")
        return scalar(v)

    def fold(
        self, lo: Index, hi: Index, inits: Sequence[Value], body: Body, step: int = 1
    ) -> list[Value]:
        """`for i in range(lo, hi, step): acc = body(i, *acc)`; the final values."""
        return self._for(lo, hi, inits, body, step, 0)

    def loop(self, lo: Index, hi: Index, body: Body, step: int = 1) -> None:
        """`for i in range(lo, hi, step): body(i)`."""

        def run(i: Value) -> tuple[()]:
            body(i)
            return ()

        self._for(lo, hi, (), run, step, 0)

    def lanes(self, lo: Index, hi: Index, lanes: int, body: Body) -> None:
        """`for i in range(lo, hi): body(i)`, each iteration for itself: `lanes` at a time."""

        def run(i: Value) -> tuple[()]:
            body(i)
            return ()

        self._for(lo, hi, (), run, 1, lanes)

    def _for(
        self, lo: Index, hi: Index, inits: Sequence[Value], body: Body, step: int, lanes: int
    ) -> list[Value]:
        if step == 0:
            raise ValueError("a loop needs a step other than 0")
        dtypes = [v.dtype for v in inits]
        start, stop = self._index(lo), self._index(hi)
        if self.unrolled and lanes < 2 and isinstance(start, Const) and isinstance(stop, Const):
            rounds = range(int(start.value), int(stop.value), step)
            if len(rounds) <= self.unrolled:
                return self._written_out(rounds, list(inits), body)
        params = self._params(dtypes)
        index = self._fresh(I64)
        region = self._open()
        out = as_values(body(index, *unflatten(dtypes, params)))
        self._close()
        region.yields = self._yields(dtypes, out, "fold")
        results = self._params(dtypes)
        self._append(
            For(start, stop, step, index, params, tuple(flatten(inits)), region, results, lanes)
        )
        return unflatten(dtypes, results)

    def _written_out(self, rounds: range, values: list[Value], body: Body) -> list[Value]:
        for i in rounds:
            values = as_values(body(self._const(i, I64), *values))
        return values

    def while_(
        self,
        cond: Body,
        body: Body,
        inits: Sequence[Value],
        watch: Callable[[], Any] | None = None,
        period: int = 0,
    ) -> list[Value]:
        """`while cond(*vals): vals = body(*vals)`; the final values.

        Every `period` rounds `watch()` is run, which may fail but computes nothing.
        """
        dtypes = [v.dtype for v in inits]
        params = self._params(dtypes)
        test = self._open()
        pred = scalar(cond(*unflatten(dtypes, params)))
        self._close()
        if pred.dtype != BOOL:
            raise TypeError(f"while_: the condition is {pred.dtype}, not bool")
        test.yields = (pred,)
        region = self._open()
        out = as_values(body(*unflatten(dtypes, params)))
        self._close()
        region.yields = self._yields(dtypes, out, "while_")
        look = self._open()
        if watch is not None:
            watch()
        self._close()
        results = self._params(dtypes)
        start = tuple(flatten(inits))
        self._append(While(params, start, test, region, results, look, period))
        return unflatten(dtypes, results)

    def cond(self, pred: Value, then: Body, orelse: Body) -> list[Value]:
        """A real branch: the values of `then()` or of `orelse()`."""
        decided = scalar(pred)
        if isinstance(decided, Const):
            return as_values(then() if decided.value else orelse())
        first = self._open()
        out = as_values(then())
        self._close()
        dtypes = [v.dtype for v in out]
        first.yields = tuple(flatten(out))
        second = self._open()
        other = as_values(orelse())
        self._close()
        second.yields = self._yields(dtypes, other, "cond")
        results = self._params(dtypes)
        self._append(If(scalar(pred), first, second, results))
        return unflatten(dtypes, results)

    def _params(self, dtypes: Sequence[DType]) -> tuple[Scalar, ...]:
        return tuple(self._fresh(part) for d in dtypes for part in scalar_dtypes(d))

    def _yields(self, dtypes: Sequence[DType], out: list[Value], what: str) -> tuple[Scalar, ...]:
        got = [v.dtype for v in out]
        if got != list(dtypes):
            raise TypeError(f"{what}: expected values of {list(map(str, dtypes))}, got {got}")
        return tuple(flatten(out))

    def fail(self, pred: Value, kind: str, *details: Index) -> int:
        """Return an error status from the kernel if `pred` holds; the number of this site."""
        if kind not in FAIL_KINDS:
            raise ValueError(f"fail: unknown kind {kind!r}; known are {sorted(FAIL_KINDS)}")
        if len(details) > MAX_DETAILS:
            raise ValueError(f"fail: at most {MAX_DETAILS} details, got {len(details)}")
        site = len(self._sites)
        self._sites.append(Site(kind, len(details)))
        self._append(Fail(scalar(pred), kind, site, tuple(self._index(d) for d in details)))
        return site

    def poll(self) -> int:
        """Stop with status `interrupt` if the poll word of the error cell is set."""
        word = self._fresh(I64)
        self._append(Poll(word))
        return self.fail(self.ne(word, self.const(0, I64)), "interrupt")

    # ---- memory --------------------------------------------------------------------------------

    def alloca(self, dtype: Any, n: int) -> MemoryRef:
        """A small array of `n` elements, alive for the whole kernel, not initialised."""
        local = Local(len(self._locals), _memory_dtype(dtype), int(n))
        self._locals.append(local)
        return MemoryRef(self, local)

    def _load(self, memory: Buffer | Local, at: Index) -> Value:
        index = self._index(at)
        dtype = memory.dtype
        parts = [
            self._load_part(memory, index, part, d) for part, d in enumerate(scalar_dtypes(dtype))
        ]
        return unflatten([dtype], parts)[0]

    def _load_part(self, memory: Buffer | Local, index: Scalar, part: int, dtype: DType) -> Scalar:
        constant = isinstance(memory, Buffer) and memory.access == "in"
        where = ("c", int(index.value)) if isinstance(index, Const) else ("v", index.id)
        key = ("load", memory.index, *where, part)
        known = self._known(key) if constant else None
        if known is not None:
            return known
        result = self._fresh(dtype)
        self._append(Load(result, memory, index, part))
        if constant:
            self._numbered[-1][key] = result
        return result

    def _store(self, memory: Buffer | Local, at: Index, value: Value) -> None:
        if isinstance(memory, Buffer) and memory.access == "in":
            raise ValueError(f"buffer {memory.index} is an input and can't be written")
        if value.dtype != memory.dtype:
            raise TypeError(f"store: a {value.dtype} value into {memory.dtype} memory")
        index = self._index(at)
        for part, v in enumerate(flatten([value])):
            self._append(Store(memory, index, v, part))

    def turn(
        self,
        target: tuple[MemoryRef, Index, Index],
        source: tuple[MemoryRef, Index, Index],
        rows: Index,
        columns: Index,
    ) -> None:
        """Copy a block so that its rows become columns: `target[r, c] = source[c, r]`.

        Args:
            target, source: memory, where the block begins, and how far its rows are apart.
            rows, columns: of the target, at most `TURNED` each.
        """
        to, of = target[0], source[0]
        if to.dtype != of.dtype:
            raise TypeError(f"turn: {of.dtype} memory into {to.dtype} memory")
        at, pitch, of_at, of_pitch = map(self._index, (*target[1:], *source[1:]))
        height, width = self._index(rows), self._index(columns)
        self._append(Turn(to.memory, at, pitch, of.memory, of_at, of_pitch, height, width))

    # ---- extents, for Indexed rules ------------------------------------------------------------

    @contextmanager
    def extents(self, ins: Sequence[Sequence[Value]], out: Sequence[Value]) -> Iterator[None]:
        """While open, `extent` and `out_extent` answer from these shapes."""
        saved = self._extents, self._out_extents
        self._extents, self._out_extents = ins, out
        try:
            yield
        finally:
            self._extents, self._out_extents = saved

    def extent(self, operand: int, axis: int) -> Value:
        """The extent of one axis of operand number `operand` of the rule being lowered."""
        return self._extents[operand][axis]

    def out_extent(self, axis: int) -> Value:
        """The extent of one axis of the output of the rule being lowered."""
        return self._out_extents[axis]


def as_values(out: Any) -> list[Value]:
    """What a body returned as a list: nothing, one value or several."""
    if out is None:
        return []
    return [out] if isinstance(out, Value) else list(out)


def _memory_dtype(dtype: Any) -> DType:
    known: DType = np.dtype(dtype)
    if known not in MEMORY_DTYPES:
        raise TypeError(f"kernels have no memory of dtype {known}")
    return known


class KernelBuilder(Builder):
    """A `Builder` with buffers, record entries and an outer range, which finishes a `Kernel`.

    `param_values` maps record positions to the integers `number` was given; they are data of the
    step, not of the kernel. ``written`` says that sizes are part of the kernel instead.
    """

    def __init__(self, name: str = "kernel") -> None:
        super().__init__()
        self.name = name
        self.lo: Scalar = self._fresh(I64)
        self.hi: Scalar = self._fresh(I64)
        self.shared = False
        self.param_values: dict[int, int] = {}
        self.written = False
        self._record: list[Entry] = []
        self._buffers: list[Buffer] = []

    @property
    def record_length(self) -> int:
        """How many integers the record has so far."""
        return len(self._record)

    def buffer(self, dtype: Any, access: str, group: int | None = None) -> MemoryRef:
        """Memory of a frame slot, whose number is the next record entry.

        Args:
            dtype: what it holds.
            access: "in" (never written while the kernel runs), "out" or "inout".
            group: buffers given the same number may overlap; None: overlaps no other.
        """
        if access not in ("in", "out", "inout"):
            raise ValueError(f"access must be 'in', 'out' or 'inout', not {access!r}")
        index = len(self._buffers)
        own = -1 - index if group is None else group
        buffer = Buffer(index, _memory_dtype(dtype), access, own)
        self._buffers.append(buffer)
        self._record.append(Entry(buffer, None))
        return MemoryRef(self, buffer)

    def part(self, units: Index) -> tuple[Value, Value]:
        """The units of a loop nest that are to be run: of so many, some if threads share them."""
        return (self.lo, self.hi) if self.shared else (self._index(0), self._index(units))

    def param(self) -> Scalar:
        """The next record entry as an int64 value, readable everywhere in the kernel."""
        value = self._fresh(I64)
        self._record.append(Entry(None, value))
        return value

    def param_int(self, value: int) -> Scalar:
        """A record entry for a number known now, or a literal where sizes are literals."""
        literal = self.written or self.unrolled
        return self._const(int(value), I64) if literal else self.number(int(value))

    def number(self, value: int) -> Scalar:
        """A record entry for a number known now which must not make the kernel special."""
        self.param_values[len(self._record)] = value
        number = self.param()
        if self.ranges is not None:
            self.ranges.number(number, value)
        return number

    def finish(self, *passes: Callable[[Builder, Region], None]) -> Kernel:
        """The kernel, cleaned up, changed by passes, and numbered canonically."""
        (body,) = self._regions
        remove_dead(body)
        for change in passes:
            change(self, body)
        params = [e.value for e in self._record if e.value is not None]
        renumber([self.lo, self.hi, *params], body)
        self._canonical_groups()
        return Kernel(
            self.name,
            tuple(self._buffers),
            tuple(self._record),
            tuple(self._locals),
            self.lo,
            self.hi,
            body,
            tuple(self._sites),
        )

    def _canonical_groups(self) -> None:
        numbers: dict[int, int] = {}
        for buffer in self._buffers:
            buffer.group = numbers.setdefault(buffer.group, len(numbers))


def build_function(name: str, dtypes: Sequence[DType], rule: Body) -> Function:
    """A scalar `Function` from `rule(b, *params) -> Value`; it may use no memory and not fail."""
    b = Builder()
    params = tuple(b._fresh(d) for d in dtypes)
    result = scalar(rule(b, *params))
    (body,) = b._regions
    body.yields = (result,)
    remove_dead(body)
    renumber(params, body)
    return Function(name, params, body)
