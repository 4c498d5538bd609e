"""The scalar operations of the kernel IR as LLVM instructions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from functrace.compiler.kernel import BOOL, COMPARISONS, DType, Op

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
}
_TYPES = {"float32": "float", "float64": "double"}
_SUFFIX = {"float": "f32", "double": "f64"}

DECLARATIONS: dict[str, str] = {
    f"llvm.{name}.{suffix}": (
        f"declare {kind} @llvm.{name}.{suffix}"
        f"({', '.join([kind] * (2 if name == 'copysign' else 1))})"
    )
    for name in _INTRINSICS.values()
    for kind, suffix in _SUFFIX.items()
}


def llvm_type(dtype: DType) -> str:
    """The LLVM type of an SSA scalar."""
    if dtype.kind == "f":
        return _TYPES[dtype.name]
    return "i1" if dtype.kind == "b" else f"i{8 * dtype.itemsize}"


def llvm_op(op: Op, result: str, args: Sequence[str], temp: Callable[[], str]) -> list[str]:
    """The instructions that compute `result`."""
    dtype = op.args[0].dtype
    kind = llvm_type(dtype)
    name = op.name
    if name in _BINARY:
        word = _BINARY[name][dtype.kind == "f"]
        return [f"{result} = {word} {kind} {args[0]}, {args[1]}"]
    if name in COMPARISONS:
        return [f"{result} = {_comparison(name, dtype)} {kind} {args[0]}, {args[1]}"]
    if name in _INTRINSICS:
        typed = ", ".join(f"{kind} {a}" for a in args)
        call = f"llvm.{_INTRINSICS[name]}.{_SUFFIX[kind]}"
        return [f"{result} = call {kind} @{call}({typed})"]
    if name == "select":
        value = llvm_type(op.result.dtype)
        return [f"{result} = select i1 {args[0]}, {value} {args[1]}, {value} {args[2]}"]
    if name == "not":
        return [f"{result} = xor {kind} {args[0]}, {'true' if kind == 'i1' else '-1'}"]
    if name == "neg":
        return [f"{result} = fneg {kind} {args[0]}"]
    if name == "bitcast":
        return [f"{result} = bitcast {kind} {args[0]} to {llvm_type(op.result.dtype)}"]
    if name == "cast":
        return _cast(op, result, args[0], temp)
    if name in ("floordiv", "floormod"):
        return _floor_division(name, dtype, result, args, temp)
    return _half(name, result, args[0], temp)


def _comparison(name: str, dtype: DType) -> str:
    if dtype.kind == "f":
        return f"fcmp {'une' if name == 'ne' else 'o' + name}"
    if name in ("eq", "ne"):
        return f"icmp {name}"
    return f"icmp {'s' if dtype.kind == 'i' else 'u'}{name}"


def _cast(op: Op, result: str, arg: str, temp: Callable[[], str]) -> list[str]:
    source, target = op.args[0].dtype, op.result.dtype
    before, after = llvm_type(source), llvm_type(target)
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
        return [f"{result} = add {before} {arg}, 0"]
    else:
        word = "trunc"
    return [f"{result} = {word} {before} {arg} to {after}"]


def _floor_division(
    name: str, dtype: DType, result: str, args: Sequence[str], temp: Callable[[], str]
) -> list[str]:
    kind, (x, y) = llvm_type(dtype), args
    if dtype.kind == "u":
        word = "udiv" if name == "floordiv" else "urem"
        return [f"{result} = {word} {kind} {x}, {y}"]
    r, differ, crossed, some, fix, q = (temp() for _ in range(6))
    lines = [
        f"{r} = srem {kind} {x}, {y}",
        f"{differ} = xor {kind} {x}, {y}",
        f"{crossed} = icmp slt {kind} {differ}, 0",
        f"{some} = icmp ne {kind} {r}, 0",
        f"{fix} = and i1 {crossed}, {some}",
    ]
    if name == "floormod":
        return [
            *lines,
            f"{q} = add {kind} {r}, {y}",
            f"{result} = select i1 {fix}, {kind} {q}, {kind} {r}",
        ]
    return [
        *lines,
        f"{q} = sdiv {kind} {x}, {y}",
        f"{q}.down = sext i1 {fix} to {kind}",
        f"{result} = add {kind} {q}, {q}.down",
    ]


def _half(name: str, result: str, arg: str, temp: Callable[[], str]) -> list[str]:
    raw = temp()
    if name == "from_half_bits":
        return [
            f"{raw} = bitcast i16 {arg} to half",
            f"{result} = fpext half {raw} to float",
        ]
    narrow = f"{raw} = fptrunc float {arg} to half"
    if name == "half_bits":
        return [narrow, f"{result} = bitcast half {raw} to i16"]
    return [narrow, f"{result} = fpext half {raw} to float"]
