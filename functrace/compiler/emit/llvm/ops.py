"""The scalar operations of the kernel IR as LLVM instructions."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from functrace.compiler.ir.kernel import BOOL, COMPARISONS, DType, Op

_BINARY = {
    "add": ("add", "fadd"),
    "sub": ("sub", "fsub"),
    "mul": ("mul", "fmul"),
    "div": ("", "fdiv"),
    "and": ("and", ""),
    "or": ("or", ""),
    "xor": ("xor", ""),
    "shl": ("shl", ""),
    "ashr": ("ashr", ""),
    "lshr": ("lshr", ""),
    "udiv": ("udiv", ""),
    "urem": ("urem", ""),
}
_INTRINSICS = {
    "abs": "fabs",
    "sqrt": "sqrt",
    "floor": "floor",
    "ceil": "ceil",
    "trunc": "trunc",
    "rint": "rint",
    "copysign": "copysign",
    "fma": "fma",
}
_ARITY = {"copysign": 2, "fma": 3}
_TYPES = {c: f"i{8 * np.dtype(c).itemsize}" for c in np.typecodes["AllInteger"]}
_TYPES |= {"?": "i1", "f": "float", "d": "double"}
_SUFFIX = {"float": "f32", "double": "f64"}

_CALLED = re.compile(r"@llvm\.(\w+)\.(v\d+)?(f32|f64)\(")
_COUNTED = re.compile(r"(<\d+ x i\d+>|i\d+) @(llvm\.ctpop\.\w+)\(")
_MASKED = re.compile(r"@(llvm\.masked\.(\w+)\.v(\d+)(\w+)\.\w+)\(")


def llvm_type(dtype: DType) -> str:
    """The LLVM type of an SSA scalar."""
    return _TYPES[dtype.char]


def llvm_op(
    op: Op, result: str, args: Sequence[str], temp: Callable[[], str], lanes: int = 0
) -> list[str]:
    """The instructions that compute `result`, on scalars or on vectors of `lanes`."""
    dtype, name = op.args[0].dtype, op.name
    wide = _wide(lanes)
    kind = wide.type(dtype)
    if name in _BINARY:
        word = _BINARY[name][dtype.kind == "f"]
        return [f"{result} = {word} {kind} {args[0]}, {args[1]}"]
    if name in COMPARISONS:
        return [f"{result} = {_comparison(name, dtype)} {kind} {args[0]}, {args[1]}"]
    if name in _INTRINSICS:
        typed = ", ".join(f"{kind} {a}" for a in args)
        return [f"{result} = call {kind} @{intrinsic(name, dtype, lanes)}({typed})"]
    if name == "select":
        value, pred = wide.type(op.result.dtype), wide.type(BOOL)
        return [f"{result} = select {pred} {args[0]}, {value} {args[1]}, {value} {args[2]}"]
    if name == "not":
        return [f"{result} = xor {kind} {args[0]}, {wide.literal(dtype, -1)}"]
    if name == "neg":
        return [f"{result} = fneg {kind} {args[0]}"]
    if name == "bitcast":
        return [f"{result} = bitcast {kind} {args[0]} to {wide.type(op.result.dtype)}"]
    if name == "cast":
        return _cast(op, result, args[0], temp, wide)
    if name in ("floordiv", "floormod"):
        return _floor_division(name, dtype, result, args, temp, wide)
    return _half(name, result, args[0], temp, wide)


class _Wide:
    """Types and literals of scalars, or of vectors."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes

        self.types = {c: self.named(kind) for c, kind in _TYPES.items()}

    def named(self, kind: str) -> str:
        return f"<{self.lanes} x {kind}>" if self.lanes else kind

    def type(self, dtype: DType) -> str:
        return self.types[dtype.char]

    def literal(self, dtype: DType, value: int) -> str:
        kind = llvm_type(dtype)
        text = ("true" if value else "false") if kind == "i1" else str(value)
        if not self.lanes:
            return text
        return f"<{', '.join([f'{kind} {text}'] * self.lanes)}>"


@cache
def _wide(lanes: int) -> _Wide:
    return _Wide(lanes)


def intrinsic(name: str, dtype: DType, lanes: int = 0) -> str:
    """The LLVM intrinsic of a scalar operation."""
    suffix = _SUFFIX[llvm_type(dtype)]
    return f"llvm.{_INTRINSICS[name]}.{f'v{lanes}' if lanes else ''}{suffix}"


