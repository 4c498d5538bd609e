"""The builtin that writes results to given arrays, as LLVM text in `driver_ir`'s notation.

Its arguments are the program's, then one array per result. It returns True, or None when something
is not exactly right: an array of another kind, or one whose memory a step might read or write
through another slot. Python then does the same with copies.
"""

from __future__ import annotations

__all__ = ["INTO"]

INTO = """
; Whether two stretches of memory have a byte in common.
define internal i1 @ft_overlap(i64 %a, i64 %na, i64 %b, i64 %nb) alwaysinline {
  %end_a = add i64 %a, %na
  %end_b = add i64 %b, %nb
  %x = icmp ult i64 %a, %end_b
  %y = icmp ult i64 %b, %end_a
  %both = and i1 %x, %y
  %some_a = icmp ne i64 %na, 0
  %some_b = icmp ne i64 %nb, 0
  %some = and i1 %some_a, %some_b
  %r = and i1 %both, %some
  ret i1 %r
}

; Whether memory is free of those of the first %n slots that the rows name.
define internal i1 @ft_apart(ptr %frame, ptr %rows, i64 %n, i64 %slot_at, i64 %bytes_at,
    i64 %data, i64 %bytes) {
entry:
  br label %loop
loop:
  %k = phi i64 [0, %entry], [%k1, %next]
  %more = icmp slt i64 %k, %n
  br i1 %more, label %look, label %yes
look:
  %row = getelementptr [$ROW_WORDS x i64], ptr %rows, i64 %k
  %slot_p = getelementptr i8, ptr %row, i64 %slot_at
  %slot = load i64, ptr %slot_p
  %bytes_p = getelementptr i8, ptr %row, i64 %bytes_at
  %size = load i64, ptr %bytes_p
  %place = getelementptr ptr, ptr %frame, i64 %slot
  %there = load i64, ptr %place
  %k1 = add i64 %k, 1
  %clash = call i1 @ft_overlap(i64 %data, i64 %bytes, i64 %there, i64 %size)
  br i1 %clash, label %no, label %next
next:
  br label %loop
yes:
  ret i1 true
no:
  ret i1 false
}

; Put the given arrays' memory into the frame; false is a miss.
define internal i1 @ft_place(ptr %p, ptr %outs, ptr %block) {
entry:
  %frame = getelementptr i8, ptr %block, i64 $FRAME
  %n = ld i64 %p + $OUTPUTS
  %rows = ld ptr %p + $OUTPUT_ROWS
  %n_in = ld i64 %p + $INPUTS
  %in_rows = ld ptr %p + $INPUT_ROWS
  %fixed_rows = ld ptr %p + $CONSTANT_ROWS
  %n_fixed = ld i64 %p + $CONSTANTS
  %array_type = ld ptr %p + $ARRAY_TYPE
  %objects_at = ld i64 %p + $OUTPUT_OBJECTS
  %objects = getelementptr i8, ptr %block, i64 %objects_at
  br label %loop
loop:
  %k = phi i64 [0, %entry], [%k1, %next]
  %more = icmp slt i64 %k, %n
  br i1 %more, label %look, label %yes
look:
  %k1 = add i64 %k, 1
  %row = getelementptr [$ROW_WORDS x i64], ptr %rows, i64 %k
  %out_p = getelementptr ptr, ptr %outs, i64 %k
  %out = load ptr, ptr %out_p
  %type = ld ptr %out + 8
  %is_array = icmp eq ptr %type, %array_type
  br i1 %is_array, label %check, label %no
check:
  %fits = call i1 @ft_fits(ptr %row, ptr %out, i32 $WRITABLE)
  %source = ld i64 %row + $OUT_SOURCE
  %direct = icmp slt i64 %source, 0
  %ok = and i1 %fits, %direct
  br i1 %ok, label %place, label %no
place:
  %data = ld ptr %out + $ARRAY_DATA
  %at = ptrtoint ptr %data to i64
  %bytes = ld i64 %row + $OUT_BYTES
  %apart1 = call i1 @ft_apart(ptr %frame, ptr %in_rows, i64 %n_in, i64 $IN_SLOT, i64 $IN_BYTES,
      i64 %at, i64 %bytes)
  %apart2 = call i1 @ft_apart(ptr %frame, ptr %fixed_rows, i64 %n_fixed, i64 $IN_SLOT,
      i64 $IN_BYTES, i64 %at, i64 %bytes)
  %apart3 = call i1 @ft_apart(ptr %frame, ptr %rows, i64 %k, i64 $OUT_SLOT, i64 $OUT_BYTES,
      i64 %at, i64 %bytes)
  %apart12 = and i1 %apart1, %apart2
  %apart = and i1 %apart12, %apart3
  br i1 %apart, label %take, label %no
take:
  %slot = ld i64 %row + $OUT_SLOT
  %slot_p = getelementptr ptr, ptr %frame, i64 %slot
  store ptr %data, ptr %slot_p
  br label %next
next:
  br label %loop
yes:
  ret i1 true
no:
  ret i1 false
}

; A scalar result's slot points into the block, where the next call expects it.
define internal void @ft_mend(ptr %p, ptr %block) {
entry:
  %frame = getelementptr i8, ptr %block, i64 $FRAME
  %fixups = ld ptr %p + $FIXUPS
  %count = ld i64 %p + $FIXUP_COUNT
  br label %loop
loop:
  %k = phi i64 [0, %entry], [%k1, %body]
  %more = icmp slt i64 %k, %count
  br i1 %more, label %body, label %done
body:
  %row = getelementptr [2 x i64], ptr %fixups, i64 %k
  %slot = ld i64 %row + 0
  %offset = ld i64 %row + 8
  %target = getelementptr i8, ptr %block, i64 %offset
  %place = getelementptr ptr, ptr %frame, i64 %slot
  store ptr %target, ptr %place
  %k1 = add i64 %k, 1
  br label %loop
done:
  ret void
}

define ptr @ft_into(ptr %self, ptr %args, i64 %nargs) {
entry:
  %header = ld ptr %self + $TUPLE_ITEM_0
  %p = ld ptr %header + $ARRAY_DATA
  %n_in = ld i64 %p + $INPUTS
  %n_out = ld i64 %p + $OUTPUTS
  %n = add i64 %n_in, %n_out
  %same = icmp eq i64 %n, %nargs
  br i1 %same, label %start, label %none
start:
  %block = call ptr @ft_block_take(ptr %p)
  %lacking = icmp eq ptr %block, null
  br i1 %lacking, label %memory, label %take
take:
  %outs = getelementptr ptr, ptr %args, i64 %n_in
  %hit = call i1 @ft_take(ptr %p, ptr %args, ptr %block)
  br i1 %hit, label %place, label %miss
place:
  %placed = call i1 @ft_place(ptr %p, ptr %outs, ptr %block)
  br i1 %placed, label %go, label %miss
go:
  %s = call i64 @ft_go(ptr %p, ptr %block)
  %good = icmp eq i64 %s, 0
  br i1 %good, label %fine, label %raise
raise:
  call void @ft_raise(ptr %self, ptr %block, i64 %s)
  br label %give
fine:
  call void @Py_IncRef(ptr @ft_true)
  br label %give
give:
  %result = phi ptr [null, %raise], [@ft_true, %fine]
  call void @ft_mend(ptr %p, ptr %block)
  call void @ft_block_give(ptr %p, ptr %block)
  ret ptr %result
memory:
  %e = call ptr @PyErr_NoMemory()
  ret ptr null
miss:
  call void @ft_mend(ptr %p, ptr %block)
  call void @ft_block_give(ptr %p, ptr %block)
  br label %none
none:
  call void @Py_IncRef(ptr @ft_none)
  ret ptr @ft_none
}
@ft_true = external global i8
"""
