"""How one step's chunks are shared among threads, as LLVM text in `driver_ir`'s notation.

Helper threads park in native code; there is one job at a time. The caller opens the job, wakes as
many sleepers as may help, and drains the chunks itself: a helper that wakes too late finds the job
closed and goes back to sleep, so small jobs never wait for anybody. The caller takes chunks from
the front, helpers from the back: the next step, and the next call, find in a CPU's cache what that
CPU left there. A caller that finds the pool taken (another thread's job) runs its chunks alone.
Chunk borders depend on sizes only, and of several failures the lowest chunk's is reported, so
nothing depends on who ran what.

A light step is worth sharing with helpers that are awake, but not worth waking them. One of
sixteen of them wakes them all the same: where steps follow each other closely the helpers then stay
awake, and elsewhere what it costs is spread thin. A helper looks for work `SPIN` times before it
sleeps: longer than the last chunk of another thread and what happens between two calls, because
waking up takes longer than a whole step that is worth sharing.

`STATE` counts the helpers inside of the job; its `CLOSED` bit keeps further ones out, and so does
the number of `SEATS`, which a program's own limit of threads may make small. After fork the child
finds another process id in `PID` and starts from nothing.
"""

from __future__ import annotations

import platform
import sys

__all__ = ["POOL_SYMBOLS", "pool_constants", "pool_text"]

_SERIAL = """
define internal i64 @ft_split(ptr %frame, ptr %step) {
  %s = call i64 @ft_chunks(ptr %frame, ptr %step)
  ret i64 %s
}
define void @ft_pool_limit(i64 %helpers) {
  ret void
}
define i64 @ft_pool_started() {
  ret i64 0
}
"""

_LINUX = """
declare i32 @sem_init(ptr, i32, i32)
declare i32 @sem_post(ptr)
declare i32 @sem_wait(ptr)
define internal void @ft_gate_make() {
  %gate = getelementptr i8, ptr @ft_pool, i64 $GATE
  %r = call i32 @sem_init(ptr %gate, i32 0, i32 0)
  ret void
}
define internal void @ft_gate_open() {
  %gate = getelementptr i8, ptr @ft_pool, i64 $GATE
  %r = call i32 @sem_post(ptr %gate)
  ret void
}
; A signal may end the wait early; the caller then merely looks once more.
define internal void @ft_gate_wait() {
  %gate = getelementptr i8, ptr @ft_pool, i64 $GATE
  %r = call i32 @sem_wait(ptr %gate)
  ret void
}
"""

_DARWIN = """
declare ptr @dispatch_semaphore_create(i64)
declare i64 @dispatch_semaphore_signal(ptr)
declare i64 @dispatch_semaphore_wait(ptr, i64)
define internal void @ft_gate_make() {
  %gate = call ptr @dispatch_semaphore_create(i64 0)
  st ptr %gate -> @ft_pool + $GATE
  ret void
}
define internal void @ft_gate_open() {
  %gate = ld ptr @ft_pool + $GATE
  %r = call i64 @dispatch_semaphore_signal(ptr %gate)
  ret void
}
define internal void @ft_gate_wait() {
  %gate = ld ptr @ft_pool + $GATE
  %r = call i64 @dispatch_semaphore_wait(ptr %gate, i64 -1)
  ret void
}
"""

