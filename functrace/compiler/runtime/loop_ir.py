"""The steps that hold steps, as LLVM text in `driver_ir`'s notation: loops and branches; copies.

A loop's body sees slices of arrays as slots whose pointers move each time round, and carries values
by swapping the pointers of two temporaries, so neither costs a copy.
"""

from __future__ import annotations

from enum import IntEnum

__all__ = ["LOOPS", "LOOP_ENTRIES", "CopyWord", "LoopWord", "SwitchWord"]


class LoopWord(IntEnum):
    """A loop's record."""

    STEPS, COUNT, TRIPS, TRIPS_SLOT, COUNTER_SLOT, WINDOWS, WINDOW_COUNT = range(7)
    SWAPS, SWAP_COUNT, TEST, TEST_COUNT, TEST_SLOT = range(7, 12)


class SwitchWord(IntEnum):
    """A branch's record; a step list's address and length for each branch follow."""

    SLOT, WIDTH, BRANCHES, FIRST = range(4)


class CopyWord(IntEnum):
    """A copy's record."""

    TARGET, SOURCE, BYTES = range(3)


LOOP_ENTRIES = ("ft_loop", "ft_switch", "ft_copy")

_TEXT = """
define i64 @ft_loop(ptr %frame, ptr %record, i64 %lo, i64 %hi) {
entry:
  %steps = ld ptr %record + $LOOP_STEPS
  %count = ld i64 %record + $LOOP_COUNT
  %fixed = ld i64 %record + $LOOP_TRIPS
  %trips_slot = ld i64 %record + $LOOP_TRIPS_SLOT
  %counter_slot = ld i64 %record + $LOOP_COUNTER_SLOT
  %windows = ld ptr %record + $LOOP_WINDOWS
  %window_count = ld i64 %record + $LOOP_WINDOW_COUNT
  %swaps = ld ptr %record + $LOOP_SWAPS
  %swap_count = ld i64 %record + $LOOP_SWAP_COUNT
  %test_steps = ld ptr %record + $LOOP_TEST
  %test_count = ld i64 %record + $LOOP_TEST_COUNT
  %test_slot = ld i64 %record + $LOOP_TEST_SLOT
  %counts = icmp sge i64 %counter_slot, 0
  %tests = icmp sge i64 %test_slot, 0
  %has_windows = icmp sgt i64 %window_count, 0
  %has_swaps = icmp sgt i64 %swap_count, 0
  %dynamic = icmp sge i64 %trips_slot, 0
  br i1 %dynamic, label %read, label %start
read:
  %trips_at = getelementptr ptr, ptr %frame, i64 %trips_slot
  %trips_p = load ptr, ptr %trips_at
  %trips_v = load i64, ptr %trips_p
  br label %start
start:
  %trips = phi i64 [%fixed, %entry], [%trips_v, %read]
  br label %head
head:
  %i = phi i64 [0, %start], [%i1, %next]
  %more = icmp slt i64 %i, %trips
  br i1 %more, label %ask, label %done
ask:
  br i1 %tests, label %test, label %number
test:
  %s1 = call i64 @ft_run(ptr %frame, ptr %test_steps, i64 %test_count)
  %bad1 = icmp ne i64 %s1, 0
  br i1 %bad1, label %fail, label %answer
answer:
  %truth_at = getelementptr ptr, ptr %frame, i64 %test_slot
  %truth_p = load ptr, ptr %truth_at
  %truth = load i8, ptr %truth_p
  %goes_on = icmp ne i8 %truth, 0
  br i1 %goes_on, label %number, label %done
number:
  br i1 %counts, label %count_up, label %slide
count_up:
  %counter_at = getelementptr ptr, ptr %frame, i64 %counter_slot
  %counter = load ptr, ptr %counter_at
  store i64 %i, ptr %counter
  br label %slide
slide:
  br i1 %has_windows, label %window, label %body
window:
  %w = phi i64 [0, %slide], [%w1, %window]
  %row = getelementptr [4 x i64], ptr %windows, i64 %w
  %slot = ld i64 %row + 0
  %base_slot = ld i64 %row + 8
  %first = ld i64 %row + 16
  %stride = ld i64 %row + 24
  %base_at = getelementptr ptr, ptr %frame, i64 %base_slot
  %base = load ptr, ptr %base_at
  %moved = mul i64 %i, %stride
  %offset = add i64 %moved, %first
  %pointer = getelementptr i8, ptr %base, i64 %offset
  %place = getelementptr ptr, ptr %frame, i64 %slot
  store ptr %pointer, ptr %place
  %w1 = add i64 %w, 1
  %more_windows = icmp slt i64 %w1, %window_count
  br i1 %more_windows, label %window, label %body
body:
  %s2 = call i64 @ft_run(ptr %frame, ptr %steps, i64 %count)
  %bad2 = icmp ne i64 %s2, 0
  br i1 %bad2, label %fail, label %carry
carry:
  br i1 %has_swaps, label %swap, label %next
swap:
  %k = phi i64 [0, %carry], [%k1, %swap]
  %pair = getelementptr [2 x i64], ptr %swaps, i64 %k
  %a_slot = ld i64 %pair + 0
  %b_slot = ld i64 %pair + 8
  %a_at = getelementptr ptr, ptr %frame, i64 %a_slot
  %b_at = getelementptr ptr, ptr %frame, i64 %b_slot
  %a = load ptr, ptr %a_at
  %b = load ptr, ptr %b_at
  store ptr %b, ptr %a_at
  store ptr %a, ptr %b_at
  %k1 = add i64 %k, 1
  %more_swaps = icmp slt i64 %k1, %swap_count
  br i1 %more_swaps, label %swap, label %next
next:
  %i1 = add i64 %i, 1
  br label %head
fail:
  %s = phi i64 [%s1, %test], [%s2, %body]
  ret i64 %s
done:
  ret i64 0
}

; One of several step lists, by a boolean, int32 or int64 in memory, clamped to what there is.
define i64 @ft_switch(ptr %frame, ptr %record, i64 %lo, i64 %hi) {
entry:
  %slot = ld i64 %record + $SWITCH_SLOT
  %width = ld i64 %record + $SWITCH_WIDTH
  %branches = ld i64 %record + $SWITCH_BRANCHES
  %at = getelementptr ptr, ptr %frame, i64 %slot
  %p = load ptr, ptr %at
  switch i64 %width, label %long [ i64 1, label %byte i64 4, label %word ]
byte:
  %v1 = load i8, ptr %p
  %e1 = zext i8 %v1 to i64
  br label %choose
word:
  %v4 = load i32, ptr %p
  %e4 = sext i32 %v4 to i64
  br label %choose
long:
  %e8 = load i64, ptr %p
  br label %choose
choose:
  %index = phi i64 [%e1, %byte], [%e4, %word], [%e8, %long]
  %last = sub i64 %branches, 1
  %least = call i64 @llvm.smax.i64(i64 %index, i64 0)
  %branch = call i64 @llvm.smin.i64(i64 %least, i64 %last)
  %rows = getelementptr i8, ptr %record, i64 $SWITCH_FIRST
  %row = getelementptr [2 x i64], ptr %rows, i64 %branch
  %steps = ld ptr %row + 0
  %count = ld i64 %row + 8
  %s = call i64 @ft_run(ptr %frame, ptr %steps, i64 %count)
  ret i64 %s
}
declare i64 @llvm.smax.i64(i64, i64)
declare void @llvm.memmove.p0.p0.i64(ptr, ptr, i64, i1)

define i64 @ft_copy(ptr %frame, ptr %record, i64 %lo, i64 %hi) {
entry:
  %target = ld i64 %record + $COPY_TARGET
  %source = ld i64 %record + $COPY_SOURCE
  %bytes = ld i64 %record + $COPY_BYTES
  %t_at = getelementptr ptr, ptr %frame, i64 %target
  %t = load ptr, ptr %t_at
  %s_at = getelementptr ptr, ptr %frame, i64 %source
  %s = load ptr, ptr %s_at
  call void @llvm.memmove.p0.p0.i64(ptr %t, ptr %s, i64 %bytes, i1 false)
  ret i64 0
}
"""


def _places() -> dict[str, int]:
    words: dict[str, int] = {}
    for prefix, row in (("LOOP", LoopWord), ("SWITCH", SwitchWord), ("COPY", CopyWord)):
        words |= {f"${prefix}_{word.name}": 8 * word for word in row}
    return words


def _text() -> str:
    text = _TEXT
    # Longer names first: one name may begin another.
    for name, place in sorted(_places().items(), key=lambda item: -len(item[0])):
        text = text.replace(name, str(place))
    return text


LOOPS = _text()
