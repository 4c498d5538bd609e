"""Which constants are written into a kernel, and which are data of its step.

A mean divides by an extent, and its gradient multiplies by one over it: if such numbers were part
of the text, every batch size and learning rate would compile kernels of its own.
"""

from __future__ import annotations

import math

import numpy as np

from functrace.compiler.codegen import KernelMaker
from functrace.compiler.ir.kernel import I32, Value
from functrace.compiler.plan import Group, Number, Op

__all__ = ["literals"]

_OPERATIONS = frozenset(("add", "sub", "mul", "div", "select_n"))
#: Numbers that are more than data to the optimiser.
_USUAL = frozenset((0.0, 0.5, 1.0, 2.0))


def literals(maker: KernelMaker, group: Group) -> dict[Number, Value]:
    """Read the constants of a group that are data from the record, where the kernel begins."""
    found: dict[Number, Value] = {}
    known: dict[tuple[str, bytes], Value] = {}
    for part in group.parts:
        for op in part.ops:
            for number in _data(op, op in part.epilogue or not part.space):
                key = (number.dtype.char, number.value.tobytes())
                if key not in known:
                    known[key] = _read(maker, number)
                found[number] = known[key]
    return found


def _data(op: Op, once: bool) -> list[Number]:
    """Return the constants of an operation that are data; ``once``: it doesn't run all the time."""
    if op.name not in _OPERATIONS:
        return []
    numbers = [x for x in op.operands if isinstance(x, Number) and x.dtype.char in "fd"]
    # Dividing by a power of two is a multiplication, if the kernel knows the number.
    quick = op.name == "div" and not once
    return [x for x in numbers if not _is_usual(x) and not (quick and _is_power_of_two(x))]


def _is_usual(number: Number) -> bool:
    value = abs(float(number.value))
    return value in _USUAL or not math.isfinite(value)


def _is_power_of_two(number: Number) -> bool:
    return abs(math.frexp(float(number.value))[0]) == 0.5


def _read(maker: KernelMaker, number: Number) -> Value:
    b = maker.b
    if number.dtype.char == "d":
        return b.bitcast(maker.number(int(number.value.view(np.int64))), number.dtype)
    bits = maker.number(int(number.value.view(np.int32)))
    return b.bitcast(b.cast(bits, I32), number.dtype)
