"""Factorisations -> steps that call LAPACK; the library is the one of the matrix products."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from functrace.compiler.runtime.blas import blas
from functrace.compiler.runtime.lapack_ir import call_text
from functrace.compiler.runtime.steps import KernelCode, Step
from functrace.core.lowering import Call, Part, Place, Routines

if TYPE_CHECKING:
    from functrace.compiler.plan import Array, Op

__all__ = ["array_at", "call_step", "routine_plan"]

#: A thread claims at least this many multiplications' worth of a batch at once.
_CLAIM = 1 << 18


def routine_plan(op: Op) -> tuple[Sequence[Any], Sequence[Any]]:
    """Return the temporaries and the stages of a factorisation."""
    rule = op.lowering
    assert isinstance(rule, Routines)
    integer = np.dtype(np.int64 if blas().integer == "i64" else np.int32)
    scratch, stages = rule.plan(op.avals_in, op.avals_out, integer, **op.params)
    return scratch, stages


def call_step(call: Call, op: Op, slots: Mapping[Array, int], scratch_slots: Sequence[int]) -> Step:
    """Return the step that calls a routine for each matrix of a batch."""
    scratch = routine_plan(op)[0]
    kinds: list[str] = []
    record: list[int] = []
    grain = -(-_CLAIM // max(call.work, 1))
    for argument in call.arguments:
        if isinstance(argument, Place):
            array = array_at(argument, op, slots, scratch, scratch_slots)
            if argument.shared:
                kinds.append("space")
                count = array.shape[0]
                grain = -(-call.batch // count)
                record += [array.slot, array.nbytes // count]
            else:
                kinds.append("place")
                stride = array.nbytes // max(call.batch, 1)
                step, offset = argument.step * array.itemsize, argument.offset * array.itemsize
                record += [array.slot, stride, step, offset]
        elif isinstance(argument, Part):
            kinds.append("part")
            record += [argument.total, argument.size]
        elif isinstance(argument, int):
            kinds.append("int")
            record.append(argument)
        else:
            kinds.append(argument)
    record += [call.blocks, max(grain, 1), call.failure or 0]
    sizes = "x".join(str(a) for a in call.arguments if isinstance(a, int))
    kernel = _kernel(call.routine, tuple(kinds), call.failure is not None)
    extent = call.batch * call.blocks
    return Step(kernel, tuple(record), extent, grain, op, f"{call.routine} {sizes}")


class _Array(NamedTuple):
    slot: int
    shape: tuple[int, ...]
    itemsize: int

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.itemsize


def array_at(
    place: Place,
    op: Op,
    slots: Mapping[Array, int],
    scratch: Sequence[Any],
    scratch_slots: Sequence[int],
) -> _Array:
    """Return where an argument's array is, and of what shape."""
    if place.kind == "scratch":
        shape, dtype = scratch[place.index]
        return _Array(scratch_slots[place.index], tuple(shape), np.dtype(dtype).itemsize)
    array = op.reads[place.index].array if place.kind == "in" else op.outs[place.index]
    return _Array(slots[array], array.shape, array.dtype.itemsize)


@lru_cache(maxsize=256)
def _kernel(routine: str, arguments: tuple[str, ...], checked: bool) -> KernelCode:
    text = call_text(routine, arguments, blas().integer, checked)
    return KernelCode(text, symbols=symbols)


def symbols() -> Mapping[str, int]:
    """Return the addresses of what the kernels of factorisations call."""
    return blas().symbols
