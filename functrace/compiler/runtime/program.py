"""A compiled program: a frame of data pointers, a list of steps, and the way to call them.

`Program` is what every stage before works towards. It owns the code its steps run, the constants
they read and the rows the driver reads, and it is called with flat arguments that fit its inputs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from functrace.compiler.ir.convention import ERROR_SLOT, MAX_DETAILS, status_kind_site
from functrace.compiler.runtime.driver import Driver, builtin_allowed, driver, thread_limit
from functrace.compiler.runtime.driver_ir import CELL_BYTES, CELL_STEP_WORD
from functrace.compiler.runtime.layout import STEP_BYTES, Layout, address_of, lay_out, unpacked
from functrace.compiler.runtime.placing import Placer
from functrace.compiler.runtime.steps import (
    Copy,
    HostCall,
    InputSpec,
    KernelCode,
    Loop,
    OutputSpec,
    SlotView,
    Step,
    Switch,
    Window,
)
from functrace.core.lowering import LINALG_MESSAGES

__all__ = [
    "Copy",
    "HostCall",
    "InputSpec",
    "KernelCode",
    "Loop",
    "OutputSpec",
    "Program",
    "SlotView",
    "Step",
    "Switch",
    "Window",
    "default_error",
]

#: How many runs of no step tell what it takes to ask for one.
_EMPTY_RUNS = 5

Array = np.ndarray[Any, Any]
ErrorMaker = Callable[[Step, str, int, tuple[int, ...]], BaseException]


def default_error(step: Step, kind: str, site: int, details: tuple[int, ...]) -> BaseException:
    """Return the exception for a failed check of a kernel."""
    if kind == "index":
        index, axis, size = details[:3]
        return IndexError(f"index {index} is out of bounds for axis {axis} with size {size}")
    if kind == "nan":
        return FloatingPointError(f"invalid value (nan) produced by {step.label or 'a kernel'}")
    if kind == "linalg":
        return np.linalg.LinAlgError(LINALG_MESSAGES[details[0]])
    if kind == "interrupt":
        return KeyboardInterrupt()
    return RuntimeError(f"a check failed in {step.label or 'a kernel'}")


class _Blocks:
    """Frees the idle call blocks of a program when the program goes."""

    def __init__(self, layout: Layout, native: Driver) -> None:
        self._layout = layout
        self._free = native.free_blocks

    def __del__(self) -> None:
        self._free(address_of(self._layout.rows))


class Program:
    """A compiled program, called with flat arguments.

    Args:
        inputs: the arguments.
        outputs: the results.
        n_slots: the length of the frame; slot 0 is the error cell's.
        steps: run in order.
        constants: the arrays that slots hold in every call; kept alive, never copied.
        temporaries: (slot, byte offset in the arena) pairs; offsets are multiples of 64.
        arena_bytes: how much memory the temporaries need together.
        error: makes the exception of a failed step: ``error(step, kind, site, details)``.
        result: what a call returns: a ``"list"``, a ``"tuple"``, or the ``"single"`` result.
        release_gil: let other Python threads run meanwhile; costs a few dozen nanoseconds.
        threads: at most so many threads, the caller's included, share one of its steps.

    Attributes:
        call: ``call(*args)`` returns the results, or None when an argument is not exactly an
            array (of any layout) or number of the kind, dtype and shape the program takes. It
            never raises for that reason.
        into: ``into(*args, *outs)`` writes the results to arrays and returns True, or returns
            None, having done nothing, when ``run_into`` must look closer.
    """

    def __init__(
        self,
        inputs: Sequence[InputSpec],
        outputs: Sequence[OutputSpec],
        n_slots: int,
        steps: Sequence[Step],
        *,
        constants: Mapping[int, Array] | None = None,
        temporaries: Sequence[tuple[int, int]] = (),
        arena_bytes: int = 0,
        error: ErrorMaker = default_error,
        result: str = "list",
        release_gil: bool = True,
        threads: int | None = None,
    ) -> None:
        self.inputs, self.outputs, self.steps = tuple(inputs), tuple(outputs), tuple(steps)
        self.n_slots, self.arena_bytes, self.result = n_slots, arena_bytes, result
        self.temporaries = tuple(temporaries)
        self.constants = {k: _usable_constant(v) for k, v in (constants or {}).items()}
        self._driver = driver()
        placer = Placer(self._driver.step_functions)
        placer.load(self.steps)
        placed = placer.place(self.steps)
        self._has_host = bool(placer.hosts)
        self._raiser = _Raiser(tuple(placer.steps), error)
        self._layout = lay_out(
            self.inputs,
            self.outputs,
            n_slots,
            self.constants,
            self.temporaries,
            arena_bytes,
            placed,
            result,
            release_gil,
            self._driver.api,
            threads,
        )
        self._driver.limit_helpers(thread_limit() - 1)
        self._driver.watch_interrupts()
        # Everything the machine code touches hangs on this tuple, not on the Program: a builtin
        # that is still running in another thread keeps all of it alive.
        self._state = (
            self._layout.rows,
            self._raiser,
            (placer.codes, placer.hosts, self.constants, self.inputs, self.outputs),
            _Blocks(self._layout, self._driver),
        )
        self.call: Callable[..., Any] = self._portable_call
        self.into: Callable[..., Any] = never
        if builtin_allowed():
            self.call = self._driver.builtin("call", self._state)
            self.into = self._driver.builtin("into", self._state)

    def call_for_one(self) -> Callable[..., Any]:
        """Return a ``call`` whose result is the only result itself, not a list of it."""
        if not builtin_allowed():
            return only_result(self.call)
        layout = unpacked(self._layout)
        # From now on calls take their blocks, with the memory of temporaries, from the new header.
        self._driver.free_blocks(address_of(self._layout.rows))
        rest = (*self._state[1:], self._layout.rows)
        return self._driver.builtin("call", (layout.rows, *rest, _Blocks(layout, self._driver)))

    def __call__(self, *args: Any) -> Any:
        """Return the results for arguments of the right shapes and dtypes, in any layout.

        Raises:
            TypeError: an argument has another shape or dtype than the program was compiled for.
        """
        results = self.call(*args)
        if results is not None:
            return results
        adapted = [self._adapt(k, arg) for k, arg in enumerate(self._counted(args))]
        results = self.call(
            *(a.item() if spec.weak else a for a, spec in zip(adapted, self.inputs))
        )
        return results if results is not None else self._run(adapted, None)

    def run_into(self, args: Sequence[Any], outs: Sequence[Array]) -> None:
        """Run the program with its results written to arrays the caller gives.

        Each must have the right shape and dtype and be writable; it may overlap an argument.
        """
        if self.into(*args, *outs):
            return
        if len(outs) != len(self.outputs):
            raise TypeError(f"{len(self.outputs)} output arrays expected, {len(outs)} given")
        for k, (out, spec) in enumerate(zip(outs, self.outputs)):
            if out.shape != spec.shape or out.dtype != spec.dtype:
                raise TypeError(
                    f"output array {k} has shape {out.shape} and dtype {out.dtype}; "
                    f"the result has shape {spec.shape} and dtype {spec.dtype}"
                )
        adapted = [self._adapt(k, arg) for k, arg in enumerate(self._counted(args))]
        held = [*adapted, *self.constants.values()]
        targets: list[Array | None] = []
        for k, out in enumerate(outs):
            others = [*held, *(o for j, o in enumerate(outs) if j != k)]
            free = out.flags.carray and not any(np.may_share_memory(out, a) for a in others)
            targets.append(out if free else None)
        results = self._run(adapted, targets, "list")
        for out, result in zip(outs, results):
            if out is not result:
                out[...] = result

    def time_steps(self, *args: Any) -> list[tuple[float, float]]:
        """Run once, step by step, and return when each began and how long it took, in seconds.

        What it takes to ask for a step from Python is measured too, and taken off.
        """
        spans: list[tuple[float, float]] = []
        runner = self._runner

        def run(frame: int, rows: int, n: int) -> int:
            asking = math.inf
            for k in (*(-1,) * _EMPTY_RUNS, *range(n)):
                start = time.perf_counter()
                status = runner(frame, rows + STEP_BYTES * max(k, 0), int(k >= 0))
                took = time.perf_counter() - start
                if k < 0:
                    asking = min(asking, took)
                else:
                    spans.append((start, max(0.0, took - asking)))
                if status:
                    return status
            return 0

        self._run([self._adapt(k, a) for k, a in enumerate(self._counted(args))], None, run=run)
        return spans

    def as_text(self) -> str:
        """Return the program as readable text: slots, then steps."""
        lines = [f"program: {self.n_slots} slots, arena of {self.arena_bytes} bytes"]
        for k, spec in enumerate(self.inputs):
            weak = " (a Python number)" if spec.weak else ""
            lines.append(f"  slot {spec.slot}: input {k}, {_typed(spec)}{weak}")
        for slot, constant in self.constants.items():
            lines.append(f"  slot {slot}: constant, {_typed(constant)}")
        for slot, offset in self.temporaries:
            lines.append(f"  slot {slot}: temporary at {offset}")
        for k, output in enumerate(self.outputs):
            what = "a copy, as output" if output.copy else "output"
            lines.append(f"  slot {output.slot}: {what} {k}, {_typed(output)}")
        lines += _step_lines(self.steps, "  ")
        return "\n".join(lines)

    def _counted(self, args: Sequence[Any]) -> Sequence[Any]:
        if len(args) != len(self.inputs):
            raise TypeError(f"{len(self.inputs)} arguments expected, {len(args)} given")
        return args

    def _adapt(self, k: int, arg: Any) -> Array:
        """Return argument ``k`` as an array the kernels can read."""
        spec = self.inputs[k]
        array = np.asarray(arg, spec.dtype) if spec.weak else np.asarray(arg)
        if array.shape != spec.shape or array.dtype.newbyteorder("=") != spec.dtype:
            raise TypeError(
                f"argument {k} has shape {array.shape} and dtype {array.dtype}; the program was "
                f"compiled for shape {spec.shape} and dtype {spec.dtype}"
            )
        return np.require(array, spec.dtype, ("C", "A"))

    def _portable_call(self, *args: Any) -> Any:
        """What the builtin does, for where there is none."""
        if len(args) != len(self.inputs) or not all(map(_exact, args, self.inputs)):
            return None
        try:
            adapted = [self._adapt(k, arg) for k, arg in enumerate(args)]
        except OverflowError:
            return None
        return self._run(adapted, None)

    @property
    def _runner(self) -> Callable[[int, int, int], int]:
        return self._driver.run if self._has_host else self._driver.run_released

    def _run(
        self,
        args: Sequence[Array],
        outs: Sequence[Array | None] | None,
        result: str | None = None,
        run: Callable[[int, int, int], int] | None = None,
    ) -> Any:
        """Run the steps by way of ctypes: arguments are usable arrays, given outputs are used."""
        layout = self._layout
        block = np.empty(layout.block_bytes + 64, np.uint8)
        base = (address_of(block) + 63) & -64
        frame = layout.template.copy()
        for slot, offset in layout.fixups:
            frame[slot] = base + offset
        for arg, spec in zip(args, self.inputs):
            frame[spec.slot] = address_of(arg)
        made: list[Array] = []
        for k, output in enumerate(self.outputs):
            given = outs[k] if outs is not None else None
            made.append(np.empty(output.shape, output.dtype) if given is None else given)
            if not output.copy:
                frame[output.slot] = address_of(made[-1])
        cell = np.zeros(CELL_BYTES // 8, np.int64)
        frame[ERROR_SLOT] = address_of(cell)
        status = (run or self._runner)(address_of(frame), layout.step_rows, len(self.steps))
        if status:
            self._raiser(status, int(cell[CELL_STEP_WORD]), *cell[:MAX_DETAILS].tolist())
        at = address_of(frame)
        for array, output in zip(made, self.outputs):
            if output.copy:
                array[...] = SlotView(output.slot, output.shape, output.dtype).array(at)
        if outs is not None:
            return made
        return _packed([array if array.ndim else array[()] for array in made], self.result)


def only_result(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return what returns the only one of the results of ``call``."""

    def first(*args: Any) -> Any:
        results = call(*args)
        return None if results is None else results[0]

    return first


