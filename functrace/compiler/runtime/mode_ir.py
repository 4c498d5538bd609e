"""The floating-point mode that kernels run in, as LLVM text in `driver_ir`'s notation.

A CPU's control word says how it rounds and what it does with subnormal numbers. Each thread has
one, so helpers take the caller's over: otherwise bits would depend on which thread ran a chunk.
`config.flush_subnormals` sets two bits of it around a program: subnormal operands and results
count as zero. Arithmetic on subnormal numbers can take a hundred times as long, and Adam's second
moments in float32 are full of them once gradients fall below 1e-19.
"""

from __future__ import annotations

import platform

__all__ = ["MODE_ENTRIES", "can_flush", "mode_text"]

MODE_ENTRIES = ("ft_run_program", "ft_flush_subnormals")

_PROGRAMS = """
@ft_flush = internal global i64 0
define void @ft_flush_subnormals(i64 %on) {
  store atomic i64 %on, ptr @ft_flush monotonic, align 8
  ret void
}

; Run a program's steps in the mode that the user asked for, and leave the thread as it was.
define i64 @ft_run_program(ptr %frame, ptr %steps, i64 %n) {
entry:
  %on = load atomic i64, ptr @ft_flush monotonic, align 8
  %off = icmp eq i64 %on, 0
  br i1 %off, label %plain, label %flush
plain:
  %s1 = call i64 @ft_run(ptr %frame, ptr %steps, i64 %n)
  ret i64 %s1
flush:
  %before = call i64 @ft_mode()
  %mode = or i64 %before, $FLUSH_BITS
  call void @ft_set_mode(i64 %mode)
  %s2 = call i64 @ft_run(ptr %frame, ptr %steps, i64 %n)
  call void @ft_set_mode(i64 %before)
  ret i64 %s2
}

; For a callback: no flushing that we asked for. Returns the mode to come back to.
define internal i64 @ft_set_python_mode() {
entry:
  %mode = call i64 @ft_mode()
  %on = load atomic i64, ptr @ft_flush monotonic, align 8
  %off = icmp eq i64 %on, 0
  br i1 %off, label %done, label %clear
clear:
  %usual = and i64 %mode, $OTHER_BITS
  call void @ft_set_mode(i64 %usual)
  br label %done
done:
  ret i64 %mode
}
"""

# The bits: FTZ and DAZ of x86's MXCSR, FZ of Arm's FPCR.
_X86 = """
declare void @llvm.x86.sse.stmxcsr(ptr)
declare void @llvm.x86.sse.ldmxcsr(ptr)
define internal i64 @ft_mode() alwaysinline {
  %cell = alloca i32
  call void @llvm.x86.sse.stmxcsr(ptr %cell)
  %mode = load i32, ptr %cell
  %wide = zext i32 %mode to i64
  ret i64 %wide
}
define internal void @ft_set_mode(i64 %mode) alwaysinline {
  %cell = alloca i32
  %narrow = trunc i64 %mode to i32
  store i32 %narrow, ptr %cell
  call void @llvm.x86.sse.ldmxcsr(ptr %cell)
  ret void
}
"""
_ARM = """
declare i64 @llvm.aarch64.get.fpcr()
declare void @llvm.aarch64.set.fpcr(i64)
define internal i64 @ft_mode() alwaysinline {
  %mode = call i64 @llvm.aarch64.get.fpcr()
  ret i64 %mode
}
define internal void @ft_set_mode(i64 %mode) alwaysinline {
  call void @llvm.aarch64.set.fpcr(i64 %mode)
  ret void
}
"""
_UNKNOWN = """
define internal i64 @ft_mode() alwaysinline {
  ret i64 0
}
define internal void @ft_set_mode(i64 %mode) alwaysinline {
  ret void
}
"""
_X86_BITS, _ARM_BITS = 0x8040, 1 << 24
_MODES = {"x86_64": (_X86, _X86_BITS), "AMD64": (_X86, _X86_BITS)}
_MODES |= dict.fromkeys(("arm64", "aarch64"), (_ARM, _ARM_BITS))


def can_flush() -> bool:
    """Whether this CPU's control word is known."""
    return platform.machine() in _MODES


def mode_text() -> str:
    """Return the text; where the control word is unknown, it is left alone."""
    text, bits = _MODES.get(platform.machine(), (_UNKNOWN, 0))
    return (_PROGRAMS + text).replace("$FLUSH_BITS", str(bits)).replace("$OTHER_BITS", str(~bits))
