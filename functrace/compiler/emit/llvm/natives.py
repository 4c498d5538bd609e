"""Functions of vecmath that this CPU has an instruction for, on vectors.

For the arguments they are called with they give the bits that the body printed elsewhere gives.
"""

from __future__ import annotations

import re

from functrace.compiler import cpu
from functrace.compiler.emit.llvm.vectors import join_lines, numbers, vector

__all__ = ["native_declarations", "native_function"]

#: AVX-512's x * 2**n, rounded once, for 512 bits: the type, its lanes, and the intrinsic.
_SCALE = {
    "vm.stretch.float32": ("float", 16, "llvm.x86.avx512.mask.scalef.ps.512"),
    "vm.stretch.float64": ("double", 8, "llvm.x86.avx512.mask.scalef.pd.512"),
}
_CALLED = re.compile(r"@(llvm\.x86\.avx512\.mask\.scalef\.p[sd]\.512)\(")
_ROUND_AS_SET = 4


def native_function(name: str, symbol: str, lanes: int) -> str:
    """The definition, as `symbol`, of a function on vectors; empty if it has no instruction."""
    kind, width, intrinsic = _SCALE.get(name, ("", 1, ""))
    if not kind or lanes % width or not cpu.wide_vectors():
        return ""
    whole, one = vector(kind, lanes), vector(kind, width)
    lines, parts = [], []
    for at in range(0, lanes, width):
        picks = numbers(range(at, at + width))
        lines += [
            f"{v}.{at} = shufflevector {whole} {v}, {whole} poison, {picks}" for v in ("%x", "%n")
        ]
        args = ", ".join(f"{one} {v}" for v in (f"%x.{at}", f"%n.{at}", "zeroinitializer"))
        parts.append("%y" if lanes == width else f"%y.{at}")
        call = f"call {one} @{intrinsic}({args}, i{width} -1, i32 {_ROUND_AS_SET})"
        lines.append(f"{parts[-1]} = {call}")
    lines += join_lines("%y", parts, kind, width)
    head = f"define internal {whole} @{symbol}({whole} %x, {whole} %n) alwaysinline nounwind {{"
    return "\n  ".join([head, *lines, f"ret {whole} %y"]) + "\n}"


def native_declarations(text: str) -> list[str]:
    """The declarations of the intrinsics called in `text`."""
    used = set(_CALLED.findall(text))
    found = []
    for kind, width, symbol in _SCALE.values():
        if symbol in used:
            one = vector(kind, width)
            found.append(f"declare {one} @{symbol}({one}, {one}, {one}, i{width}, i32)")
    return found
