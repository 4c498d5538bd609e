"""Peak memory: what a call adds to the process at its highest, above what it had before its data.

Each case runs in a process of its own, warmed up on small arrays; data, results and temporaries
count. *plan* is what ``memory_analysis`` said of the same call.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

from benchmarks.case import Goal
from benchmarks.groups.compile import Program
from benchmarks.libraries import installed
from benchmarks.runner import OURS, Options, Row

TITLE = "Memory"
GOALS = {"jax": Goal(1.0, 1.0), "plan": Goal(None, 1.1)}

PROGRAMS = (
    Program("elementwise", "chain", 10**7),
    Program("elementwise", "gradient of Black–Scholes", 10**7),
    Program("reductions", "sum over columns", 10**4),
    Program("reductions", "softmax", 10**4),
    Program("reductions", "gradient of layer norm", 10**4),
    Program("movement", "gradient of pairwise distances", 2000),
    Program("movement", "gradient of an embedding", 10**7),
    Program("movement", "sort", 10**6),
    Program("derivatives", "gradient through n-body forces", 1000),
    Program("products", "gradient of attention", 128),
    Program("products", "product", 2048),
    Program("gaussian", "gradient of a GP's likelihood", 500),
    Program("training", "MLP 1024-2048-2048-10, batch 128, sgd", 0),
    Program("training", "MLP 1024-2048-2048-10, batch 128, adam", 0),
    Program("training", "transformer block, 8 x 64 tokens of 128, adam", 0),
    Program("training", "CNN on 32 images of 28 x 28, adam", 0),
)
#: Gradients of a long scan, and the bytes that must be kept: each state, or 2 sqrt(T) of them.
LONG_SCANS = {
    Program("loops_costs", "gradient of 10⁵ steps of a vector", 0): 10**5 * 8000,
    Program("loops_costs", 'the same with checkpoint="sqrt"', 0): 2 * 316 * 8000,
}


def ask(library: str, program: Program) -> dict[str, float]:
    """The bytes that a process of ``benchmarks.footprint`` prints, by name."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.footprint", library, *map(str, program)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-600:])
    words = done.stdout.split("bytes:")[-1].split()
    return dict(zip(words[::2], map(float, words[1::2]), strict=True))


def measure(program: Program, options: Options, group: str = "memory") -> Row:
    row = Row(group, program.name, unit="B")
    for name in (OURS, "jax"):
        if name != OURS and not (name in options.peers and installed(name)):
            continue
        try:
            found = ask(name, program)
        except RuntimeError as error:
            row.failures[name] = str(error)
            continue
        row.medians[name] = found["peak"]
        if "plan" in found:
            row.medians["plan"] = found["plan"]
    row.minima = dict(row.medians)
    return row


def run(options: Options) -> Iterator[Row]:
    if not sys.platform.startswith("linux"):
        print("(peak memory is read from Linux's /proc: left out)")
        return
    for program in (*PROGRAMS, *LONG_SCANS):
        if options.match in program.name:
            row = measure(program, options)
            if program in LONG_SCANS:
                row.medians["theory"] = row.minima["theory"] = LONG_SCANS[program]
            yield row
