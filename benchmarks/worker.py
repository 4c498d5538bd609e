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
from benchmarks.libraries import LIBRARIES, Library

WARM = 0.05  # seconds of calls before a case is timed


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
        self.lib, self.state = lib, case.state
        self.call = case.builders[lib.name](lib)
        self.args = lib.put(data(case, size, dtype))

    def once(self) -> Any:
        return self.lib.wait(self.call(*self.args))

    def sample(self, repeats: int) -> float:
        """Seconds a call, over ``repeats`` calls in a row, each waited for."""
        call, args, wait, state = self.call, self.args, self.lib.wait, self.state
        gc.collect()
        gc.disable()
        start = time.perf_counter()
        if state:
            for _ in range(repeats):
                result = call(*args)
                wait(result)
                args = (*result[:state], *args[state:])
        else:
            for _ in range(repeats):
                wait(call(*args))
        taken = time.perf_counter() - start
        gc.enable()
        return taken / repeats

    def calibrate(self) -> float:
        """Warm up; the shortest time of a call."""
        once = self.sample(1)
        until = time.perf_counter() + WARM
        while time.perf_counter() < until:
            once = min(once, self.sample(max(1, int(0.002 / max(once, 1e-9)))))
        return once


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
        got = self.lib.get(self.job.once())
        with np.load(reference) as file:
            return error_of(got, [file[key] for key in file.files])

    def refer(self, group: str, name: str, size: int, path: str) -> None:
        """Write the float64 result."""
        job = Job(self.lib, find(group, name), size, "float64")
        np.savez(path, *self.lib.get(job.once()))

    def calibrate(self) -> float:
        assert self.job is not None
        return self.job.calibrate()

    def sample(self, repeats: int) -> float:
        assert self.job is not None
        return self.job.sample(repeats)


def serve(name: str, pipe: Connection, cpus: int | None, folder: str) -> None:
    """Answer the parent's messages until it hangs up."""
    if cpus is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cpus])
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
