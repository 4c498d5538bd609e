"""The native driver, as LLVM text: runs step lists, splits steps over threads, answers calls.

Five parts: this file's walks a step list and owns the memory of calls, `loop_ir` has the steps that
hold steps, `pool_ir` shares one step among parked threads, `mode_ir` sets the floating-point mode,
and `call_ir` is the body of the builtin that a compiled program is called through. All of them read
flat rows of 64-bit words, which enums describe.

Two abbreviations keep the text readable: `%x = ld T %base + N` loads a T at a byte offset and
`st T %x -> %base + N` stores one; `$NAME` is the value of a constant.
"""

from __future__ import annotations

import re
import sys
from enum import IntEnum

from functrace.compiler.ir.convention import (
    ERROR_CELL_WORDS,
    FAIL_KINDS,
    POLL_SOURCE_WORD,
    POLL_WORD,
    STATUS_KIND_SHIFT,
)
from functrace.compiler.runtime.call_ir import CALL
from functrace.compiler.runtime.into_ir import INTO
from functrace.compiler.runtime.loop_ir import LOOPS
from functrace.compiler.runtime.memory_ir import memory_constants, memory_text
from functrace.compiler.runtime.mode_ir import mode_text
from functrace.compiler.runtime.pool_ir import pool_constants, pool_text
from functrace.compiler.runtime.signal_ir import signal_text

__all__ = [
    "CELL_BYTES",
    "CELL_STEP_WORD",
    "PYTHON_SYMBOLS",
    "ROW_WORDS",
    "RUN_SYMBOLS",
    "driver_text",
]
__all__ += ["Block", "Header", "InputWord", "OutputWord", "StepWord"]

#: An error cell: details of a failure, the poll word, and 1 + the number of the failed step.
CELL_BYTES = 128
CELL_STEP_WORD = ERROR_CELL_WORDS
#: The length of an input's, a constant's and an output's row.
ROW_WORDS = 10


class StepWord(IntEnum):
    """A step's row: eight words."""

    FUNCTION, RECORD, EXTENT, GRAIN, SLOTS, NUMBER, HELPERS, LIGHT = range(8)


class Header(IntEnum):
    """A program's row, which its builtin finds through the first item of its `self` tuple."""

    INPUTS, OUTPUTS, STEPS, STEP_ROWS, INPUT_ROWS, OUTPUT_ROWS = range(6)
    TEMPLATE, SLOTS, BLOCK_BYTES, FIXUPS, FIXUP_COUNT = range(6, 11)
    FREE, FREE_COUNT, FREE_LIMIT, RESULT, RELEASE_GIL = range(11, 16)
    ARRAY_TYPE, NEW_ARRAY, NEW_SCALAR, TRUE, FALSE, OUTPUT_OBJECTS = range(16, 22)
    SET_HANDLER, HANDLER, CONSTANTS, CONSTANT_ROWS, NEW_COPY, HELD_OBJECTS = range(22, 28)


class InputWord(IntEnum):
    """How an argument is recognised, or where a constant is; the first words are an output's."""

    DESCR, NDIM, DIMS, TYPE_NUMBER, SLOT, BYTES = range(6)
    SCALAR_TYPE, CONVERSION, CELL = range(6, 9)


class OutputWord(IntEnum):
    """How one result is made."""

    DESCR, NDIM, DIMS, TYPE_NUMBER, SLOT, BYTES, SOURCE = range(7)


class Block(IntEnum):
    """Byte offsets in a call's block of memory; the frame follows, then cells, then the arena."""

    NEXT, RAW, HELD = 0, 8, 16
    CELL = 64
    FRAME = 64 + CELL_BYTES


#: What the text needs beyond LLVM's own functions and the pool's.
RUN_SYMBOLS = ("malloc", "free")
PYTHON_SYMBOLS = ("Py_DecRef", "PyGILState_Ensure", "PyGILState_Release", "PyObject_CallFunction")

