"""A process that compiles: ``python -m benchmarks.startup LIBRARY TASK FOLDER ROUNDS CASE...``.

Tasks: ``cold`` compiles a program ``ROUNDS`` times, kernels forgotten each time; ``once`` prints
the seconds of importing the library and of a first call, with the compiled code kept in
``FOLDER``; ``batch`` prints how many kernels a step compiles for new batch sizes, and its seconds.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

FLOAT = "float32"


def keep_code_in(library: str, folder: str) -> None:
    """Where the library is to keep compiled code; before it is imported."""
    os.environ["FUNCTRACE_CACHE_DIR"] = folder
    os.environ["JAX_COMPILATION_CACHE_DIR"] = folder if library == "jax" else ""
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"


def first_call(job: Any) -> float:
    start = time.perf_counter()
    job.lib.wait(job.call(*job.args))
    return time.perf_counter() - start


def cold(lib: Any, case: Any, size: int, rounds: int) -> list[float]:
    from benchmarks.worker import Job

    seconds = []
    for _ in range(rounds + 1):
        if lib.name == "functrace":
            lib.root.clear_caches(disk=True)
        seconds.append(first_call(Job(lib, case, size, FLOAT)))
    return seconds[1:]  # the first also traces the library's own helpers


def batch(lib: Any, case: Any, size: int, rounds: int) -> list[float]:
    from benchmarks.libraries import map_leaves
    from benchmarks.worker import Job

    job = Job(lib, case, size, FLOAT)
    first_call(job)
    known = lib.root.cache_info().compiled if lib.name == "functrace" else 0
    params, *rest = job.args
    seconds = []
    for i in range(rounds):
        longer = [lib.xp.concatenate([a, a[: 8 * (i + 1)]]) for a in rest]
        job.args = (params, *map_leaves(lib.wait, longer))
        seconds.append(first_call(job))
    compiled = lib.root.cache_info().compiled - known if lib.name == "functrace" else 0
    return [float(compiled), *seconds]


def main() -> None:
    library, task, folder, rounds, group, name, size = sys.argv[1:]
    if task == "once":
        keep_code_in(library, folder)
    else:
        os.environ["FUNCTRACE_CACHE_DIR"] = folder
    import numpy  # noqa: F401  not counted to any library

    start = time.perf_counter()
    __import__(library)
    imported = time.perf_counter() - start

    from benchmarks.libraries import LIBRARIES
    from benchmarks.worker import Job, find

    lib, case = LIBRARIES[library](), find(group, name)
    if task == "once":
        print("seconds:", imported, first_call(Job(lib, case, int(size), FLOAT)))
    else:
        print("seconds:", *{"cold": cold, "batch": batch}[task](lib, case, int(size), int(rounds)))


if __name__ == "__main__":
    main()
