"""Where a compiled function spends its time, step by step."""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from functrace.compiler.codegen.kernels import StepCode
from functrace.compiler.pipeline import Compiled
from functrace.compiler.plan import Op
from functrace.compiler.runtime.program import Program
from functrace.control.eject import replace_file
from functrace.control.jit import JitFunction, jit
from functrace.errors import compose

__all__ = ["StepProfile", "profile"]


@dataclass(frozen=True)
class StepProfile:
    """One step of a program.

    Attributes:
        index: its number in ``as_text("program")``.
        name: the operations it does.
        place: the user's line of the last of them, or an empty string.
        seconds: the median time of it.
        share: of the time of all steps.
        nbytes: what it reads and writes of arrays.
        flops: its floating-point operations.
        transcendentals: its calls of ``exp``, ``sin`` and the like.
    """

    index: int
    name: str
    place: str
    seconds: float
    share: float
    nbytes: int
    flops: int
    transcendentals: int

    @property
    def gigabytes_per_second(self) -> float:
        """How fast it moves its bytes; 0 where the time is too short to tell."""
        return self.nbytes / self.seconds / 1e9 if self.seconds else 0.0

    @property
    def gigaflops(self) -> float:
        """How many billion floating-point operations it does in a second; 0 likewise."""
        return self.flops / self.seconds / 1e9 if self.seconds else 0.0


def profile(
    f: Callable[..., Any],
    /,
    *args: Any,
    trace_file: str | os.PathLike[str] | None = None,
    repeat: int = 10,
    **kwargs: Any,
) -> list[StepProfile]:
    """Run a compiled function step by step and print a table of what each step takes.

    The steps run in order, each asked for on its own, on as many threads as in a call.

    Args:
        f: a jitted function, or one that ``jit`` takes.
        args: its arguments.
        trace_file: also write the last run here, as a trace that Perfetto and Chrome open.
        repeat: how many runs the times are medians of; one more goes first, unmeasured.
        kwargs: its keyword arguments.

    Returns:
        One row per step.

    Example:
        >>> import numpy as np
        >>> rows = profile(lambda x: np.sum(np.exp(x)), np.ones(1000))   # doctest: +ELLIPSIS
        step        time  share ...
        >>> rows[0].name, rows[0].transcendentals
        ('exp+reduce_sum', 1000)
    """
    if repeat < 1:
        raise ValueError(f"profile got repeat={repeat}; it takes at least one run.")
    jitted = f if isinstance(f, JitFunction) else jit(f)
    call, compiled = jitted._program_for(args, kwargs)
    program = compiled.program
    if not isinstance(program, Program):
        raise ValueError(
            compose(
                "profile times native programs only.",
                f"config.backend is {compiled.compilation.backend!r}.",
                'config.backend = "llvm".',
            )
        )
    program.time_steps(*call.leaves)
    runs = [program.time_steps(*call.leaves) for _ in range(repeat)]
    whole = _whole_call(compiled, call.leaves, repeat)
    rows = _rows(compiled, runs)
    print(_table(rows, whole))
    if trace_file is not None:
        _write_trace(Path(trace_file), jitted._name, rows, runs[-1])
    return rows


def _whole_call(compiled: Compiled, leaves: Sequence[Any], repeat: int) -> float:
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        compiled(*leaves)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _rows(compiled: Compiled, runs: Sequence[Sequence[tuple[float, float]]]) -> list[StepProfile]:
    seconds = [statistics.median(span[1] for span in spans) for spans in zip(*runs)]
    total = sum(seconds) or 1.0
    steps = zip(compiled.program.steps, compiled.compilation.codes, compiled.step_work(), seconds)
    return [
        StepProfile(
            index=k,
            name=step.label or "step",
            place=_place(code),
            seconds=took,
            share=took / total,
            nbytes=work.nbytes,
            flops=work.flops,
            transcendentals=work.transcendentals,
        )
        for k, (step, code, work, took) in enumerate(steps)
    ]


def _place(code: Any) -> str:
    """Return the user's line of the last operation of a step that has one."""
    ops = code.group.ops if isinstance(code, StepCode) else [code.eqn]
    for op in reversed(ops):
        source = op.eqn.source if isinstance(op, Op) and op.eqn is not None else None
        if source is not None:
            return f"{os.path.basename(source.file)}:{source.line}"
    return ""


def _table(rows: Sequence[StepProfile], whole: float) -> str:
    head = f"{'step':>4}  {'time':>10}  {'share':>5}  {'bytes':>9}  {'GB/s':>7}  {'GFLOP/s':>8}"
    lines = [f"{head}  what"]
    lines += [
        f"{r.index:>4}  {_time(r.seconds):>10}  {r.share:>5.0%}  {_size(r.nbytes):>9}  "
        f"{r.gigabytes_per_second:>7.2f}  {r.gigaflops:>8.2f}  {r.name}"
        f"{f'  ({r.place})' if r.place else ''}"
        for r in rows
    ]
    total = sum(r.seconds for r in rows)
    return "\n".join([*lines, f" all  {_time(total):>10}; a whole call takes {_time(whole)}"])


def _time(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.2f} {unit}"
    return f"{seconds / 1e-9:.0f} ns"


def _size(nbytes: int) -> str:
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if nbytes >= scale:
            return f"{nbytes / scale:.2f} {unit}"
    return f"{nbytes} B"


def _write_trace(
    path: Path, name: str, rows: Sequence[StepProfile], spans: Sequence[tuple[float, float]]
) -> None:
    """Write Chrome's trace format: complete events, times in microseconds."""
    first = spans[0][0] if spans else 0.0
    events: list[dict[str, Any]] = [
        {"ph": "M", "pid": 1, "tid": 1, "name": "process_name", "args": {"name": name}}
    ]
    for row, (start, took) in zip(rows, spans):
        details = {"bytes": row.nbytes, "flops": row.flops, "at": row.place}
        event = {"ph": "X", "pid": 1, "tid": 1, "name": row.name, "cat": "step", "args": details}
        events.append(event | {"ts": (start - first) * 1e6, "dur": took * 1e6})
    content = json.dumps({"traceEvents": events, "displayTimeUnit": "ns"}, indent=1)
    replace_file(path, content.encode())
