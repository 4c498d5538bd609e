"""Checks that a kernel is well formed: definitions before uses, dtypes, arities, memory rules."""

from __future__ import annotations

from collections.abc import Sequence

from functrace.compiler.ir.kernel import (
    BOOL,
    COMPARISONS,
    F32,
    FAIL_KINDS,
    I64,
    INNER_ARITY,
    MATH_ARITY,
    MAX_DETAILS,
    NAMED_OPS,
    SCALAR_DTYPES,
    SCALAR_OPS,
    Buffer,
    Const,
    DType,
    Fail,
    For,
    If,
    Kernel,
    Load,
    Local,
    Op,
    Region,
    Scalar,
    Stmt,
    Store,
    Turn,
    While,
    operands_of,
    results_of,
    scalar_dtypes,
)
from functrace.compiler.ir.kernel_text import _line

_FLOAT_ONLY = frozenset(
    ("div", "neg", "sqrt", "abs", "floor", "ceil", "trunc", "rint", "copysign", "fma")
)
_INTEGER_ONLY = frozenset(
    ("floordiv", "floormod", "udiv", "urem", "and", "or", "xor", "not", "shl", "ashr", "lshr")
)
_HALF_OPS = frozenset(("round16", "half_bits", "from_half_bits"))


class KernelError(ValueError):
    """A kernel breaks a rule of the IR: always a fault of whoever built it."""


def check_kernel(kernel: Kernel) -> None:
    """Raise `KernelError` unless `kernel` is well formed."""
    checker = _Checker(kernel.buffers, kernel.locals)
    leaves = [kernel.lo, kernel.hi, *(e.value for e in kernel.record if e.value is not None)]
    checker.define(leaves)
    checker.region(kernel.body)
    if [e.buffer for e in kernel.record if e.buffer is not None] != list(kernel.buffers):
        raise KernelError("the record must name every buffer once, in order")