def declarations(text: str) -> list[str]:
    """The declarations of the intrinsics called in `text`."""
    found = sorted(set(_CALLED.findall(text)))
    out = []
    for name, lanes, suffix in found:
        kind = {"f32": "float", "f64": "double"}[suffix]
        kind = f"<{lanes[1:]} x {kind}>" if lanes else kind
        args = ", ".join([kind] * _ARITY.get(name, 1))
        dotted = f"llvm.{name}.{lanes}{suffix}"
        out.append(f"declare {kind} @{dotted}({args})")
    out += [f"declare {kind} @{name}({kind})" for kind, name in sorted(set(_COUNTED.findall(text)))]
    return out + [_masked_declaration(*parts) for parts in sorted(set(_MASKED.findall(text)))]


def _masked_declaration(symbol: str, name: str, lanes: str, suffix: str) -> str:
    element = {"f64": "double", "f32": "float", "f16": "half"}.get(suffix, suffix)
    values, mask = f"<{lanes} x {element}>", f"<{lanes} x i1>"
    place = "ptr" if name in ("load", "store") else f"<{lanes} x ptr>"
    if name in ("load", "gather"):
        return f"declare {values} @{symbol}({place}, i32, {mask}, {values})"
    return f"declare void @{symbol}({values}, {place}, i32, {mask})"


def _comparison(name: str, dtype: DType) -> str:
    if dtype.kind == "f":
        return f"fcmp {'une' if name == 'ne' else 'o' + name}"
    if name in ("eq", "ne"):
        return f"icmp {name}"
    return f"icmp {'s' if dtype.kind == 'i' else 'u'}{name}"


def _cast(op: Op, result: str, arg: str, temp: Callable[[], str], wide: _Wide) -> list[str]:
    source, target = op.args[0].dtype, op.result.dtype
    before, after = wide.type(source), wide.type(target)
    if source.kind == "f" and target.kind in "iu":
        # Out of range is poison to LLVM; freeze makes it some integer, as it is in C.
        raw = temp()
        word = "fptosi" if target.kind == "i" else "fptoui"
        return [
            f"{raw} = {word} {before} {arg} to {after}",
            f"{result} = freeze {after} {raw}",
        ]
    if source.kind == "f":
        word = "fpext" if target.itemsize > source.itemsize else "fptrunc"
    elif target.kind == "f":
        word = "sitofp" if source.kind == "i" else "uitofp"
    elif target.itemsize > source.itemsize or source == BOOL:
        word = "sext" if source.kind == "i" else "zext"
    elif before == after:
        return [f"{result} = add {before} {arg}, {wide.literal(source, 0)}"]
    else:
        word = "trunc"
    return [f"{result} = {word} {before} {arg} to {after}"]


def _floor_division(
    name: str,
    dtype: DType,
    result: str,
    args: Sequence[str],
    temp: Callable[[], str],
    wide: _Wide,
) -> list[str]:
    kind, flag, (x, y) = wide.type(dtype), wide.type(BOOL), args
    if dtype.kind == "u":
        word = "udiv" if name == "floordiv" else "urem"
        return [f"{result} = {word} {kind} {x}, {y}"]
    r, differ, crossed, some, fix, q = (temp() for _ in range(6))
    zero = wide.literal(dtype, 0)
    lines = [
        f"{r} = srem {kind} {x}, {y}",
        f"{differ} = xor {kind} {x}, {y}",
        f"{crossed} = icmp slt {kind} {differ}, {zero}",
        f"{some} = icmp ne {kind} {r}, {zero}",
        f"{fix} = and {flag} {crossed}, {some}",
    ]
    if name == "floormod":
        return [
            *lines,
            f"{q} = add {kind} {r}, {y}",
            f"{result} = select {flag} {fix}, {kind} {q}, {kind} {r}",
        ]
    return [
        *lines,
        f"{q} = sdiv {kind} {x}, {y}",
        f"{q}.down = sext {flag} {fix} to {kind}",
        f"{result} = add {kind} {q}, {q}.down",
    ]


def _half(name: str, result: str, arg: str, temp: Callable[[], str], wide: _Wide) -> list[str]:
    raw = temp()
    half, full, bits = wide.named("half"), wide.named("float"), wide.named("i16")
    if name == "from_half_bits":
        return [
            f"{raw} = bitcast {bits} {arg} to {half}",
            f"{result} = fpext {half} {raw} to {full}",
        ]
    narrow = f"{raw} = fptrunc {full} {arg} to {half}"
    if name == "half_bits":
        return [narrow, f"{result} = bitcast {half} {raw} to {bits}"]
    return [narrow, f"{result} = fpext {half} {raw} to {full}"]
