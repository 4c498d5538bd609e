"""Steps that call NumPy's loops over a row: they use the CPU's widest vectors, and need no GIL.

A dtype's functions are part of NumPy's C interface; each is tried on a row before it is relied on.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from functrace.compiler.plan import Array, Op
from functrace.compiler.runtime.lapack import array_at, routine_plan
from functrace.compiler.runtime.numpy_abi import layout_is_known, numpy_api
from functrace.compiler.runtime.steps import KernelCode, Step
from functrace.core.lowering import RowRoutine

__all__ = ["RowCode", "row_step"]

DType = np.dtype[Any]

#: Where a dtype's table of functions has those we call (``PyArray_ArrFuncs``).
_PLACES = {"argmax": 26, "sort": 33, "argmin": 46}
#: A thread claims rows of at least this many elements in all.
_CLAIM = {"sort": 1 << 12, "argmax": 1 << 15, "argmin": 1 << 15}

_RECORD = """
  %r1 = getelementptr i64, ptr %record, i64 1
  %r2 = getelementptr i64, ptr %record, i64 2
  %r3 = getelementptr i64, ptr %record, i64 3
  %in_slot = load i64, ptr %record
  %out_slot = load i64, ptr %r1
  %n = load i64, ptr %r2
  %bytes = load i64, ptr %r3
  %in_at = getelementptr ptr, ptr %frame, i64 %in_slot
  %out_at = getelementptr ptr, ptr %frame, i64 %out_slot
  %in = load ptr, ptr %in_at
  %out = load ptr, ptr %out_at
"""

_LOOP = """
declare i32 @ft_$NAME($TYPES)
declare void @llvm.memmove.p0.p0.i64(ptr, ptr, i64, i1)

define i64 @kernel(ptr %frame, ptr %record, i64 %lo, i64 %hi) {
entry:$RECORD
  %some = icmp slt i64 %lo, %hi
  br i1 %some, label %loop, label %done
loop:
  %t = phi i64 [%lo, %entry], [%t1, %next]
  %from = mul i64 %t, %bytes
  %source = getelementptr i8, ptr %in, i64 %from$CALL
  br label %next
next:
  %t1 = add i64 %t, 1
  %more = icmp slt i64 %t1, %hi
  br i1 %more, label %loop, label %done
done:
  ret i64 0
}
"""

_SORT = """
  %row = getelementptr i8, ptr %out, i64 %from
  call void @llvm.memmove.p0.p0.i64(ptr %row, ptr %source, i64 %bytes, i1 false)
  %s = call i32 @ft_$NAME(ptr %row, i64 %n, ptr null)"""

_EXTREME = """
  %place = getelementptr i64, ptr %out, i64 %t
  %s = call i32 @ft_$NAME(ptr %source, i64 %n, ptr %place, ptr null)"""


#: Of each function: the call, and the types of its arguments in C.
_CALLS = {
    "sort": (_SORT, "ptr, i64, ptr"),
    "argmax": (_EXTREME, "ptr, i64, ptr, ptr"),
    "argmin": (_EXTREME, "ptr, i64, ptr, ptr"),
}


@dataclass(frozen=True, slots=True)
class RowCode(KernelCode):
    """A step of this file; ``function`` is the NumPy function it is."""

    function: str = ""


def row_step(
    stage: RowRoutine, op: Op, slots: Mapping[Array, int], scratch_slots: Sequence[int]
) -> Step | None:
    """Return the step that runs NumPy's loop, or None where there is none."""
    dtype, scratch = op.reads[0].dtype, routine_plan(op)[0]
    if not _address(stage.name, dtype):
        return None
    source = array_at(stage.source, op, slots, scratch, scratch_slots).slot
    target = array_at(stage.target, op, slots, scratch, scratch_slots).slot
    record = (source, target, stage.length, stage.length * dtype.itemsize)
    grain = max(1, -(-_CLAIM[stage.name] // stage.length))
    return Step(_kernel(stage.name, dtype), record, stage.rows, grain, op, f"{stage.name} by NumPy")


@lru_cache(maxsize=64)
def _kernel(function: str, dtype: DType) -> RowCode:
    name = f"numpy_{function}_{dtype.name}"
    call, types = _CALLS[function]
    text = _LOOP.replace("$RECORD", _RECORD).replace("$CALL", call)
    text = text.replace("$NAME", name).replace("$TYPES", types)
    address = _address(function, dtype)
    return RowCode(text, symbols=lambda: {f"ft_{name}": address}, function=function)


@lru_cache(maxsize=64)
def _address(function: str, dtype: DType) -> int:
    """Return the address of NumPy's function, or 0 if it isn't there or does something else."""
    if not layout_is_known() or not dtype.isnative:
        return 0
    functions = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object)(numpy_api()["functions"])
    table = functions(dtype)
    if not table:
        return 0
    place = ctypes.c_void_p.from_address(table + 8 * _PLACES[function])
    address = place.value or 0
    return address if address and _works(function, dtype, address) else 0


def _works(function: str, dtype: DType, address: int) -> bool:
    """Try a function on a row."""
    row = (np.random.default_rng(0).normal(size=333) * 50).astype(dtype)
    if dtype.kind in "fc":
        row[[7, 200]] = np.nan
    given = row.copy()
    data, out = row.ctypes.data, np.zeros(1, np.int64)
    arguments = (data, row.size) if function == "sort" else (data, row.size, out.ctypes.data)
    call = ctypes.CFUNCTYPE(
        ctypes.c_int,
        *(
            ctypes.c_ssize_t if a == "i64" else ctypes.c_void_p
            for a in _CALLS[function][1].split(", ")
        ),
    )
    call(address)(*arguments, None)
    if function == "sort":
        return row.tobytes() == np.sort(given).tobytes()
    return bool(out[0] == getattr(np, function)(row))