def never(*args: Any) -> None:
    """What stands for a builtin that isn't there: always a miss."""


class _Raiser:
    """Turns a status into the exception it stands for."""

    def __init__(self, steps: tuple[Step, ...], error: ErrorMaker) -> None:
        self._steps = steps
        self._error = error

    def __call__(self, status: int, step: int, *details: int) -> None:
        """Raise: ``step`` is 1 + the number of the failed one."""
        kind, site = status_kind_site(status)
        raise self._error(self._steps[step - 1], kind, site, details)


def _packed(results: list[Any], kind: str) -> Any:
    if kind == "list":
        return results
    return tuple(results) if kind == "tuple" else results[0]


def _exact(arg: Any, spec: InputSpec) -> bool:
    """Whether an argument needs no conversion: the rule of the builtin, in Python."""
    kind = type(arg)
    if spec.weak:
        return kind in (float, int, complex) and kind is type(spec.dtype.type(0).item())
    if kind is np.ndarray:
        return bool(arg.dtype == spec.dtype) and arg.shape == spec.shape
    return not spec.shape and (kind is spec.dtype.type or (kind is bool and spec.dtype.kind == "b"))


def _usable_constant(array: Array) -> Array:
    return np.require(array, requirements=("C", "A"))


def _typed(spec: InputSpec | OutputSpec | Array) -> str:
    return f"{spec.dtype.name}[{','.join(map(str, spec.shape))}]"


