"""Which constants are written into a kernel, and which are data of its step.

A mean divides by an extent, and its gradient multiplies by one over it: if such numbers were part
of the text, every batch size and learning rate would compile kernels of its own.
"""

from __future__ import annotations

import math

import numpy as np

from functrace.compiler.codegen.kernels import KernelMaker
from functrace.compiler.ir.kernel import I32, Value
from functrace.compiler.plan import Group, Number, Op

__all__ = ["bits_of", "data_of", "literals"]

_OPERATIONS = frozenset(("add", "sub", "mul", "div", "select_n"))
#: Numbers that are more than data to the optimiser.
_USUAL = frozenset((0.0, 0.5, 1.0, 2.0))


def literals(maker: KernelMaker, group: Group) -> dict[Number, Value]:
    """Read the constants of a group that are data from the record, where the kernel begins."""
    found: dict[Number, Value] = {}
    known: dict[tuple[str, int], Value] = {}
    for part in group.parts:
        for number in data_of(part):
            key = (number.dtype.char, bits_of(number))
            if key not in known:
                known[key] = _read(maker, number)
            found[number] = known[key]
    return found


def data_of(part: Group) -> dict[Number, None]:
    """Return the constants of a part that are data."""
    numbers: dict[Number, None] = {}
    for ops, once in ((part.body, False), (part.folds, False), (part.epilogue, True)):
        for op in ops:
            if op.name in _OPERATIONS:
                numbers |= dict.fromkeys(_data(op, once or not part.space))
    return numbers


def bits_of(number: Number) -> int:
    """Return the bits of a number of 4 or 8 bytes, as the record holds them."""
    return int(number.value.view(np.int64 if number.dtype.char == "d" else np.int32))


def _data(op: Op, once: bool) -> list[Number]:
    """Return the constants of an operation that are data; ``once``: it doesn't run all the time."""
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
    b, bits = maker.b, maker.b.number(bits_of(number))
    if number.dtype.char == "d":
        return b.bitcast(bits, number.dtype)
    return b.bitcast(b.cast(bits, I32), number.dtype)