_POOL = """
@ft_pool = internal global [96 x i64] zeroinitializer, align 64
declare i32 @getpid()
declare i32 @sched_yield()
declare i32 @sigfillset(ptr)
declare i32 @pthread_sigmask(i32, ptr, ptr)
declare i32 @pthread_create(ptr, ptr, ptr, ptr)
declare i32 @pthread_detach(ptr)

define void @ft_pool_limit(i64 %helpers) {
  %p = getelementptr i8, ptr @ft_pool, i64 $LIMIT
  store atomic i64 %helpers, ptr %p monotonic, align 8
  ret void
}
define i64 @ft_pool_started() {
  %s = ld i64 @ft_pool + $STARTED
  ret i64 %s
}

define internal i64 @ft_split(ptr %frame, ptr %step) {
entry:
  %extent = ld i64 %step + 16
  %grain = ld i64 %step + 24
  %up = add i64 %extent, %grain
  %up1 = sub i64 %up, 1
  %chunks = sdiv i64 %up1, %grain
  %others = sub i64 %chunks, 1
  %limit = ld i64 @ft_pool + $LIMIT
  %own = ld i64 %step + 48
  %least = call i64 @llvm.smin.i64(i64 %limit, i64 %own)
  %helpers = call i64 @llvm.smin.i64(i64 %others, i64 %least)
  %any = icmp sgt i64 %helpers, 0
  br i1 %any, label %ask, label %alone
ask:
  %light = ld i64 %step + 56
  %heavy = icmp eq i64 %light, 0
  br i1 %heavy, label %enter, label %count
count:
  %count_at = getelementptr i8, ptr @ft_pool, i64 $LIGHT
  %so_far = atomicrmw add ptr %count_at, i64 1 monotonic
  %turn = and i64 %so_far, $PROBE
  %probe = icmp eq i64 %turn, $PROBE
  br label %enter
enter:
  %wake = phi i1 [true, %ask], [%probe, %count]
  %mine = call i1 @ft_pool_enter()
  br i1 %mine, label %share, label %alone
share:
  %s1 = call i64 @ft_share(ptr %frame, ptr %step, i64 %chunks, i64 %helpers, i1 %wake)
  ret i64 %s1
alone:
  %s2 = call i64 @ft_chunks(ptr %frame, ptr %step)
  ret i64 %s2
}

; Take the pool for one job, or say that it is taken.
define internal i1 @ft_pool_enter() {
entry:
  %pid32 = call i32 @getpid()
  %pid = sext i32 %pid32 to i64
  %pid_at = getelementptr i8, ptr @ft_pool, i64 $PID
  %old = load atomic i64, ptr %pid_at acquire, align 8
  %ours = icmp eq i64 %old, %pid
  br i1 %ours, label %take, label %foreign
foreign:
  %x = cmpxchg ptr %pid_at, i64 %old, i64 -1 acq_rel monotonic
  %won = extractvalue {i64, i1} %x, 1
  br i1 %won, label %reset, label %no
reset:
  call void @ft_gate_make()
  st i64 0 -> @ft_pool + $BUSY
  st i64 0 -> @ft_pool + $SLEEPERS
  st i64 0 -> @ft_pool + $STARTED
  st i64 $CLOSED -> @ft_pool + $STATE
  store atomic i64 %pid, ptr %pid_at release, align 8
  br label %take
take:
  %busy_at = getelementptr i8, ptr @ft_pool, i64 $BUSY
  %y = cmpxchg ptr %busy_at, i64 0, i64 1 acquire monotonic
  %got = extractvalue {i64, i1} %y, 1
  ret i1 %got
no:
  ret i1 false
}

; Threads start with all signals blocked: Python's handlers belong to its own threads.
define internal void @ft_start(i64 %wanted) noinline {
entry:
  %thread = alloca i64
  %all = alloca [16 x i64]
  %saved = alloca [16 x i64]
  br label %loop
loop:
  %started = ld i64 @ft_pool + $STARTED
  %enough = icmp sge i64 %started, %wanted
  br i1 %enough, label %done, label %start
start:
  %r1 = call i32 @sigfillset(ptr %all)
  %r2 = call i32 @pthread_sigmask(i32 $SIG_SETMASK, ptr %all, ptr %saved)
  %r3 = call i32 @pthread_create(ptr %thread, ptr null, ptr @ft_helper, ptr null)
  %r4 = call i32 @pthread_sigmask(i32 $SIG_SETMASK, ptr %saved, ptr null)
  %bad = icmp ne i32 %r3, 0
  br i1 %bad, label %none, label %good
none:
  ; No more threads to be had: never ask again.
  st i64 %started -> @ft_pool + $LIMIT
  br label %done
good:
  %id = load ptr, ptr %thread
  %r5 = call i32 @pthread_detach(ptr %id)
  %more = add i64 %started, 1
  st i64 %more -> @ft_pool + $STARTED
  br label %loop
done:
  ret void
}

define internal i64 @ft_share(
    ptr %frame, ptr %step, i64 %chunks, i64 %helpers, i1 %wake) noinline {
entry:
  br i1 %wake, label %count, label %open
count:
  %started = ld i64 @ft_pool + $STARTED
  %few = icmp slt i64 %started, %helpers
  br i1 %few, label %start, label %open
start:
  call void @ft_start(i64 %helpers)
  br label %open
open:
  st ptr %step -> @ft_pool + $STEP
  st ptr %frame -> @ft_pool + $JOB_FRAME
  st i64 %chunks -> @ft_pool + $CHUNKS
  %mode = call i64 @ft_mode()
  st i64 %mode -> @ft_pool + $MODE
  %seats_at = getelementptr i8, ptr @ft_pool, i64 $SEATS
  store atomic i64 %helpers, ptr %seats_at monotonic, align 8
  st i64 $NEVER -> @ft_pool + $FAIL
  st i64 0 -> @ft_pool + $FAIL_LOCK
  st i64 0 -> @ft_pool + $CLAIMED
  st i64 0 -> @ft_pool + $BACK
  %state_at = getelementptr i8, ptr @ft_pool, i64 $STATE
  store atomic i64 0, ptr %state_at seq_cst, align 8
  br i1 %wake, label %rouse, label %work
rouse:
  call void @ft_wake(i64 %helpers)
  br label %work
work:
  call void @ft_work(ptr %frame, i1 false)
  %before = atomicrmw or ptr %state_at, i64 $CLOSED seq_cst
  br label %wait
wait:
  %turns = phi i64 [0, %work], [%turns1, %again]
  %state = load atomic i64, ptr %state_at acquire, align 8
  %empty = icmp eq i64 %state, $CLOSED
  br i1 %empty, label %closed, label %linger
linger:
  call void $PAUSE
  %turns1 = add i64 %turns, 1
  %long = icmp sgt i64 %turns1, 50
  br i1 %long, label %yield, label %again
yield:
  %r = call i32 @sched_yield()
  br label %again
again:
  br label %wait
closed:
  %fail = ld i64 @ft_pool + $FAIL
  %fine = icmp eq i64 %fail, $NEVER
  br i1 %fine, label %leave, label %failed
failed:
  %cell = ld ptr %frame + 0
  %held = getelementptr i8, ptr @ft_pool, i64 $FAIL_CELL
  call void @llvm.memcpy.p0.p0.i64(ptr %cell, ptr %held, i64 56, i1 false)
  %status = ld i64 @ft_pool + $FAIL_STATUS
  br label %leave
leave:
  %result = phi i64 [0, %closed], [%status, %failed]
  %busy_at = getelementptr i8, ptr @ft_pool, i64 $BUSY
  store atomic i64 0, ptr %busy_at release, align 8
  ret i64 %result
}

; Wake up to so many sleepers: each one woken is taken off the count by who wakes it.
define internal void @ft_wake(i64 %helpers) {
entry:
  %at = getelementptr i8, ptr @ft_pool, i64 $SLEEPERS
  br label %loop
loop:
  %k = phi i64 [%helpers, %entry], [%k, %retry], [%k1, %woke]
  %some = icmp sgt i64 %k, 0
  br i1 %some, label %look, label %done
look:
  %s = load atomic i64, ptr %at seq_cst, align 8
  %none = icmp sle i64 %s, 0
  br i1 %none, label %done, label %try
try:
  %fewer = sub i64 %s, 1
  %x = cmpxchg ptr %at, i64 %s, i64 %fewer seq_cst monotonic
  %won = extractvalue {i64, i1} %x, 1
  br i1 %won, label %woke, label %retry
retry:
  br label %loop
woke:
  call void @ft_gate_open()
  %k1 = sub i64 %k, 1
  br label %loop
done:
  ret void
}

; Claim chunks until there are none: the caller from the front on, helpers from the back. What
; comes after one that has failed is left out.
define internal void @ft_work(ptr %frame, i1 %helper) {
entry:
  %step = ld ptr @ft_pool + $STEP
  %chunks = ld i64 @ft_pool + $CHUNKS
  %fn = ld ptr %step + 0
  %record = ld ptr %step + 8
  %extent = ld i64 %step + 16
  %grain = ld i64 %step + 24
  %claimed = getelementptr i8, ptr @ft_pool, i64 $CLAIMED
  %back_at = getelementptr i8, ptr @ft_pool, i64 $BACK
  %fail_at = getelementptr i8, ptr @ft_pool, i64 $FAIL
  br label %loop
loop:
  %front = phi i64 [-1, %entry], [%c, %look], [%c, %run], [%c, %note]
  %claim = atomicrmw add ptr %claimed, i64 1 monotonic
  %is_chunk = icmp slt i64 %claim, %chunks
  br i1 %is_chunk, label %which, label %done
which:
  br i1 %helper, label %last, label %first
first:
  %after = add i64 %front, 1
  br label %look
last:
  %taken = atomicrmw add ptr %back_at, i64 1 monotonic
  %left = sub i64 %chunks, %taken
  %before = sub i64 %left, 1
  br label %look
look:
  %c = phi i64 [%after, %first], [%before, %last]
  %failed = load atomic i64, ptr %fail_at monotonic, align 8
  %useful = icmp slt i64 %c, %failed
  br i1 %useful, label %run, label %loop
run:
  %lo = mul i64 %c, %grain
  %end = add i64 %lo, %grain
  %hi = call i64 @llvm.smin.i64(i64 %end, i64 %extent)
  %s = call i64 %fn(ptr %frame, ptr %record, i64 %lo, i64 %hi)
  %bad = icmp ne i64 %s, 0
  br i1 %bad, label %note, label %loop
note:
  call void @ft_note(ptr %frame, i64 %c, i64 %s)
  br label %loop
done:
  ret void
}

define internal void @ft_note(ptr %frame, i64 %c, i64 %s) noinline {
entry:
  %lock = getelementptr i8, ptr @ft_pool, i64 $FAIL_LOCK
  %fail_at = getelementptr i8, ptr @ft_pool, i64 $FAIL
  br label %spin
spin:
  %x = cmpxchg ptr %lock, i64 0, i64 1 acquire monotonic
  %got = extractvalue {i64, i1} %x, 1
  br i1 %got, label %held, label %spin
held:
  %old = load atomic i64, ptr %fail_at monotonic, align 8
  %lower = icmp slt i64 %c, %old
  br i1 %lower, label %record, label %leave
record:
  store atomic i64 %c, ptr %fail_at monotonic, align 8
  st i64 %s -> @ft_pool + $FAIL_STATUS
  %cell = ld ptr %frame + 0
  %kept = getelementptr i8, ptr @ft_pool, i64 $FAIL_CELL
  call void @llvm.memcpy.p0.p0.i64(ptr %kept, ptr %cell, i64 56, i1 false)
  br label %leave
leave:
  store atomic i64 0, ptr %lock release, align 8
  ret void
}

; A helper works on a copy of the frame, because the error cell must be its own, and in the
; caller's floating-point mode, because bits mustn't depend on the thread.
define internal void @ft_join() noinline {
  %mode = ld i64 @ft_pool + $MODE
  call void @ft_set_mode(i64 %mode)
  %step = ld ptr @ft_pool + $STEP
  %slots = ld i64 %step + 32
  %frame = ld ptr @ft_pool + $JOB_FRAME
  %cell = alloca [16 x i64], align 64
  call void @llvm.memset.p0.i64(ptr %cell, i8 0, i64 128, i1 false)
  %copy = alloca i64, i64 %slots, align 16
  %bytes = shl i64 %slots, 3
  call void @llvm.memcpy.p0.p0.i64(ptr %copy, ptr %frame, i64 %bytes, i1 false)
  store ptr %cell, ptr %copy
  %callers = ld ptr %frame + 0
  %poll = getelementptr i8, ptr %callers, i64 $CELL_POLL
  st ptr %poll -> %cell + $CELL_POLL_SOURCE
  call void @ft_work(ptr %copy, i1 true)
  ret void
}

define internal ptr @ft_helper(ptr %nothing) {
entry:
  %state_at = getelementptr i8, ptr @ft_pool, i64 $STATE
  %sleepers_at = getelementptr i8, ptr @ft_pool, i64 $SLEEPERS
  br label %watch
watch:
  %turn = phi i64 [0, %entry], [%turn1, %pause], [0, %worked], [0, %woken]
  %s = load atomic i64, ptr %state_at monotonic, align 8
  %shut = icmp uge i64 %s, $CLOSED
  br i1 %shut, label %pause, label %look
look:
  %next_at = getelementptr i8, ptr @ft_pool, i64 $CLAIMED
  %c = load atomic i64, ptr %next_at monotonic, align 8
  %chunks_at = getelementptr i8, ptr @ft_pool, i64 $CHUNKS
  %n = load atomic i64, ptr %chunks_at monotonic, align 8
  %left = icmp slt i64 %c, %n
  %seats_at = getelementptr i8, ptr @ft_pool, i64 $SEATS
  %seats = load atomic i64, ptr %seats_at monotonic, align 8
  %seat = icmp slt i64 %s, %seats
  %may = and i1 %left, %seat
  br i1 %may, label %enter, label %pause
enter:
  %s1 = add i64 %s, 1
  %x = cmpxchg ptr %state_at, i64 %s, i64 %s1 acq_rel monotonic
  %in = extractvalue {i64, i1} %x, 1
  br i1 %in, label %work, label %pause
work:
  call void @ft_join()
  %was = atomicrmw sub ptr %state_at, i64 1 release
  br label %worked
worked:
  br label %watch
pause:
  call void $PAUSE
  %turn1 = add i64 %turn, 1
  %tired = icmp sgt i64 %turn1, $SPIN
  br i1 %tired, label %sleep, label %watch
sleep:
  %more = atomicrmw add ptr %sleepers_at, i64 1 seq_cst
  %s2 = load atomic i64, ptr %state_at seq_cst, align 8
  %shut2 = icmp uge i64 %s2, $CLOSED
  %seats2_at = getelementptr i8, ptr @ft_pool, i64 $SEATS
  %seats2 = load atomic i64, ptr %seats2_at monotonic, align 8
  %full = icmp sge i64 %s2, %seats2
  %still = or i1 %shut2, %full
  br i1 %still, label %park, label %awake
awake:
  ; A job came up meanwhile: take back our place among the sleepers, unless a waker just did.
  %k = load atomic i64, ptr %sleepers_at monotonic, align 8
  %none = icmp sle i64 %k, 0
  br i1 %none, label %park, label %back
back:
  %k1 = sub i64 %k, 1
  %y = cmpxchg ptr %sleepers_at, i64 %k, i64 %k1 seq_cst monotonic
  %out = extractvalue {i64, i1} %y, 1
  br i1 %out, label %woken, label %awake
park:
  call void @ft_gate_wait()
  br label %woken
woken:
  br label %watch
}
"""

