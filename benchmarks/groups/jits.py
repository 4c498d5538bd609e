"""What many different compiled functions leave behind in the process, once they are dropped.

The growth must end: kernels are kept for programs to come, so many and no more.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from benchmarks.case import Goal
from benchmarks.groups.compile import Program
from benchmarks.groups.memory import measure
from benchmarks.runner import Options, Row

TITLE = "Memory after many distinct jits"
GOALS: dict[str, Goal] = {}
COUNTS = (500, 1000, 1500)


def run(options: Options) -> Iterator[Row]:
    if not sys.platform.startswith("linux"):
        print("(resident memory is read from Linux's /proc: left out)")
        return
    for count in COUNTS:
        name = f"{count} distinct jits: resident growth"
        if options.match in name:
            yield measure(Program("jits", name, count), options, "jits")