_RUN = """
; Run steps in order. The innermost list whose step fails notes its number in the error cell.
define internal i64 @ft_run(ptr %frame, ptr %steps, i64 %n) {
entry:
  %cell = ld ptr %frame + 0
  %poll = getelementptr i8, ptr %cell, i64 $CELL_POLL
  %some = icmp sgt i64 %n, 0
  br i1 %some, label %loop, label %done
loop:
  %k = phi i64 [0, %entry], [%k1, %next]
  %step = getelementptr [8 x i64], ptr %steps, i64 %k
  %extent = ld i64 %step + 16
  %grain = ld i64 %step + 24
  %whole = icmp sle i64 %extent, %grain
  br i1 %whole, label %one, label %many
one:
  %fn = ld ptr %step + 0
  %record = ld ptr %step + 8
  %s1 = call i64 %fn(ptr %frame, ptr %record, i64 0, i64 %extent)
  br label %check
many:
  %s2 = call i64 @ft_split(ptr %frame, ptr %step)
  br label %check
check:
  %s = phi i64 [%s1, %one], [%s2, %many]
  %k1 = add i64 %k, 1
  %bad = icmp ne i64 %s, 0
  br i1 %bad, label %fail, label %next
next:
  %asked = load volatile i64, ptr %poll
  %stop = icmp ne i64 %asked, 0
  %more = icmp slt i64 %k1, %n
  %go = xor i1 %stop, true
  %again = and i1 %go, %more
  br i1 %again, label %loop, label %leave
leave:
  br i1 %stop, label %fail, label %done
fail:
  %status = phi i64 [%s, %check], [$INTERRUPTED, %leave]
  %noted = ld i64 %cell + $CELL_STEP
  %first = icmp eq i64 %noted, 0
  br i1 %first, label %note, label %out
note:
  %number = ld i64 %step + 40
  %number1 = add i64 %number, 1
  st i64 %number1 -> %cell + $CELL_STEP
  br label %out
out:
  ret i64 %status
done:
  ret i64 0
}

; The chunks of one step, in order, by the calling thread alone.
define internal i64 @ft_chunks(ptr %frame, ptr %step) {
entry:
  %fn = ld ptr %step + 0
  %record = ld ptr %step + 8
  %extent = ld i64 %step + 16
  %grain = ld i64 %step + 24
  br label %loop
loop:
  %lo = phi i64 [0, %entry], [%hi, %next]
  %end = add i64 %lo, %grain
  %hi = call i64 @llvm.smin.i64(i64 %end, i64 %extent)
  %s = call i64 %fn(ptr %frame, ptr %record, i64 %lo, i64 %hi)
  %bad = icmp ne i64 %s, 0
  br i1 %bad, label %out, label %next
next:
  %more = icmp slt i64 %hi, %extent
  br i1 %more, label %loop, label %out
out:
  %r = phi i64 [%s, %loop], [0, %next]
  ret i64 %r
}
declare i64 @llvm.smin.i64(i64, i64)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
declare ptr @malloc(i64)
declare void @free(ptr)

declare ptr @PyObject_CallFunction(ptr, ptr, ...)
declare i32 @PyGILState_Ensure()
declare void @PyGILState_Release(i32)
declare void @Py_DecRef(ptr)
@ft_format_address = internal constant [2 x i8] c"L\\00"

; A step that calls Python: record[0] is a callable, which is given the frame's address. Its
; exception stays set in this thread's state, where ft_call's caller finds it. Python runs in the
; mode that NumPy expects.
define i64 @ft_host(ptr %frame, ptr %record, i64 %lo, i64 %hi) {
  %callable = ld ptr %record + 0
  %address = ptrtoint ptr %frame to i64
  %state = call i32 @PyGILState_Ensure()
  %mode = call i64 @ft_set_python_mode()
  %r = call ptr (ptr, ptr, ...) @PyObject_CallFunction(
      ptr %callable, ptr @ft_format_address, i64 %address)
  call void @ft_set_mode(i64 %mode)
  %failed = icmp eq ptr %r, null
  br i1 %failed, label %leave, label %drop
drop:
  call void @Py_DecRef(ptr %r)
  br label %leave
leave:
  call void @PyGILState_Release(i32 %state)
  %status = sext i1 %failed to i64
  ret i64 %status
}

; A call's memory: words, error cell, frame, result objects, scalar cells, arena. The frame starts
; as a copy of the program's template; the fixups are the slots that point into the block itself.
define ptr @ft_block_new(ptr %p) {
entry:
  %bytes = ld i64 %p + $BLOCK_BYTES
  %room = add i64 %bytes, 64
  %raw = call ptr @malloc(i64 %room)
  %none = icmp eq ptr %raw, null
  br i1 %none, label %fail, label %have
have:
  %address = ptrtoint ptr %raw to i64
  %up = add i64 %address, 63
  %aligned = and i64 %up, -64
  %block = inttoptr i64 %aligned to ptr
  call void @llvm.memset.p0.i64(ptr %block, i8 0, i64 $FRAME, i1 false)
  st ptr %raw -> %block + $RAW
  %frame = getelementptr i8, ptr %block, i64 $FRAME
  %template = ld ptr %p + $TEMPLATE
  %slots = ld i64 %p + $SLOTS
  %frame_bytes = shl i64 %slots, 3
  call void @llvm.memcpy.p0.p0.i64(ptr %frame, ptr %template, i64 %frame_bytes, i1 false)
  %fixups = ld ptr %p + $FIXUPS
  %count = ld i64 %p + $FIXUP_COUNT
  %some = icmp sgt i64 %count, 0
  br i1 %some, label %loop, label %done
loop:
  %k = phi i64 [0, %have], [%k1, %loop]
  %row = getelementptr {i64, i64}, ptr %fixups, i64 %k
  %slot = ld i64 %row + 0
  %offset = ld i64 %row + 8
  %target = getelementptr i8, ptr %block, i64 %offset
  %place = getelementptr ptr, ptr %frame, i64 %slot
  store ptr %target, ptr %place
  %k1 = add i64 %k, 1
  %more = icmp slt i64 %k1, %count
  br i1 %more, label %loop, label %done
done:
  ret ptr %block
fail:
  ret ptr null
}

; A block of the program's free list, or a new one. The caller holds the GIL, which guards the list.
define ptr @ft_block_take(ptr %p) {
entry:
  %head = ld ptr %p + $FREE
  %none = icmp eq ptr %head, null
  br i1 %none, label %make, label %pop
pop:
  %next = ld ptr %head + $NEXT
  st ptr %next -> %p + $FREE
  %count = ld i64 %p + $FREE_COUNT
  %fewer = sub i64 %count, 1
  st i64 %fewer -> %p + $FREE_COUNT
  ret ptr %head
make:
  %new = call ptr @ft_block_new(ptr %p)
  ret ptr %new
}

; Give a block back, and the argument copies that the call read.
define void @ft_block_give(ptr %p, ptr %block) {
entry:
  %held = ld i64 %block + $HELD
  st i64 0 -> %block + $HELD
  %held_at = ld i64 %p + $HELD_OBJECTS
  %held_rows = getelementptr i8, ptr %block, i64 %held_at
  br label %release
release:
  %k = phi i64 [0, %entry], [%k1, %let_go]
  %holds = icmp slt i64 %k, %held
  br i1 %holds, label %let_go, label %shelve
let_go:
  %held_p = getelementptr ptr, ptr %held_rows, i64 %k
  %object = load ptr, ptr %held_p
  call void @Py_DecRef(ptr %object)
  %k1 = add i64 %k, 1
  br label %release
shelve:
  %count = ld i64 %p + $FREE_COUNT
  %limit = ld i64 %p + $FREE_LIMIT
  %full = icmp sge i64 %count, %limit
  br i1 %full, label %drop, label %push
push:
  %head = ld ptr %p + $FREE
  st ptr %head -> %block + $NEXT
  st ptr %block -> %p + $FREE
  %more = add i64 %count, 1
  st i64 %more -> %p + $FREE_COUNT
  ret void
drop:
  %raw = ld ptr %block + $RAW
  call void @free(ptr %raw)
  ret void
}

define void @ft_blocks_free(ptr %p) {
entry:
  br label %loop
loop:
  %head = ld ptr %p + $FREE
  %none = icmp eq ptr %head, null
  br i1 %none, label %done, label %drop
drop:
  %next = ld ptr %head + $NEXT
  st ptr %next -> %p + $FREE
  %raw = ld ptr %head + $RAW
  call void @free(ptr %raw)
  br label %loop
done:
  st i64 0 -> %p + $FREE_COUNT
  ret void
}
"""