def _step_lines(steps: Sequence[Step], indent: str) -> list[str]:
    lines = []
    for k, step in enumerate(steps):
        kernel = step.kernel
        pieces = f" in pieces of {step.grain}" if step.grain else ""
        if isinstance(kernel, Loop):
            rounds = "" if kernel.trips_slot is None and kernel.test else f" of {kernel.trips}"
            lines.append(f"{indent}step {k}: {step.label or 'loop'}{rounds}")
            if kernel.test:
                lines.append(f"{indent}  while slot {kernel.test_slot}:")
                lines += _step_lines(kernel.test, indent + "    ")
            lines += _step_lines(kernel.body, indent + "  ")
        elif isinstance(kernel, Switch):
            lines.append(f"{indent}step {k}: {step.label or 'switch'} on slot {kernel.slot}")
            for number, branch in enumerate(kernel.branches):
                lines.append(f"{indent}  branch {number}:")
                lines += _step_lines(branch, indent + "    ")
        elif isinstance(kernel, Copy):
            lines.append(
                f"{indent}step {k}: copy slot {kernel.source} to slot {kernel.target}, "
                f"{kernel.nbytes} bytes"
            )
        else:
            lines.append(
                f"{indent}step {k}: {step.label or 'kernel'} over {step.extent}{pieces}, "
                f"record {list(step.record)}"
            )
    return lines