class _Checker:
    def __init__(self, buffers: Sequence[Buffer], arrays: Sequence[Local]) -> None:
        self.memories = {id(m) for m in (*buffers, *arrays)}
        self.known: set[int] = set()
        self.sites: set[int] = set()

    def require(self, holds: bool, stmt: Stmt, why: str) -> None:
        if not holds:
            try:
                text = _line(stmt)
            except TypeError:
                text = type(stmt).__name__.lower()
            raise KernelError(f"{text}: {why}")

    def define(self, values: Sequence[Scalar]) -> None:
        for v in values:
            if v.id in self.known:
                raise KernelError(f"%{v.id} is defined twice")
            if v.dtype not in SCALAR_DTYPES:
                raise KernelError(f"%{v.id} has dtype {v.dtype}, which no scalar has")
            self.known.add(v.id)

    def uses(self, values: Sequence[Scalar]) -> None:
        for v in values:
            if isinstance(v, Const):
                if v.value.dtype != v.dtype:
                    raise KernelError(f"a literal of {v.dtype} holds a {v.value.dtype}")
            elif v.id not in self.known:
                raise KernelError(f"%{v.id} is used where it isn't defined")

    def region(self, region: Region, params: Sequence[Scalar] = ()) -> None:
        """What a region defines is unknown outside of it."""
        outer = set(self.known)
        self.define(params)
        for stmt in region.stmts:
            self.uses(operands_of(stmt))
            self.stmt(stmt)
            self.define(results_of(stmt))
        self.uses(region.yields)
        self.known = outer

    def stmt(self, stmt: Stmt) -> None:
        if isinstance(stmt, Op):
            self.op(stmt)
        elif isinstance(stmt, (Load, Store)):
            self.access(stmt)
        elif isinstance(stmt, Turn):
            self.turn(stmt)
        elif isinstance(stmt, Fail):
            self.fail(stmt)
        elif isinstance(stmt, For):
            self.require(stmt.step != 0, stmt, "a step of 0")
            self.require(stmt.lo.dtype == stmt.hi.dtype == I64, stmt, "bounds must be int64")
            self.carried(stmt, stmt.body)
            self.region(stmt.body, (stmt.index, *stmt.params))
        elif isinstance(stmt, While):
            got = _dtypes(stmt.cond.yields)
            self.require(got == [BOOL], stmt, "the condition must yield one bool")
            self.carried(stmt, stmt.body)
            self.region(stmt.cond, stmt.params)
            self.region(stmt.body, stmt.params)
            self.require(bool(stmt.watch.stmts) <= (stmt.period > 0), stmt, "never watched")
            self.region(stmt.watch)
        elif isinstance(stmt, If):
            self.require(stmt.pred.dtype == BOOL, stmt, "the predicate must be bool")
            for arm in (stmt.then, stmt.orelse):
                same = _dtypes(arm.yields) == _dtypes(stmt.results)
                self.require(same, stmt, "an arm yields other dtypes than the results have")
                self.region(arm)

    def carried(self, stmt: For | While, body: Region) -> None:
        want = _dtypes(stmt.params)
        for what, values in (("inits", stmt.inits), ("results", stmt.results)):
            self.require(_dtypes(values) == want, stmt, f"{what} and parameters differ in dtype")
        self.require(_dtypes(body.yields) == want, stmt, "the body yields other dtypes")

    def access(self, stmt: Load | Store) -> None:
        memory = stmt.memory
        self.require(id(memory) in self.memories, stmt, "memory that isn't the kernel's")
        self.require(stmt.index.dtype == I64, stmt, "an index must be int64")
        parts = scalar_dtypes(memory.dtype)
        self.require(0 <= stmt.part < len(parts), stmt, "no such part")
        value = stmt.value if isinstance(stmt, Store) else stmt.result
        want = parts[stmt.part]
        self.require(value.dtype == want, stmt, f"{value.dtype} in memory of {memory.dtype}")
        if isinstance(stmt, Store) and isinstance(memory, Buffer):
            self.require(memory.access != "in", stmt, "an input is written")

    def turn(self, stmt: Turn) -> None:
        both = (stmt.target, stmt.source)
        known = all(id(m) in self.memories for m in both)
        self.require(known, stmt, "memory that isn't the kernel's")
        self.require(stmt.target.dtype == stmt.source.dtype, stmt, "the sides differ in dtype")
        self.require(stmt.target is not stmt.source, stmt, "a block turned in its own memory")
        ints = all(v.dtype == I64 for v in operands_of(stmt))
        self.require(ints, stmt, "places, pitches and counts must be int64")
        if isinstance(stmt.target, Buffer):
            self.require(stmt.target.access != "in", stmt, "an input is written")

    def fail(self, stmt: Fail) -> None:
        self.require(stmt.kind in FAIL_KINDS, stmt, f"unknown kind {stmt.kind}")
        self.require(stmt.pred.dtype == BOOL, stmt, "the predicate must be bool")
        self.require(len(stmt.details) <= MAX_DETAILS, stmt, "too many details")
        ints = all(d.dtype == I64 for d in stmt.details)
        self.require(ints, stmt, "details must be int64")
        self.require(stmt.site not in self.sites, stmt, "a site number twice")
        self.sites.add(stmt.site)

    def op(self, op: Op) -> None:
        name, dtype = op.name, op.result.dtype
        if name in NAMED_OPS:
            known = MATH_ARITY | INNER_ARITY
            arity = known.get(op.attr) if name == "math" else len(op.args)
            self.require(arity == len(op.args), op, "a function that is unknown or of other arity")
            same = all(a.dtype == dtype and dtype.kind == "f" for a in op.args)
            self.require(same, op, "arguments and result must have one float dtype")
            return
        self.require(SCALAR_OPS.get(name) == len(op.args), op, "unknown, or of other arity")
        args = _dtypes(op.args)
        if name == "cast":
            return
        if name == "bitcast":
            self.require(args[0].itemsize == dtype.itemsize, op, "sizes differ")
        elif name in _HALF_OPS:
            self.require(F32 in (args[0], dtype), op, "halves are carried in float32")
        elif name == "select":
            self.require(args == [BOOL, dtype, dtype], op, "dtypes differ")
        elif name in COMPARISONS:
            self.require(args[0] == args[1] and dtype == BOOL, op, "dtypes differ")
        else:
            self.require(all(a == dtype for a in args), op, "dtypes differ")
            self.require(name not in _FLOAT_ONLY or dtype.kind == "f", op, "needs floats")
            self.require(name not in _INTEGER_ONLY or dtype.kind in "biu", op, "needs integers")


def _dtypes(values: Sequence[Scalar]) -> list[DType]:
    return [v.dtype for v in values]
