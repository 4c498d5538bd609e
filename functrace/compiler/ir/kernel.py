"""The typed kernel IR: what code generation builds and both printers print.

A kernel is SSA with structured regions. Only real scalars occur in it: the builder expands complex
values into pairs and float16 into float32 with a rounding after each operation, so neither printer
knows about either. Everything here is plain data: `builder.py` makes it, `kernel_text.py` prints
it, `kernel_check.py` checks it, `emit/llvm` and `emit/numba` turn it into programs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from functrace.compiler.ir.convention import ERROR_CELL_WORDS as ERROR_CELL_WORDS
from functrace.compiler.ir.convention import ERROR_SLOT as ERROR_SLOT
from functrace.compiler.ir.convention import FAIL_KINDS as FAIL_KINDS
from functrace.compiler.ir.convention import MAX_DETAILS as MAX_DETAILS
from functrace.compiler.ir.convention import MEMORY_DTYPES as MEMORY_DTYPES
from functrace.compiler.ir.convention import POLL_SOURCE_WORD as POLL_SOURCE_WORD
from functrace.compiler.ir.convention import POLL_WORD as POLL_WORD
from functrace.compiler.ir.convention import STATUS_KIND_SHIFT as STATUS_KIND_SHIFT

DType = np.dtype[Any]

BOOL: DType = np.dtype(np.bool_)
I32: DType = np.dtype(np.int32)
I64: DType = np.dtype(np.int64)
U64: DType = np.dtype(np.uint64)
F16: DType = np.dtype(np.float16)
F32: DType = np.dtype(np.float32)
F64: DType = np.dtype(np.float64)

# What a real SSA scalar may be: float16 lives only in memory, complex values are pairs.
SCALAR_DTYPES: tuple[DType, ...] = tuple(d for d in MEMORY_DTYPES if d.kind != "c" and d != F16)

# Names `Builder.math` accepts, with how many arguments each takes.
MATH_ARITY: dict[str, int] = dict.fromkeys(
    [
        "exp",
        "exp2",
        "expm1",
        "log",
        "log1p",
        "log2",
        "log10",
        "sin",
        "cos",
        "tan",
        "asin",
        "acos",
        "atan",
        "sinh",
        "cosh",
        "tanh",
        "asinh",
        "acosh",
        "atanh",
        "logistic",
        "erf",
        "erfc",
        "erf_inv",
        "lgamma",
        "digamma",
        "cbrt",
        "sqrt",
    ],
    1,
) | {"atan2": 2, "pow": 2, "hypot": 2, "fmod": 2}

#: Functions that no rule calls: passes over finished kernels put them in, or other functions do.
INNER_ARITY: dict[str, int] = {"quotient": 6, "stretch": 2}

# Scalar operations with the number of their operands. Booleans use and/or/xor/not/eq/ne/select.
#   floordiv, floormod: signed or unsigned, divisor non-zero, no overflow (the builder guards)
#   udiv, urem: int64 operands that are known not to be negative, divisor non-zero
#   shl, ashr, lshr: amount below the width (the builder guards); lshr only on unsigned types
#   round16: float32 rounded to what a float16 holds;  half_bits, from_half_bits: float32 <-> the
#   uint16 pattern of that float16;  extern: a C function of the allow-list
#   math: one of vecmath's functions, by name;  cast: width/kind change;  bitcast: same bits
#   fma: x * y + z rounded once, wherever it runs: only vecmath and functrace.random ask for it
SCALAR_OPS: dict[str, int] = {
    "add": 2, "sub": 2, "mul": 2, "div": 2, "floordiv": 2, "floormod": 2, "udiv": 2, "urem": 2,
    "and": 2, "or": 2, "xor": 2, "not": 1, "shl": 2, "ashr": 2, "lshr": 2,
    "eq": 2, "ne": 2, "lt": 2, "le": 2, "gt": 2, "ge": 2,
    "select": 3, "cast": 1, "bitcast": 1,
    "round16": 1, "half_bits": 1, "from_half_bits": 1,
    "neg": 1, "abs": 1, "sqrt": 1, "floor": 1, "ceil": 1, "trunc": 1, "rint": 1, "copysign": 2,
    "fma": 3,
}  # fmt: skip
COMPARISONS = frozenset(("eq", "ne", "lt", "le", "gt", "ge"))
NAMED_OPS = frozenset(("math", "extern"))


class Value:
    """A value a lowering rule handles: a `Scalar`, or a `Complex` or `Half` made of scalars."""

    __slots__ = ("dtype",)
    dtype: DType


class Scalar(Value):
    """One SSA value of a real dtype; `id` is its number in the kernel."""

    __slots__ = ("id",)

    def __init__(self, dtype: DType, id: int) -> None:
        self.dtype = dtype
        self.id = id

    def __repr__(self) -> str:
        return f"%{self.id}:{self.dtype.name}"


class Const(Scalar):
    """A literal. `value` is a NumPy scalar of exactly `dtype`."""

    __slots__ = ("value",)

    def __init__(self, dtype: DType, value: np.generic) -> None:
        super().__init__(dtype, -1)
        self.value = value

    def __repr__(self) -> str:
        return f"{self.value!r}"


class Complex(Value):
    """A complex value as a pair of real scalars."""

    __slots__ = ("im", "re")

    def __init__(self, dtype: DType, re: Scalar, im: Scalar) -> None:
        self.dtype = dtype
        self.re = re
        self.im = im


class Half(Value):
    """A float16 value carried in a float32 scalar that is exactly representable in half."""

    __slots__ = ("wide",)

    def __init__(self, wide: Scalar) -> None:
        self.dtype = F16
        self.wide = wide


def flatten(values: Sequence[Value]) -> list[Scalar]:
    """The real scalars that `values` are made of, in order."""
    out: list[Scalar] = []
    for v in values:
        if isinstance(v, Scalar):
            out.append(v)
        elif isinstance(v, Complex):
            out += (v.re, v.im)
        elif isinstance(v, Half):
            out.append(v.wide)
        else:
            raise TypeError(f"expected a kernel Value, got {type(v).__name__}: {v!r}")
    return out


def scalar_dtypes(dtype: DType) -> list[DType]:
    """The dtypes of the scalars that carry one value of `dtype`."""
    if dtype.kind == "c":
        return [real_dtype(dtype)] * 2
    return [F32] if dtype == F16 else [dtype]


def real_dtype(dtype: DType) -> DType:
    """The dtype of the parts of a complex dtype; any other dtype is returned as it is."""
    if dtype.kind != "c":
        return dtype
    return F32 if dtype.itemsize == 8 else F64


def unflatten(dtypes: Sequence[DType], scalars: Sequence[Scalar]) -> list[Value]:
    """Values of `dtypes` made of `scalars`: the inverse of `flatten`."""
    out: list[Value] = []
    rest = iter(scalars)
    for dtype in dtypes:
        first = next(rest)
        if dtype.kind == "c":
            out.append(Complex(dtype, first, next(rest)))
        else:
            out.append(Half(first) if dtype == F16 else first)
    return out


@dataclass(eq=False, slots=True)
class Buffer:
    """Memory behind a frame slot. Buffers of one `group` may overlap; those of two never do."""

    index: int
    dtype: DType
    access: str
    group: int


@dataclass(eq=False, slots=True)
class Local:
    """A small array of fixed length in the kernel's entry block."""

    index: int
    dtype: DType
    length: int


