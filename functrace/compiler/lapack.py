"""Factorisations -> steps that call LAPACK; the library is the one of the matrix products."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from functrace.compiler.blas import blas
from functrace.compiler.lapack_ir import call_text
from functrace.compiler.plan import Array, Op
from functrace.compiler.steps import KernelCode, Step
from functrace.core.lowering import Call, Place, Routines

__all__ = ["call_step", "routine_plan"]

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
    for argument in call.arguments:
        if isinstance(argument, Place):
            kinds.append("place")
            k = argument.index
            if argument.kind == "scratch":
                slot, (shape, dtype) = scratch_slots[k], scratch[k]
                nbytes = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
            else:
                array = op.reads[k].array if argument.kind == "in" else op.outs[k]
                slot, nbytes = slots[array], array.nbytes
            record += [slot, 0 if argument.shared else nbytes // max(call.batch, 1)]
        elif isinstance(argument, int):
            kinds.append("int")
            record.append(argument)
        else:
            kinds.append(argument)
    checked = call.failure is not None
    record.append(call.failure or 0)
    grain = -(-_CLAIM // call.work) if call.work else 0
    sizes = "x".join(str(a) for a in call.arguments if isinstance(a, int))
    kernel = _kernel(call.routine, tuple(kinds), checked)
    label = f"{call.routine} {sizes}"
    return Step(kernel, tuple(record), call.batch, grain, op, label)


@lru_cache(maxsize=256)
def _kernel(routine: str, arguments: tuple[str, ...], checked: bool) -> KernelCode:
    text = call_text(routine, arguments, blas().integer, checked)
    return KernelCode(text, symbols=_symbols)


def _symbols() -> Mapping[str, int]:
    return blas().symbols