# NumPy's flags: C-contiguous and aligned; 1024 is writeable.
_READABLE = 1 | 256
_SWAPPED = ">" if sys.byteorder == "little" else "<"
_LOAD = re.compile(r"(%\w+) = ld (\w+) ([%@]\w+) \+ (\w+)$", re.MULTILINE)
_STORE = re.compile(r"st (\w+) (%?\w+) -> ([%@]\w+) \+ (\w+)$", re.MULTILINE)


def _expand(text: str, constants: dict[str, int]) -> str:
    """Write the two abbreviations and the constants out."""
    text = re.sub(r"\$(\w+)", lambda m: str(constants[m[1]]), text)
    text = _LOAD.sub(
        lambda m: (
            f"{m[1]}.p = getelementptr i8, ptr {m[3]}, i64 {m[4]}\n"
            f"  {m[1]} = load {m[2]}, ptr {m[1]}.p"
        ),
        text,
    )
    number = iter(range(1 << 30))
    return _STORE.sub(
        lambda m: (
            f"%st.{(k := next(number))} = getelementptr i8, ptr {m[3]}, i64 {m[4]}\n"
            f"  store {m[1]} {m[2]}, ptr %st.{k}"
        ),
        text,
    )


def _constants() -> dict[str, int]:
    words = {word.name: 8 * word for word in Header}
    words |= {f"IN_{word.name}": 8 * word for word in InputWord}
    words |= {f"OUT_{word.name}": 8 * word for word in OutputWord}
    words |= {word.name: int(word) for word in Block}
    items = tuple.__basicsize__
    words |= {"TUPLE_ITEM_0": items, "TUPLE_ITEM_1": items + 8, "SCALAR_VALUE": 16}
    words |= {"CELL_POLL": 8 * POLL_WORD, "CELL_STEP": 8 * CELL_STEP_WORD}
    words |= {"CELL_POLL_SOURCE": 8 * POLL_SOURCE_WORD}
    words |= {"INTERRUPTED": FAIL_KINDS["interrupt"] << STATUS_KIND_SHIFT}
    words |= {"ARRAY_DATA": 16, "ARRAY_NDIM": 24, "ARRAY_DIMS": 32}
    words |= {"ROW_WORDS": ROW_WORDS, "READABLE": _READABLE, "WRITABLE": _READABLE | 1024}
    words |= {"ARRAY_DESCR": 56, "ARRAY_FLAGS": 64}
    words |= {"DESCR_BYTE_ORDER": 26, "DESCR_TYPE_NUMBER": 28, "SWAPPED": ord(_SWAPPED)}
    return words | pool_constants() | memory_constants()


def driver_text(with_call: bool) -> str:
    """Return the driver's module; without the builtin when NumPy's layout is not the known one."""
    parts = [_RUN, LOOPS, mode_text(), pool_text(), signal_text()]
    if with_call:
        parts += [memory_text(), CALL, INTO]
    return _expand("".join(parts), _constants())
