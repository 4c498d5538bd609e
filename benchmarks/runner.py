"""Times contenders fairly: a child process each, taking turns, every result checked first.

The rules: each child is warm before it is timed; samples alternate between the children, in an
order that turns each round, so that a slow spell of the machine hits all of them, and only one
child works at a time, with all its threads (the next waits until they rest); a sample repeats the
call until it is long enough for the clock; what is compared are medians, what is reported are their
ratios. A result that differs from the float64 reference by more than the case's tolerance is an
error, and its time isn't reported.
"""

from __future__ import annotations

import importlib
import multiprocessing
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import libraries
from benchmarks.case import Case
from benchmarks.worker import serve

OURS = "functrace"
NOISE = 1.3  # a median this many times its minimum is not to be trusted
LONGEST = 3.0  # seconds of samples a contender, after which a slow case ends early


@dataclass(frozen=True)
class Options:
    """Who runs, and how long."""

    peers: tuple[str, ...] = ("jax", "torch", "autograd", "numba", "numpy", "openblas", "c")
    rounds: int = 15
    sample: float = 0.02
    match: str = ""


@dataclass
class Row:
    """What was measured of one case: medians and minima by contender, in ``unit``."""

    group: str
    name: str
    medians: dict[str, float] = field(default_factory=dict)
    minima: dict[str, float] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    unit: str = "s"

    def noisy(self) -> list[str]:
        """Those whose median is far above their minimum: the machine was busy, run again."""
        return [n for n, median in self.medians.items() if median > NOISE * self.minima[n]]

    def ratio(self, peer: str) -> float | None:
        """Our median over the peer's; None if one was not measured."""
        ours, theirs = self.medians.get(OURS), self.medians.get(peer)
        return None if ours is None or theirs is None else ours / theirs

    def ratios_text(self) -> str:
        """Ratios of the medians; in brackets of the minima, which other work disturbs least."""
        return "  ".join(
            f"/ {peer} {ratio:.2f} ({self.minima[OURS] / self.minima[peer]:.2f})"
            for peer in self.medians
            if peer != OURS and (ratio := self.ratio(peer)) is not None
        )

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"noisy": self.noisy()}


class ContenderError(RuntimeError):
    """A contender raised an error, or died."""


class Child:
    """The parent's side of a worker."""

    def __init__(self, name: str, options: Options, folder: str) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(name, theirs, folder), daemon=True)
        self.process.start()
        theirs.close()

    def ask(self, method: str, *args: Any) -> Any:
        try:
            self.pipe.send((method, args))
            status, answer = self.pipe.recv()
        except (EOFError, OSError) as error:
            self.process.join()
            raise ContenderError(
                f"the process died with exit code {self.process.exitcode}"
            ) from error
        if status == "failed":
            raise ContenderError(str(answer))
        return answer

    def close(self) -> None:
        self.pipe.close()
        self.process.join(timeout=5)
        if self.process.is_alive():
            self.process.terminate()


class Children:
    """The workers of one group, started when first needed and again after a death."""

    def __init__(self, options: Options, folder: str) -> None:
        self.options, self.folder = options, folder
        self.running: dict[str, Child] = {}

    def ask(self, name: str, method: str, *args: Any) -> Any:
        child = self.running.get(name)
        if child is None or not child.process.is_alive():
            child = self.running[name] = Child(name, self.options, self.folder)
        return child.ask(method, *args)

    def close(self) -> None:
        for child in self.running.values():
            child.close()


def label(case: Case, size: int, dtype: str) -> str:
    parts = [case.name]
    if len(case.sizes) > 1:
        parts.append(f"{size:.0e}".replace("e+0", "e") if size >= 1000 else str(size))
    if len(case.dtypes) > 1 or case.dtypes[0] == "float32":
        parts.append(dtype)
    return ", ".join(parts)


def contenders(case: Case, options: Options) -> list[str]:
    """Ours, and the chosen peers that have a way to do it; a baseline is always chosen."""
    chosen = (OURS, *options.peers, "baseline")
    chosen += ("jax, numpy in",) if "jax" in options.peers else ()
    return [n for n in chosen if n in case.builders and libraries.installed(n)]


def make_reference(children: Children, group: str, case: Case, size: int, path: str) -> None:
    """The float64 result of the library the case names, or the first that has one."""
    choices = [case.reference, "numpy", "jax", "torch", "autograd", OURS]
    name = next(n for n in choices if n in case.builders and libraries.installed(n))
    children.ask(name, "refer", group, case.name, size, path)


def measure(
    children: Children, group: str, case: Case, size: int, dtype: str, reference: str
) -> Row:
    """Prepare and check every contender, then time them in turn."""
    options, row = children.options, Row(group, label(case, size, dtype))
    names: list[str] = []
    once: dict[str, float] = {}
    for name in contenders(case, options):
        try:
            error = children.ask(name, "prepare", group, case.name, size, dtype, reference)
            if not error <= case.tolerance[dtype]:
                raise ContenderError(
                    f"WRONG RESULT: error {error:.2g}, tolerance {case.tolerance[dtype]}"
                )
            once[name] = children.ask(name, "calibrate")
            names.append(name)
        except ContenderError as failure:
            row.failures[name] = str(failure)
    times: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(options.rounds):
        shift = turn % max(1, len(names))
        for name in names[shift:] + names[:shift]:
            if turn >= 3 and turn * once[name] > LONGEST:
                continue
            repeats = max(1, int(options.sample / max(once[name], 1e-9)))
            times[name].append(children.ask(name, "sample", repeats))
    row.medians = {name: statistics.median(ts) for name, ts in times.items()}
    row.minima = {name: min(ts) for name, ts in times.items()}
    return row


def run_cases(group: str, cases: Sequence[Case], options: Options) -> Iterator[Row]:
    """Every size and dtype of every case whose name contains ``options.match``."""
    with tempfile.TemporaryDirectory() as folder:
        children = Children(options, str(Path(folder) / "kernels"))
        reference = str(Path(folder) / "reference.npz")
        try:
            for case in cases:
                for size in case.sizes:
                    rows = [d for d in case.dtypes if options.match in label(case, size, d)]
                    if rows:
                        make_reference(children, group, case, size, reference)
                    for dtype in rows:
                        yield measure(children, group, case, size, dtype, reference)
        finally:
            children.close()


def run_group(group: str, options: Options) -> Iterator[Row]:
    """Run a group of cases, or a group that measures in its own way (it has ``run``)."""
    module = importlib.import_module(f"benchmarks.groups.{group}")
    own = getattr(module, "run", None)
    for row in own(options) if own else run_cases(group, module.CASES, options):
        print(f"  {row.name}: {row.ratios_text()}", flush=True)
        for name, failure in row.failures.items():
            print(f"  !! {name} FAILED on {row.name}: {failure}", file=sys.stderr, flush=True)
        yield row
