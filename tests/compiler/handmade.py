"""Kernels written by hand, for the tests of what loads and runs kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from functrace.compiler.runtime.program import InputSpec, OutputSpec, Program, Step

F8 = np.dtype(np.float64)


def unary(operation: str, kind: str = "double", extra: str = "") -> str:
    """A kernel for ``%y`` of ``%x``; record: input slot, output slot."""
    return f"""
define i64 @kernel(ptr %frame, ptr %record, i64 %lo, i64 %hi) {{
entry:
  %s0 = load i64, ptr %record
  %s1p = getelementptr i64, ptr %record, i64 1
  %s1 = load i64, ptr %s1p
  %p0 = getelementptr ptr, ptr %frame, i64 %s0
  %a = load ptr, ptr %p0
  %p1 = getelementptr ptr, ptr %frame, i64 %s1
  %b = load ptr, ptr %p1
  %some = icmp slt i64 %lo, %hi
  br i1 %some, label %loop, label %done
loop:
  %i = phi i64 [%lo, %entry], [%i1, %next]
  %ap = getelementptr {kind}, ptr %a, i64 %i
  %x = load {kind}, ptr %ap
  {operation}
  %bp = getelementptr {kind}, ptr %b, i64 %i
  store {kind} %y, ptr %bp
  br label %next
next:
  %i1 = add i64 %i, 1
  %c = icmp slt i64 %i1, %hi
  br i1 %c, label %loop, label %done
done:
  ret i64 0
}}
{extra}
"""


ADD_ONE = unary("%y = fadd double %x, 1.0")
DOUBLE = unary("%y = fmul double %x, 2.0")
SINE = unary("%y = call double @sin(double %x)", extra="declare double @sin(double)\n")
COPY = {kind: unary(f"%y = bitcast {kind} %x to {kind}", kind) for kind in ("i8", "i64", "i128")}

#: Fails with details (element, 0, 100) at each negative element; record: input slot, output slot.
CHECK = """
define i64 @kernel(ptr %frame, ptr %record, i64 %lo, i64 %hi) {
entry:
  %s0 = load i64, ptr %record
  %p0 = getelementptr ptr, ptr %frame, i64 %s0
  %a = load ptr, ptr %p0
  %cell = load ptr, ptr %frame
  br label %loop
loop:
  %i = phi i64 [%lo, %entry], [%i1, %next]
  %more = icmp slt i64 %i, %hi
  br i1 %more, label %body, label %done
body:
  %ap = getelementptr double, ptr %a, i64 %i
  %x = load double, ptr %ap
  %bad = fcmp olt double %x, 0.0
  br i1 %bad, label %fail, label %next
next:
  %i1 = add i64 %i, 1
  br label %loop
fail:
  store i64 %i, ptr %cell
  %c1 = getelementptr i64, ptr %cell, i64 1
  store i64 0, ptr %c1
  %c2 = getelementptr i64, ptr %cell, i64 2
  store i64 100, ptr %c2
  ret i64 281474976710663
done:
  ret i64 0
}
"""


def elementwise(
    text: str,
    shape: tuple[int, ...],
    dtype: Any = F8,
    *,
    grain: int = 0,
    light: bool = False,
    **options: Any,
) -> Program:
    """A program of one input, one output and one kernel over their elements."""
    dtype = np.dtype(dtype)
    step = Step(text, (1, 2), int(np.prod(shape)), grain, label="handmade", light=light)
    inputs = [InputSpec(shape, dtype, 1)]
    return Program(inputs, [OutputSpec(shape, dtype, 2)], 3, [step], **options)


def many(count: int, shape: Sequence[int], **options: Any) -> Program:
    """A program that adds one to each of many arrays."""
    shape = tuple(shape)
    inputs = [InputSpec(shape, F8, 1 + k) for k in range(count)]
    outputs = [OutputSpec(shape, F8, 1 + count + k) for k in range(count)]
    size = int(np.prod(shape))
    steps = [Step(ADD_ONE, (1 + k, 1 + count + k), size) for k in range(count)]
    return Program(inputs, outputs, 1 + 2 * count, steps, **options)
