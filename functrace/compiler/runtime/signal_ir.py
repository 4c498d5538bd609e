"""How Ctrl-C reaches a running program, as LLVM text in `driver_ir`'s notation.

Python's own signal handler only leaves a note, which nobody reads while machine code runs. A
handler in front of it also sets the poll word of the call that the main thread is in; kernels and
step lists look at that word and stop. Only SIGINT is watched, and only while Python handles it.
"""

from __future__ import annotations

import platform
import sys

__all__ = ["SIGNAL_SYMBOLS", "signal_text"]

_WATCH = """
@ft_main_thread = internal global ptr null
@ft_main_cell = internal global ptr null
@ft_next_handler = internal global ptr null
declare ptr @pthread_self()
declare i32 @sigaction(i32, ptr, ptr)

define internal void @ft_on_interrupt(i32 %signal) {
entry:
  %cell = load volatile ptr, ptr @ft_main_cell
  %idle = icmp eq ptr %cell, null
  br i1 %idle, label %pass, label %stop
stop:
  %poll = getelementptr i8, ptr %cell, i64 $CELL_POLL
  store volatile i64 1, ptr %poll
  br label %pass
pass:
  %next = load ptr, ptr @ft_next_handler
  call void %next(i32 %signal)
  ret void
}

; Called by the main thread: step in front of its SIGINT handler, if that is an ordinary one.
define void @ft_watch_interrupts() {
entry:
  %action = alloca [32 x i64], align 16
  %self = call ptr @pthread_self()
  store ptr %self, ptr @ft_main_thread
  %r1 = call i32 @sigaction(i32 2, ptr null, ptr %action)
  %handler = load ptr, ptr %action
  %address = ptrtoint ptr %handler to i64
  %special = icmp ule i64 %address, 1
  %ours = icmp eq ptr %handler, @ft_on_interrupt
  %flags = ld i32 %action + $SIGACTION_FLAGS
  %wide = and i32 %flags, $SA_SIGINFO
  %three = icmp ne i32 %wide, 0
  %no1 = or i1 %special, %ours
  %no2 = or i1 %no1, %three
  %no3 = icmp ne i32 %r1, 0
  %no = or i1 %no2, %no3
  br i1 %no, label %done, label %install
install:
  store ptr %handler, ptr @ft_next_handler
  store ptr @ft_on_interrupt, ptr %action
  %r2 = call i32 @sigaction(i32 2, ptr %action, ptr null)
  br label %done
done:
  ret void
}

; Make a call's cell the one to stop, if this is the main thread; returns the one it was before.
define internal ptr @ft_enter(ptr %cell) {
entry:
  %poll = getelementptr i8, ptr %cell, i64 $CELL_POLL
  store volatile i64 0, ptr %poll
  %self = call ptr @pthread_self()
  %main = load ptr, ptr @ft_main_thread
  %is_main = icmp eq ptr %self, %main
  br i1 %is_main, label %publish, label %other
publish:
  %before = load volatile ptr, ptr @ft_main_cell
  store volatile ptr %cell, ptr @ft_main_cell
  ret ptr %before
other:
  ret ptr null
}

define internal void @ft_leave(ptr %before) {
entry:
  %self = call ptr @pthread_self()
  %main = load ptr, ptr @ft_main_thread
  %is_main = icmp eq ptr %self, %main
  br i1 %is_main, label %restore, label %other
restore:
  store volatile ptr %before, ptr @ft_main_cell
  ret void
other:
  ret void
}
"""

_NOTHING = """
define void @ft_watch_interrupts() {
  ret void
}
define internal ptr @ft_enter(ptr %cell) {
  ret ptr null
}
define internal void @ft_leave(ptr %before) {
  ret void
}
"""

# Where sa_flags is in `struct sigaction`, and SA_SIGINFO.
_LAYOUTS = {"linux": (136, 4), "darwin": (12, 64)}
_known = sys.platform in _LAYOUTS and platform.machine() in ("x86_64", "aarch64", "arm64")
#: What the text needs of the C library.
SIGNAL_SYMBOLS: tuple[str, ...] = ("pthread_self", "sigaction") if _known else ()


def signal_text() -> str:
    """Return the platform's text; where `sigaction` is unknown, calls can't be interrupted."""
    if not SIGNAL_SYMBOLS:
        return _NOTHING
    flags, wide = _LAYOUTS[sys.platform]
    return _WATCH.replace("$SIGACTION_FLAGS", str(flags)).replace("$SA_SIGINFO", str(wide))
