"""Where the memory of large results comes from, as LLVM text in `driver_ir`'s notation.

Writing to memory fresh from the system costs a page fault per page, about as much again as a simple
kernel does. So large results are made with a memory handler (NumPy's own interface for that) which
keeps a few freed blocks on a shelf and hands them out again. A block starts with its capacity; the
data follow after 64 bytes. The GIL guards the shelf: NumPy allocates and frees under it.
"""

from __future__ import annotations

import sys

__all__ = ["MEMORY_ENTRIES", "MEMORY_SYMBOLS", "memory_constants", "memory_text"]

_TEXT = """
@ft_shelf = internal global [$SHELF_PLACES x [2 x i64]] zeroinitializer
@ft_shelf_bytes = internal global i64 0
@ft_shelf_turn = internal global i64 0
@ft_memory = global <{ [127 x i8], i8, ptr, ptr, ptr, ptr, ptr }> <{
    [127 x i8] c"functrace$PADDING", i8 1, ptr null,
    ptr @ft_memory_new, ptr @ft_memory_zero, ptr @ft_memory_resize, ptr @ft_memory_free }>
declare i32 @posix_memalign(ptr, i64, i64)
$DECLARE_ADVICE

; What a place on the shelf holds, taken off it.
define internal ptr @ft_shelf_take(i64 %k) {
entry:
  %place = getelementptr [2 x i64], ptr @ft_shelf, i64 %k
  %block = ld ptr %place + 0
  %size = ld i64 %place + 8
  st ptr null -> %place + 0
  st i64 0 -> %place + 8
  %bytes = load i64, ptr @ft_shelf_bytes
  %fewer = sub i64 %bytes, %size
  store i64 %fewer, ptr @ft_shelf_bytes
  ret ptr %block
}

define void @ft_shelf_clear() {
entry:
  br label %loop
loop:
  %k = phi i64 [0, %entry], [%k1, %loop]
  %block = call ptr @ft_shelf_take(i64 %k)
  call void @free(ptr %block)
  %k1 = add i64 %k, 1
  %more = icmp slt i64 %k1, $SHELF_PLACES
  br i1 %more, label %loop, label %done
done:
  ret void
}

define internal ptr @ft_memory_new(ptr %context, i64 %size) {
entry:
  %out = alloca ptr
  %room = add i64 %size, 65599
  %need = and i64 %room, -65536
  %slack = lshr i64 %need, 3
  %most = add i64 %need, %slack
  br label %loop
loop:
  %k = phi i64 [0, %entry], [%k1, %next]
  %place = getelementptr [2 x i64], ptr @ft_shelf, i64 %k
  %held = ld i64 %place + 8
  %enough = icmp uge i64 %held, %need
  %thrifty = icmp ule i64 %held, %most
  %fits = and i1 %enough, %thrifty
  br i1 %fits, label %reuse, label %next
reuse:
  %old = call ptr @ft_shelf_take(i64 %k)
  br label %give
next:
  %k1 = add i64 %k, 1
  %more = icmp slt i64 %k1, $SHELF_PLACES
  br i1 %more, label %loop, label %make
make:
  %huge = icmp uge i64 %need, 4194304
  %alignment = select i1 %huge, i64 2097152, i64 64
  %r1 = call i32 @posix_memalign(ptr %out, i64 %alignment, i64 %need)
  %bad1 = icmp ne i32 %r1, 0
  br i1 %bad1, label %again, label %made
again:
  ; What lies on the shelf may be what is missing.
  call void @ft_shelf_clear()
  %r2 = call i32 @posix_memalign(ptr %out, i64 %alignment, i64 %need)
  %bad2 = icmp ne i32 %r2, 0
  br i1 %bad2, label %none, label %made
none:
  ret ptr null
made:
  %new = load ptr, ptr %out
  st i64 %need -> %new + 0
  br i1 %huge, label %advise, label %give
advise:
  $ADVISE
  br label %give
give:
  %block = phi ptr [%old, %reuse], [%new, %made], [%new, %advise]
  %data = getelementptr i8, ptr %block, i64 64
  ret ptr %data
}

define internal void @ft_memory_free(ptr %context, ptr %data, i64 %size) {
entry:
  %none = icmp eq ptr %data, null
  br i1 %none, label %done, label %look
look:
  %block = getelementptr i8, ptr %data, i64 -64
  %held = ld i64 %block + 0
  %small = icmp ult i64 %held, $LARGE
  %giant = icmp ugt i64 %held, $SHELF_BYTES
  %odd = or i1 %small, %giant
  br i1 %odd, label %release, label %room
release:
  call void @free(ptr %block)
  br label %done
room:
  ; Make room: drop what has lain longest in turn, until there are bytes and a place.
  %bytes = load i64, ptr @ft_shelf_bytes
  %sum = add i64 %bytes, %held
  %turn = load i64, ptr @ft_shelf_turn
  %place = getelementptr [2 x i64], ptr @ft_shelf, i64 %turn
  %there = ld ptr %place + 0
  %taken = icmp ne ptr %there, null
  %over = icmp ugt i64 %sum, $SHELF_BYTES
  %must = or i1 %taken, %over
  br i1 %must, label %drop, label %keep
drop:
  %dropped = call ptr @ft_shelf_take(i64 %turn)
  call void @free(ptr %dropped)
  %turn1 = add i64 %turn, 1
  %turn2 = urem i64 %turn1, $SHELF_PLACES
  %step = select i1 %over, i64 %turn2, i64 %turn
  store i64 %step, ptr @ft_shelf_turn
  br label %room
keep:
  st ptr %block -> %place + 0
  st i64 %held -> %place + 8
  store i64 %sum, ptr @ft_shelf_bytes
  %next1 = add i64 %turn, 1
  %next2 = urem i64 %next1, $SHELF_PLACES
  store i64 %next2, ptr @ft_shelf_turn
  br label %done
done:
  ret void
}

define internal ptr @ft_memory_zero(ptr %context, i64 %count, i64 %width) {
entry:
  %size = mul i64 %count, %width
  %data = call ptr @ft_memory_new(ptr %context, i64 %size)
  %none = icmp eq ptr %data, null
  br i1 %none, label %done, label %clear
clear:
  call void @llvm.memset.p0.i64(ptr %data, i8 0, i64 %size, i1 false)
  br label %done
done:
  ret ptr %data
}

define internal ptr @ft_memory_resize(ptr %context, ptr %data, i64 %size) {
entry:
  %new = call ptr @ft_memory_new(ptr %context, i64 %size)
  %none = icmp eq ptr %new, null
  %first = icmp eq ptr %data, null
  %simple = or i1 %none, %first
  br i1 %simple, label %done, label %move
move:
  %block = getelementptr i8, ptr %data, i64 -64
  %held = ld i64 %block + 0
  %room = sub i64 %held, 64
  %smaller = icmp ult i64 %room, %size
  %bytes = select i1 %smaller, i64 %room, i64 %size
  call void @llvm.memcpy.p0.p0.i64(ptr %new, ptr %data, i64 %bytes, i1 false)
  call void @ft_memory_free(ptr %context, ptr %data, i64 0)
  br label %done
done:
  ret ptr %new
}
"""

_PLACES = 32
_known = sys.platform in ("linux", "darwin")
_linux = sys.platform == "linux"
#: What the text needs of the C library, and what it offers.
MEMORY_SYMBOLS: tuple[str, ...] = ("posix_memalign", "madvise")[: 1 + _linux] if _known else ()
MEMORY_ENTRIES = ("ft_memory", "ft_shelf_clear") if _known else ()


def memory_constants() -> dict[str, int]:
    """Return the sizes: what a large result is, and how much the shelf may hold."""
    return {"LARGE": 1 << 17, "SHELF_BYTES": 256 << 20, "SHELF_PLACES": _PLACES}


def memory_text() -> str:
    """Return the platform's text; elsewhere results come from NumPy's allocator."""
    if not _known:
        return ""
    # 14 is MADV_HUGEPAGE: a page fault per 2 MiB instead of one per 4 KiB.
    advise = "%r3 = call i32 @madvise(ptr %new, i64 %need, i32 14)" if _linux else ""
    declare = "declare i32 @madvise(ptr, i64, i32)" if _linux else ""
    text = _TEXT.replace("$ADVISE", advise).replace("$DECLARE_ADVICE", declare)
    return text.replace("$PADDING", "\\00" * (127 - len("functrace")))