@dataclass(eq=False, slots=True)
class Entry:
    """One position of the record: the slot of `buffer`, or an integer read as `value`."""

    buffer: Buffer | None
    value: Scalar | None


class Stmt:
    """A statement of a region."""

    __slots__ = ()


@dataclass(eq=False, slots=True)
class Op(Stmt):
    """`result = name(args)`; `attr` names the function for `math` and `extern`."""

    result: Scalar
    name: str
    args: tuple[Scalar, ...]
    attr: str = ""


@dataclass(eq=False, slots=True)
class Load(Stmt):
    """Read element `index`; `part` picks the real (0) or imaginary (1) half of a complex one."""

    result: Scalar
    memory: Buffer | Local
    index: Scalar
    part: int = 0


@dataclass(eq=False, slots=True)
class Store(Stmt):
    """Write element `index`, or one part of it."""

    memory: Buffer | Local
    index: Scalar
    value: Scalar
    part: int = 0


#: The side of the blocks that `Turn` copies.
TURNED = 8


@dataclass(eq=False, slots=True)
class Turn(Stmt):
    """Copy a block so that its rows become columns: `target[r, c] = source[c, r]`.

    The element (r, c) of one side lies `r * pitch + c` elements behind its `at`; of another dtype
    the two sides aren't, and in one memory neither. There are at most `TURNED` rows and columns.
    """

    target: Buffer | Local
    target_at: Scalar
    target_pitch: Scalar
    source: Buffer | Local
    source_at: Scalar
    source_pitch: Scalar
    rows: Scalar
    columns: Scalar


@dataclass(eq=False, slots=True)
class Poll(Stmt):
    """Read the poll word of the error cell; never moved or removed."""

    result: Scalar


