"""Functions of vecmath that this CPU has an instruction for, on vectors.

For the arguments they are called with they give the bits that the body printed elsewhere gives.
"""

from __future__ import annotations

import re

from functrace.compiler import cpu
from functrace.compiler.emit.llvm.vectors import numbers, vector

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
        lines.append(f"%y.{at} = call {one} @{intrinsic}({args}, i{width} -1, i32 {_ROUND_AS_SET})")
        parts.append(f"%y.{at}")
    while len(parts) > 1:
        half = vector(kind, lanes // len(parts))
        picks = numbers(range(2 * lanes // len(parts)))
        pairs = list(zip(parts[::2], parts[1::2], strict=True))
        parts = [f"{low}.{len(pairs)}" for low, _ in pairs]
        for both, (low, high) in zip(parts, pairs, strict=True):
            lines.append(f"{both} = shufflevector {half} {low}, {half} {high}, {picks}")
    head = f"define internal {whole} @{symbol}({whole} %x, {whole} %n) alwaysinline nounwind {{"
    return "\n  ".join([head, *lines, f"ret {whole} {parts[0]}"]) + "\n}"


def native_declarations(text: str) -> list[str]:
    """The declarations of the intrinsics called in `text`."""
    used = set(_CALLED.findall(text))
    found = []
    for kind, width, symbol in _SCALE.values():
        if symbol in used:
            one = vector(kind, width)
            found.append(f"declare {one} @{symbol}({one}, {one}, {one}, i{width}, i32)")
    return found