_THREADS = (
    *("getpid", "sched_yield", "sigfillset"),
    *("pthread_sigmask", "pthread_create", "pthread_detach"),
)
_GATES = {
    "linux": ("sem_init", "sem_post", "sem_wait"),
    "darwin": (
        "dispatch_semaphore_create",
        "dispatch_semaphore_signal",
        "dispatch_semaphore_wait",
    ),
}
_PAUSES = {
    "x86_64": ("@llvm.x86.sse2.pause()", "declare void @llvm.x86.sse2.pause()\n"),
    "arm64": ("@llvm.aarch64.hint(i32 1)", "declare void @llvm.aarch64.hint(i32)\n"),
}
_PAUSES["aarch64"] = _PAUSES["arm64"]
#: What the text needs of the C library.
POOL_SYMBOLS: tuple[str, ...] = (
    (*_THREADS, *_GATES[sys.platform])
    if sys.platform in _GATES and platform.machine() in _PAUSES
    else ()
)


def pool_constants() -> dict[str, int]:
    """Return the places in the pool's memory: words that different threads write lie apart."""
    claim = {"BUSY": 0, "STATE": 64, "CLAIMED": 128, "BACK": 136}
    job = {"STEP": 192, "JOB_FRAME": 200, "CHUNKS": 208, "SEATS": 216, "MODE": 224}
    failure = {"FAIL": 256, "FAIL_STATUS": 264, "FAIL_LOCK": 272, "FAIL_CELL": 320}
    helpers = {"SLEEPERS": 384, "LIMIT": 448, "STARTED": 456, "PID": 464, "GATE": 512}
    helpers["LIGHT"] = 640
    values = {"CLOSED": 1 << 62, "NEVER": 1 << 62, "SPIN": 2000, "PROBE": 15}
    values["SIG_SETMASK"] = 3 if sys.platform == "darwin" else 2
    return claim | job | failure | helpers | values


def pool_text() -> str:
    """Return the platform's pool; where its threads are unknown, steps are run by the caller."""
    if not POOL_SYMBOLS:
        return _SERIAL
    pause, declaration = _PAUSES[platform.machine()]
    gate = _LINUX if sys.platform == "linux" else _DARWIN
    return (_POOL + gate + declaration).replace("$PAUSE", pause)