@dataclass(eq=False, slots=True)
class Fail(Stmt):
    """Return an error status if `pred` holds, leaving `details` in the error cell."""

    pred: Scalar
    kind: str
    site: int
    details: tuple[Scalar, ...]


@dataclass(eq=False, slots=True)
class Region:
    """A straight list of statements and the scalars it hands to the statement it belongs to."""

    stmts: list[Stmt] = field(default_factory=list)
    yields: tuple[Scalar, ...] = ()


@dataclass(eq=False, slots=True)
class For(Stmt):
    """`for i in range(lo, hi, step)` with carried values.

    `lanes` > 1: its iterations are independent of each other, to be run as so many SIMD lanes;
    1: there are few iterations, which aren't worth more code; 0: nothing is known.
    """

    lo: Scalar
    hi: Scalar
    step: int
    index: Scalar
    params: tuple[Scalar, ...]
    inits: tuple[Scalar, ...]
    body: Region
    results: tuple[Scalar, ...]
    lanes: int = 0


@dataclass(eq=False, slots=True)
class While(Stmt):
    """Carried values, a condition region which yields one bool, and a body.

    `watch` is run after every `period` rounds, if there is one: it looks whether to stop. It is no
    part of what the loop computes, so several loops that run as one may share a count of rounds.
    """

    params: tuple[Scalar, ...]
    inits: tuple[Scalar, ...]
    cond: Region
    body: Region
    results: tuple[Scalar, ...]
    watch: Region = field(default_factory=Region)
    period: int = 0


@dataclass(eq=False, slots=True)
class If(Stmt):
    """A real branch; both regions yield as many scalars as there are results."""

    pred: Scalar
    then: Region
    orelse: Region
    results: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Site:
    """What a status' site number stands for."""

    kind: str
    details: int


@dataclass(eq=False, slots=True)
class Kernel:
    """A finished kernel. `record` lists what each record position means, in order."""

    name: str
    buffers: tuple[Buffer, ...]
    record: tuple[Entry, ...]
    locals: tuple[Local, ...]
    lo: Scalar
    hi: Scalar
    body: Region
    sites: tuple[Site, ...]


@dataclass(eq=False, slots=True)
class Function:
    """A pure scalar function without memory: how vecmath's functions are kept."""

    name: str
    params: tuple[Scalar, ...]
    body: Region


#: Statements without regions: nearly all of them, so passes ask for these first.
_LEAVES = frozenset((Op, Load, Store, Turn, Poll, Fail))


def regions_of(stmt: Stmt) -> tuple[Region, ...]:
    """The regions nested directly in `stmt`."""
    if type(stmt) in _LEAVES:
        return ()
    if isinstance(stmt, For):
        return (stmt.body,)
    if isinstance(stmt, While):
        return (stmt.cond, stmt.body, stmt.watch)
    if isinstance(stmt, If):
        return (stmt.then, stmt.orelse)
    return ()


def operands_of(stmt: Stmt) -> tuple[Scalar, ...]:
    """The scalars `stmt` itself reads (not what its regions read)."""
    if isinstance(stmt, Op):
        return stmt.args
    if isinstance(stmt, Load):
        return (stmt.index,)
    if isinstance(stmt, Store):
        return (stmt.index, stmt.value)
    if isinstance(stmt, Turn):
        places = (stmt.target_at, stmt.target_pitch, stmt.source_at, stmt.source_pitch)
        return (*places, stmt.rows, stmt.columns)
    if isinstance(stmt, For):
        return (stmt.lo, stmt.hi, *stmt.inits)
    if isinstance(stmt, While):
        return stmt.inits
    if isinstance(stmt, If):
        return (stmt.pred,)
    if isinstance(stmt, Fail):
        return (stmt.pred, *stmt.details)
    return ()


def results_of(stmt: Stmt) -> tuple[Scalar, ...]:
    """The scalars `stmt` defines in the region it stands in."""
    if isinstance(stmt, (Op, Load, Poll)):
        return (stmt.result,)
    if isinstance(stmt, (For, While, If)):
        return stmt.results
    return ()


def params_of(stmt: Stmt) -> tuple[Scalar, ...]:
    """The scalars `stmt` defines inside its regions: loop indices and carried values."""
    if type(stmt) in _LEAVES:
        return ()
    if isinstance(stmt, For):
        return (stmt.index, *stmt.params)
    return stmt.params if isinstance(stmt, While) else ()


def has_effect(stmt: Stmt) -> bool:
    """Whether `stmt` does more than define its results."""
    if type(stmt) in _LEAVES:
        return not isinstance(stmt, (Op, Load))
    return any(has_effect(s) for region in regions_of(stmt) for s in region.stmts)
