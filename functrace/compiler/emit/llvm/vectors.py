"""Vector types, literals and masked accesses as LLVM text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from functrace.compiler.emit.llvm.ops import llvm_type
from functrace.compiler.ir.kernel import DType, real_dtype

_SUFFIX = {"double": "f64", "float": "f32", "half": "f16"}


def vector(kind: str, lanes: int) -> str:
    """The type of a vector."""
    return f"<{lanes} x {kind}>"


def masked_load(result: str, wide: str, pointer: str, rest: str, mask: str) -> str:
    """The lanes of a mask from memory, 0 in the others; `rest` as plain loads carry it."""
    align, scopes = _alignment(rest)
    return (
        f"{result} = call {wide} @llvm.masked.load.{suffix(wide)}.p0(ptr {pointer}, i32 {align}, "
        f"{mask}, {wide} zeroinitializer){scopes}"
    )


def masked_store(value: str, wide: str, pointer: str, rest: str, mask: str) -> str:
    """Write the lanes of a mask to memory."""
    align, scopes = _alignment(rest)
    return (
        f"call void @llvm.masked.store.{suffix(wide)}.p0({wide} {value}, ptr {pointer}, "
        f"i32 {align}, {mask}){scopes}"
    )


def _alignment(rest: str) -> tuple[str, str]:
    words, comma, scopes = rest.removeprefix(", align ").partition(",")
    return words, comma + scopes


def suffix(wide: str) -> str:
    """How names of intrinsics spell a vector type: `<8 x double>` is v8f64."""
    lanes, _, kind = wide.strip("<>").partition(" x ")
    return f"v{lanes}{_SUFFIX.get(kind, kind)}"


def vector_literal(kind: str, text: str, lanes: int) -> str:
    """A vector constant of equal elements."""
    return f"<{', '.join([f'{kind} {text}'] * lanes)}>"


def numbers(values: Iterable[int]) -> str:
    """A typed vector of int32 constants, as shuffles take them."""
    items = [f"i32 {v}" for v in values]
    return f"<{len(items)} x i32> <{', '.join(items)}>"


def join_lines(result: str, parts: Sequence[str], kind: str, width: int) -> list[str]:
    """Return what puts vectors of a width side by side; their number is a power of two."""
    lines: list[str] = []
    while len(parts) > 1:
        one, picks, joined = vector(kind, width), numbers(range(2 * width)), []
        for k in range(0, len(parts), 2):
            joined.append(result if len(parts) == 2 else f"{parts[k]}.{2 * width}")
            pair = f"{one} {parts[k]}, {one} {parts[k + 1]}"
            lines.append(f"{joined[-1]} = shufflevector {pair}, {picks}")
        parts, width = joined, 2 * width
    return lines


def storage_type(dtype: DType) -> str:
    """The LLVM type of one scalar in memory."""
    if dtype.kind == "b":
        return "i8"
    return "half" if dtype.kind == "f" and dtype.itemsize == 2 else llvm_type(real_dtype(dtype))
