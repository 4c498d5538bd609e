"""A child process that runs one library: prepares a case, checks its result, gives samples."""

from __future__ import annotations

import gc
import importlib
import os
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from benchmarks.case import Case, cast
from benchmarks.libraries import LIBRARIES, Library, map_leaves

WARM = 0.05  # seconds of calls before a case is timed
REST, RESTED = 0.005, 0.1  # seconds at a time, and how much of them idle threads may work
LONGEST_REST = 0.5


def find(group: str, name: str) -> Case:
    """The case ``name`` of ``benchmarks.groups.<group>``."""
    module = importlib.import_module(f"benchmarks.groups.{group}")
    return next(case for case in module.CASES if case.name == name)


def data(case: Case, size: int, dtype: str) -> tuple[Any, ...]:
    """The same numbers in every process."""
    args = cast(case.data(np.random.default_rng(0), size), dtype)
    return args if isinstance(args, tuple) else (args,)


def error_of(got: list[Any], want: list[Any]) -> float:
    """The largest difference, relative to the largest value of the array that should have come."""
    if [np.shape(a) for a in got] != [np.shape(a) for a in want]:
        raise ValueError(f"shapes {[np.shape(a) for a in got]}, not {[a.shape for a in want]}")
    worst = 0.0
    for a, b in zip(got, want, strict=True):
        if b.size == 0:
            continue
        if a.dtype.kind in "iub" and b.dtype.kind in "iub":
            worst = max(worst, 0.0 if np.array_equal(a, b) else np.inf)
            continue
        scale = float(np.max(np.abs(b))) or 1.0
        error = float(np.max(np.abs(a.astype(np.float64) - b))) / scale
        worst = max(worst, np.inf if np.isnan(error) else error)
    return worst


class Job:
    """A case made ready in one library."""

    def __init__(self, lib: Library, case: Case, size: int, dtype: str) -> None:
        self.lib, self.checks, self.wait_for_each = lib, case.checks, case.wait_for_each
        built = case.builders[lib.name](lib)
        numbers = data(case, size, dtype)
        # Each way gets arrays of its own: it may be one that writes over them.
        self.ways = [
            (call, lib.put(map_leaves(np.copy, numbers)))
            for call in (built if isinstance(built, tuple) else (built,))
        ]
        self.call, self.args = self.ways[0]

    def result(self) -> list[np.ndarray[Any, Any]]:
        """The arrays of the first results."""
        return [
            np.array(leaf)
            for _ in range(self.checks)
            for leaf in self.lib.get(self.lib.wait(self.call(*self.args)))
        ]

    def sample(self, repeats: int) -> float:
        """Seconds a call, over ``repeats`` calls in a row, each waited for."""
        call, args, wait = self.call, self.args, self.lib.wait
        gc.collect()
        gc.disable()
        start = time.perf_counter()
        if self.wait_for_each:
            for _ in range(repeats):
                wait(call(*args))
        else:
            for _ in range(repeats):
                result = call(*args)
            wait(result)
        taken = time.perf_counter() - start
        gc.enable()
        return taken / repeats

    def warm_up(self) -> float:
        """The shortest time of a call."""
        once = self.sample(1)
        until = time.perf_counter() + WARM
        while time.perf_counter() < until:
            once = min(once, self.sample(max(1, int(0.002 / max(once, 1e-9)))))
        return once

    def calibrate(self) -> float:
        """Choose the fastest way; the shortest time of a call."""
        times = []
        for way in self.ways:
            self.call, self.args = way
            self.sample(1)  # compiles
            times.append(self.warm_up())
        best = times.index(min(times))
        self.call, self.args = self.ways[best]
        self.ways = [self.ways[best]]
        return times[best]


def rest() -> None:
    """Wait until this process's threads are idle, so that who comes next has all CPUs.

    OpenBLAS's and OpenMP's threads look for more work for up to 0.1 s before they sleep.
    """
    until = time.perf_counter() + LONGEST_REST
    while (start := time.perf_counter()) < until:
        worked = time.process_time()
        time.sleep(REST)
        if time.process_time() - worked < RESTED * (time.perf_counter() - start):
            return


class Worker:
    """What the parent may ask for; each method is a message."""

    def __init__(self, name: str) -> None:
        self.lib = LIBRARIES[name]()
        self.job: Job | None = None

    def prepare(self, group: str, name: str, size: int, dtype: str, reference: str) -> float:
        """Make the case ready; returns its result's error against the reference's file."""
        self.job = None
        gc.collect()
        self.job = Job(self.lib, find(group, name), size, dtype)
        got = self.job.result()
        if self.lib.name == "baseline":
            return 0.0
        with np.load(reference) as file:
            return error_of(got, [file[key] for key in file.files])

    def refer(self, group: str, name: str, size: int, path: str) -> None:
        """Write the float64 result."""
        job = Job(self.lib, find(group, name), size, "float64")
        np.savez(path, *job.result())

    def calibrate(self) -> float:
        assert self.job is not None
        once = self.job.calibrate()
        rest()
        return once

    def sample(self, repeats: int) -> float:
        """Seconds a call; the first call, which wakes threads and fills caches, isn't counted."""
        assert self.job is not None
        self.job.sample(1)
        taken = self.job.sample(repeats)
        rest()
        return taken


def serve(name: str, pipe: Connection, folder: str) -> None:
    """Answer the parent's messages until it hangs up."""
    os.environ.setdefault("FUNCTRACE_CACHE_DIR", folder)
    worker: Worker | None = None
    while True:
        try:
            method, args = pipe.recv()
        except EOFError:
            return
        try:
            if worker is None:
                worker = Worker(name)
            answer: Callable[..., Any] = getattr(worker, method)
            pipe.send(("done", answer(*args)))
        except Exception:
            pipe.send(("failed", traceback.format_exc(limit=-4)))
