"""Timing of several contenders for the same work, fairly, in one process.

The rules: every contender is warmed up first; samples alternate between contenders, in an order
that turns each round, so that a slow spell of the machine hits all of them; a sample repeats the
call until it is long enough for the clock; what is compared are medians, and what is reported are
their ratios.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

Call = Callable[[], object]

OURS = "functrace"
NOISE = 1.3  # a median this many times its minimum is not to be trusted


@dataclass(frozen=True)
class Options:
    """How long to measure: samples a contender, and seconds a sample."""

    rounds: int = 15
    sample: float = 0.02
    only: str = ""


@dataclass
class Case:
    """One piece of work and who does it: a name, functions without arguments, the goal to hold.

    ``goals`` maps a peer's name to the largest ratio ours / theirs wanted; ``finish`` is called
    with the last result of a contender's sample, inside the timing, to wait for work still under
    way.
    """

    name: str
    contenders: dict[str, Call]
    goals: dict[str, float] = field(default_factory=dict)
    finish: dict[str, Callable[[Any], object]] = field(default_factory=dict)


@dataclass
class Result:
    """The medians and the minima of a case, in seconds a call."""

    case: Case
    medians: dict[str, float]
    minima: dict[str, float]

    def noisy(self) -> list[str]:
        """Those whose median is far above their minimum: the machine was busy, run again."""
        return [n for n, median in self.medians.items() if median > NOISE * self.minima[n]]

    def ratio(self, peer: str, quiet: bool = False) -> float | None:
        """Our median (``quiet``: minimum) over the peer's; None if one was not measured."""
        times = self.minima if quiet else self.medians
        ours, theirs = times.get(OURS), times.get(peer)
        return None if ours is None or theirs is None else ours / theirs


def peer(name: str) -> Any | None:
    """The module ``name`` if it is installed here; otherwise a message and None."""
    try:
        module = importlib.import_module(name)
    except ImportError:
        print(f"  ({name} is not installed in this interpreter: left out)")
        return None
    if name == "jax":
        module.config.update("jax_enable_x64", True)
    return module


def peers(*names: str) -> dict[str, Any]:
    """Those of the named modules that are installed."""
    return {name: module for name in names if (module := peer(name)) is not None}


# ---------------------------------------------------------------------------- timing


@contextmanager
def no_collection() -> Iterator[None]:
    """Keep Python's garbage collector out of the timings."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def sample(call: Call, repeats: int, finish: Callable[[Any], object] | None) -> float:
    """Seconds a call, over ``repeats`` calls in a row."""
    result = None
    start = time.perf_counter()
    for _ in range(repeats):
        result = call()
    if finish is not None:
        finish(result)
    return (time.perf_counter() - start) / repeats


def calibrate(call: Call, seconds: float, finish: Callable[[Any], object] | None) -> int:
    """Warm the contender up, then say how many calls make a sample of ``seconds``."""
    warm = time.perf_counter() + max(0.05, 2 * seconds)
    sample(call, 1, finish)  # compiles
    once = sample(call, 1, finish)
    while time.perf_counter() < warm:
        once = min(once, sample(call, max(1, int(0.002 / max(once, 1e-9))), finish))
    return max(1, int(seconds / max(once, 1e-9)))


def measure(case: Case, options: Options) -> Result:
    """Time all contenders of ``case``, alternating."""
    names = list(case.contenders)
    repeats = {
        name: calibrate(case.contenders[name], options.sample, case.finish.get(name))
        for name in names
    }
    times: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(options.rounds):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            with no_collection():
                times[name].append(
                    sample(case.contenders[name], repeats[name], case.finish.get(name))
                )
    medians = {name: statistics.median(ts) for name, ts in times.items()}
    return Result(case, medians, {name: min(ts) for name, ts in times.items()})


# ---------------------------------------------------------------------------- reporting


def seconds_text(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Plain text columns; the first row is the heading, the first column is aligned left."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def report(title: str, results: Sequence[Result]) -> str:
    """Medians and their ratios, ours / theirs: below 1 we are faster.

    In brackets: the ratio of the minima, which other work on the machine disturbs least, and the
    goal, which both ratios must hold. Rows too noisy to be quoted are listed below the table.
    """
    names = list(dict.fromkeys(name for result in results for name in result.medians))
    others = [name for name in names if not name.startswith(OURS)]
    rows = [[title, *names, *(f"/ {name}" for name in others)]]
    for result in results:
        row = [result.case.name]
        row += [seconds_text(result.medians[n]) if n in result.medians else "-" for n in names]
        for name in others:
            ratio, goal = result.ratio(name), result.case.goals.get(name)
            quiet = result.ratio(name, quiet=True)
            if ratio is None or quiet is None:
                row.append("-")
                continue
            text = f"{ratio:.2f} ({quiet:.2f}"
            if goal is not None:
                text += f", goal {goal:g}{'' if max(ratio, quiet) <= goal else ' MISSED'}"
            row.append(text + ")")
        rows.append(row)
    noise = [f"NOISY {r.case.name}: {', '.join(r.noisy())}" for r in results if r.noisy()]
    return "\n".join([table(rows), *noise])


def about() -> str:
    """The machine and the versions a table belongs to."""
    versions = []
    for name in ("functrace", "numpy", "numba", "jax", "torch", "autograd"):
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"Python {platform.python_version()}, {platform.machine()}, {cores} cores; " + ", ".join(
        versions
    )


def run_suite(title: str, cases: Callable[[], Iterator[Case]], options: Options) -> list[Result]:
    """Measure the cases whose name contains ``options.only`` and print their table."""
    results = []
    for case in cases():
        if options.only in case.name and case.contenders:
            results.append(measure(case, options))
            print(f"  measured {case.name}", flush=True)
    if results:
        print(report(title, results), end="\n\n", flush=True)
    return results


def parse(description: str | None, argv: Sequence[str] | None = None) -> Options:
    """The options every suite has on the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--only", default="", help="run the cases whose name contains this")
    parser.add_argument("--rounds", type=int, default=Options.rounds, help="samples a contender")
    parser.add_argument("--sample", type=float, default=Options.sample, help="seconds a sample")
    args = parser.parse_args(argv)
    return Options(rounds=args.rounds, sample=args.sample, only=args.only)


def main(description: str | None, run: Callable[[Options], object]) -> None:
    """What a suite does when its file is run."""
    options = parse(description)
    print(about(), end="\n\n")
    run(options)
