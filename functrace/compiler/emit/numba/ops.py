"""The scalar operations of the kernel IR as Python expressions that Numba types exactly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from functrace.compiler.ir.kernel import COMPARISONS, Const, DType, Op

_INFIX = {
    "add": "+",
    "sub": "-",
    "mul": "*",
    "div": "/",
    "floordiv": "//",
    "floormod": "%",
    "udiv": "//",
    "urem": "%",
    "and": "&",
    "or": "|",
    "xor": "^",
    "shl": "<<",
    "ashr": ">>",
    "lshr": ">>",
    "eq": "==",
    "ne": "!=",
    "lt": "<",
    "le": "<=",
    "gt": ">",
    "ge": ">=",
}
_RUNTIME = {
    "round16": "half_round",
    "half_bits": "half_store",
    "from_half_bits": "half_load",
    "fma": "fma",
}


def literal(v: Const) -> str:
    """A Python expression for exactly the literal `v`."""
    if v.dtype.kind == "b":
        return "True" if v.value else "False"
    if v.dtype == np.int64:
        number = int(v.value)
        return str(number) if number > -(2**63) else "(-9223372036854775807 - 1)"
    if v.dtype.kind in "iu":
        return f"np.{v.dtype.name}({int(v.value)})"
    real = float(v.value)
    if np.isnan(real) or np.isinf(real):
        text = "np.nan" if np.isnan(real) else ("np.inf" if real > 0 else "-np.inf")
        return f"np.{v.dtype.name}({text})"
    return repr(real) if v.dtype == np.float64 else f"np.float32({v.value!s})"


def operation(op: Op, args: Sequence[str]) -> str:
    """The expression that computes `op` from the expressions of its operands."""
    name, dtype = op.name, op.result.dtype
    if name in _INFIX:
        text = f"({args[0]} {_INFIX[name]} {args[1]})"
        return text if name in COMPARISONS else _narrowed(text, dtype)
    if name == "select":
        return f"({args[1]} if {args[0]} else {args[2]})"
    if name == "not":
        return f"(not {args[0]})" if dtype.kind == "b" else _narrowed(f"(~{args[0]})", dtype)
    if name == "neg":
        return f"(-{args[0]})"
    if name == "abs":
        return f"abs({args[0]})"
    if name == "cast":
        return f"np.{dtype.name}({args[0]})"
    if name == "bitcast":
        return f"np.{op.args[0].dtype.name}({args[0]}).view(np.{dtype.name})"
    if name == "math":
        return f"vm_{op.attr}_{dtype.name}({', '.join(args)})"
    if name == "extern":
        return f"rt.{op.attr}({', '.join(args)})"
    if name in _RUNTIME:
        return f"rt.{_RUNTIME[name]}({', '.join(args)})"
    return f"np.{name}({', '.join(args)})"


def _narrowed(text: str, dtype: DType) -> str:
    """Numba computes small integers in 64 bits: cut the result back to its dtype."""
    if dtype.kind in "iu" and dtype.itemsize < 8:
        return f"np.{dtype.name}{text}"
    return text
