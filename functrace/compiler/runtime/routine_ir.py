"""What our own routines share, as LLVM text: their arguments, masks, and how text is filled in.

They are called as BLAS's routines are, everything by address; matrices are row-major.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from functrace.compiler.runtime.wide_ir import LANES, filled

__all__ = ["column_mask", "routine_text", "splat"]

_DECLARATIONS = """
declare $V @llvm.fma.$M($V, $V, $V)
declare $V @llvm.fabs.$M($V)
declare $S @llvm.fabs.$E($S)
declare $V @llvm.masked.load.$M.p0(ptr, i32, $B, $V)
declare void @llvm.masked.store.$M.p0($V, ptr, i32, $B)
"""


def routine_text(
    template: str, letter: str, integer: str, names: Sequence[str], pieces: Mapping[str, str]
) -> str:
    """Return a routine for one dtype.

    ``$B`` is a mask, ``$X`` a vector of integers as wide as the numbers, ``$Z`` one of them,
    ``$I`` a library's integer, ``$E`` the number in the names of intrinsics.

    Args:
        template: the text.
        letter: of the dtype.
        integer: LLVM's name of the library's integers.
        names: the integers among the arguments: ``n`` is read from where ``p.n`` points.
        pieces: what the text has places for besides.
    """
    lanes = LANES[letter]
    types = {
        "$INTS": "\n".join(_integers(names, integer)),
        "$NARROW": "trunc i64" if integer == "i32" else "add i64 0,",
        "$NTO": " to i32" if integer == "i32" else "",
        "$COUNT": ", ".join(f"i32 {i}" for i in range(lanes)),
        "$X": f"<{lanes} x i{512 // lanes}>",
        "$Z": f"i{512 // lanes}",
        "$B": f"<{lanes} x i1>",
        "$E": "f32" if letter == "s" else "f64",
        "$I": integer,
        "$N": letter,
    }
    return filled(template + _DECLARATIONS, letter, {**pieces, **types})


def _integers(names: Sequence[str], integer: str) -> list[str]:
    widen = "sext i32" if integer == "i32" else "add i64 0,"
    to = " to i64" if integer == "i32" else ""
    lines = []
    for name in names:
        lines += [f"  %{name}.i = load $I, ptr %p.{name}", f"  %{name} = {widen} %{name}.i{to}"]
    return lines


def column_mask(at: str, lanes: int) -> list[str]:
    """Return the mask of the columns there are, of which ``left`` are left."""
    return [
        f"  %{at}.fit = call i64 @llvm.smin.i64(i64 %{at}.left, i64 {lanes})",
        f"  %{at}.short = trunc i64 %{at}.fit to i32",
        f"  %{at}.s0 = insertelement <$W x i32> poison, i32 %{at}.short, i32 0",
        f"  %{at}.sv = shufflevector <$W x i32> %{at}.s0, <$W x i32> poison, "
        "<$W x i32> zeroinitializer",
        f"  %{at}.lanes = icmp slt <$W x i32> <$COUNT>, %{at}.sv",
    ]


def splat(name: str, value: str, scalar: str = "$S", vector: str = "$V") -> list[str]:
    """Put a number into all lanes."""
    return [
        f"  {name}.0 = insertelement {vector} poison, {scalar} {value}, i32 0",
        f"  {name} = shufflevector {vector} {name}.0, {vector} poison, <$W x i32> zeroinitializer",
    ]
