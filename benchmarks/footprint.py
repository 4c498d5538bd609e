"""A process that measures its memory: run with LIBRARY GROUP CASE SIZE as arguments."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.libraries import LIBRARIES
from benchmarks.worker import Job, find

FLOAT = "float64"
SMALL = 64  # the size of the warm-up, where a case has one
PAUSE, SETTLED = 0.1, 5.0  # seconds between looks at what is resident, and of all of them


def status(field: str) -> int:
    """Bytes of a field of /proc/self/status: VmRSS is resident now, VmHWM at the highest."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no {field}")


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def settled() -> int:
    """Bytes that are resident once libraries have freed what they free on threads of their own."""
    until, resident = time.perf_counter() + SETTLED, -1
    while time.perf_counter() < until:
        gc.collect()
        before, resident = resident, status("VmRSS")
        if resident == before:
            break
        time.sleep(PAUSE)
    return resident


def give_back() -> None:
    """Have the C library return what was freed: it would make the next call look smaller."""
    settled()
    getattr(ctypes.CDLL(None), "malloc_trim", lambda _: None)(0)


def peak(lib: Any, group: str, name: str, size: int) -> dict[str, int]:
    """Above the warm process, of three calls and their data."""
    case = find(group, name)
    warm = Job(lib, case, min(size, SMALL), FLOAT)
    lib.wait(warm.call(*warm.args))
    del warm
    if size <= SMALL:  # the warm-up was as large as the case
        give_back()
    before = settled()
    job = Job(lib, case, size, FLOAT)
    job.ways = []
    give_back()
    forget_peak()  # making the data isn't the call's
    for _ in range(3):
        lib.wait(job.call(*job.args))
    found = {"peak": status("VmHWM") - before}
    if lib.name == "functrace" and hasattr(job.call, "lower"):
        analysis = job.call.lower(*job.args).compile().memory_analysis()
        found["plan"] = analysis["peak_memory_in_bytes"]
    return found


def jits(lib: Any, count: int) -> dict[str, int]:
    """What ``count`` different functions leave behind, each compiled, called and dropped.

    No two are of the same operations: none can use the machine code of another.
    """
    x = lib.put(LIBRARIES["numpy"]().xp.arange(64.0))

    def one(i: int) -> None:
        def f(x: Any) -> Any:
            y = lib.xp.sqrt(x)
            for k in range(12):
                y = y * x + 0.5 if i >> k & 1 else lib.xp.maximum(x, y) / 3.0
            return lib.xp.sum(y) if i % 2 else y

        lib.wait(lib.jit(f)(x))

    for i in range(20):
        one(-1 - i)
    gc.collect()
    before = status("VmRSS")
    for i in range(count):
        one(i)
    gc.collect()
    return {"peak": status("VmRSS") - before}


def main() -> None:
    library, group, name, size = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FUNCTRACE_CACHE_DIR"] = folder
        lib = LIBRARIES[library]()
        found = jits(lib, int(size)) if group == "jits" else peak(lib, group, name, int(size))
    print("bytes:", *(word for pair in found.items() for word in pair))


if __name__ == "__main__":
    main()
