"""Compile time: of a new program, of a known one in a new process, and for a new batch size.

*cold*: trace, compile and run once, kernels forgotten, in a process that is warm. *second process*:
the same in a new process that finds what an earlier one kept on disk (JAX: its compilation cache is
on, for programs of any size); importing the library isn't in it, and has a row of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.case import Goal
from benchmarks.libraries import installed
from benchmarks.runner import OURS, ContenderError, Options, Row

TITLE = "Compile time"
GOALS = {"jax": Goal(1.0, None)}
MOST_ROUNDS = 5


class Program(NamedTuple):
    """A case of another group."""

    group: str
    name: str
    size: int


PROGRAMS = (
    Program("elementwise", "chain", 1000),
    Program("elementwise", "gradient of Black–Scholes", 1000),
    Program("reductions", "softmax", 100),
    Program("reductions", "gradient of layer norm", 100),
    Program("movement", "pairwise distances", 100),
    Program("derivatives", "gradient through n-body forces", 100),
    Program("derivatives", "Hessian of a logistic loss", 10),
    Program("gaussian", "gradient of a GP's likelihood", 50),
    Program("training", "XOR 2-8-1, batch 4, adam", 0),
    Program("training", "digits 64-32-10, batch 32, adam", 0),
    Program("training", "CNN on 32 images of 28 x 28, adam", 0),
    Program("training", "LSTM unrolled 20 steps, 64 units, batch 16, sgd", 0),
    Program("training", "transformer block, 8 x 64 tokens of 128, adam", 0),
    Program("graphs", "500 operations", 1000),
    Program("graphs", "50 layers", 32),
)
SECOND_PROCESS = tuple(p for p in PROGRAMS if p.group in ("elementwise", "training", "graphs"))


THROUGH_NUMBA = "numba source"
"""functrace, its kernels compiled by Numba from their printed source."""


def start(library: str, task: str, program: Program, folder: str, rounds: int) -> list[float]:
    """The seconds a new process reports for a task of ``benchmarks.startup``."""
    environment = dict(os.environ)
    if task == "once":  # as installed: with bytecode, which is of the caches the first one fills
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        environment["PYTHONPYCACHEPREFIX"] = str(Path(folder) / "bytecode")
    if library == THROUGH_NUMBA:
        library, environment["FUNCTRACE_BACKEND"] = OURS, "numba"
    command = [sys.executable, "-m", "benchmarks.startup", library, task, folder, str(rounds)]
    done = subprocess.run(
        [*command, program.group, program.name, str(program.size)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    if done.returncode:
        raise ContenderError(done.stderr[-600:])
    return [float(word) for word in done.stdout.split("seconds:")[-1].split()]


def libraries(options: Options) -> list[str]:
    return [n for n in (OURS, "jax") if n == OURS or (n in options.peers and installed(n))]


def rounds_of(options: Options) -> int:
    return min(MOST_ROUNDS, max(2, options.rounds // 3))


def fill(row: Row, name: str, seconds: list[float]) -> None:
    ordered = sorted(seconds)
    row.medians[name], row.minima[name] = ordered[len(ordered) // 2], ordered[0]


def cold(group: str, program: Program, options: Options) -> Row:
    row = Row(group, f"cold: {program.name}")
    names = libraries(options)
    if program.group in ("elementwise", "reductions"):
        names.append(THROUGH_NUMBA)
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            try:
                fill(row, name, start(name, "cold", program, folder, rounds_of(options)))
            except ContenderError as failure:
                row.failures[name] = str(failure)
    return row


def second_process(program: Program, options: Options) -> Iterator[Row]:
    """The first fills the caches; the others are timed, in turn with the peers'."""
    first = Row("compile", f"second process: {program.name}")
    whole = Row("compile", f"second process, with import: {program.name}")
    names = libraries(options)
    with tempfile.TemporaryDirectory() as folder:
        times: dict[str, list[list[float]]] = {name: [] for name in names}
        for turn in range(rounds_of(options) + 1):
            for name in names:
                try:
                    found = start(name, "once", program, str(Path(folder) / name), 1)
                except ContenderError as failure:
                    first.failures[name] = str(failure)
                    continue
                if turn:
                    times[name].append(found)
        for name, pairs in times.items():
            if pairs:
                fill(first, name, [run for _, run in pairs])
                fill(whole, name, [imported + run for imported, run in pairs])
    yield first
    if program is SECOND_PROCESS[0]:
        yield whole


def new_batch_size(options: Options) -> Row:
    """The digits step, compiled for 32 examples, is given other numbers of them."""
    row = Row("compile", "new batch size: digits 64-32-10, adam")
    program = Program("training", "digits 64-32-10, batch 32, adam", 0)
    for name in libraries(options):
        with tempfile.TemporaryDirectory() as folder:
            found = start(name, "batch", program, folder, rounds_of(options))
        fill(row, name, found[1:])
        if name == OURS and found[0]:
            row.failures[name] = f"{found[0]:g} kernels were compiled again"
    return row


def run(options: Options) -> Iterator[Row]:
    for program in PROGRAMS:
        if options.match in f"cold: {program.name}":
            yield cold("compile", program, options)
    for program in SECOND_PROCESS:
        if options.match in f"second process: {program.name}":
            yield from second_process(program, options)
    if options.match in "new batch size":
        yield new_batch_size(options)
