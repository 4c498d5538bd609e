"""The part of the builder that appends scalar operations: regions, numbering, value numbering.

Pure operations are numbered by value within the regions that are open, so writing an expression
twice costs nothing. Only folds that keep every bit are made: casts of literals, and additions and
multiplications of int64 literals, which index arithmetic is full of.
"""

from __future__ import annotations

import operator
from functools import lru_cache
from typing import Any

import numpy as np

from functrace.compiler.ir.kernel import (
    BOOL,
    COMPARISONS,
    F16,
    F32,
    I64,
    SCALAR_DTYPES,
    Complex,
    Const,
    DType,
    Half,
    Op,
    Region,
    Scalar,
    Stmt,
    Value,
    real_dtype,
)
from functrace.compiler.ir.ranges import Ranges

Key = tuple[Any, ...]
_COMPARED = {name: getattr(operator, name) for name in COMPARISONS}


class ScalarCore:
    """Open regions, fresh scalars, literals and raw real operations."""

    def __init__(self) -> None:
        self._next = 0
        self._regions: list[Region] = [Region()]
        self._numbered: list[dict[Key, Scalar]] = [{}]
        #: What is known of indices, where loops are cut by it.
        self.ranges: Ranges | None = None

    # ---- regions -------------------------------------------------------------------------------

    def _fresh(self, dtype: DType) -> Scalar:
        self._next += 1
        return Scalar(dtype, self._next - 1)

    def _append(self, stmt: Stmt) -> None:
        self._regions[-1].stmts.append(stmt)

    def _open(self) -> Region:
        region = Region()
        self._regions.append(region)
        self._numbered.append({})
        return region

    def _close(self) -> None:
        self._regions.pop()
        self._numbered.pop()

    def _known(self, key: Key) -> Scalar | None:
        for table in reversed(self._numbered):
            if key in table:
                return table[key]
        return None

    # ---- literals ------------------------------------------------------------------------------

    def const(self, value: Any, dtype: Any) -> Value:
        """The literal `value`, converted to `dtype` as NumPy's astype does."""
        dtype = np.dtype(dtype)
        if isinstance(value, np.generic) and value.dtype == dtype:
            exact: Any = value
        else:
            with np.errstate(all="ignore"):
                exact = np.asarray(value).astype(dtype)[()]
        if dtype.kind == "c":
            part = real_dtype(dtype)
            return Complex(dtype, Const(part, exact.real), Const(part, exact.imag))
        if dtype == F16:
            return Half(Const(F32, np.float32(exact)))
        return Const(dtype, exact)

    def _const(self, value: Any, dtype: DType) -> Scalar:
        if isinstance(value, int) and dtype.kind in "iu":
            return Const(dtype, _integer(value, dtype.char))
        with np.errstate(all="ignore"):
            exact: Any = np.asarray(value).astype(dtype)[()]
            return Const(dtype, exact)

    # ---- operations ----------------------------------------------------------------------------

    def _op(self, name: str, dtype: DType, *args: Scalar, attr: str = "") -> Scalar:
        if dtype.char not in _SCALAR_CHARS:
            raise TypeError(f"{name}: {dtype} is not a scalar dtype of the kernel IR")
        folded = _fold(name, dtype, args)
        if folded is None and self.ranges is not None:
            folded = self.ranges.decide(name, args)
        if folded is not None:
            return folded
        key = (name, attr, dtype.char, *map(_operand_key, args))
        known = self._known(key)
        if known is not None:
            return known
        result = self._fresh(dtype)
        self._append(Op(result, name, args, attr))
        self._numbered[-1][key] = result
        if self.ranges is not None:
            self.ranges.note(name, args, result)
        return result

    def _bin(self, name: str, x: Scalar, y: Scalar) -> Scalar:
        if x.dtype != y.dtype:
            raise TypeError(f"{name}: operands have dtypes {x.dtype} and {y.dtype}")
        return self._op(name, BOOL if name in COMPARISONS else x.dtype, x, y)

    def _un(self, name: str, x: Scalar) -> Scalar:
        return self._op(name, x.dtype, x)

    def _sel(self, pred: Scalar, x: Scalar, y: Scalar) -> Scalar:
        if pred.dtype != BOOL or x.dtype != y.dtype:
            raise TypeError(f"select: dtypes {pred.dtype}, {x.dtype}, {y.dtype}")
        return x if x is y else self._op("select", x.dtype, pred, x, y)

    def _cast(self, x: Scalar, dtype: DType) -> Scalar:
        """A single conversion instruction; `Arithmetic.cast` knows when one isn't enough."""
        return x if x.dtype == dtype else self._op("cast", dtype, x)

    def _bits(self, x: Scalar, dtype: DType) -> Scalar:
        return x if x.dtype == dtype else self._op("bitcast", dtype, x)


#: Their characters: a set of these is asked much faster than a list of dtypes.
_SCALAR_CHARS = frozenset(c for c in np.typecodes["All"] if np.dtype(c) in SCALAR_DTYPES)


@lru_cache(maxsize=4096)
def _integer(value: int, char: str) -> Any:
    """Python integers wrap, so masks may be written as they are read."""
    dtype = np.dtype(char)
    bits = value & ((1 << (8 * dtype.itemsize)) - 1)
    with np.errstate(all="ignore"):
        return np.uint64(bits).astype(dtype)


def _operand_key(v: Scalar) -> Key:
    if isinstance(v, Const):
        return (v.dtype.char, v.value.tobytes())
    return (v.id,)


def _fold(name: str, dtype: DType, args: tuple[Scalar, ...]) -> Scalar | None:
    if name == "cast" and isinstance(args[0], Const):
        with np.errstate(all="ignore"):
            exact: Any = args[0].value.astype(dtype)
        return Const(dtype, exact)
    if name == "bitcast" and isinstance(args[0], Const):
        return Const(dtype, args[0].value.view(dtype))
    if name in ("add", "sub", "mul") and dtype == I64:
        return _fold_index(name, *args)
    if name in ("and", "or") and dtype == BOOL:
        return _fold_truth(name == "and", *args)
    return None


def _fold_truth(both: bool, x: Scalar, y: Scalar) -> Scalar | None:
    """What is known of "both" or "any" when one side is: decided, or up to the other side."""
    for one, other in ((x, y), (y, x)):
        if isinstance(one, Const):
            return other if bool(one.value) == both else one
    return None


def _fold_index(name: str, x: Scalar, y: Scalar) -> Scalar | None:
    a = int(x.value) if isinstance(x, Const) else None
    b = int(y.value) if isinstance(y, Const) else None
    if a is not None and b is not None:
        total = {"add": a + b, "sub": a - b, "mul": a * b}[name]
        return Const(I64, np.uint64(total & (2**64 - 1)).astype(np.int64))
    if b == 0:
        return y if name == "mul" else x
    if a == 0 and name != "sub":
        return x if name == "mul" else y
    if name == "mul" and 1 in (a, b):
        return y if a == 1 else x
    return None
